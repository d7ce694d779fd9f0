"""Counts what waits, for the operator."""

from services.notifier import metrics
from services.notifier.store import NotifierStore, Way
from services.runtime.clock import Clock


class Watching:
    """Keeps the gauges up to date."""

    def __init__(self, *, store: NotifierStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def count(self) -> None:
        """Set the gauges from the store."""
        metrics.UNROUTED.set(await self._store.suggestions.count_unrouted())
        metrics.HELD.set(await self._store.letters.count_held())
        now, off = self._clock(), await self._store.ambassadors.count_off()
        for way in Way:
            metrics.CHANNELS_OFF.labels(way).set(off[way])
            metrics.WAITING.labels(way).set(await self._store.deliveries.count_waiting(way))
            due = await self._store.deliveries.due_since(way)
            if way is Way.EMAIL and (unwritten := await self._store.letters.due_since()) is not None:
                due = min(unwritten, due or unwritten)
            metrics.OVERDUE.labels(way).set(0 if due is None else max(0.0, (now - due).total_seconds()))
