"""Which shares of the work are this replica's: the partitions of one topic, given out by a consumer group.

Nothing is read here. The group says who is to do the work; that nobody else still does it is for the store to see to.
"""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from schemas.topics import Topic
from services.runtime import logs
from services.runtime.connection import Connection
from services.runtime.consumption import REBALANCE_TIMEOUT_MS
from services.runtime.outcome import describe
from services.runtime.reading import NEVER_TOO_RARE_MS, Reading


class Shares:
    """One member of the group."""

    def __init__(
        self,
        *,
        connection: Connection,
        group: str,
        topic: Topic,
        reading: Reading,
        instance: str | None = None,
        session_seconds: float = 10.0,
    ) -> None:
        """`reading` is what the shares are for: its batch in hand is settled before they are given away."""
        self.held: frozenset[int] = frozenset()
        """What this replica has been given; nothing between two assignments, or when there are more replicas."""
        self.of: int = 0
        """How many shares there are; 0 while the group has not said what this replica is to do."""
        self.times: int = 0
        """How often the group has said so."""
        self.last_well = monotonic()
        """When the client last had nothing to complain of (`time.monotonic`); see `look`."""
        self._at_rest: Callable[[], Awaitable[None]] = reading.drained
        self._connection = connection
        self._group = group
        self._topic = topic.name
        self._reading = reading
        self._instance = instance
        self._session_ms = int(session_seconds * 1000)
        reading.gate.clear()
        self._consumer: Any = None
        self._log = logs.get(group=group)

    async def start(self) -> None:
        """Join the group.

        Raises:
            KafkaError: the broker is away; `start` may be called again.
        """
        consumer = AIOKafkaConsumer(
            **self._connection.client(),
            client_id=self._group,
            group_id=self._group,
            group_instance_id=self._instance,
            session_timeout_ms=self._session_ms,
            heartbeat_interval_ms=int(self._session_ms * 0.3),
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            max_poll_interval_ms=NEVER_TOO_RARE_MS,
            enable_auto_commit=False,
            auto_offset_reset="latest",
        )
        self._consumer = consumer
        consumer.subscribe([self._topic], listener=_Listener(self))
        try:
            await consumer.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Leave the group."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()

    def give_away_after(self, at_rest: Callable[[], Awaitable[None]]) -> None:
        """Await `at_rest` too, after the batch in hand, before shares are given away: other work may be under way."""
        self._at_rest = at_rest

    async def look(self) -> None:
        """Hear from the client what went wrong in the group.

        It tells that only who asks it for records, and does nothing in the group until somebody has asked. And who does
        not ask for longer than it allows is taken out of the group.
        """
        if self._consumer is None:
            return
        try:
            await self._consumer.getmany(timeout_ms=0)
        except KafkaError as error:
            self._log.warning("group", error=describe(error))
        else:
            self.last_well = monotonic()

    def lose(self) -> None:
        """Note that a neighbour was given what the group did not yet take from this replica."""
        self._log.warning("share_lost", held=sorted(self.held))
        self._give(frozenset(), of=0)

    def _give(self, held: frozenset[int], *, of: int) -> None:
        self.held, self.of = held, of
        reading = self._reading
        if of:
            reading.settlement.go_on()
            reading.settlement.progress()  # what waited at the gate was not stuck
            reading.gate.set()
        elif not reading.settlement.stopping:
            reading.gate.clear()
            reading.settlement.let_go()

    async def _on_revoked(self) -> None:
        self._give(frozenset(), of=0)
        await self._reading.drained()
        await self._at_rest()

    def _on_assigned(self, assigned: set[TopicPartition]) -> None:
        if assigned:
            self._consumer.pause(*assigned)
        count = len(self._consumer.partitions_for_topic(self._topic) or ())
        held = frozenset(partition.partition for partition in assigned)
        self.times += 1
        self._give(held, of=count)
        self._log.info("shares", held=sorted(held), of=count)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    def __init__(self, shares: Shares) -> None:
        self._shares = shares

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # noqa: ARG002 - all are, each time
        await self._shares._on_revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._shares._on_assigned(assigned)
