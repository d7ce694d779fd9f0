"""What an ambassador sees and does: their suggestions in three views, and acts that count once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from schemas.ambassadors import AmbassadorKey
from schemas.contacts import ContactPublished
from schemas.feedback import Act, NotRelevantReason, Result, Side
from schemas.suggestions import LapseReason
from services.notifier.channels import Colleague
from services.notifier.composing import Composing, told_to
from services.notifier.domain.acts import Given
from services.notifier.domain.finding import Sought
from services.notifier.domain.introduction import Introduction, introduction
from services.notifier.domain.preferences import Person
from services.notifier.domain.presentation import Card, card
from services.notifier.domain.standing import Standing, open_acts, standing, taken_by
from services.notifier.store import Kept, NotifierStore, View, Way
from services.notifier.store.rows import State
from services.notifier.store.seeking import fitting
from services.runtime.clock import Clock

PAGE: Final = 20
"""Suggestions on a page: a few screens on a phone."""

MOST_FOUND: Final = 10 * PAGE
"""What is found is counted so far: whoever finds more looks for something else."""


@dataclass(frozen=True, slots=True)
class Undoable:
    """What this ambassador did last and may still take back: by its number, until when."""

    rev: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Item:
    """One suggestion as one ambassador sees it.

    Attributes:
        leads: whether this ambassador is the one to act.
        stands_in: whether this ambassador is told because nobody else did anything; `passed_by`: passed it on to them.
        where: where it stands for this ambassador.
        mine: what this ambassador did last.
        taker: the colleague who has it in hand, when it is not this ambassador; none too when that person is gone.
        taken_at: since when somebody has it in hand.
        not_reached: ways by which the ambassador could not be told.
        introduced: what has become of its introduction, if it was made.
        undo: what this ambassador may take back.
        contacts: whom of each side to write to, as far as somebody is known.
        deputy: who is told when this ambassador passes it on; none: nobody else than who is told already.
        not_invited: sides to which a letter about the introduction could not be delivered.
    """

    suggestion_id: UUID
    revision: int
    made_at: datetime
    card: Card
    leads: bool
    stands_in: bool
    passed_by: Colleague | None
    colleagues: tuple[Colleague, ...]
    where: Standing
    lapse: LapseReason | None
    mine: Given | None
    taker: Colleague | None
    taken_at: datetime | None
    may: frozenset[Act]
    introduced: Introduction | None
    undo: Undoable | None = None
    not_reached: frozenset[Way] = frozenset()
    contacts: Mapping[Side, ContactPublished] = field(default_factory=dict)
    deputy: str | None = None
    not_invited: frozenset[Side] = frozenset()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an ambassador wants done. `reason` goes with what is not relevant, `result` with an outcome."""

    act: Act
    reason: NotRelevantReason | None = None
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of one view, and how much there is elsewhere.

    Attributes:
        counts: how much each view has in all.
        sought: what is looked for in the view; none: all of it is listed.
        found: how much of the view fits, counted up to `MOST_FOUND`.
        cities: that may be looked for: names by id.
    """

    view: View
    items: tuple[Item, ...]
    counts: dict[View, int]
    page: int
    pages: int
    sought: Sought | None = None
    found: int = 0
    cities: Mapping[str, str] = field(default_factory=dict)


class Inbox:
    """Reads for the pages, and stores acts."""

    def __init__(
        self,
        *,
        store: NotifierStore,
        composing: Composing,
        clock: Clock,
        acted: Callable[[], None],
        undo: timedelta = timedelta(0),
    ) -> None:
        """`acted` is called when somebody did something, which they may take back within `undo`."""
        self._ambassadors = store.ambassadors
        self._suggestions = store.suggestions
        self._deliveries = store.deliveries
        self._letters = store.letters
        self._composing = composing
        self._clock = clock
        self._acted = acted
        self._undo = undo

    async def owner(self, key: AmbassadorKey) -> Person | None:
        """Return whose inbox it is; none when they are unknown or erased."""
        return await self._ambassadors.get(key)

    async def listing(self, person: Person, view: View, page: int, sought: Sought | None = None) -> Listing:
        """Return page `page`, from 1, of what somebody looks for in a view, newest first; beyond the last, the last."""
        key, me = person.key, str(person.key)
        fits = fitting(sought, reader=me, city=person.city, now=self._clock()) if sought else None
        counts = await self._suggestions.count_in_views(me)
        found = counts[view]
        if fits is not None:
            found = await self._suggestions.count_fitting(me, view, fits, most=MOST_FOUND)
        pages = max(1, -(-found // PAGE))
        page = min(page, pages)
        kept = await self._suggestions.of_ambassador(me, view, skip=(page - 1) * PAGE, limit=PAGE, fits=fits)
        items = [await self._see(key, one) for one in kept]
        cities = await self._suggestions.cities(me) if any(counts.values()) else {}
        return Listing(
            view, tuple(item for item in items if item is not None), counts, page, pages, sought, found, cities
        )

    async def told_in(self, key: AmbassadorKey, letter: UUID | None) -> tuple[Item, ...]:
        """Return what a letter told this ambassador, the best first, as it stands now; empty if it told nothing."""
        ids = await self._letters.items(letter, str(key)) if letter else []
        kept = {one.suggestion_id: one for one in await self._suggestions.load(ids)}
        seen = [await self._see(key, kept[one]) for one in ids if one in kept]
        return tuple(item for item in seen if item is not None)

    async def item(self, key: AmbassadorKey, suggestion_id: UUID | None) -> Item | None:
        """Return one suggestion; none when it is not told to this ambassador, or erased."""
        kept = await self._suggestions.get(suggestion_id) if suggestion_id else None
        item = await self._see(key, kept) if kept else None
        if item is None or kept is None:
            return None
        return replace(
            item,
            not_reached=await self._not_reached(kept, key),
            contacts=await self._contacts(kept, item.introduced),
            deputy=await self._deputy(kept, key),
            not_invited=await self._not_invited(kept) if item.introduced else frozenset(),
        )

    async def opened(self, key: AmbassadorKey, suggestion_id: UUID) -> None:
        """Note that somebody opened a suggestion, the first time."""
        await self._suggestions.opened(suggestion_id, str(key), now=self._clock())

    async def act(self, key: AmbassadorKey, suggestion_id: UUID, revision: int, wanted: Wanted) -> None:
        """Store an act, unless it is not open any more: done already, overtaken by another, or said of older texts.

        Two of whom one has named nobody to write to are not introduced, and nothing is passed on to nobody.
        """
        while (kept := await self._suggestions.get(suggestion_id)) is not None:
            if kept.made is None or kept.revision != revision or told_to(kept, str(key)) is None:
                return
            introduced = introduction(kept.acts)
            if wanted.act not in open_acts(_where(kept, key), introduced):
                return
            if wanted.act is Act.OUTCOME and introduced is not None and wanted.result is introduced.result:
                return
            if wanted.act is Act.PASSED and await self._deputy(kept, key) is None:
                return
            if wanted.act is Act.INTRODUCED and len(await self._composing.contacts(kept)) < len(Side):
                return
            given = Given(
                rev=kept.acts_given + 1,
                revision=revision,
                ambassador=str(key),
                act=wanted.act,
                reason=wanted.reason,
                at=self._clock(),
                result=wanted.result,
            )
            if await self._suggestions.add_act(kept, given, undo_until=given.at + self._undo if self._undo else None):
                self._acted()
                return

    async def undo(self, key: AmbassadorKey, suggestion_id: UUID, rev: int) -> bool:
        """Take back the act `rev`; False when it is not there, or final: too late, or somebody has acted after it."""
        while (kept := await self._suggestions.get(suggestion_id)) is not None:
            undoable = self._undoable(kept, key)
            if undoable is None or undoable.rev != rev:
                return False
            if await self._suggestions.undo_act(kept, now=self._clock()):
                self._acted()
                return True
        return False

    def _undoable(self, kept: Kept, key: AmbassadorKey) -> Undoable | None:
        last, until = kept.acts[-1] if kept.acts else None, kept.undo_until
        if last is None or until is None or last.ambassador != str(key) or self._clock() >= until:
            return None
        return Undoable(last.rev, until)

    async def _see(self, key: AmbassadorKey, kept: Kept) -> Item | None:
        told = told_to(kept, str(key))
        if kept.made is None or told is None:
            return None
        where, introduced = _where(kept, key), introduction(kept.acts)
        taken = taken_by(kept.acts, kept.revision)
        mine = [given for given in kept.acts if given.ambassador == str(key)]
        colleagues = await self._composing.colleagues(kept, str(key))
        return Item(
            suggestion_id=kept.suggestion_id,
            revision=kept.revision,
            made_at=kept.made.made_at,
            card=card(kept.made, now=self._clock()),
            leads=told.leads,
            stands_in=told.stands_in,
            passed_by=next((who for who in colleagues if who.ambassador == told.passed_by), None),
            colleagues=colleagues,
            where=where,
            lapse=kept.lapsed,
            mine=mine[-1] if mine and where in (Standing.MINE, Standing.DISMISSED, Standing.PASSED) else None,
            taker=next((c for c in colleagues if taken and c.ambassador == taken.ambassador), None),
            taken_at=taken.at if taken else None,
            may=open_acts(where, introduced),
            introduced=introduced,
            undo=self._undoable(kept, key),
        )

    async def _not_reached(self, kept: Kept, key: AmbassadorKey) -> frozenset[Way]:
        rows = await self._deliveries.to_ambassador(kept.suggestion_id, kept.revision, str(key))
        return frozenset(row.way for row in rows if row.state is State.FAILED)

    async def _contacts(self, kept: Kept, introduced: Introduction | None) -> Mapping[Side, ContactPublished]:
        """Return whom to write to; once the two have met, those who accepted, and not who came after them."""
        if introduced is not None and introduced.met:
            return await self._composing.met(kept, introduced)
        return await self._composing.contacts(kept)

    async def _deputy(self, kept: Kept, key: AmbassadorKey) -> str | None:
        person = await self._ambassadors.get(key)
        if person is None or person.deputy is None:
            return None
        deputy = await self._ambassadors.get(AmbassadorKey(cluster=key.cluster, ambassador_id=person.deputy))
        return None if deputy is None or told_to(kept, str(deputy.key)) is not None else deputy.name

    async def _not_invited(self, kept: Kept) -> frozenset[Side]:
        rows = await self._deliveries.about_introduction(kept.suggestion_id)
        newest = {row.side: row for row in sorted(rows, key=lambda row: row.due or row.made_at) if row.side is not None}
        return frozenset(side for side, row in newest.items() if row.state is State.FAILED)


def _where(kept: Kept, key: AmbassadorKey) -> Standing:
    return standing(kept.acts, ambassador=str(key), revision=kept.revision, lapsed=kept.lapsed is not None)
