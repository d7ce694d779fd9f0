"""Counts what waits, for the operator."""

from schemas.notifications import Channel
from services.notifier import metrics
from services.notifier.store import NotifierStore


class Watching:
    """Keeps the gauges up to date."""

    def __init__(self, *, store: NotifierStore) -> None:
        self._store = store

    async def count(self) -> None:
        """Set the gauges from the store."""
        metrics.UNROUTED.set(await self._store.suggestions.count_unrouted())
        for channel in (Channel.EMAIL, Channel.WEBHOOK):
            metrics.WAITING.labels(channel).set(await self._store.deliveries.count_waiting(channel))
