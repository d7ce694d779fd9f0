"""Replicas of ingest that may die at any step: the real store, and a log that fails when told to."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.base import Event, Key
from schemas.cloudevents import Envelope
from schemas.contacts import ContactProfile
from schemas.members import MemberKey, MemberProfile
from schemas.needs import NeedKey
from schemas.topics import Topic
from services.ingest.claims import Claims
from services.ingest.entities import NeedBody
from services.ingest.erasure import Erasure
from services.ingest.keys import Keyring, Operator, OperatorKey
from services.ingest.ledger import PLAINLY, Asked, Ledger
from services.ingest.previews import Previews
from services.ingest.service import IngestService
from services.ingest.settings import IngestSettings
from services.ingest.store import EntityStore
from services.runtime.errors import BrokerUnavailableError
from services.runtime.store import Database, Store
from services.web.sessions import Sessions
from tests.parts.databases import Found
from tests.parts.wire import carried

CLUSTER = "souss"

Dying = Callable[[str], bool]
"""Given "before NAME" or "after NAME" of a step: whether the process ends there."""


class Crash(BaseException):
    """The process ends here."""


@dataclass
class Log:
    """A log in memory, shared by replicas: it keeps what was published as bytes on the wire."""

    envelopes: list[Envelope] = field(default_factory=list)


class Wire:
    """A replica's way to the log."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.dying: Dying = lambda _: False
        self.unreachable = False
        """Nothing comes through, and no answer."""
        self.mute = False
        """Everything comes through, and no answer."""
        self.held: list[Envelope] | None = None
        """Where the producer keeps what it could not send yet; none: it forgets it."""
        self.sent = 0

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
        _die_if(self.dying("before publish"))
        await asyncio.sleep(0)
        self.sent += 1
        if self.unreachable:
            if self.held is not None:
                self.held.append(envelope)
            raise BrokerUnavailableError("no answer")
        self._log.envelopes.append(envelope)
        _die_if(self.dying("after publish"))
        if self.mute:
            raise BrokerUnavailableError("no answer")

    def flush(self) -> None:
        """The producer reaches the broker again and sends what it held."""
        held, self.held, self.unreachable = self.held or [], None, False
        self._log.envelopes.extend(held)


class DyingStore(EntityStore):
    """The real store, in a process that may end before or after each change."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.dying: Dying = lambda _: False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in ("propose", "confirm", "replace_pending", "abandon", "saying_the_same"):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            _die_if(self.dying(f"before {name}"))
            result = await found(*args, **kwargs)
            _die_if(self.dying(f"after {name}"))
            return result

        return call


class Replica:
    """One process of ingest, below its HTTP side."""

    def __init__(self, world: "World") -> None:
        self.wire = Wire(world.log)
        self.entities = DyingStore(world.database)
        settings = IngestSettings()
        self.keyring = Keyring(database=world.database, operator=OperatorKey(settings), clock=lambda: world.now)
        self.ledger = Ledger(
            entities=self.entities,
            claims=Claims(world.database),
            erasure=Erasure(
                entities=self.entities, keyring=self.keyring, sessions=Sessions(world.database, whom="member")
            ),
            publisher=self.wire,
            clock=lambda: world.now,
        )
        previews = Previews(
            database=world.database, url=settings.matcher_url, key=None, per_minute=1, clock=lambda: world.now
        )
        self.service = IngestService(
            ledger=self.ledger, entities=self.entities, previews=previews, clock=lambda: world.now
        )

    def die_at(self, dying: Dying) -> None:
        self.wire.dying = self.entities.dying = dying

    async def member(self, member: str, asked: Asked = PLAINLY, **more: Any) -> int:
        profile = MemberProfile.model_validate({"name": f"Atelier {member}", "kind": "company", **more})
        return (await self.service.put_member(Operator(), member_key(member), profile, asked)).rev

    async def need(self, need: str, owner: str, asked: Asked = PLAINLY, **more: Any) -> int:
        body = NeedBody.model_validate({"member_id": owner, "title": f"Capteurs pour {need}", **more})
        return (await self.service.put_need(Operator(), need_key(need), body, asked)).rev

    async def contact(self, member: str, asked: Asked = PLAINLY, **more: Any) -> int:
        profile = ContactProfile.model_validate({"name": "Amal", "email": "amal@example.org", **more})
        return (await self.service.put_contact(Operator(), member_key(member), profile, asked)).rev

    async def erase(self, member: str) -> int:
        return (await self.service.erase_member(Operator(), member_key(member), PLAINLY)).rev


class World:
    """What outlives a process: the database, the log, the time."""

    def __init__(self, url: str) -> None:
        self.now = datetime(2026, 3, 2, 8, tzinfo=UTC)
        self.log = Log()
        self._found = Found(url, "ingest")
        self._store = Store(url=url, database=self._found.name)
        self.database = self._store.database

    async def replica(self) -> Replica:
        """A new process, nothing of it pending."""
        await self._found.begin(self.database)
        replica = Replica(self)
        await replica.entities.prepare()
        return replica

    async def later(self, replica: Replica, seconds: float = 60.0) -> None:
        """Let time pass, and a replica's relay with it."""
        self.now += timedelta(seconds=seconds)
        await replica.ledger.relay()

    async def words_left(self) -> str:
        """Everything that the database holds, as text."""
        names = await self.database.list_collection_names()
        rows = [repr(row) for name in names async for row in self.database[name].find()]
        return "\n".join(rows).casefold()

    async def close(self) -> None:
        self._found.give_back()
        self._store.close()


def member_key(member: str) -> MemberKey:
    return MemberKey(cluster=CLUSTER, member_id=member)


def need_key(need: str) -> NeedKey:
    return NeedKey(cluster=CLUSTER, need_id=need)


def _die_if(dying: bool) -> None:
    if dying:
        raise Crash
