"""What telling costs: many suggestions to ambassadors of every kind, to a real mail server and a real receiver.

`python -m bench.deliver --suggestions 2000 --ambassadors 100 [--waiting 10000 --waiting 1000000] [--json FILE]`

1. The naive loop: one message after another, each `send` awaited in turn, with nothing kept of it. The same words; a
   connection for each, as the examples of the libraries have it. So many seconds of it as `--naive-seconds` says. Then
   the same with our own channels, which keep a connection.
2. The notifier as it is deployed, but for the broker: batches of suggestions through its handlers, on a real mongod,
   until nothing is due any more. Of each ten ambassadors five get e-mails at once, two a digest, two a webhook, one has
   the inbox alone. The clock is put on once, to when the digests are due.
3. A digest for one ambassador while so many suggestions wait for others.

All of it, mongod and the receivers, shares the machine. It fails if anything is missing, or there twice.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final
from uuid import uuid4

import aiosmtplib
import httpx
import typer
from fastapi import FastAPI
from rich.console import Console
from rich.table import Table

from bench._engine_machine import machine
from bench._receiving import Receiver, mailed
from schemas.ambassadors import AmbassadorPublished
from schemas.base import Event, Key
from schemas.cloudevents import Envelope
from schemas.notifications import Channel
from schemas.suggestions import SuggestionMade
from schemas.topics import Topic
from services.console.embedded.mongod import Mongod
from services.console.embedded.process import ChildProcess, ready_json
from services.notifier.address import Tokens
from services.notifier.app import Parts, compose
from services.notifier.channels import Message, email, webhook
from services.notifier.pages.letters import Letters
from services.notifier.pages.reader import Readers
from services.notifier.settings import NotifierSettings
from services.notifier.store import NotifierStore, Way
from services.notifier.store.rows import Row, State, document, read
from services.runtime.periodic import Periodic
from services.runtime.store import Store
from tests.unit.notifier.samples import made, person

BATCH: Final = 200
SENDER: Final = "maillage@example.org"
MORNING: Final = datetime.now(UTC)

_LOOK_SECONDS: Final = 0.25
"""How often it is looked whether anything is due: rarely enough to cost nothing beside what is measured."""

DIGESTS: Final = timedelta(days=1)
KINDS: Final = ("at once",) * 5 + ("digest",) * 2 + ("webhook",) * 2 + ("inbox",)
QUIET_SECONDS: Final = 3600.0
LOOKS: Final = 5
"""Digests written with so many waiting; the median counts."""


@dataclass
class Result:
    """What was measured; seconds unless the name says else.

    Attributes:
        one_by_one_per_second: the naive loop with our own channels.
        cpu_ms_per_message: of the notifier's process.
        digest_ms: what one digest costs, by how many suggestions wait for others.
    """

    suggestions: int
    ambassadors: int
    naive_per_second: float = 0.0
    one_by_one_per_second: float = 0.0
    messages: int = 0
    told_in_them: int = 0
    taken_in_seconds: float = 0.0
    per_second: float = 0.0
    of_the_naive: float = 0.0
    of_one_by_one: float = 0.0
    cpu_ms_per_message: float = 0.0
    peak_mib: float = 0.0
    digest_ms: dict[int, float] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=machine)


class Unheard:
    """A log that nobody reads: what the notifier says is not measured here."""

    async def publish(self, topic: Topic, key: Key, value: Event | None, **_: object) -> None:
        """Take it."""


class Notifier:
    """The notifier's parts on a store. `ahead`: how far its clock was put on, by hand."""

    def __init__(self, mongo: str, smtp: str) -> None:
        self.ahead = timedelta()
        self.smtp = smtp
        self.works: dict[str, Periodic] = {}
        self.database = Store(url=mongo, database=f"deliver-{uuid4().hex[:8]}").database
        settings = NotifierSettings(
            secret="signs-the-inboxes-of-this-benchmark-only",  # noqa: S106 - of nothing that anybody has
            public_url="https://maillage.example.org",
            smtp=smtp,
            mail_from=SENDER,
            allow_private_webhooks=True,
            quiet_hours="00:00-00:00",
            letters_per_day=1000,
        )
        self.store = NotifierStore(self.database, Tokens(settings.secret.get_secret_value()).digest)
        self.parts: Parts = compose(
            settings,
            self.store,
            app=FastAPI(),
            publisher=Unheard(),
            clock=self._clock,
            every=self._every,
        )

    def _clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def _every(self, seconds: float, name: str, work: Callable[[], Awaitable[None]]) -> Periodic:
        self.works[name] = Periodic(name, work, seconds=seconds)
        return self.works[name]

    async def take(self, events: list[AmbassadorPublished] | list[SuggestionMade]) -> None:
        """Have events handled, in batches."""
        rest = iter(events)
        while some := list(islice(rest, BATCH)):
            await self.parts.handlers.take(
                [Envelope(event.key, event, event.rev, f"{event.key}/{event.rev}", MORNING) for event in some]
            )

    async def deliver(self) -> None:
        """Deliver until nothing is due."""
        tasks = [asyncio.create_task(self.works[name].run()) for name in ("letters", "deliver", "announce")]
        deadline = time.monotonic() + QUIET_SECONDS
        while await self._due() and time.monotonic() < deadline:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_LOOK_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _due(self) -> bool:
        leased = await self.database["notifications"].count_documents({"lease": {"$ne": None}}, limit=1)
        return bool(leased or await self.store.deliveries.count_waiting() or await self.parts.pacing.count_due())


def main(
    suggestions: Annotated[int, typer.Option(min=10)] = 2_000,
    ambassadors: Annotated[int, typer.Option(min=10)] = 100,
    waiting: Annotated[list[int] | None, typer.Option(help="Suggestions that wait for others.")] = None,
    naive_seconds: Annotated[float, typer.Option(min=1)] = 10.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where to write the numbers.")] = None,
) -> None:
    """Measure what telling costs."""
    say = Console(stderr=True, highlight=False)
    result = Result(suggestions, ambassadors)
    with TemporaryDirectory(prefix="maillage-deliver-") as folder:
        wrong = asyncio.run(_measure(Path(folder), result, waiting or [], naive_seconds, say))
    Console().print(_table(result))
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(result), indent=1) + "\n")
    if wrong:
        say.print(wrong)
        raise typer.Exit(1)


async def _measure(folder: Path, result: Result, waiting: list[int], naive_seconds: float, say: Console) -> str:
    receiver, mongod, maildir = Receiver(), Mongod(folder / "mongo"), folder / "mail"
    command = [sys.executable, "-m", "services.console.embedded.mail", "--maildir", str(maildir)]
    catcher = ChildProcess("mail", command, log=folder / "mail.log", ready=ready_json("smtp"))
    await mongod.start()
    smtp = await catcher.start()
    try:
        with receiver.listening():
            say.print("One after another...")
            await _naive(Notifier(mongod.uri, smtp), receiver, naive_seconds, result)
            before = len(receiver.arrivals), len(mailed(maildir, lambda _: True))
            say.print("The notifier...")
            notifier = Notifier(mongod.uri, smtp)
            await _tell(notifier, receiver, result)
            came = receiver.arrivals[before[0] :] + mailed(maildir, lambda _: True)[before[1] :]
            wrong = await _missing(notifier, [arrival.notification for arrival in came])
        for number in sorted(waiting):
            say.print(f"A digest while {number:,} wait...")
            result.digest_ms[number] = await _digest(Notifier(mongod.uri, smtp), number)
    finally:
        await catcher.stop()
        await mongod.stop()
    return wrong


def people(receiver: Receiver, number: int) -> list[AmbassadorPublished]:
    """Return ambassadors of every kind, each at a city of their own."""
    hook = {"url": receiver.url("hook"), "secret": receiver.secret}
    of: dict[str, dict[str, Any]] = {
        "at once": {},
        "digest": {"alerting": {"rhythm": "daily", "at": "08:00"}},
        "webhook": {"email": None, "webhook": hook},
        "inbox": {"email": None},
    }
    return [person(f"p{n}", city=f"city-{n}", **of[KINDS[n % len(KINDS)]]) for n in range(number)]


def suggestions_for(number: int, cities: int) -> Iterator[SuggestionMade]:
    """Yield suggestions, each of one city."""
    for place in range(number):
        one = made(f"s{place}", score=0.4 + place % 50 / 100)
        party = one.offer.party.model_copy(update={"city": f"city-{place % cities}"})
        yield one.model_copy(update={"offer": one.offer.model_copy(update={"party": party})})


async def _naive(notifier: Notifier, receiver: Receiver, seconds: float, result: Result) -> None:
    """Measure how many messages a second go out when each is sent when the one before has been."""
    few = people(receiver, len(KINDS))
    await notifier.take(few)
    await notifier.take(list(suggestions_for(len(KINDS) * 20, len(KINDS))))
    found = notifier.database["notifications"].find({"channel": {"$ne": "inbox"}, "state": "waiting"})
    rows = [read(row) async for row in found]
    composing, channels = notifier.parts.delivering._composing, notifier.parts.delivering._channels
    known = await composing.look_up(rows)
    made = [(row.way, await composing.message(row, known)) for row in rows]
    told = [(way, message) for way, message in made if isinstance(message, Message)]
    writer = Letters(Readers(timezone="Africa/Casablanca"))

    async def rate(send: Callable[[Way, Message], Awaitable[None]]) -> float:
        began, sent = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            await send(*told[sent % len(told)])
            sent += 1
        return sent / (time.monotonic() - began)

    async def naively(way: Way, message: Message) -> None:
        if way is Way.EMAIL:
            await _mail(notifier.smtp, message, writer.letter(message))
        else:
            await _post(message)

    async def by_our_channels(way: Way, message: Message) -> None:
        await channels[way].deliver(message)

    result.naive_per_second = await rate(naively)
    result.one_by_one_per_second = await rate(by_our_channels)
    await channels[Way.EMAIL].close()


async def _mail(smtp: str, message: Message, letter: email.Letter) -> None:
    host, _, port = smtp.rpartition(":")
    mail = email.compose(message, letter, sender=SENDER, recipient=str(message.to.email))
    await aiosmtplib.send(mail, hostname=host, port=int(port), local_hostname="localhost")


async def _post(message: Message) -> None:
    target = message.to.webhook
    if target is None:
        raise ValueError("no webhook")
    body = json.dumps(webhook.payload(message), ensure_ascii=False, separators=(",", ":"))
    headers = webhook.signed(message, target, body)
    async with httpx.AsyncClient(verify=False) as client:  # noqa: S501 - no TLS here: reading certificates is not the point
        (await client.post(str(target.url), content=body.encode(), headers=headers)).raise_for_status()


async def _tell(notifier: Notifier, receiver: Receiver, result: Result) -> None:
    await notifier.store.ensure_indexes()
    await notifier.take(people(receiver, result.ambassadors))
    cpu, began = _cpu(), time.monotonic()
    await notifier.take(list(suggestions_for(result.suggestions, result.ambassadors)))
    result.taken_in_seconds = time.monotonic() - began
    await notifier.deliver()
    notifier.ahead += DIGESTS
    await notifier.deliver()
    took = time.monotonic() - began
    rows = notifier.database["notifications"]
    sent = {"channel": {"$ne": "inbox"}, "state": "delivered"}
    result.messages = await rows.count_documents(sent | {"letter": None})
    result.told_in_them = await rows.count_documents(sent | {"suggestion_id": {"$ne": None}})
    result.per_second = result.messages / took
    result.of_the_naive = result.per_second / result.naive_per_second
    result.of_one_by_one = result.per_second / result.one_by_one_per_second
    result.cpu_ms_per_message = 1000 * (_cpu() - cpu) / result.messages
    result.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _missing(notifier: Notifier, came: list[str]) -> str:
    """Return what is wrong with what came; empty if nothing is."""
    rows = notifier.database["notifications"]
    expected = {str(row["_id"]) async for row in rows.find({"channel": {"$ne": "inbox"}, "letter": None}, {"_id": 1})}
    if len(came) != len(set(came)):
        return f"{len(came) - len(set(came))} messages came twice"
    if set(came) != expected:
        return f"{len(expected - set(came))} messages are missing, {len(set(came) - expected)} were not expected"
    return ""


async def _digest(notifier: Notifier, waiting: int) -> float:
    """Return how long one digest takes to be written, in milliseconds, while so many wait for others."""
    await notifier.store.ensure_indexes()
    one = person("reader", city="city-0", alerting={"rhythm": "daily", "at": "08:00"})
    await notifier.take([one])
    rows, later = notifier.database["notifications"], MORNING + timedelta(days=30)
    for start in range(0, waiting, 10_000):
        await rows.insert_many(
            [
                document(
                    Row(uuid4(), uuid4(), 1, f"souss/other-{n % 1000}", Channel.EMAIL, MORNING, state=State.HELD,
                        due=later, score=n % 997 / 997),
                    MORNING,
                )
                for n in range(start, min(start + 10_000, waiting))
            ],
            ordered=False,
        )  # fmt: skip
    times: list[float] = []
    for look in range(LOOKS):
        await notifier.take([one.model_copy(update={"suggestion_id": uuid4()}) for one in suggestions_for(20, 1)])
        notifier.ahead += DIGESTS
        began = time.monotonic()
        await notifier.parts.pacing.write_letters()
        times.append(1000 * (time.monotonic() - began))
        written = await rows.count_documents({"ambassador": "souss/reader", "suggestion_id": None})
        if written != look + 1:
            raise RuntimeError(f"{written} digests were written, not {look + 1}")
    return sorted(times)[LOOKS // 2]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _table(result: Result) -> Table:
    table = Table(title=f"{result.suggestions:,} suggestions, {result.ambassadors:,} ambassadors")
    table.add_column("measured")
    table.add_column("value", justify="right")
    for name, value in asdict(result).items():
        if isinstance(value, int | float):
            table.add_row(name, f"{value:,.2f}" if isinstance(value, float) else f"{value:,}")
    for waiting, milliseconds in result.digest_ms.items():
        table.add_row(f"digest while {waiting:,} wait, ms", f"{milliseconds:,.1f}")
    return table


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        typer.run(main)
