"""Reading topics in batches, at least once, past nothing that was not handled.

FastStream acknowledges at the first fetch by default and loses what fails afterwards. Here every subscriber takes raw
bytes under `AckPolicy.MANUAL`; a batch is committed when each of its records is handled or set aside as a dead letter,
and a transient failure holds the batch where it is. Handlers must be idempotent: a crash, a rebalance or one bad
neighbour makes them see an event again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, TypeAlias, assert_never, cast

from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaAckableMessage, KafkaMessage

from schemas import cloudevents
from schemas.cloudevents import Envelope
from schemas.topics import MAX_EVENT_BYTES, Topic
from services.runtime import logs, metrics
from services.runtime.clock import Clock
from services.runtime.dead_letters import DeadLetters
from services.runtime.errors import PermanentError, TransientError
from services.runtime.outcome import DeadLetter, Done, Outcome, Retry, describe, outcome_of

RawRecord: TypeAlias = "ConsumerRecord[bytes | None, bytes | None]"
Handler: TypeAlias = Callable[[Sequence[Envelope]], Awaitable[None]]
_Item: TypeAlias = "tuple[RawRecord, Envelope]"

# A batch is the unit of work, of commit and of repetition: large enough to share the cost of a round trip to the
# store, small enough to be handled well inside the rebalance time-out.
BATCH_RECORDS = 200

# FastStream waits this long for records and then sleeps as long again: twice this is the worst extra latency.
BATCH_WAIT_MS = 10

# How long a broker may hold a fetch that finds nothing. One that answers a connection in turn
# (the one in memory does) lets commits and questions about the log wait for as long.
FETCH_WAIT_MS = 100

# Full jitter: replicas that lost the same database must not come back to it all at once.
BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_LONGEST_SECONDS = 15.0

# A rebalance waits for the batch in hand. Longer than the slowest batch, and than the default of 10 s.
REBALANCE_TIMEOUT_MS = 60_000

# A batch may be held for as long as its database is away. Our own watchdog judges progress; the client's clock
# for "polls too rarely" would end the membership instead and hand the same batch to a neighbour with the same trouble.
NEVER_TOO_RARE_MS = 2**31 - 1


class Consumption:
    """One consumer group member of one service: its topics, its handler, its place in the log."""

    def __init__(
        self,
        *,
        broker: KafkaBroker,
        group: str,
        topics: Sequence[Topic],
        dead_letters: DeadLetters,
        clock: Clock,
        instance: str | None = None,
        session_seconds: float = 10.0,
    ) -> None:
        self.group = group
        self.settled: dict[TopicPartition, int] = {}
        """Next offset to settle, by partition, since the last assignment."""
        self.last_progress = monotonic()
        """When a batch was last settled or tried, or found to have nothing to do (`time.monotonic`)."""
        self.waiting_for: str | None = None
        """What the held batch waits for, when a transient failure holds it."""
        self._topics = {topic.name: topic for topic in topics}
        self._dead_letters = dead_letters
        self._clock = clock
        self._log = logs.get(group=group)
        self._busy = asyncio.Lock()
        self._let_go = asyncio.Event()
        self._between_assignments = False
        self._stopping = False
        self._handler: Handler | None = None
        self._subscriber = broker.subscriber(
            *self._topics,
            batch=True,
            group_id=group,
            # Without a name of its own, a replica that was killed stays a member until its session ends, and its
            # successor waits for that.
            group_instance_id=instance,
            session_timeout_ms=int(session_seconds * 1000),
            heartbeat_interval_ms=int(session_seconds * 300),
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            parser=self._wrap,
            decoder=_as_it_is,
            listener=_Listener(self),
            max_records=BATCH_RECORDS,
            batch_timeout_ms=BATCH_WAIT_MS,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            # A partition whose next record exceeds this still moves: the broker sends at least one record.
            max_partition_fetch_bytes=4 * MAX_EVENT_BYTES,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            max_poll_interval_ms=NEVER_TOO_RARE_MS,
        )
        self._subscriber(self._take)

    def handle_with(self, handler: Handler) -> None:
        """Give every batch to `handler`: events in the order of their partitions, each fully checked."""
        self._handler = handler

    @property
    def consumer(self) -> Any:
        """The client's consumer, none before start. For the watchdog's questions to the broker."""
        return self._subscriber.consumer

    def progress(self) -> None:
        """Say from within a long batch that it moves: it is not stuck, and must not be started over."""
        self.last_progress = monotonic()

    def stop(self) -> None:
        """Take no further batch, and let go of one that waits for something that is away."""
        self._stopping = True
        self._let_go.set()

    @property
    def busy(self) -> bool:
        """Whether a batch is in hand."""
        return self._busy.locked()

    async def _wrap(self, records: Any) -> KafkaAckableMessage:
        # The library's own parser decodes headers, and fails on those that are not UTF-8.
        return KafkaAckableMessage(body=b"", raw_message=tuple(records), consumer=self.consumer or FAKE_CONSUMER)

    async def _take(self, message: KafkaMessage) -> None:
        records = cast("Sequence[RawRecord]", message.raw_message)
        async with self._busy:
            # What was fetched before a rebalance comes again after it: touching it now would move positions that
            # are about to belong to a neighbour.
            if self._between_assignments or self._stopping:
                return
            await self._notice_loss(records)
            for record in records:
                self.settled.setdefault(TopicPartition(record.topic, record.partition), record.offset)
            with metrics.HANDLING.labels(self.group).time():
                if not await self._settle_batch(records):
                    return
                try:
                    await message.ack()
                except Exception as error:  # whatever it is: FastStream would swallow it with what is left to do
                    # The next commit covers this one, or the partition is a neighbour's by now: both repeat harmlessly.
                    self._log.warning("commit_failed", error=describe(error))
            for record in records:
                self.settled[TopicPartition(record.topic, record.partition)] = record.offset + 1
            self.last_progress = monotonic()

    async def _notice_loss(self, records: Sequence[RawRecord]) -> None:
        """Say so when the broker dropped records before we read them: it keeps only so much, or for so long.

        A gap alone is no loss, compaction makes them; a gap in front of which the log begins is.
        """
        if self.consumer is None:
            return
        first: dict[TopicPartition, int] = {}
        for record in records:
            first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        try:
            for partition, offset in first.items():
                expected = self.settled.get(partition)
                if expected is None:
                    expected = await self.consumer.committed(partition)
                if expected is None or offset <= expected:
                    continue
                begins = (await self.consumer.beginning_offsets([partition]))[partition]
                if begins > expected:
                    metrics.LOST.labels(partition.topic).inc(begins - expected)
                    self._log.error("records_lost", topic=partition.topic, count=begins - expected)
        except Exception as error:  # a question that found no answer must not keep the batch from being handled
            self._log.warning("loss_unknown", error=describe(error))

    async def _settle_batch(self, records: Sequence[RawRecord]) -> bool:
        """Settle every record; False when the batch was let go of before that."""
        readable: list[_Item] = []
        for record in records:
            try:
                envelope = cloudevents.read(self._topics[record.topic], record.key, record.value, record.headers)
            except Exception as error:  # a mistake in the reader is as permanent as one in the record
                known = isinstance(error, cloudevents.MalformedEventError)
                if not await self._set_aside(record, str(error) if known else f"unreadable: {describe(error)}"):
                    return False
            else:
                readable.append((record, envelope))
        return not readable or await self._handle(readable)

    async def _handle(self, batch: Sequence[_Item]) -> bool:
        handler = self._handler
        if handler is None:
            raise RuntimeError(f"consumption of {self.group} has no handler")
        envelopes = [envelope for _, envelope in batch]
        match await self._persist(lambda: handler(envelopes)):
            case Done():
                self._count_done(batch)
                return True
            case DeadLetter(reason) if len(batch) == 1:
                return await self._set_aside(batch[0][0], reason)
            case DeadLetter():
                # One of them is bad, the error does not say which: handle each alone, in order.
                for item in batch:
                    if not await self._handle([item]):
                        return False
                return True
            case None:
                return False
            case unreachable:
                assert_never(unreachable)

    async def _set_aside(self, record: RawRecord, reason: str) -> bool:
        """Make `record` a dead letter; False when let go of before that."""
        first_seen = self._clock()

        async def put() -> None:
            try:
                await self._dead_letters.put(record, group=self.group, reason=reason, first_seen=first_seen)
            except PermanentError as error:
                # The dead-letter topic itself refuses it: an operator's mistake to mend, no reason to lose a record.
                raise TransientError(f"{record.topic}.dlq: {error}") from None

        if await self._persist(put) is None:
            return False
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
        metrics.RETRIES.labels(self.group).inc()
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
                metrics.EVENT_AGE.labels(record.topic).set((now - envelope.occurred_at).total_seconds())

    async def _on_revoked(self) -> None:
        self._between_assignments = True
        self._let_go.set()
        async with self._busy:  # the batch in hand is committed, or let go of, before the partitions are given away
            if not self._stopping:
                self._let_go.clear()

    def _on_assigned(self) -> None:
        self.settled.clear()
        self.last_progress = monotonic()
        self._between_assignments = False


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Hands partitions over only between two batches."""

    def __init__(self, consumption: Consumption) -> None:
        self._consumption = consumption

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # noqa: ARG002 - all are, each time
        await self._consumption._on_revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:  # noqa: ARG002
        self._consumption._on_assigned()


async def _try(act: Callable[[], Awaitable[None]]) -> Outcome:
    try:
        await act()
    except Exception as error:
        return outcome_of(error)
    return Done()


async def _as_it_is(message: KafkaMessage) -> Any:
    return message
