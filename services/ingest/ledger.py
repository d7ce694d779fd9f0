"""The write path: every state is stored, then told to the log, then shown; a crash between any two steps heals.

1. `propose`: the next state is stored beside the current one, durably, if the entity is still as it was read.
2. `publish`: it is put on the log. Its event id is derived from key and rev, so a repetition is the same event.
3. `confirm`: it becomes the current state, and the answer to whoever asked.

A state that stopped after step 1 or 2 is taken through the rest by the next write to the entity or by the relay of any
replica, whichever comes first.

Order on the log matters even though readers go by `rev`: compaction keeps the *last* record of a key. So whoever may
have put a state behind a newer one says the newest again (`_say_again`): after a confirmation that came too late, and
after an unconfirmed record, which the producer may still hold and send when the broker is back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from schemas.base import Key
from schemas.topics import MAX_EVENT_BYTES
from services.ingest import problems
from services.ingest.claims import Claim, Claims
from services.ingest.entities import KINDS, MEMBER, Kind, Pending, State, Stored, Value
from services.ingest.erasure import Erasure
from services.ingest.store import EntityStore
from services.runtime import logs
from services.runtime.clock import Clock
from services.runtime.errors import BrokerUnavailableError, PermanentError, TransientError
from services.runtime.publishing import CONFIRM_SECONDS, Publisher

# Longer than another replica takes over a write that it has in hand: until then the state is not left behind.
LEFT_BEHIND_SECONDS: Final = 2 * CONFIRM_SECONDS

# Each waits for the broker's confirmation; together they fill its batches.
CONCURRENT: Final = 100

# States read by one round of the relay; the next round takes the next.
RELAYED: Final = 1_000

# Replicas that write one entity at the same time take turns; so many lost in a row is no coincidence.
TURNS: Final = 50

Change = Callable[[Stored], Value | None]
"""Given an entity as stored, what is to be published instead; none: it is erased. Raises `Problem` to refuse."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """How a write was asked for.

    Attributes:
        if_match: revs of which the current one must be one; none: whichever it is.
        must_exist: something must be published under this key.
        create_only: nothing may be published under this key yet.
        dry_run: only say what would become of it.
    """

    if_match: frozenset[int] | None = None
    must_exist: bool = False
    create_only: bool = False
    alerts: bool = True
    claim: Claim | None = None
    traceparent: str | None = None
    dry_run: bool = False


PLAINLY: Final = Asked()


@dataclass(slots=True)
class _Trouble:
    """Entities of which the log may hold a record that nobody confirmed, in the order of their failure."""

    doubtful: dict[tuple[Kind, Key], None] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    """Topics whose last record was not confirmed."""


class Ledger:
    """Takes entities from state to state."""

    def __init__(
        self, *, entities: EntityStore, claims: Claims, erasure: Erasure, publisher: Publisher, clock: Clock
    ) -> None:
        self._entities = entities
        self._claims = claims
        self._erasure = erasure
        self._publisher = publisher
        self._clock = clock
        self._locks: WeakValueDictionary[tuple[Kind, Key], asyncio.Lock] = WeakValueDictionary()
        self._trouble = _Trouble()
        self._looked = False
        self._log = logs.get()

    async def write(self, kind: Kind, key: Key, change: Change, asked: Asked = PLAINLY) -> int:
        """Bring an entity to its next state; return the rev that is on the log with it.

        Content equal to what is published makes no new state, and satisfies a stale `if_match` too (RFC 9110, 13.1.1:
        what was asked for is already the case): a repeated request succeeds.

        Raises:
            Problem: refused; nothing was stored.
            TransientError: the log or another writer is in the way; stored or not, asking again is safe.
        """
        async with self._lock(kind, key):
            for _ in range(TURNS):
                if kind.topic.name in self._trouble.away:
                    raise BrokerUnavailableError("the broker does not confirm events at the moment")
                stored = await self._entities.get(kind, key)
                # After the read: if the claim was answered before that, this sees it; if later, `propose` fails.
                if asked.claim and (rev := await self._claims.make(asked.claim, now=self._clock())):
                    return rev
                if stored.pending is not None:
                    await self._complete(kind, key, stored.pending)
                    continue
                value = change(stored)
                if stored.current is not None and stored.value == value and not (asked.create_only and value):
                    if asked.claim:
                        await self._claims.answer(asked.claim.claim_id, stored.rev, last=True)
                    return stored.rev
                _check_preconditions(stored, asked)
                pending = self._next(stored, value, asked)
                if await self._entities.propose(kind, key, stored, pending, since=self._clock()):
                    rev = await self._complete(kind, key, pending)
                    if rev != pending.state.rev:
                        raise problems.not_found("member any more to whom this belongs")
                    return rev
        raise TransientError("others keep writing the same thing")

    async def look(self, kind: Kind, key: Key, change: Change, asked: Asked = PLAINLY) -> int:
        """Return the rev that an entity would have after this write; nothing is stored, and nothing told.

        Raises:
            Problem: it would be refused.
        """
        stored = await self._entities.get(kind, key)
        value = change(stored)
        if stored.current is not None and stored.value == value and not (asked.create_only and value):
            return stored.rev
        _check_preconditions(stored, asked)
        return stored.rev + 1

    async def settle(self, kind: Kind, key: Key) -> None:
        """Take to the log what is pending of an entity."""
        async with self._lock(kind, key):
            await self._settle(kind, key)

    async def relay(self) -> None:
        """Take to the log what was left behind: by this process at once, by any other after a while."""
        await self._clear_doubts()
        # At the start at once: most of what is pending then was left by the process before this one.
        age = timedelta(seconds=LEFT_BEHIND_SECONDS if self._looked else 0)
        for kind in KINDS:
            left = await self._entities.pending_since(kind, self._clock() - age, RELAYED)
            await _side_by_side(left, partial(self.settle, kind))
            if left:
                self._log.info("relayed", kind=kind.name, states=len(left))
        self._looked = True

    async def republish(self) -> None:
        """Put the current state of everything on the log: it is a new one.

        The erased too: whoever reads may have missed it in the old log.
        """
        for kind in KINDS:
            states: list[tuple[Key, State]] = []
            async for entry in self._entities.everything(kind):
                states.append(entry)
                if len(states) == RELAYED:
                    await self._republish(kind, states)
                    states = []
            await self._republish(kind, states)

    async def _republish(self, kind: Kind, states: list[tuple[Key, State]]) -> None:
        async def tell(entry: tuple[Key, State]) -> None:
            await self._publish(kind, entry[0], entry[1])

        await _side_by_side(states, tell)
        revs = await self._entities.revs(kind, [key for key, _ in states])
        overtaken = [key for key, state in states if revs.get(str(key), state.rev) != state.rev]
        await _side_by_side([(kind, key) for key in overtaken], self._say_again)

    def _lock(self, kind: Kind, key: Key) -> asyncio.Lock:
        """Writers of one entity in this process take turns; those of other replicas are met at `propose`."""
        return self._locks.setdefault((kind, key), asyncio.Lock())

    def _next(self, stored: Stored, value: Value | None, asked: Asked) -> Pending:
        state = State(rev=stored.rev + 1, at=self._clock(), value=value, alerts=asked.alerts)
        return Pending(state, claim=asked.claim.claim_id if asked.claim else None, traceparent=asked.traceparent)

    async def _complete(self, kind: Kind, key: Key, pending: Pending) -> int:
        """Take a pending state to the log and make it current; return its rev."""
        state = await self._prepared(kind, key, pending.state)
        try:
            await self._publish(kind, key, state, pending.traceparent)
        except PermanentError:  # a profile may be small enough as it was sent and too large as an event
            await self._entities.abandon(kind, key, state.rev)
            raise problems.too_large(MAX_EVENT_BYTES) from None
        if kind is MEMBER and state.value is None:
            await self._erasure.finish(key)
        if pending.claim is not None:
            await self._claims.answer(pending.claim, state.rev)
        if not await self._entities.confirm(kind, key, state.rev):
            await self._say_again((kind, key), unless=state.rev)
        return state.rev

    async def _prepared(self, kind: Kind, key: Key, state: State) -> State:
        """Do what must be done before a state may be told; return the state to tell."""
        if kind is MEMBER and state.value is None:
            await self._erase_what_belongs_to(key)
        elif await self._lost_its_owner(kind, key, state):
            # Its rev may be on the log already: what erases it comes after that.
            erased = State(rev=state.rev + 1, at=self._clock(), value=None)
            if not await self._entities.replace_pending(kind, key, state.rev, erased):
                raise TransientError("another replica completes the same state")
            return erased
        return state

    async def _lost_its_owner(self, kind: Kind, key: Key, state: State) -> bool:
        owner = kind.owner(key, state.value) if state.value is not None else None
        return owner is not None and await self._erasure.took(owner)

    async def _erase_what_belongs_to(self, member: Key) -> None:
        async def erase(entity: tuple[Kind, Key]) -> None:
            kind, key = entity
            await self.write(kind, key, lambda _: None)

        await _side_by_side(await self._erasure.belongings_of(member), erase)

    async def _publish(self, kind: Kind, key: Key, state: State, traceparent: str | None = None) -> None:
        topic = kind.topic
        try:
            await self._publisher.publish(
                topic, key, kind.told(key, state), rev=state.rev, occurred_at=state.at, traceparent=traceparent
            )
        except BrokerUnavailableError:
            self._trouble.away.add(topic.name)
            self._trouble.doubtful[kind, key] = None
            raise
        self._trouble.away.discard(topic.name)

    async def _say_again(self, entity: tuple[Kind, Key], *, unless: int = 0) -> None:
        """Tell the newest confirmed state, unless it is `unless`, until that is what it still is afterwards."""
        kind, key = entity
        told = unless
        while (stored := await self._entities.get(kind, key)).current is not None and stored.rev > told:
            await self._publish(kind, key, stored.current)
            told = stored.rev

    async def _settle(self, kind: Kind, key: Key) -> bool:
        """Complete what is pending; False when nothing is."""
        if (pending := (await self._entities.get(kind, key)).pending) is None:
            return False
        with suppress(problems.Problem):  # abandoned: nobody is left to be told
            await self._complete(kind, key, pending)
        return True

    async def _clear_doubts(self) -> None:
        """Say again what may not have been heard; the first alone, to learn whether anybody listens."""
        doubtful = list(self._trouble.doubtful)
        for some in (doubtful[:1], doubtful[1:]):
            await _side_by_side(some, self._clear_doubt)
        if doubtful and not self._trouble.doubtful:
            self._trouble.away.clear()
            self._log.info("log_confirms_again", states=len(doubtful))

    async def _clear_doubt(self, entity: tuple[Kind, Key]) -> None:
        async with self._lock(*entity):
            if not await self._settle(*entity):
                await self._say_again(entity)
        self._trouble.doubtful.pop(entity, None)


def _check_preconditions(stored: Stored, asked: Asked) -> None:
    live = stored.value is not None
    if asked.create_only and live:
        raise problems.stale(f"There is one already, at rev {stored.rev}. Leave out If-None-Match to replace it.")
    matches = asked.if_match is None or stored.rev in asked.if_match
    if not matches or (not live and (asked.must_exist or asked.if_match is not None)):
        now = f"It is at rev {stored.rev} now" if live else "There is none now"
        raise problems.stale(f"{now}. Read it again, then decide.")


async def _side_by_side(items: Sequence[T], act: Callable[[T], Awaitable[None]]) -> None:
    """Await `act` on each item, `CONCURRENT` at a time; raise the first failure once nothing goes on any more."""
    remaining = iter(items)

    async def take() -> None:
        for item in remaining:
            await act(item)

    takers = (take() for _ in range(min(CONCURRENT, len(items))))
    for result in await asyncio.gather(*takers, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
