"""Alive means that consumption moves: assignments are there, and positions advance while records wait.

A client library can lose its group for good on one unexpected error while its connections still answer; nothing but
progress tells.
"""

import asyncio
from collections.abc import Callable
from time import monotonic

from aiokafka.errors import KafkaError

from services.runtime import logs
from services.runtime.backlog import Backlog
from services.runtime.clock import Clock
from services.runtime.reading import Reading

_ASK_SECONDS = 10.0


class Watchdog:
    """Watches one reader; `stuck` once it has not moved for too long though there was work."""

    def __init__(
        self,
        *,
        reading: Reading,
        clock: Clock,
        stuck_after_seconds: float,
        spare: Callable[[], bool] = lambda: False,
    ) -> None:
        """`spare` tells whether to hold no partitions is as it should be."""
        self.stuck = False
        self.reachable = False
        """Whether the broker answered the last question."""
        self.lag: int | None = None
        """Records that wait, over all partitions held; none before the first answer."""
        self._reading = reading
        self._backlog = Backlog(reading=reading, clock=clock)
        self._stuck_after = stuck_after_seconds
        self._spare = spare
        self._log = logs.get(group=reading.name)

    @property
    def assigned(self) -> bool:
        """Whether the consumer holds partitions."""
        consumer = self._reading.consumer
        return consumer is not None and bool(consumer.assignment())

    async def check(self) -> None:
        """Ask the broker how far the log goes, compare with how far we are."""
        if self._reading.consumer is None:
            return  # not started
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                waiting = self.lag = await self._backlog.measure()
        except (KafkaError, TimeoutError, OSError):
            # Away: nothing can be said of our own consumption, and a restart would not bring it back.
            self.reachable = False
            return
        self.reachable = True
        now = monotonic()
        settlement = self._reading.settlement
        idle = (self.assigned or self._spare()) and waiting == 0 and not self._reading.busy
        if idle or settlement.waiting_for is not None:
            settlement.last_progress = now
        elif now - settlement.last_progress > self._stuck_after and not self.stuck:
            self.stuck = True
            seconds = round(now - settlement.last_progress)
            self._log.error("stuck", lag=waiting, assigned=self.assigned, seconds=seconds)
