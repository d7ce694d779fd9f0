"""What a cluster's desk counts: how far suggestions came, how long it took, what nobody answers, who is silent."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from statistics import median_low
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from schemas.feedback import Act, Result
from services.notifier.domain.acts import Given
from services.notifier.domain.introduction import Introduction, Phase, introduction
from services.notifier.domain.standing import Standing, standing, taken_by

MONTHS: Final = 12
"""Months that are counted, the current one included: a year, so that each season is there once."""

UNANSWERED_AFTER: Final = timedelta(days=7)
"""How long something may wait before the desk hears of it: when its ambassadors are reminded."""

RECENT: Final = timedelta(days=30)
"""How far back the desk looks for who is silent and what did not arrive: longer than most holidays."""


class Step(StrEnum):
    """How far a suggestion came. One suggestion takes several; the names are those of columns."""

    TOLD = "told"
    OPENED = "opened"
    TAKEN = "taken"
    INTRODUCED = "introduced"
    BOTH_ACCEPTED = "both_accepted"
    MEETING = "meeting"
    CONTRACT = "contract"
    NOTHING = "nothing"
    PUT_ASIDE = "put_aside"


_RESULTS: Final = {Result.MEETING: Step.MEETING, Result.CONTRACT: Step.CONTRACT, Result.NOTHING: Step.NOTHING}
_TAKES: Final = {Act.TAKEN, Act.INTRODUCED}


@dataclass(frozen=True, slots=True)
class Seen:
    """One suggestion as the desk of one cluster sees it.

    Attributes:
        told: keys of those of the cluster who are told, who leads first if it is one of them.
        told_at: when it was first told.
        posted_at: when what brought it about at first was published; none: nothing was.
        acts: of everybody, as everybody told sees them.
        opened: when those of the cluster first opened it, by key.
    """

    suggestion_id: UUID
    revision: int
    told: tuple[str, ...]
    told_at: datetime
    posted_at: datetime | None = None
    lapsed: bool = False
    acts: tuple[Given, ...] = ()
    opened: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class City:
    """The figures of one city; of no city: those that the desk itself was told of. `months`: the newest first."""

    city: str | None
    months: tuple[tuple[date, Counter[Step]], ...]
    total: Counter[Step]


@dataclass(frozen=True, slots=True)
class Spans:
    """Median times; none where there is nothing to measure."""

    posted_to_told: timedelta | None
    told_to_taken: timedelta | None
    introduced_to_answered: timedelta | None


@dataclass(frozen=True, slots=True)
class Silent:
    """Somebody who is told and does nothing. `waiting`: suggestions open to them that nobody has in hand."""

    ambassador: str
    waiting: int


def steps(seen: Seen, introduced: Introduction | None) -> Iterator[Step]:
    """Yield how far a suggestion came. Whoever introduces two has taken them in hand, by an act of its own or not."""
    yield Step.TOLD
    if seen.opened:
        yield Step.OPENED
    if not seen.acts:
        return
    if any(given.act in _TAKES for given in seen.acts):
        yield Step.TAKEN
    if _put_aside(seen):
        yield Step.PUT_ASIDE
    if introduced is None:
        return
    yield Step.INTRODUCED
    if introduced.met:
        yield Step.BOTH_ACCEPTED
    if introduced.result is not None:
        yield _RESULTS[introduced.result]


class Counting:
    """Takes suggestions one after another and keeps none of them: there may be very many."""

    def __init__(self, cities: Mapping[str, str | None], *, zone: ZoneInfo, now: datetime) -> None:
        """`cities`: where those of the cluster sit, by their keys. `zone`: of the calendar."""
        self._cities = cities
        self._zone = zone
        self._from = _first_day(now.astimezone(zone))
        self._recent = now - RECENT
        self._long_ago = now - UNANSWERED_AFTER
        self._counted: dict[str | None, dict[date, Counter[Step]]] = defaultdict(lambda: defaultdict(Counter))
        self._posted_to_told: list[timedelta] = []
        self._told_to_taken: list[timedelta] = []
        self._introduced_to_answered: list[timedelta] = []
        self._unanswered: list[tuple[datetime, UUID]] = []
        self._lately_told: set[str] = set()
        self._active: set[str] = set()
        self._waiting: Counter[str] = Counter()

    def add(self, seen: Seen) -> None:
        """Count one."""
        introduced = introduction(seen.acts) if seen.acts else None
        if seen.told_at >= self._from:
            # By the city of whoever leads and the month in which it was told.
            here = seen.told_at.astimezone(self._zone)
            counts = self._counted[self._cities.get(seen.told[0])][date(here.year, here.month, 1)]
            for step in steps(seen, introduced):
                counts[step] += 1
            self._measure(seen, introduced)
        if seen.told_at >= self._recent:
            self._lately_told.update(seen.told)
        for given in seen.acts:
            if given.at >= self._recent and given.side is None:
                self._active.add(given.ambassador)
        for person, at in seen.opened.items():
            if at >= self._recent:
                self._active.add(person)
        if seen.lapsed or introduced is not None or taken_by(seen.acts, seen.revision) is not None:
            return
        for person in seen.told:
            if _where(seen, person) is Standing.OPEN:
                self._waiting[person] += 1
        if seen.told_at < self._long_ago and not _put_aside(seen):
            self._unanswered.append((seen.told_at, seen.suggestion_id))

    def by_city(self) -> tuple[City, ...]:
        """Return the cities of which there is something to count, by their ids; no city comes last."""
        order = sorted(self._counted, key=lambda city: (city is None, city or ""))
        return tuple(_city(city, self._counted[city]) for city in order)

    def spans(self) -> Spans:
        """Return how long it took, as the median: one suggestion that lay for a year does not move it."""
        return Spans(_median(self._posted_to_told), _median(self._told_to_taken), _median(self._introduced_to_answered))

    def unanswered(self) -> list[tuple[datetime, UUID]]:
        """Return when what was told, told long ago and not taken, put aside or lapsed since; the oldest first."""
        return sorted(self._unanswered)

    def silent(self) -> list[Silent]:
        """Return who was told of something lately, and opened and did nothing in that time; who has most first."""
        found = [Silent(person, self._waiting[person]) for person in self._lately_told - self._active]
        return sorted(found, key=lambda one: (-one.waiting, one.ambassador))

    def _measure(self, seen: Seen, introduced: Introduction | None) -> None:
        if seen.posted_at is not None:
            self._posted_to_told.append(seen.told_at - seen.posted_at)
        if not seen.acts:
            return
        if (first := next((given for given in seen.acts if given.act in _TAKES), None)) is not None:
            self._told_to_taken.append(first.at - seen.told_at)
        if introduced is not None and (last := _answered_at(introduced, seen.acts)) is not None:
            self._introduced_to_answered.append(last - introduced.at)


def in_all(cities: Iterable[City]) -> Counter[Step]:
    """Return the sums over cities."""
    return _sum(city.total for city in cities)


def _first_day(here: datetime) -> datetime:
    months = here.year * 12 + here.month - MONTHS
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=here.tzinfo)


def _city(city: str | None, months: Mapping[date, Counter[Step]]) -> City:
    return City(city, tuple(sorted(months.items(), reverse=True)), _sum(months.values()))


def _sum(counts: Iterable[Counter[Step]]) -> Counter[Step]:
    total: Counter[Step] = Counter()
    for one in counts:
        total.update(one)
    return total


def _put_aside(seen: Seen) -> bool:
    """Return whether somebody of the cluster has, whatever became of it afterwards."""
    if not seen.acts:
        return False
    ever = {given.ambassador for given in seen.acts if given.act is Act.NOT_RELEVANT}
    return any(_where(seen, person) is Standing.DISMISSED for person in ever.intersection(seen.told))


def _where(seen: Seen, person: str) -> Standing:
    """Return where a suggestion stands for somebody, or stood when it lapsed."""
    if not seen.acts:
        return Standing.OPEN
    return standing(seen.acts, ambassador=person, revision=seen.revision, lapsed=False)


def _answered_at(introduced: Introduction, acts: Sequence[Given]) -> datetime | None:
    """Return when there was nothing left to answer; none before, and where a side never did."""
    said = [given for given in acts if given.act in (Act.ACCEPTED, Act.DECLINED)]
    if introduced.phase is Phase.ASKED or any(given.silent for given in said):
        return None
    return said[-1].at


def _median(times: Sequence[timedelta]) -> timedelta | None:
    if not times:
        return None
    return max(timedelta(), median_low(times))
