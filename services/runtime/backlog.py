"""What waits on the log for one reader: how much, and for how long."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiokafka import TopicPartition

from services.runtime import metrics
from services.runtime.clock import Clock
from services.runtime.reading import Reading


class Backlog:
    """Measures lag and age. Asks the broker for nothing but where its partitions end."""

    def __init__(self, *, reading: Reading, clock: Clock) -> None:
        self._reading = reading
        self._clock = clock
        self._lag: dict[TopicPartition, int] = {}
        self._seen: dict[TopicPartition, tuple[int, datetime]] = {}
        """Of each partition with something to read: the place of the first such record, and when it was first seen."""

    async def measure(self) -> int:
        """Return how many records wait in the partitions held.

        Raises:
            KafkaError, OSError: the broker is away; ages grow on all the same.
        """
        try:
            places = await self._places()
            self._keep(places)
        finally:
            self._say_ages()
        return sum(self._lag.values())

    async def _places(self) -> Mapping[TopicPartition, tuple[int, int]]:
        """Return by partition the next offset to settle, and where the log ends."""
        consumer: Any = self._reading.consumer
        partitions = list(consumer.assignment())
        if not partitions:
            # An unassigned consumer still has to prove that the broker is there.
            await consumer.topics()
            return {}
        ends = await consumer.end_offsets(partitions)
        places = {}
        for partition in partitions:
            held = self._reading.busy or not self._reading.gate.is_set()
            settled = self._reading.settled.get(partition) if held else None
            place = settled if settled is not None else await consumer.position(partition)
            places[partition] = (place, ends[partition])
        return places

    def _keep(self, places: Mapping[TopicPartition, tuple[int, int]]) -> None:
        for partition in self._lag.keys() - places.keys():  # a neighbour's by now: it tells of it
            metrics.LAG.remove(partition.topic, partition.partition)
            self._seen.pop(partition, None)
        self._lag = {partition: max(0, end - place) for partition, (place, end) in places.items()}
        now = self._clock()
        for partition, lag in self._lag.items():
            metrics.LAG.labels(partition.topic, partition.partition).set(lag)
            place = places[partition][0]
            if lag == 0:
                self._seen.pop(partition, None)
            elif self._seen.get(partition, (-1, now))[0] != place:
                self._seen[partition] = (place, now)

    def _say_ages(self) -> None:
        now = self._clock()
        ages = dict.fromkeys(self._reading.settlement.topics, 0.0)
        for partition, (_, since) in self._seen.items():
            ages[partition.topic] = max(ages[partition.topic], (now - since).total_seconds())
        for topic, written in self._reading.oldest_in_hand.items():
            ages[topic] = max(ages[topic], now.timestamp() - written)
        for topic, age in ages.items():
            metrics.OLDEST_WAITING.labels(topic).set(age)
