"""A matcher on a real database, one process object after another, and a log that is written by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from schemas.cloudevents import Envelope
from services.matcher.domain.pairing import Bar
from services.matcher.handlers import events_to
from services.matcher.keeping import Keeper
from services.matcher.relay import Relay
from services.matcher.service import Alone, Given, Matcher
from services.matcher.sharing import ShareLostError
from services.matcher.store import MatcherStore
from services.runtime.store import Database, Store
from tests.component.matcher.log import RecordingLog

BAR = Bar(score=0.1, posted=5, standing=3)


class Crash(BaseException):
    """The process ends here."""


class System:
    """The matcher's process, its database, its log and its clock."""

    def __init__(self, *, url: str, log: RecordingLog, snapshot: Path | None = None) -> None:
        self.now = datetime(2026, 3, 2, 8, tzinfo=UTC)
        self.log = log
        self.snapshot = snapshot
        self.given: Given = Alone()
        self._url = url
        self._store = Store(url=url, database=f"matcher-{uuid4().hex}")
        self.database: Database = self._store.database

    async def start(self, *, dying_at: Callable[[str], bool] = lambda _: False, bar: Bar = BAR, most: int = 0) -> None:
        """Start a new process: nothing but the database is left of the one before."""
        self.store = _Dying(self._store, dying_at)
        self.relay = Relay(store=self.store, publisher=self.log, holding=lambda: self.matcher.holding)
        self.matcher = Matcher(
            store=self.store,
            clock=lambda: self.now,
            bar=bar,
            given=self.given,
            tellings_per_week=most,
            log_id=lambda: "the log",
            on_told=lambda: None,
            keeper=Keeper(self.snapshot, clock=lambda: self.now.timestamp()),
        )
        self._handle = events_to(self.matcher)
        await self.matcher.restore()
        await self.matcher.places(())
        await self.relay.publish_due()

    async def give(self, *batch: Envelope) -> None:
        """Have one batch of events handled, and what came of it published."""
        try:
            await self._handle(batch, {})
        except ShareLostError:  # another process has worked meanwhile: the batch comes again
            await self._handle(batch, {})
        await self.relay.publish_due()

    async def pass_time(self, time: timedelta) -> None:
        """Let time pass, and the periodic work with it."""
        self.now += time
        await self.matcher.expire()
        await self.relay.publish_due()

    async def words_left(self) -> str:
        """Return everything that the database holds, as text."""
        names = await self.database.list_collection_names()
        rows = [repr(row) for name in names async for row in self.database[name].find()]
        return "\n".join(rows).casefold()

    def beside(self) -> "System":
        """Return another process on the same database and log."""
        other = System(url=self._url, log=self.log, snapshot=self.snapshot)
        other.leave()
        other._store = Store(url=self._url, database=self.database.name)
        other.database = other._store.database
        return other

    def leave(self) -> None:
        """Let go of the database, and leave it as it is."""
        self._store.close()

    async def close(self) -> None:
        """Drop the database."""
        await self.database.client.drop_database(self.database.name)
        self._store.close()


class _Dying(MatcherStore):
    """The real store, in a process that may end before or after any of its calls."""

    def __init__(self, store: Store, dying_at: Callable[[str], bool]) -> None:
        super().__init__(store)
        self._dying_at = dying_at
        self.between: dict[str, Callable[[], Awaitable[None]]] = {}
        """What others do, once, when this process comes to a step."""

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name.startswith("_") or name == "between" or not asyncio.iscoroutinefunction(found):
            return found
        dying_at = self._dying_at

        async def call(*args: object, **kwargs: object) -> object:
            if (others := self.between.pop(f"before {name}", None)) is not None:
                await others()
            if dying_at(f"before {name}"):
                raise Crash
            result = await found(*args, **kwargs)
            if dying_at(f"after {name}"):
                raise Crash
            return result

        return call


@pytest.fixture
async def system(mongo_url: str) -> AsyncIterator[System]:
    system = System(url=mongo_url, log=RecordingLog())
    await system.start()
    yield system
    await system.close()
