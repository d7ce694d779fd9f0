"""Sharing topics out among the replicas of a service: each record is for one of them, committed once it is settled."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeAlias, cast

from aiokafka import ConsumerRebalanceListener, TopicPartition
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage

from schemas.cloudevents import Envelope
from services.runtime.outcome import describe
from services.runtime.reading import NEVER_TOO_RARE_MS, Reading
from services.runtime.settlement import Places, RawRecord, Settlement

TakesBatch: TypeAlias = Callable[[Sequence[Envelope]], Awaitable[None]]

# A rebalance waits for the batch in hand. Longer than the slowest batch, and than the default of 10 s.
REBALANCE_TIMEOUT_MS = 60_000


class Consumption(Reading):
    """One consumer group member of one service: its topics, its handler, its place in the log."""

    def __init__(
        self,
        *,
        broker: KafkaBroker,
        group: str,
        settlement: Settlement,
        instance: str | None = None,
        session_seconds: float = 10.0,
    ) -> None:
        super().__init__(name=group, settlement=settlement)
        self.spare = False
        """Whether the group said that others have all there is to read."""
        self._between_assignments = False
        self._subscribe(
            broker,
            group_id=group,
            # Without a name of its own, a replica that was killed stays a member until its session ends, and its
            # successor waits for that.
            group_instance_id=instance,
            session_timeout_ms=int(session_seconds * 1000),
            heartbeat_interval_ms=int(session_seconds * 300),
            listener=_Listener(self),
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            max_poll_interval_ms=NEVER_TOO_RARE_MS,
        )

    def handle_with(self, handler: TakesBatch) -> None:
        """Give every batch to `handler`: events in the order of their partitions, each fully checked."""

        async def take(batch: Sequence[Envelope], _: Places) -> None:
            if batch:
                await handler(batch)

        self.settlement.handle_with(take)

    async def _take(self, message: KafkaMessage) -> None:
        async with self._busy:
            # What was fetched before a rebalance comes again after it: touching it now would move positions that
            # are about to belong to a neighbour.
            if self._between_assignments or self.settlement.stopping:
                return
            await self._notice_loss(cast("Sequence[RawRecord]", message.raw_message))
            await self._settle(message)

    async def _keep_place(self, message: KafkaMessage) -> None:
        try:
            await message.ack()
        except Exception as error:  # whatever it is: FastStream would swallow it with what is left to do
            # The next commit covers this one, or the partition is a neighbour's by now: both repeat harmlessly.
            self._log.warning("commit_failed", error=describe(error))

    async def _place(self, partition: TopicPartition) -> int | None:
        return cast("int | None", await self.consumer.committed(partition))

    async def _on_revoked(self) -> None:
        self._between_assignments = True
        self.spare = False
        self.settlement.let_go()
        async with self._busy:  # the batch in hand is committed, or let go of, before the partitions are given away
            self.settlement.go_on()

    def _on_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.spare = not assigned
        self.settled.clear()
        self.settlement.progress()
        self._between_assignments = False


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Hands partitions over only between two batches."""

    def __init__(self, consumption: Consumption) -> None:
        self._consumption = consumption

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # noqa: ARG002 - all are, each time
        await self._consumption._on_revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._consumption._on_assigned(assigned)
