"""What the desk of a cluster sees of its cluster: figures, what waits, who is silent, what did not arrive."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from schemas.ambassadors import AmbassadorRole
from services.notifier.composing import city_name
from services.notifier.domain.desk import RECENT, City, Counting, Spans, Step, in_all
from services.notifier.domain.preferences import Person
from services.notifier.domain.reaching import Off
from services.notifier.store import NotifierStore, Way
from services.notifier.store.figures import Failure
from services.runtime.clock import Clock

LISTED: Final = 20
"""Requests on the list of those that wait: what a desk can call about in a day."""

_READ: Final = 500
"""Suggestions read for that list at most, should few requests have very many."""

_NAMING: Final = 3
"""Suggestions that are asked for the name of a city: one that went to a deputy elsewhere does not know it."""


@dataclass(frozen=True, slots=True)
class Table:
    """How far suggestions came. `names` are those of the cities that some suggestion names, by their ids."""

    cities: tuple[City, ...]
    names: Mapping[str, str]
    total: Counter[Step]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that nobody answers. `language` is that of the title."""

    title: str
    language: str | None
    member: str
    days: int


@dataclass(frozen=True, slots=True)
class Quiet:
    """An ambassador who does nothing. `waiting`: suggestions open to them."""

    name: str
    city: str
    waiting: int


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Messages that did not arrive, or a way that is turned off.

    Attributes:
        name: the ambassador's to whom, or in whose name to a member, they went.
        off: since when and why the way is turned off; none: it is not.
        inbox_alone: nothing but the inbox reaches the ambassador any more.
    """

    name: str
    way: Way
    to_member: bool
    count: int
    reason: str | None
    off: Off | None
    inbox_alone: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """All of the desk's page."""

    table: Table
    spans: Spans
    waiting: tuple[Waiting, ...]
    silent: tuple[Quiet, ...]
    undelivered: tuple[Undelivered, ...]


class Desk:
    """Counts for one cluster what its own ambassadors and desks are told of."""

    def __init__(self, *, store: NotifierStore, clock: Clock, timezone: str) -> None:
        self._ambassadors = store.ambassadors
        self._suggestions = store.suggestions
        self._figures = store.figures
        self._clock = clock
        self._zone = ZoneInfo(timezone)

    async def table(self, cluster: str) -> Table:
        """Return the figures by city and month."""
        people = await self._ambassadors.of_clusters([cluster])
        counting, names = await self._count(people)
        return _table(counting, names)

    async def overview(self, cluster: str) -> Overview:
        """Return all that the desk sees."""
        people = await self._ambassadors.of_clusters([cluster])
        counting, names = await self._count(people)
        return Overview(
            table=_table(counting, names),
            spans=counting.spans(),
            waiting=await self._waiting(counting.unanswered()),
            silent=tuple(
                Quiet(people[one.ambassador].name, _named(people[one.ambassador].city, names), one.waiting)
                for one in counting.silent()
                if people[one.ambassador].role is AmbassadorRole.AMBASSADOR
            ),
            undelivered=_undelivered(await self._figures.failures(people.keys(), since=self._clock() - RECENT), people),
        )

    async def _count(self, people: Mapping[str, Person]) -> tuple[Counting, Mapping[str, str]]:
        """Return what was counted, and the names of cities."""
        cities = {key: person.city for key, person in people.items()}
        counting = Counting(cities, zone=self._zone, now=self._clock())
        naming: dict[str, dict[UUID, str]] = {city: {} for city in cities.values() if city is not None}
        async for one in self._figures.seen(people.keys()):
            counting.add(one)
            for person in one.told:
                city = cities[person]
                if city is not None and len(naming[city]) < _NAMING:
                    naming[city][one.suggestion_id] = person
        kept = await self._suggestions.load({one for those in naming.values() for one in those})
        made = {one.suggestion_id: one.made for one in kept}
        names: dict[str, str] = {}
        for city, those in naming.items():
            for suggestion_id, person in those.items():
                suggestion = made.get(suggestion_id)
                if suggestion is not None and (name := city_name(suggestion, people[person])):
                    names[city] = name
        return counting, names

    async def _waiting(self, unanswered: Sequence[tuple[datetime, UUID]]) -> tuple[Waiting, ...]:
        """Return the requests of suggestions told at these times, each once."""
        now, listed = self._clock(), dict[tuple[str, str], Waiting]()
        for start in range(0, min(len(unanswered), _READ), LISTED):
            some = unanswered[start : start + LISTED]
            made = {one.suggestion_id: one.made for one in await self._suggestions.load([one for _, one in some])}
            for told_at, suggestion_id in some:
                if (suggestion := made.get(suggestion_id)) is not None:  # not erased meanwhile
                    request, party = suggestion.request, suggestion.request.party
                    waiting = Waiting(request.title, request.language, party.name, (now - told_at).days)
                    listed.setdefault((str(party.key), request.request_id), waiting)
            if len(listed) >= LISTED:
                break
        return tuple(listed.values())[:LISTED]


def _table(counting: Counting, names: Mapping[str, str]) -> Table:
    cities = counting.by_city()
    return Table(cities, names, in_all(cities))


def _undelivered(failures: Iterable[Failure], people: Mapping[str, Person]) -> tuple[Undelivered, ...]:
    """Return failures by person and way, what is turned off and then the most first, each with its newest reason."""
    alike: dict[tuple[str, Way, bool], list[Failure]] = defaultdict(list)
    off = {(key, way, False): off for key, person in people.items() for way, off in person.off.items()}
    alike |= {which: [] for which in off}
    for one in failures:
        alike[one.ambassador, one.way, one.to_member].append(one)
    return tuple(
        Undelivered(
            people[which[0]].name,
            way=which[1],
            to_member=which[2],
            count=len(those),
            reason=those[0].reason if those else None,
            off=off.get(which),
            inbox_alone=which in off and people[which[0]].inbox_alone,
        )
        for which, those in sorted(alike.items(), key=lambda item: (item[0] not in off, -len(item[1]), item[0]))
    )


def _named(city: str | None, names: Mapping[str, str]) -> str:
    return names.get(city, city) if city is not None else ""
