"""The matcher: takes what happened, finds the pairings that came of it, has them told."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final, Protocol

from schemas.cloudevents import Envelope
from schemas.feedback import NotRelevantReason
from schemas.needs import NeedPublished
from schemas.previews import NeedPreview
from services.matcher import metrics
from services.matcher.domain.arrivals import (
    Touched,
    asks_to_review,
    clusters_to_review,
    find_pairs,
    lineages_to_review,
    next_best,
    take_in,
    touch_expired,
    weighed_on,
)
from services.matcher.domain.holding import Holding
from services.matcher.domain.pairing import Bar, Pair
from services.matcher.domain.previewing import preview
from services.matcher.domain.settling import answers_for, settle
from services.matcher.domain.sparing import Place, place_of, untold, without_room
from services.matcher.domain.suggestion import Scribe, Told
from services.matcher.keeping import Keeper
from services.matcher.sharing import NotGivenError, ShareLostError
from services.matcher.store import Changes, MatcherStore, StateGoneError
from services.matcher.tellings import NO_TELLINGS, Tellings
from services.matcher.view import View
from services.runtime import logs, tracing
from services.runtime.clock import Clock
from services.runtime.errors import TransientError
from services.runtime.threads import in_thread

PREVIEWS: Final = 4
"""Previews at a time, one of which looks while the others wait: a batch waits for no more of them than this."""

PREVIEW_SECONDS: Final = 3.0
"""How long one may wait for the batch in hand and its turn: whoever writes a need does not wait longer."""

SEATED_AT_ONCE: Final = 200
"""Members of which a restart read nothing that are looked at before a batch may come between."""


class PreviewBusyError(TransientError):
    """There is no preview now; soon there is."""


class Given(Protocol):
    """What the group gives this replica to do."""

    @property
    def held(self) -> frozenset[int]:
        """The shares."""

    @property
    def of(self) -> int:
        """How many there are; 0: it has not said yet."""

    @property
    def times(self) -> int:
        """How often it has said so."""

    def lose(self) -> None:
        """Hear that a neighbour has taken them over."""


@dataclass(frozen=True, slots=True)
class Alone:
    """There is one replica, which does all of it."""

    held: frozenset[int] = frozenset({0})
    of: int = 1
    times: int = 1

    def lose(self) -> None:
        """Take it back."""


class Matcher:
    """One writer of one view of the log: batches and expiries follow one another, never at the same time.

    Each replica reads all that members and needs say. It pairs, and tells of, the requests of the members whose share
    of the work it was given. What came of a batch and how far it is are stored in one transaction, which a replica
    whose share has been taken over cannot end: so a crash is harmless, and so is who went on as if it had the share.
    """

    def __init__(
        self,
        *,
        store: MatcherStore,
        clock: Clock,
        bar: Bar,
        given: Given,
        tellings_per_week: int = 0,
        log_id: Callable[[], str],
        on_told: Callable[[], None],
        on_progress: Callable[[], None] = lambda: None,
        keeper: Keeper | None = None,
    ) -> None:
        """`tellings_per_week` is how often a member may be told of in a cluster in seven days; 0: as often as it is."""
        self._store = store
        self._clock = clock
        self._given = given
        self._most = tellings_per_week
        self._seen_times = 0
        self._previews = 0
        self._on_told = on_told
        self._log = logs.get()
        self._writing = asyncio.Lock()
        self._view = View(
            store=store,
            keeper=keeper or Keeper(None),
            clock=clock,
            log_id=log_id,
            bar=bar,
            on_progress=on_progress,
        )

    @property
    def holding(self) -> Holding:
        """The shares whose requests this replica answers for."""
        return self._view.holding

    async def restore(self) -> None:
        """Rebuild the view from the store; once, however often the start is tried."""
        if not self._view.current:
            await self._store.prepare()
            await self._view.read_anew()

    async def places(self, partitions: Collection[str]) -> Mapping[str, int]:
        """Return how far reading may be, at the most, so that nothing is left out; see `Broadcast.begin_at`.

        Raises:
            NotGivenError: the group has not said yet what this replica is to do.
            StoreError: the database is away.
        """
        async with self._round():
            return self._view.places(partitions)

    async def take(self, batch: Sequence[Envelope], places: Mapping[str, int]) -> None:
        """Return once all that follows from a batch is stored, and that it is done up to these places.

        Raises:
            TransientError, StoreError: it is not; the same batch may be given again.
        """
        async with self._round():
            touched = await in_thread(take_in, batch, self._view.directory)
            await self._settle(touched, places)

    async def expire(self) -> None:
        """Close the needs whose deadline has passed. Raises as `take` does."""
        if self._given.of == 0:
            return  # whoever has the shares sees to it
        async with self._round():
            now = self._clock()
            directory = self._view.directory
            if directory.due(now) or directory.eased(now) or await self._freed(now):
                await self._settle(Touched(), {})

    async def at_rest(self) -> None:
        """Return once nothing is on its way to the store: shares may be given away."""
        async with self._writing:
            pass

    async def preview(self, need: NeedPublished) -> NeedPreview:
        """Return what would come of a need if it were posted now; nothing of it is kept.

        It is looked at between two batches, when what is in memory is what was stored. Any replica can say: each knows
        all that is offered.

        Raises:
            PreviewBusyError: too many are looked at, or what is known is being read.
            UnknownAskerError: nothing is known of the need's member, which may be on its way.
        """
        if self._previews >= PREVIEWS:
            raise PreviewBusyError("too many previews are looked at")
        self._previews += 1
        try:
            async with asyncio.timeout(PREVIEW_SECONDS):
                return await self._preview(need)
        except TimeoutError:
            raise PreviewBusyError("the batch in hand takes long") from None
        finally:
            self._previews -= 1

    async def _preview(self, need: NeedPublished) -> NeedPreview:
        while True:
            async with self._writing:
                view = self._view
                if not view.current:
                    raise PreviewBusyError("what is known is read anew")
                unseen = list(islice(view.pairing.seats.unseen, SEATED_AT_ONCE))
                if not unseen:
                    await self._store.read_ahead(view.directory, [str(need.owner)])
                    return await in_thread(preview, need, view.directory, view.pairing, self._clock())
                await self._store.read_ahead(view.directory, unseen)
                await in_thread(_seat, unseen, view)

    async def read_ahead(self) -> None:
        """Read a few more members of those that the start did not need, so that nothing has to wait for them."""
        await self._view.read_ahead()

    async def keep(self, *, now: bool = False) -> None:
        """Write a snapshot of what is in memory if it is time for one; with `now` if the last one says else."""
        keeper = self._view.keeper
        if self._view.current and keeper.due(now=now):
            async with self._writing:
                image = await keeper.take(self._view.pairing) if self._view.current else None
            if image is not None:
                await keeper.write(image)

    async def keep_at_stop(self) -> None:
        """Write a snapshot of what is in memory for the next process."""
        await self.keep(now=True)

    @asynccontextmanager
    async def _round(self) -> AsyncIterator[None]:
        async with self._writing:
            try:
                await self._be_ready()
                yield
            except ShareLostError:
                self._view.lose()
                if self._given.times == self._seen_times:  # or the group has said since what is this replica's now
                    self._given.lose()
                self._seen_times = 0
                raise
            except StateGoneError as gone:
                try:
                    await self._view.learn_of(gone.owner)
                except BaseException:  # cancelled too
                    self._view.spoil()  # what is known of the member may be half of it
                    raise
                raise

    async def _be_ready(self) -> None:
        if not self._view.current:
            await self._view.read_anew()
            self._seen_times = 0
        times = self._given.times
        if self._given.of == 0:
            raise NotGivenError("the group has not said yet which share of the work is this replica's")
        if times != self._seen_times:
            try:
                await self._view.take_shares(self._given.held, self._given.of)
            except BaseException:  # cancelled too
                self._view.spoil()  # the index may be half changed
                raise
            self._seen_times = times

    async def _settle(self, touched: Touched, places: Mapping[str, int]) -> None:
        view, now = self._view, self._clock()
        published, due = set(touched.needs), view.directory.due(now)
        touch_expired(touched, due, view.directory)
        touched.eased = view.directory.eased(now)
        touched.freed = await self._freed(now)
        await self._read_carriers(touched)
        if touched.erased(view.directory):
            await view.keeper.discard()
        told: dict[str, Told] = {}
        states: list[Told] = []
        tellings = NO_TELLINGS
        if touched:
            concerned = touched.members | touched.owners
            view.keeper.change(concerned)
            await self._read(concerned)
            pairs = await self._find_pairs(touched, now)
            told = await self._told(touched, pairs)
            if self._most:
                pairs, told, tellings = await self._spare(touched, pairs, told, now)
            owners = [key for pair in pairs.values() for key in (pair.ask.owner, pair.member)]
            await self._store.read_ahead(view.directory, owners)
            scribe = Scribe(view.directory, view.pairing, now, touched.causes)
            states = await in_thread(_next_states, pairs, told, view.holding, scribe)
        await self._store_all(touched, published, states, tellings, places, now)
        view.directory.pass_time(now, due)
        view.pairing.clock = now
        view.measure()
        if states:
            self._on_told()
            outcome = Counter(_name(state, told.get(str(state.id))) for state in states)
            for name, count in outcome.items():
                metrics.SUGGESTIONS.labels(name).inc(count)
            self._log.info("told", **outcome)

    async def _read(self, owners: Collection[str]) -> None:
        """Ask for all that these members say: what is gone is better missed before the index is half changed."""
        directory = self._view.directory
        await self._store.read_ahead(directory, sorted(owners))
        await in_thread(directory.read, owners)

    async def _read_carriers(self, touched: Touched) -> None:
        """Look up by which words those suggestions were carried that were said to miss the subject just now."""
        sayings = self._view.directory.decisions.sayings
        ours = [sayings.get(key) for key, asking in touched.sayings.items() if asking in self._view.holding]
        asked = {s.id: s.suggestion for s in ours if s.reason is NotRelevantReason.WRONG_TOPIC and not s.carriers}
        if asked:
            found = await self._store.carriers(asked.values())
            of = {saying: (suggestion, sayings.get(saying).revision or 0) for saying, suggestion in asked.items()}
            sayings.carry({saying: found.get(told, ()) for saying, told in of.items()})

    async def _find_pairs(self, touched: Touched, now: datetime) -> dict[str, Pair]:
        try:
            with metrics.PAIRING.time(), tracing.within("find pairs"):
                return await in_thread(find_pairs, touched, self._view.directory, self._view.pairing, now)
        except BaseException:  # cancelled too
            self._view.spoil()  # the index may be half changed: the next round reads anew
            raise

    async def _freed(self, now: datetime) -> set[Place]:
        if not self._view.holding.shares:
            return set()  # also without a limit: there may have been one when they were held back
        return await self._store.tellings.freed(self._view.directory.clock, now)

    async def _spare(
        self, touched: Touched, pairs: dict[str, Pair], told: dict[str, Told], now: datetime
    ) -> tuple[dict[str, Pair], dict[str, Told], Tellings]:
        """Hold back those pairs whose member has been told of as often as it may be, and find the next best."""
        view, held_back = self._view, dict[str, Pair]()
        while True:
            new = untold(pairs, told)
            places = {place_of(pair) for pair in new.values()}
            room = await self._store.tellings.room(places, most=self._most, now=now) if places else {}
            over = without_room(new, room)
            if not over:
                counted = Counter(place_of(pair) for pair in new.values())
                return pairs, told, Tellings(counted, {place_of(pair) for pair in held_back.values()}, self._most, now)
            held_back |= over
            more = await in_thread(next_best, touched, held_back, view.directory, view.pairing, now)
            more = {key: pair for key, pair in more.items() if key not in pairs}
            told |= await self._store.told_of(more)
            pairs = {key: pair for key, pair in (pairs | more).items() if key not in over}

    async def _told(self, touched: Touched, pairs: Mapping[str, Pair]) -> dict[str, Told]:
        holding = self._view.holding
        if not holding.shares:
            return {}
        return await self._store.told(
            ids=pairs,
            asks=asks_to_review(touched, self._view.directory, holding),
            lineages=lineages_to_review(touched, self._view.directory),
            members=touched.members | touched.offerers,
            sides=weighed_on(touched),
            clusters=clusters_to_review(touched, self._view.directory),
            slots=None if holding.whole else holding.slots,
        )

    async def _store_all(
        self,
        touched: Touched,
        published: Collection[str],
        states: Sequence[Told],
        tellings: Tellings,
        places: Mapping[str, int],
        now: datetime,
    ) -> None:
        view = self._view
        claims = {share: claim.reached(places, now) for share, claim in view.claims.items()}
        sayings = view.directory.decisions.sayings
        if not claims:
            sayings.gone.clear()  # whoever has the shares sees to the rows
        if not claims or not (touched or touched.settled or places):
            return
        owner_of = {key: touched.owner_of.get(key, key) for key in published}
        changes = Changes(
            members=[key for key in touched.members if key in view.holding],
            needs={key: owner for key, owner in owner_of.items() if owner in view.holding},
            suggestions=[key for key, asking in touched.settled.items() if asking in view.holding],
            sayings=[key for key, asking in touched.sayings.items() if asking in view.holding],
            unsaid=[key for key, asking in sayings.gone.items() if asking in view.holding],
            told=states,
            tellings=tellings,
            claims=claims.values(),
        )
        # Before it is stored: were the answer lost, the words would be in memory still, and might be written back.
        if erased := {str(state.id): state.revision for state in states if state.made is None}:
            sayings.forget_words(erased.keys())
            for suggestion, revision in erased.items():
                view.directory.decisions.forget(suggestion, revision)
        await self._store.commit(view.directory, changes)
        sayings.gone.clear()
        view.claims = claims


def _next_states(pairs: dict[str, Pair], told: dict[str, Told], holding: Holding, scribe: Scribe) -> list[Told]:
    known = {key: state for key, state in told.items() if answers_for(state, holding, scribe.directory)}
    states = (settle(known.get(key), pairs.get(key), scribe) for key in sorted(pairs.keys() | known.keys()))
    return [state for state in states if state is not None]


def _seat(members: Iterable[str], view: View) -> None:
    for member in members:
        known = view.directory.members.get(member)
        view.pairing.seats.put(member, None if known is None else known.event)


def _name(state: Told, before: Told | None) -> str:
    if state.made is None:
        return "erased"
    if state.lapsed is not None:
        return "lapsed"
    if before is None:
        return "made"
    return "revised" if state.revision > before.revision else "restated"
