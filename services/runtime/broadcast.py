"""Reading whole topics in each replica, without a group: who stores what came of them says where to begin."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeAlias, cast

from aiokafka import TopicPartition
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage

from schemas.cloudevents import Envelope
from services.runtime.reading import Reading
from services.runtime.settlement import Places, RawRecord, Settlement, first_of

NamedPlaces: TypeAlias = Mapping[str, int]
"""Offset of the next record, by `topic/partition`."""

TakesBatchAndPlaces: TypeAlias = Callable[[Sequence[Envelope], NamedPlaces], Awaitable[None]]
AsksForPlaces: TypeAlias = Callable[[Collection[str]], Awaitable[NamedPlaces]]


class Broadcast(Reading):
    """A reader of all partitions of its topics."""

    def __init__(self, *, broker: KafkaBroker, name: str, settlement: Settlement) -> None:
        super().__init__(name=name, settlement=settlement)
        self._places: AsksForPlaces | None = None
        self._subscribe(broker, group_id=None)

    def begin_at(self, places: AsksForPlaces) -> None:
        """Ask `places`, before each batch and in `look`, how far everything is handled: to be there, reading goes back.

        It may keep the batch waiting. What it does not name may stay where it is: at first, where the log begins.
        """
        self._places = places

    def handle_with(self, handler: TakesBatchAndPlaces) -> None:
        """Give every batch to `handler`, with the places that are reached once it is stored."""

        async def take(batch: Sequence[Envelope], places: Places) -> None:
            await handler(batch, {_name(partition): place for partition, place in places.items()})

        self.settlement.handle_with(take)

    async def look(self) -> None:
        """Go back, if that is asked for, though nothing new comes that would bring it about."""
        if self.consumer is not None and self.gate.is_set() and not self.settlement.stopping:
            async with self._busy:
                await self._go_where_asked()

    async def _take(self, message: KafkaMessage) -> None:
        records = cast("Sequence[RawRecord]", message.raw_message)
        await self.gate.wait()
        async with self._busy:
            if self.settlement.stopping:
                return
            try:
                done = await self._in_place(records) and await self._settle(message)
            except BaseException:  # such as a partition that is not there at the moment: the others go past nothing
                self._come_again(records)
                raise
            if not done:
                self._come_again(records)

    async def _in_place(self, records: Sequence[RawRecord]) -> bool:
        moved = await self._go_where_asked()
        if moved is None or moved or await self._out_of_place(records):
            return False
        await self._notice_loss(records)
        return True

    async def _keep_place(self, message: KafkaMessage) -> None:
        """Who handles the batch has stored the place with what came of it."""

    async def _go_where_asked(self) -> bool | None:
        """Return whether reading went elsewhere; None when it was let go of before that was known."""
        if self._places is None:
            return False
        asks, partitions = self._places, [] if self.consumer is None else sorted(self.consumer.assignment())
        asked: NamedPlaces | None = await self.settlement.patiently(lambda: asks([_name(item) for item in partitions]))
        if asked is None:
            return None
        moved = False
        for partition in partitions:
            place, here = asked.get(_name(partition)), self.settled.get(partition)
            if place is not None and (here is None or place < here):
                self._seek(partition, place)
                moved = True
        return moved

    async def _out_of_place(self, records: Sequence[RawRecord]) -> bool:
        """Whether these were fetched before reading went elsewhere, or the client began anew without being asked."""
        if self.consumer is None:
            return False
        for partition, offset in first_of(records).items():
            settled = self.settled.get(partition, 0)
            if offset < settled and not await self._cut(partition, settled):
                return True
            if await self.consumer.position(partition) <= offset:
                return True
            self.settled[partition] = min(offset, settled)
        return False

    async def _cut(self, partition: TopicPartition, settled: int) -> bool:
        """Whether the log ends before what was settled: a broker that crashed may have lost what was last written."""
        end = (await self.consumer.end_offsets([partition]))[partition]
        if end < settled:
            self._log.error("log_cut", topic=partition.topic, partition=partition.partition, place=settled, end=end)
        return cast("bool", end < settled)

    def _come_again(self, records: Sequence[RawRecord]) -> None:
        if self.consumer is None:
            return
        for partition in first_of(records):
            if partition in self.settled and partition in self.consumer.assignment():
                self._seek(partition, self.settled[partition])

    def _seek(self, partition: TopicPartition, place: int) -> None:
        self.consumer.seek(partition, place)
        self.settled[partition] = place


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}/{partition.partition}"
