"""What time brings: the store says when a suggestion is to be looked at, so nothing is forgotten while we are away."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from services.notifier.chasing import Chasing
from services.notifier.domain.introduction import introduction
from services.notifier.introducing import Introducing
from services.notifier.store import Kept, NotifierStore
from services.runtime import logs
from services.runtime.clock import Clock
from services.runtime.outcome import describe
from services.runtime.store import StoreError

LATER: Final = timedelta(minutes=5)
"""When to look again at what could not be done."""

_AT_ONCE: Final = 100
"""Suggestions asked for in one go."""

_IN_A_ROW: Final = 10
"""Steps of one suggestion at most, of which each makes the next one due: more than there are."""


class Stepping:
    """Makes all steps that are due: of introductions, and of what nobody has in hand."""

    def __init__(self, *, store: NotifierStore, introducing: Introducing, chasing: Chasing, clock: Clock) -> None:
        self._suggestions = store.suggestions
        self._introducing = introducing
        self._chasing = chasing
        self._clock = clock
        self._log = logs.get()

    async def take_steps(self) -> None:
        """Make all steps that are due. What a time away left over is one step, not one for each that was missed.

        Raises:
            StoreError: the store is away. Call again.
        """
        seen: set[UUID] = set()
        while due := set(await self._suggestions.due_steps(self._clock(), _AT_ONCE)) - seen:
            for one in due:
                seen.add(one)
                await self._look(one)

    async def count_due(self) -> int:
        """Return of how many suggestions a step is due."""
        return await self._suggestions.count_due_steps(self._clock())

    async def _look(self, suggestion_id: UUID) -> None:
        try:
            for _ in range(_IN_A_ROW):
                kept = await self._suggestions.get(suggestion_id)
                if kept is None or not await self._step(kept):
                    return
        except StoreError:
            raise
        except Exception as error:  # a fault of ours with one must not keep all others waiting
            self._log.warning("step_not_made", suggestion_id=str(suggestion_id), error=describe(error))
            await self._suggestions.step_later(suggestion_id, self._clock() + LATER)

    async def _step(self, kept: Kept) -> bool:
        if kept.undo_until is not None:
            return await self._wait_or_make_final(kept, kept.undo_until)
        introduced = introduction(kept.acts)
        if introduced is not None and kept.made is not None:
            return await self._introducing.step(kept, introduced)
        return await self._chasing.step(kept)

    async def _wait_or_make_final(self, kept: Kept, undo_until: datetime) -> bool:
        """Let nothing follow from an act that may be undone; return whether to look again at once."""
        if self._clock() < undo_until:
            return not await self._suggestions.stepped(kept, next_at=undo_until)
        await self._suggestions.make_final(kept)
        return True
