"""`kill -9` of a real notifier at each step of an e-mail that tells of several suggestions."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from services.console.embedded.broker import MemoryBroker
from services.console.embedded.mongod import Mongod
from services.console.embedded.process import LOOPBACK, ChildProcess, free_port
from services.runtime.settings import PREFIX
from services.runtime.store import Store
from tests.component.notifier.letters import names_of, paced, some
from tests.component.notifier.receivers import HookReceiver, MailServer
from tests.component.notifier.world import BASE, SENDER, SIGNING, World, eventually
from tests.faults.proxy import Network, Proxy
from tests.faults.stack import module, started

PEOPLE = ("amina", "badr", "driss")
TOLD = "abcd"

# Locks of a transaction whose client was killed are held for so long (seconds, a minute unless said).
LOCKS_HELD = 2


@dataclass(frozen=True)
class Step:
    """A moment at which the notifier is killed: when it says `words` to `whom`, before they arrive there.

    Attributes:
        taken: the mail server has taken an e-mail by then, and that is not noted.
    """

    name: str
    whom: Literal["mongod", "mail"]
    words: bytes
    taken: bool = False


STEPS = (
    Step("before it is frozen", "mongod", b"startTransaction"),
    Step("while it is frozen", "mongod", b"commitTransaction"),
    Step("frozen, before the mail server hears of it", "mail", b"MAIL FROM"),
    Step("in the middle of DATA", "mail", b"\r\n.\r\n"),
    Step("taken, before that is noted", "mongod", b"\x02state\x00\x0a\x00\x00\x00delivered", taken=True),
)


class MailsTaken(MailServer):
    """Answers only once `answers` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        answer = await super().handle_DATA(server, session, envelope)
        await self.answers.wait()
        return answer

    async def all_taken(self) -> bool:
        return len(self.mails) == len(PEOPLE)


class Killed:
    """A notifier as deployed, with a proxy before its database and its mail server."""

    def __init__(self, folder: Path, mongod: Mongod, broker: MemoryBroker, mail: MailsTaken) -> None:
        self._folder = folder
        self._mongod = mongod
        self._broker = broker
        self.mail = mail
        self.proxies = {"mongod": Proxy(mongod.uri.partition("//")[2].partition("/")[0]), "mail": Proxy(mail.address)}

    def process(self, database: str) -> ChildProcess:
        settings = {
            "KAFKA": self._broker.bootstrap,
            "MONGO": f"mongodb://{self.proxies['mongod'].address}/?directConnection=true",
            "DATABASE": database,
            "INSTANCE": "the-only-one",
            "HOST": LOOPBACK,
            "PORT": str(free_port()),
            "SECRET": SIGNING,
            "PUBLIC_URL": BASE,
            "SMTP": self.proxies["mail"].address,
            "MAIL_FROM": SENDER,
            "LETTERS_PER_DAY": "3",
            "LOG_FORMAT": "json",
        }
        env = {PREFIX + name: value for name, value in settings.items()}
        return module("notifier", ["services.notifier"], self._folder, ready=started, env=env)

    def world(self) -> World:
        return World(self._mongod.uri, self.mail, HookReceiver())


@pytest.fixture
async def killed(tmp_path: Path) -> AsyncIterator[Killed]:
    mail, mongod = MailsTaken(), Mongod(tmp_path / "mongod")
    await mail.start()
    await mongod.start()
    broker = MemoryBroker()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(mongod.stop)
        stack.push_async_callback(mail.stop)
        admin = Store(url=mongod.uri, database="admin")
        stack.callback(admin.close)
        await admin.database.command("setParameter", 1, transactionLifetimeLimitSeconds=LOCKS_HELD)
        found = Killed(tmp_path, mongod, broker, mail)
        for proxy in found.proxies.values():
            await stack.enter_async_context(proxy)
        yield found


async def held_until_just_now(world: World) -> None:
    """Have four suggestions wait for three people whose quiet hours ended an hour ago: two e-mails each, by the cap."""
    now = datetime.now(UTC)
    quiet = {name: f"{now - timedelta(hours=ago):%H:%M}" for name, ago in (("start", 3), ("end", 1))}
    world.now = now - timedelta(hours=2)
    first = await world.start()
    people = [paced(who, quiet=quiet, time_zone="UTC") for who in PEOPLE]
    await first.take(*people, *some(TOLD, posted_at=world.now, made_at=world.now))
    assert {row["state"] for row in await world.rows(channel="email")} == {"held"}


def by_id(mail: MailsTaken) -> dict[str, tuple[str, EmailMessage]]:
    return {str(message["Message-ID"]): (recipient, message) for recipient, message in mail.mails}


@pytest.mark.faults
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
async def test_a_kill_at_each_step_of_a_digest_loses_and_doubles_nothing(killed: Killed, step: Step) -> None:
    world, mail, proxy = killed.world(), killed.mail, killed.proxies[step.whom]
    await held_until_just_now(world)
    process = killed.process(world.database.name)
    if not step.taken:
        proxy.stop_at(step.words)
    await process.start()
    if step.taken:
        await eventually(mail.all_taken)
        proxy.stop_at(step.words)
    mail.answers.set()
    async with asyncio.timeout(30):
        await proxy.stopped.wait()
    await process.kill()
    at_death = len(mail.mails)
    assert at_death == (len(PEOPLE) if step.taken else 0)
    await proxy.be(Network.WHOLE)

    again = killed.process(world.database.name)
    await again.start()

    async def told() -> bool:
        letters = await world.rows(suggestion_id=None)
        return len(letters) == len(PEOPLE) and all(row["state"] == "delivered" for row in letters)

    try:
        await eventually(told, 60)
    finally:
        await again.stop()
    letters = {f"<{row['_id']}@example.org>" for row in await world.rows(suggestion_id=None)}
    distinct = by_id(mail)
    assert distinct.keys() == letters
    assert Counter(recipient for recipient, _ in distinct.values()) == Counter(
        {f"{who}@example.org": 1 for who in PEOPLE}
    )
    assert {names_of(message) for _, message in distinct.values()} == {TOLD[:3]}
    copies = len(mail.mails) - len(distinct)
    assert copies == at_death  # taken and not noted: again, under the same id
    await world.close()
