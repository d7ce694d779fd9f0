"""What all readers of topics have in common: batches of raw records, settled one after another.

FastStream acknowledges at the first fetch by default and loses what fails afterwards. Here every subscriber takes raw
bytes under `AckPolicy.MANUAL`; a place in the log is kept when each record before it is handled or set aside as a dead
letter, and a transient failure holds the batch where it is.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, cast

from aiokafka import TopicPartition
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaAckableMessage, KafkaMessage

from schemas.topics import MAX_EVENT_BYTES
from services.runtime import logs, metrics
from services.runtime.fetching import mend_client
from services.runtime.outcome import describe
from services.runtime.settlement import RawRecord, Settlement, first_of, reached

# A batch is the unit of work, of commit and of repetition: large enough to share the cost of a round trip to the
# store, small enough to be handled well inside the rebalance time-out.
BATCH_RECORDS: Final = 200

# FastStream waits this long for records and then sleeps as long again: twice this is the worst extra latency.
BATCH_WAIT_MS: Final = 10

# How long a broker may hold a fetch that finds nothing. One that answers a connection in turn
# (the one in memory does) lets commits and questions about the log wait for as long.
FETCH_WAIT_MS: Final = 100

# A batch may be held for as long as its database is away. Our own watchdog judges progress; the client's clock
# for "polls too rarely" would end the membership instead and hand the same batch to a neighbour with the same trouble.
NEVER_TOO_RARE_MS: Final = 2**31 - 1


class Reading(ABC):
    """One reader of topics: what it holds, how far it is, and what it does with each batch."""

    def __init__(self, *, name: str, settlement: Settlement) -> None:
        self.name = name
        self.settlement = settlement
        self.settled: dict[TopicPartition, int] = {}
        """Next offset to settle, by partition, since the last assignment."""
        self.oldest_in_hand: dict[str, float] = {}
        """When the oldest record in hand was written, Unix time, by topic."""
        self.gate = asyncio.Event()
        """Closed while no batch may be taken in hand."""
        self.gate.set()
        self._busy = asyncio.Lock()
        self._log = logs.get(group=name)
        self._subscriber: Any = None

    @property
    def consumer(self) -> Any:
        """The client's consumer, none before start. For the watchdog's questions to the broker."""
        return self._subscriber.consumer

    @property
    def busy(self) -> bool:
        """Whether a batch is in hand."""
        return self._busy.locked()

    async def drained(self) -> None:
        """Return once no batch is in hand."""
        async with self._busy:
            pass

    def stop(self) -> None:
        """Take no further batch, and let go of one that waits for something that is away."""
        self.settlement.stop()
        self.gate.set()

    @property
    def waits_for(self) -> str | None:
        """What keeps it from reading on, if anything that an operator can mend does."""
        held = self.settlement.waiting_for
        if held is not None:
            return f"a batch waits: {held}"
        return None if self.gate.is_set() else "the group has not said yet which share of the work is this replica's"

    def _subscribe(self, broker: KafkaBroker, **how: Any) -> None:
        mend_client()
        self._subscriber = broker.subscriber(
            *self.settlement.topics,
            batch=True,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            parser=self._wrap,
            decoder=_as_it_is,
            max_records=BATCH_RECORDS,
            batch_timeout_ms=BATCH_WAIT_MS,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            # A partition whose next record exceeds this still moves: the broker sends at least one record.
            max_partition_fetch_bytes=4 * MAX_EVENT_BYTES,
            **how,
        )
        self._subscriber(self._take)

    async def _wrap(self, records: Any) -> KafkaAckableMessage:
        # The library's own parser decodes headers, and fails on those that are not UTF-8.
        return KafkaAckableMessage(body=b"", raw_message=tuple(records), consumer=self.consumer or FAKE_CONSUMER)

    @abstractmethod
    async def _take(self, message: KafkaMessage) -> None:
        """Take a batch in hand, if it may be."""

    async def _settle(self, message: KafkaMessage) -> bool:
        """Settle a batch, in the time that the metrics know; False when it was let go of before that."""
        records = cast("Sequence[RawRecord]", message.raw_message)
        self.settled = first_of(records) | self.settled
        self.oldest_in_hand = _oldest(records)
        try:
            with metrics.HANDLING.labels(self.name).time():
                if not await self.settlement.settle(records):
                    return False
                await self._keep_place(message)
        finally:
            self.oldest_in_hand = {}
        self.settled |= reached(records)
        return True

    @abstractmethod
    async def _keep_place(self, message: KafkaMessage) -> None:
        """Have the next reader begin behind this batch."""

    async def _notice_loss(self, records: Sequence[RawRecord]) -> None:
        """Say so when the broker dropped records before we read them: it keeps only so much, or for so long.

        A gap alone is no loss, compaction makes them; a gap in front of which the log begins is.
        """
        if self.consumer is None:
            return
        try:
            for partition, offset in first_of(records).items():
                expected = self.settled.get(partition)
                if expected is None:
                    expected = await self._place(partition)
                if expected is None or offset <= expected:
                    continue
                begins = (await self.consumer.beginning_offsets([partition]))[partition]
                if begins > expected:
                    metrics.LOST.labels(partition.topic).inc(begins - expected)
                    self._log.error("records_lost", topic=partition.topic, count=begins - expected)
        except Exception as error:  # a question that found no answer must not keep the batch from being handled
            self._log.warning("loss_unknown", error=describe(error))

    async def _place(self, _: TopicPartition) -> int | None:
        """Return where this reader began in a partition, as far as is known."""
        return None


def _oldest(records: Sequence[RawRecord]) -> dict[str, float]:
    written: dict[str, float] = {}
    for record in records:
        at = record.timestamp / 1000
        written[record.topic] = min(at, written.get(record.topic, at))
    return written


async def _as_it_is(message: KafkaMessage) -> Any:
    return message
