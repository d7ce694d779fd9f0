"""What becomes of a batch of records: each is handled, or set aside as a dead letter; or all of it waits.

Handlers must be idempotent: a crash, a rebalance or one bad neighbour makes them see an event again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Final, TypeAlias, TypeVar, assert_never

from aiokafka import ConsumerRecord, TopicPartition

from schemas import cloudevents
from schemas.cloudevents import Envelope
from schemas.topics import Topic
from services.runtime import logs, metrics, tracing
from services.runtime.clock import Clock
from services.runtime.dead_letters import DeadLetters
from services.runtime.errors import PermanentError, TransientError
from services.runtime.outcome import DeadLetter, Done, Outcome, Retry, describe, outcome_of

RawRecord: TypeAlias = "ConsumerRecord[bytes | None, bytes | None]"
Places: TypeAlias = Mapping[TopicPartition, int]
"""Offset of the next record to be settled, by partition."""

Handler: TypeAlias = Callable[[Sequence[Envelope], Places], Awaitable[None]]
"""Takes events in the order of their partitions, each fully checked, and the places that are reached with them."""

Taker: TypeAlias = Callable[[Sequence[RawRecord], dict[int, str | None]], Awaitable[None]]
"""Takes records that are no events, as they came, and notes each that needs nothing more by its place among them: none,
or why it is to be set aside. Raises while one is left; it is then called again, with what it noted."""

T = TypeVar("T")

_Item: TypeAlias = "tuple[RawRecord, Envelope]"

# Full jitter: replicas that lost the same database must not come back to it all at once.
BACKOFF_FIRST_SECONDS: Final = 0.1
BACKOFF_LONGEST_SECONDS: Final = 15.0


class Settlement:
    """Settles the batches of one reader, one at a time."""

    def __init__(
        self,
        *,
        name: str,
        topics: Sequence[Topic],
        dead_letters: DeadLetters,
        clock: Clock,
        sets_aside: Callable[[RawRecord], bool] = lambda _: True,
    ) -> None:
        """`sets_aside` tells whether a bad record is for this reader to set aside, or a neighbour's."""
        self.topics = {topic.name: topic for topic in topics}
        self.last_progress = monotonic()
        """When a batch was last settled or tried, or found to have nothing to do (`time.monotonic`)."""
        self.waiting_for: str | None = None
        """What the held batch waits for, when a transient failure holds it."""
        self.stopping = False
        self._name = name
        self._dead_letters = dead_letters
        self._clock = clock
        self._sets_aside = sets_aside
        self._log = logs.get(group=name)
        self._let_go = asyncio.Event()
        self._handler: Handler | None = None
        self._taker: Taker | None = None

    def take_with(self, taker: Taker) -> None:
        """Give every batch to `taker`, unread."""
        self._taker = taker

    def handle_with(self, handler: Handler) -> None:
        """Give every batch to `handler`."""
        self._handler = handler

    def progress(self) -> None:
        """Say from within a long batch that it moves: it is not stuck, and must not be started over."""
        self.last_progress = monotonic()

    def stop(self) -> None:
        """Settle no further batch, and let go of one that waits for something that is away."""
        self.stopping = True
        self.let_go()

    def let_go(self) -> None:
        """Give up a batch that waits, until `go_on`; it comes again."""
        self._let_go.set()

    def go_on(self) -> None:
        """Let batches wait again."""
        if not self.stopping:
            self._let_go.clear()

    async def settle(self, records: Sequence[RawRecord]) -> bool:
        """Settle every record; False when the batch was let go of before that."""
        if self._taker is not None:
            return await self._settle_unread(records, self._taker)
        readable: list[_Item] = []
        for record in records:
            try:
                envelope = cloudevents.read(self.topics[record.topic], record.key, record.value, record.headers)
            except Exception as error:  # a mistake in the reader is as permanent as one in the record
                known = isinstance(error, cloudevents.MalformedEventError)
                if not await self._set_aside((record, str(error) if known else f"unreadable: {describe(error)}")):
                    return False
            else:
                readable.append((record, envelope))
        if not await self._handle(readable, reached(records)):
            return False
        self.progress()
        return True

    async def patiently(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Return what comes of `ask`, however often it has to be asked; None when let go of before that."""
        answers: list[T] = []

        async def act() -> None:
            answers.append(await ask())

        return answers[0] if isinstance(await self._persist(act), Done) else None

    async def _settle_unread(self, records: Sequence[RawRecord], taker: Taker) -> bool:
        noted: dict[int, str | None] = {}

        async def take() -> None:
            try:
                await taker(records, noted)
            except PermanentError as error:  # of which record, nobody knows: none may be passed over for it
                raise TransientError(str(error)) from None
            if len(noted) < len(records):
                raise TransientError("not every record was noted")

        if await self._persist(take) is None:
            return False
        # All at once: there may be many, and whoever writes what nobody signed is not to hold up who does.
        bad = [(record, reason) for place, record in enumerate(records) if (reason := noted[place]) is not None]
        if not await self._set_aside(*bad):
            return False
        for record in (record for place, record in enumerate(records) if noted[place] is None):
            metrics.RECORDS.labels(record.topic, "done").inc()
            metrics.SETTLED_AGE.labels(record.topic).set(self._clock().timestamp() - record.timestamp / 1000)
        self.progress()
        return True

    async def _handle(self, batch: Sequence[_Item], places: Places) -> bool:
        handler = self._handler
        if handler is None:
            raise RuntimeError(f"nothing handles what {self._name} reads")
        envelopes = [envelope for _, envelope in batch]
        with tracing.handling(self._name, envelopes) as traced:
            outcome = await self._persist(lambda: handler(traced.envelopes, places))
            if isinstance(outcome, DeadLetter):
                traced.fail(outcome.reason)
        match outcome:
            case Done():
                self._count_done(batch)
                return True
            case DeadLetter(reason) if len(batch) == 1:
                return await self._set_aside((batch[0][0], reason)) and (not places or await self._handle((), places))
            case DeadLetter():
                return await self._handle_alone(batch, places)
            case None:
                return False
            case unreachable:
                assert_never(unreachable)

    async def _handle_alone(self, batch: Sequence[_Item], places: Places) -> bool:
        """Handle each alone, in order: one of them is bad, and the error did not say which."""
        for item in batch:
            if not await self._handle([item], {}):
                return False
        return not batch or await self._handle((), places)

    async def _set_aside(self, *bad: tuple[RawRecord, str]) -> bool:
        """Make dead letters of records, each with its reason; False when let go of before that."""
        bad = tuple(one for one in bad if self._sets_aside(one[0]))
        first_seen = self._clock()
        kept: set[int] = set()

        async def put(place: int, record: RawRecord, reason: str) -> None:
            try:
                await self._dead_letters.put(record, group=self._name, reason=reason, first_seen=first_seen)
            except PermanentError as error:
                # The dead-letter topic itself refuses it: an operator's mistake to mend, no reason to lose a record.
                raise TransientError(f"{record.topic}.dlq: {error}") from None
            kept.add(place)

        async def put_all() -> None:
            left = [put(place, *one) for place, one in enumerate(bad) if place not in kept]
            for failure in await asyncio.gather(*left, return_exceptions=True):
                if isinstance(failure, BaseException):
                    raise failure

        if await self._persist(put_all) is None:
            return False
        for record, reason in bad:
            metrics.RECORDS.labels(record.topic, "dead_letter").inc()
            self._log.warning(
                "dead_letter", topic=record.topic, partition=record.partition, offset=record.offset, reason=reason
            )
        return True

    async def _persist(self, act: Callable[[], Awaitable[None]]) -> Done | DeadLetter | None:
        """Repeat `act` through transient failures, without limit; None when let go of."""
        attempt = 0
        while isinstance(outcome := await _try(act), Retry):
            attempt += 1
            if not await self._wait(attempt, outcome.reason):
                return None
        return outcome

    async def _wait(self, attempt: int, reason: str) -> bool:
        """Pause before the next try; False when the batch must be let go of instead."""
        longest = min(BACKOFF_LONGEST_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(attempt, 20))
        delay = random.uniform(0, longest)  # noqa: S311 - jitter, not a secret
        if attempt == 1 or attempt % 10 == 0:
            self._log.warning("retry", attempt=attempt, reason=reason)
        metrics.RETRIES.labels(self._name).inc()
        self.waiting_for, self.last_progress = reason, monotonic()
        try:
            await asyncio.wait_for(self._let_go.wait(), delay)
        except TimeoutError:
            return True
        else:
            return False
        finally:
            self.waiting_for, self.last_progress = None, monotonic()

    def _count_done(self, batch: Sequence[_Item]) -> None:
        now = self._clock()
        for record, envelope in batch:
            metrics.RECORDS.labels(record.topic, "done").inc()
            if envelope.occurred_at is not None:
                metrics.SETTLED_AGE.labels(record.topic).set((now - envelope.occurred_at).total_seconds())


def first_of(records: Sequence[RawRecord]) -> dict[TopicPartition, int]:
    """Return the offset of the first of these records in each of their partitions."""
    return {TopicPartition(record.topic, record.partition): record.offset for record in reversed(records)}


def reached(records: Sequence[RawRecord]) -> dict[TopicPartition, int]:
    """Return the places that are reached once these records are settled."""
    return {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}


async def _try(act: Callable[[], Awaitable[None]]) -> Outcome:
    try:
        await act()
    except Exception as error:
        return outcome_of(error)
    return Done()
