"""From the store to the log: a suggestion is its own outbox entry until the broker confirmed its latest state."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from schemas.suggestions import SuggestionKey
from schemas.topics import SUGGESTIONS
from services.matcher.domain.holding import Holding
from services.matcher.domain.suggestion import Told
from services.matcher.store import MatcherStore
from services.runtime import logs
from services.runtime.errors import PermanentError
from services.runtime.publishing import Publisher

AT_ONCE: Final = 100
"""Suggestions on their way together: enough to share the broker's round trips, few enough to repeat after a crash."""


class Relay:
    """Publishes what is stored and not confirmed. One at a time: so the states of a suggestion keep their order."""

    def __init__(self, *, store: MatcherStore, publisher: Publisher, holding: Callable[[], Holding]) -> None:
        """`holding` tells whose suggestions are this replica's to publish."""
        self._store = store
        self._publisher = publisher
        self._holding = holding
        self._log = logs.get()

    async def publish_due(self) -> None:
        """Return once nothing waits any more of what waited at the beginning.

        Raises:
            BrokerUnavailableError: some are not confirmed; they stay due.
            StoreError: the database is away; what was confirmed meanwhile will be published once more.
        """
        some = AT_ONCE
        while some == AT_ONCE and (holding := self._holding()).shares:  # who stores more meanwhile has this done again
            waiting = await self._store.unpublished(AT_ONCE, None if holding.whole else holding.slots)
            await self._publish_all(waiting)
            some = len(waiting)

    async def publish_all_again(self) -> None:
        """Publish every suggestion once more, in its present state: the log is a new one."""
        await self._store.publish_all_again()
        while waiting := await self._store.unpublished(AT_ONCE):
            await self._publish_all(waiting)

    async def _publish_all(self, waiting: Sequence[Told]) -> None:
        results = await asyncio.gather(*map(self._publish, waiting), return_exceptions=True)
        settled = [told for told, error in zip(waiting, results, strict=True) if error is None]
        await self._store.published(settled)
        for error in results:
            if error is not None:
                raise error

    async def _publish(self, told: Told) -> None:
        try:
            await self._publisher.publish(
                SUGGESTIONS,
                SuggestionKey(suggestion_id=told.id),
                told.event,
                rev=told.rev,
                occurred_at=told.at,
                traceparent=told.traceparent,
            )
        except PermanentError as error:
            # The log will never take it, and its neighbours must not wait for it: an operator has to know.
            self._log.error("unpublishable", suggestion=str(told.id), reason=str(error))
