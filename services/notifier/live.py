"""Tells whoever has a page open that something of theirs has changed, and never what.

The store itself says what changes, so it does not matter which replica or loop changed it. It is followed while
somebody has a page open, by one stream a process.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final
from uuid import UUID, uuid4

from services.notifier import metrics
from services.notifier.store.changes import Change, Changes, PlaceLostError
from services.runtime.store import Document

EACH: Final = 4
"""Pages of one person that are told. Where a browser cannot share one connection it opens six: two are left."""

MOST: Final = 200
"""Pages that a process tells: a fifth of the connections that it takes."""

# Several writes make one change, as the acts and letters of an introduction do: told as one.
_CALM_SECONDS: Final = 1.0

# What was erased or replaced goes from pages that show it still, whoever has them open. All of them ask for that at
# once, so what follows soon is waited for.
_ALL_SECONDS: Final = 15.0

# Who goes from page to page has none open for a moment; and who comes back soon has missed nothing for sure.
_IDLE_SECONDS: Final = 120.0


class _Page:
    """A page that somebody has open."""

    def __init__(self, reader: str, person: UUID, until: float) -> None:
        self.reader = reader
        self.person = person
        self.until = until  # by the loop's clock
        self.woken = asyncio.Event()
        self.over = asyncio.Event()


class Live:
    """Who has a page open, and up to which change each has seen what there is.

    A *place* says so: which unbroken following of the store, and how many changes of the reader's were in it. Whoever
    comes with the place that we are at has missed nothing.
    """

    def __init__(self, *, changes: Changes, all_seconds: float = _ALL_SECONDS) -> None:
        self._changes = changes
        self._all_seconds = all_seconds
        self._pages: set[_Page] = set()
        self._wanted = asyncio.Event()
        self._closed = False
        self._following: str | None = None
        self._after: Document | None = None
        self._counts: Counter[str] = Counter()
        self._all = 0
        self._all_later: asyncio.TimerHandle | None = None
        self._last_open = 0.0

    def place(self, reader: str) -> str:
        """Return where a reader is who reads now; empty while nothing is followed: they may miss something."""
        return f"{self._following}.{self._counts[reader] + self._all}" if self._following else ""

    def news(self, reader: str, person: UUID, *, after: str, seconds: float) -> AsyncGenerator[str, None] | None:
        """Yield the place of a reader whenever it is not the one they know, for so long; none: no page more is told.

        The page counts from the call on, so that of many that come at once no more are told than may be. It ends
        before its time when the service stops, and when something of the person changes: then they have to come again
        by the door.

        Args:
            reader: the ambassador, by key as text.
            person: the same, by `Ambassadors.id_of`.
            after: the place that their page is at.
            seconds: for how long.
        """
        self._leave_overdue()
        theirs = sum(page.reader == reader for page in self._pages)
        if self._closed or len(self._pages) >= MOST or theirs >= EACH:
            return None
        page = _Page(reader, person, asyncio.get_running_loop().time() + seconds)
        self._pages.add(page)
        self._wanted.set()
        metrics.LIVE.set(len(self._pages))
        return self._news(page, after)

    async def _news(self, page: _Page, after: str) -> AsyncGenerator[str, None]:
        now = asyncio.get_running_loop().time
        try:
            while not (page.over.is_set() or self._closed) and now() < page.until:
                page.woken.clear()
                place = self.place(page.reader)
                if place not in ("", after):
                    after = place
                    yield place
                    await _within(page.over, now() + _CALM_SECONDS)
                elif not await _within(page.woken, page.until):
                    return
        finally:
            self._leave(page)

    def _leave(self, page: _Page) -> None:
        self._pages.discard(page)
        self._last_open = asyncio.get_running_loop().time()
        metrics.LIVE.set(len(self._pages))

    def _leave_overdue(self) -> None:
        """Let go of pages that went away before anything was said to them: nothing ended for these."""
        now = asyncio.get_running_loop().time()
        for page in [page for page in self._pages if page.until + _CALM_SECONDS < now]:
            self._leave(page)

    async def follow(self) -> None:
        """Follow the store while a page is open, and tell those concerned. Work to be repeated for ever.

        Raises:
            TransientError, StoreError: the store is away; the next call goes on from where this one was.
        """
        await self._wanted.wait()
        try:
            async with self._changes.follow(self._after) as stream:
                while self._in_use():
                    change = await stream.next()
                    self._after = stream.place
                    self._begun()
                    if change is not None:
                        self._tell(change)
                self._wanted.clear()
                self._forget()
        except PlaceLostError:
            self._forget()
            raise

    def close(self) -> None:
        """End what is open: the service stops, and waits for nobody who waits for news."""
        self._closed = True
        if self._all_later is not None:
            self._all_later.cancel()
        for page in self._pages:
            page.over.set()
            page.woken.set()

    def _in_use(self) -> bool:
        self._leave_overdue()
        return bool(self._pages) or asyncio.get_running_loop().time() < self._last_open + _IDLE_SECONDS

    def _begun(self) -> None:
        if self._following is None:
            self._following = uuid4().hex[:12]
            self._wake(self._pages)

    def _forget(self) -> None:
        """What comes until following begins anew is missed: no place of before holds."""
        self._following, self._after, self._all = None, None, 0
        self._counts.clear()

    def _tell(self, change: Change) -> None:
        if change.person is not None:
            for page in self._pages:
                if page.person == change.person:
                    page.over.set()
                    page.woken.set()
        elif change.readers is None:
            if self._all_later is None:
                self._all_later = asyncio.get_running_loop().call_later(self._all_seconds, self._tell_all)
        elif change.readers:
            self._counts.update(change.readers)
            self._wake({page for page in self._pages if page.reader in change.readers})

    def _tell_all(self) -> None:
        self._all_later = None
        self._all += 1
        self._wake(self._pages)

    def _wake(self, pages: set[_Page]) -> None:
        for page in pages:
            page.woken.set()


async def _within(event: asyncio.Event, until: float) -> bool:
    """Return whether it came in time."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await event.wait()
    return event.is_set()
