"""A notifier on a real database with real receivers: one process object after another, and a log written by hand."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import httpx
import uvicorn
from fastapi import FastAPI

from schemas.ambassadors import AmbassadorKey
from schemas.base import Event, Key
from schemas.cloudevents import Envelope
from schemas.feedback import Side
from schemas.topics import Topic
from services.console.embedded.process import LOOPBACK, free_port
from services.notifier import delivering
from services.notifier.address import Invited, Tokens, inbox_url
from services.notifier.app import Parts, compose
from services.notifier.settings import NotifierSettings
from services.notifier.store import NotifierStore
from services.runtime.errors import BrokerUnavailableError
from services.runtime.periodic import Periodic
from services.runtime.store import Database, Store
from tests.component.notifier.receivers import HookReceiver, MailServer
from tests.parts.databases import Found
from tests.parts.wire import carried
from tests.unit.notifier.samples import NOW, contact

BASE = "https://maillage.example.org"
SIGNING = "signs-the-inboxes-of-these-tests-only"
SENDER = "maillage@example.org"


class CrashError(BaseException):
    """The process ends here."""


Trouble = Callable[[str], bool | Exception]
"""Given where a process is: whether it ends there, or the error that its call meets."""


class Death:
    """A `Trouble`: the process that first comes to a step ends there, and no other does."""

    def __init__(self, step: str) -> None:
        self._step = step
        self.over = False

    def __call__(self, here: str) -> bool:
        dies = here == self._step and not self.over
        self.over = self.over or dies
        return dies

    async def is_over(self) -> bool:
        """Whether it has come: to be waited for."""
        return self.over


@dataclass
class RecordingLog:
    """A `Publisher` that remembers what went over the wire; `lost_after` counts publications kept but not confirmed."""

    events: list[tuple[str, Event]] = field(default_factory=list)
    lost_after: int = 0

    async def publish(
        self,
        topic: Topic,
        key: Key,
        value: Event | None,
        *,
        rev: int,
        occurred_at: datetime,
        traceparent: str | None = None,
    ) -> None:
        envelope = carried(topic, key, value, rev=rev, occurred_at=occurred_at, traceparent=traceparent)
        assert envelope.value is not None
        self.events.append((envelope.event_id, envelope.value))
        if self.lost_after:
            self.lost_after -= 1
            raise BrokerUnavailableError("the broker's answer was lost")

    def distinct(self) -> list[Event]:
        """Each event once, whatever the number of copies."""
        return list(dict(self.events).values())

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.distinct() if isinstance(event, kind)]


class World:
    """The notifier's surroundings, which outlive its process."""

    def __init__(self, url: str, mail: MailServer, hook: HookReceiver) -> None:
        self.now = NOW
        self.mail = mail
        self.hook = hook
        self.log = RecordingLog()
        self._found = Found(url, "notifier")
        self._runtime_store = Store(url=url, database=self._found.name)
        self.database: Database = self._runtime_store.database
        self.settings = NotifierSettings(
            secret=SIGNING,
            public_url=BASE,
            smtp=mail.address,
            mail_from=SENDER,
            allow_private_webhooks=True,
            quiet_hours="00:00-00:00",
            letters_per_day=1000,
            undo_seconds=0,
        )  # type: ignore[arg-type]  # pydantic reads text into what the fields are

    async def start(self, dying_at: Trouble = lambda _: False) -> "Process":
        """A new process: nothing but the database is left of the one before."""
        await self._found.begin(self.database)
        store = NotifierStore(self.database, Tokens(SIGNING).digest)
        await store.ensure_indexes()
        store.ambassadors = _Dying(store.ambassadors, dying_at)  # type: ignore[assignment]
        store.contacts = _Dying(store.contacts, dying_at)  # type: ignore[assignment]
        store.suggestions = _Dying(store.suggestions, dying_at)  # type: ignore[assignment]
        store.deliveries = _Dying(store.deliveries, dying_at)  # type: ignore[assignment]
        store.letters = _Dying(store.letters, dying_at)  # type: ignore[assignment]
        store.sessions = _Dying(store.sessions, dying_at)  # type: ignore[assignment]
        return Process(self, store)

    async def words(self) -> str:
        """Everything that the database holds, as text."""
        names = await self.database.list_collection_names()
        rows = [repr(row) for name in names async for row in self.database[name].find()]
        return "\n".join(rows)

    async def rows(self, **query: object) -> list[dict[str, Any]]:
        return [row async for row in self.database["notifications"].find(query).sort("_id")]

    async def close(self) -> None:
        self._found.give_back()
        self._runtime_store.close()


class Process:
    """One run of the notifier. Its loops run only inside `run`."""

    def __init__(self, world: World, store: NotifierStore) -> None:
        self.world = world
        self.store = store
        self.app = FastAPI()
        self.works: dict[str, Periodic] = {}
        self.parts: Parts = compose(
            world.settings, store, app=self.app, publisher=world.log, clock=lambda: world.now, every=self._every
        )
        self.parts.delivering._chance = random.Random(1)

    def _every(self, seconds: float, name: str, work: Callable[[], Awaitable[None]]) -> Periodic:
        # What nobody wakes a loop for is looked for at leisure; a test need not wait for it.
        self.works[name] = Periodic(name, work, seconds=min(seconds, 0.05))
        return self.works[name]

    async def take(self, *events: Event | Envelope) -> None:
        """Have one batch handled."""
        await self.parts.handlers.take([wrap(event) for event in events])

    async def run(self, until: Callable[[], Awaitable[bool]] | None = None, within: float = 30.0) -> None:
        """Deliver and announce until nothing is due any more, or `until` is so."""
        tasks = [
            asyncio.create_task(self.works[name].run()) for name in ("steps", "letters", "deliver", "judge", "announce")
        ]
        try:
            await eventually(until or self.quiet, within)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def quiet(self) -> bool:
        """Whether nothing is due."""
        queued = ["waiting", "to_invite", "to_serve", "to_chat", "to_notify"]
        due = {"state": {"$in": queued}, "due": {"$lte": self.world.now}}
        leased = {"lease": {"$ne": None}}
        rows = self.world.database["notifications"]
        # In the order in which work goes on: what has left the one is in the next.
        return (
            await self.world.database["suggestions"].count_documents({"step_at": {"$lte": self.world.now}}) == 0
            and await self.world.database["agendas"].count_documents({"due": {"$lte": self.world.now}}) == 0
            and not self.parts.delivering._in_hand
            and await rows.count_documents({"$or": [due, leased, {"unjudged": True}]}) == 0
            and await self.parts.announcing.count_due() == 0
        )

    def browser(self, **headers: str) -> httpx.AsyncClient:
        """A client of the pages."""
        transport = httpx.ASGITransport(app=self.app)
        return httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers)

    async def see(self, path: str) -> httpx.Response:
        async with self.browser() as client:
            return await client.get(path)


@asynccontextmanager
async def served(process: Process) -> AsyncIterator[str]:
    """The address of a process's pages on a loopback port. Open ones are told of changes."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(process.app, host=LOOPBACK, port=port, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    following = asyncio.create_task(process.works["live"].run())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://{LOOPBACK}:{port}"
    process.parts.live.close()
    server.should_exit = True
    await serving
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


def answer_address(suggestion_id: UUID, side: Side, rev: int = 1, **who: str) -> str:
    """The address at which the contact of a side answers."""
    tokens = Tokens(SIGNING)
    person = tokens.person(contact("atlas" if side is Side.REQUESTING else "sensors-lab", **who))
    return f"{BASE}/introduction/{tokens.answering(Invited(suggestion_id, rev, side, person))}"


def inbox(ambassador: str = "souss/amina") -> str:
    """The address of an inbox."""
    return inbox_url(BASE, SIGNING, AmbassadorKey.decode(ambassador.encode()))


def wrap(event: Event | Envelope) -> Envelope:
    if isinstance(event, Envelope):
        return event
    return Envelope(key=event.key, value=event, rev=event.rev, event_id=f"{event.key}/{event.rev}", occurred_at=NOW)


def erased(key: Key, rev: int | None) -> Envelope:
    """A record without a body."""
    return Envelope(key=key, value=None, rev=rev, event_id=f"{key}/{rev}", occurred_at=NOW)


def hidden_field(page: str) -> str:
    found = re.search(r'name="form" value="([^"]+)"', page)
    assert found, "the page has no form"
    return found[1]


async def eventually(so: Callable[[], Awaitable[bool]], within: float = 30.0) -> None:
    deadline = monotonic() + within
    while not await so():
        assert monotonic() < deadline, "not so in time"
        await asyncio.sleep(0.01)


def counted(ids: list[str]) -> Counter[str]:
    return Counter(ids)


class _Dying:
    """A real collection, in a process that may end before or after any call of it, or whose call may fail then."""

    def __init__(self, real: object, dying_at: Trouble) -> None:
        self._real = real
        self._dying_at = dying_at

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*args: object, **kwargs: object) -> object:
            self._look(f"before {name}")
            result = await found(*args, **kwargs)
            self._look(f"after {name}")
            return result

        return call

    def _look(self, here: str) -> None:
        if trouble := self._dying_at(here):
            raise CrashError if trouble is True else trouble


async def crashing(work: Awaitable[None]) -> None:
    """Await work in a process that may end in it."""
    with suppress(CrashError):
        await work


LEASE = delivering.LEASE + timedelta(seconds=1)
