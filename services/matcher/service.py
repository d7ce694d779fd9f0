"""The matcher: takes what happened, finds the pairings that came of it, has them told."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from itertools import islice
from time import monotonic
from typing import Final, TypeVar
from uuid import uuid4

from schemas.cloudevents import Envelope
from services.matcher import metrics
from services.matcher.domain.arrivals import (
    Touched,
    catch_up,
    clusters_to_review,
    differing,
    find_pairs,
    mark,
    remembers_erased,
    take_in,
    touch_expired,
)
from services.matcher.domain.directory import Directory
from services.matcher.domain.pairing import Bar, Pair, Pairing
from services.matcher.domain.settling import settle
from services.matcher.domain.suggestion import Scribe, Told
from services.matcher.index import Analyser, OfferIndex
from services.matcher.keeping import Keeper
from services.matcher.store import MatcherStore, StateGoneError
from services.runtime import logs
from services.runtime.clock import Clock
from services.runtime.threads import in_thread

READ_AHEAD: Final = 200
"""Members read at a time while nobody waits for them: their events are some megabytes, read in some 20 ms."""

T = TypeVar("T")


class Matcher:
    """One writer of one view of the log: batches and expiries follow one another, never at the same time.

    The order within a round makes a crash harmless: states of members and needs first, then suggestions, then (by the
    caller) the place in the log. What was stored without its suggestions is read again and paired again.

    Two processes may overlap while one takes over from another. Each looks, after it has stored what arrived and before
    it pairs, whether the other has claimed the view meanwhile; if so it claims it back and reads it anew. Of two
    arrivals in two processes at least one side is then paired with the other in sight.
    """

    def __init__(
        self,
        *,
        store: MatcherStore,
        clock: Clock,
        bar: Bar,
        on_told: Callable[[], None],
        on_progress: Callable[[], None] = lambda: None,
        keeper: Keeper | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._bar = bar
        self._on_told = on_told
        self._on_progress = on_progress
        self._keeper = keeper or Keeper(None)
        self._log = logs.get()
        self._writing = asyncio.Lock()
        self._process = uuid4().hex
        self._restored = False
        self._whole = False  # whether memory is what the store said at some moment
        self._directory = Directory()
        self._unread: Iterator[str] = iter(())
        self._pairing = self._no_pairing()

    async def restore(self) -> None:
        """Rebuild the view from the store; once, however often the start is tried."""
        if self._restored:
            return
        await self._store.prepare()
        await self._read_anew()

    async def take(self, batch: Sequence[Envelope]) -> None:
        """Return once all that follows from a batch is stored.

        Raises:
            StoreError: it is not; the same batch may be given again.
        """
        async with self._round():
            await self._see_other_writers()
            touched = await in_thread(take_in, batch, self._directory)
            await self._store.settle(suggestions=touched.settled, in_touch=touched.in_touch)
            await self._store.keep(self._directory, members=touched.members, needs=touched.needs)
            await self._see_other_writers()
            await self._settle(touched)
            if touched.erased(self._directory):
                await self._keeper.discard()

    async def expire(self) -> None:
        """Close the needs whose deadline has passed. Raises as `take` does."""
        async with self._round():
            if self._directory.due(self._clock()):
                await self._see_other_writers()
                await self._settle(Touched())

    async def read_ahead(self) -> None:
        """Read a few more members of those that the start did not need, so that nothing has to wait for them."""
        await self._store.read_ahead(self._directory, list(islice(self._unread, READ_AHEAD)))

    async def keep(self, *, now: bool = False) -> None:
        """Write a snapshot of what is in memory if it is time for one; with `now` if the last one says else."""
        if not self._restored:
            return
        if not await self._store.is_last_writer(self._process):
            await self._keeper.discard(own=True)
        elif self._keeper.due(now=now):
            async with self._writing:
                image = await self._keeper.take(self._pairing) if self._restored else None
            if image is not None:
                await self._keeper.write(image)

    async def keep_at_stop(self) -> None:
        """Write a snapshot of what is in memory for the next process."""
        await self.keep(now=True)

    @asynccontextmanager
    async def _round(self) -> AsyncIterator[None]:
        async with self._writing:
            try:
                yield
            except StateGoneError:
                self._restored = False  # who replaced it may have ended before it could claim the view
                raise

    async def _settle(self, touched: Touched) -> None:
        now = self._clock()
        due = self._directory.due(now)
        touch_expired(touched, due, self._directory)
        if not touched:
            return
        self._keeper.change()
        with metrics.PAIRING.time():
            pairs = await self._find_pairs(touched, now)
        told = await self._store.told(
            ids=pairs,
            asks=[f"need:{key}" for key in touched.needs],
            members=touched.members | touched.owners,
            clusters=clusters_to_review(touched, self._directory),
        )
        await self._store.read_ahead(
            self._directory, [key for pair in pairs.values() for key in (pair.ask.owner, pair.member)]
        )
        scribe = Scribe(self._directory, self._pairing, now, touched.traces)
        states = await in_thread(_next_states, pairs, told, scribe)
        await self._store.tell(states)
        if due:
            self._directory.expire(due)
            await self._store.keep(self._directory, members=(), needs=due)
            for member in touched.owners:
                mark(member, self._directory, self._pairing)
        self._measure()
        if states:
            self._on_told()
            outcome = Counter(_name(state, told.get(str(state.id))) for state in states)
            for name, count in outcome.items():
                metrics.SUGGESTIONS.labels(name).inc(count)
            self._log.info("told", **outcome)

    async def _find_pairs(self, touched: Touched, now: datetime) -> dict[str, Pair]:
        try:
            return await in_thread(find_pairs, touched, self._directory, self._pairing, now)
        except BaseException:  # cancelled too
            self._restored = self._whole = False  # the index may be half changed: the next round reads anew
            raise

    async def _see_other_writers(self) -> None:
        if not self._restored or not await self._store.is_last_writer(self._process):
            await self._read_anew()

    async def _read_anew(self) -> None:
        began = monotonic()
        self._restored = False  # the claim stands even if the reading fails: what was half read must be read again
        await self._store.claim(self._process)  # first: whoever stores after this reads anew too
        directory = Directory()
        with _no_collection():
            (pairing, opened), (_, read) = await asyncio.gather(
                _timed(self._kept()), _timed(self._store.restore(directory))
            )
            self._whole = False
            now = self._clock()
            if remembers_erased(directory, pairing):
                await self._keeper.discard()  # erased while no process of ours was there to see it
            others = differing(directory, pairing, now)
            await self._store.read_ahead(directory, others)
            await in_thread(catch_up, others, directory, pairing, now)
        self._directory, self._pairing, self._whole = directory, pairing, True
        self._unread = iter(sorted(directory.owners()))
        if others:
            self._keeper.change()
        self._restored = True
        self._measure()
        self._log.info(
            "restored",
            members=len(self._directory.members),
            needs=len(self._directory.needs),
            offers=len(self._pairing),
            requests=len(self._pairing.asks),
            differed=len(others),
            store_seconds=round(read, 3),
            index_seconds=round(opened, 3),
            seconds=round(monotonic() - began, 2),
        )

    async def _kept(self) -> Pairing:
        """Return what is in memory, on the disk, or nothing: to be brought to what is stored."""
        if self._whole:
            return self._pairing
        return await self._keeper.open(self._bar, self._on_progress) or self._no_pairing()

    def _no_pairing(self) -> Pairing:
        return Pairing(index=OfferIndex(Analyser()), bar=self._bar, ranked=self._on_progress)

    def _measure(self) -> None:
        metrics.OFFERS.set(len(self._pairing))
        metrics.REQUESTS.set(len(self._pairing.asks))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no garbage meanwhile: hundreds of thousands of objects are made, and all of them stay."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


async def _timed(work: Awaitable[T]) -> tuple[T, float]:
    """Return what comes of `work`, and the seconds that it took."""
    began = monotonic()
    return await work, monotonic() - began


def _next_states(pairs: dict[str, Pair], told: dict[str, Told], scribe: Scribe) -> list[Told]:
    states = (settle(told.get(key), pairs.get(key), scribe) for key in sorted(pairs.keys() | told.keys()))
    return [state for state in states if state is not None]


def _name(state: Told, before: Told | None) -> str:
    if state.made is None:
        return "erased"
    if state.lapsed is not None:
        return "lapsed"
    if before is None:
        return "made"
    return "revised" if state.revision > before.revision else "restated"
