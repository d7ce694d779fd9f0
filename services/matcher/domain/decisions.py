"""What ambassadors and members said of suggestions: what is settled, what weighs less, and until when.

All of it follows from the acts as they were given and from the time that is asked about: it is undone by time alone.
"""

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import prod
from typing import Final

from schemas.feedback import FeedbackGiven, NotRelevantReason
from schemas.ids import derived_id
from schemas.suggestions import Adjustment, AdjustmentScope
from services.matcher.domain.requests import Ask

LASTS: Final[Mapping[NotRelevantReason, timedelta]] = {
    NotRelevantReason.WRONG_TOPIC: timedelta(days=180),
    NotRelevantReason.ALREADY_IN_TOUCH: timedelta(days=180),
    NotRelevantReason.NOT_AVAILABLE: timedelta(days=30),
}
"""How long a reason weighs. Who knows whom and what texts are about changes in half a year, a full calendar sooner."""

UNAVAILABLE: Final = 0.8
"""Factor for each time that a member was said not to be available: once costs a rank or two, often costs the place."""

LEAST_UNAVAILABLE: Final = 0.4
"""From five sayings on nothing more is lost: who is far better than all others is still told of."""

OFF_TOPIC: Final = 0.5
"""Factor for a pairing said to miss the subject: to come back, it must have twice as much to show."""

OFF_TOPIC_ELSEWHERE: Final = 0.8
"""Factor for the same member in other requests of the same asker, where the same words carry the pairing."""

CARRIERS: Final = 3
"""Shared words that carry a pairing, the strongest ones: what a reader remembers of the reason."""

SAME_CARRIERS: Final = 2
"""So many of them in common: one alone is too often shared by chance, and a suggestion has at least two."""

FOR_GOOD: Final = 2**53
"""Above each revision: what is settled up to it never comes back."""


def suggestion_id(lineage: str, member: str) -> str:
    """Id of the one suggestion that a request, however often reposted, has with a member."""
    return str(derived_id("suggestion", lineage, member))


@dataclass(frozen=True, slots=True)
class Saying:
    """Why somebody found a suggestion not relevant, where that weighs on others.

    Attributes:
        id: of the act.
        suggestion: id of the suggestion that it was said of.
        cluster: of whoever said it.
        asker: key of the asking member.
        member: key of the answering member.
        carriers: the words that carried the suggestion; empty where they are not needed, not known or erased.
        revision: of the suggestion, of which it was said; none: not known.
    """

    id: str
    suggestion: str
    reason: NotRelevantReason
    cluster: str
    asker: str
    member: str
    at: datetime
    carriers: frozenset[str] = frozenset()
    revision: int | None = None

    @property
    def until(self) -> datetime:
        """When it ceases to weigh."""
        try:
            return self.at + LASTS[self.reason]
        except OverflowError:  # said in the year 9999
            return datetime.max.replace(tzinfo=UTC)


def saying_of(feedback: FeedbackGiven) -> Saying | None:
    """Return what an act says that weighs on others; None if it says nothing of the kind."""
    if feedback.reason is None or feedback.reason not in LASTS:
        return None
    asker, member = (f"{side.cluster}/{side.member_id}" for side in (feedback.requesting, feedback.offering))
    return Saying(
        id=str(feedback.feedback_id),
        suggestion=str(feedback.suggestion_id),
        reason=feedback.reason,
        cluster=feedback.cluster,
        asker=asker,
        member=member,
        at=feedback.given_at,
        revision=feedback.revision,
    )


@dataclass(slots=True)
class Sayings:
    """All sayings, by what they concern. The same one twice is one; in whatever order they came, they say the same."""

    _all: dict[str, Saying] = field(default_factory=dict)
    _about: dict[tuple[NotRelevantReason, str], dict[str, set[str]]] = field(default_factory=dict)
    """Ids by reason and by cluster or asking member, and by answering member."""
    _ends: list[tuple[datetime, str]] = field(default_factory=list)
    gone: dict[str, str] = field(default_factory=dict)
    """Ids of those that were of an erased member, by which their rows are still to go, with the asking member."""

    def put(self, saying: Saying) -> None:
        """Take a saying; the words that are known of it stay as they are."""
        if saying.id not in self._all:
            self.replace(saying)

    def replace(self, saying: Saying) -> None:
        """Take a saying as it is stored."""
        known = saying.id in self._all
        self._all[saying.id] = saying
        self.gone.pop(saying.id, None)
        if not known:
            for place, member in _places(saying):
                self._about.setdefault((saying.reason, place), {}).setdefault(member, set()).add(saying.id)
            insort(self._ends, (saying.until, saying.id))

    def get(self, saying: str) -> Saying:
        """Return one by its id."""
        return self._all[saying]

    def __iter__(self) -> Iterator[Saying]:
        return iter(self._all.values())

    def carry(self, carriers: Mapping[str, Iterable[str]]) -> None:
        """Note by which words suggestions were carried, by id of saying."""
        for saying, words in carriers.items():
            self._all[saying] = replace(self._all[saying], carriers=frozenset(words))

    def forget_member(self, member: str) -> set[str]:
        """Forget what was said of a member that was erased: nobody who comes back under its id inherits it.

        Returns:
            The ids of what is forgotten.
        """
        theirs = [saying for saying in self._all.values() if member in (saying.asker, saying.member)]
        for saying in theirs:
            del self._all[saying.id]
            self.gone[saying.id] = saying.asker
            for place, other in _places(saying):
                self._about[saying.reason, place][other].discard(saying.id)
        forgotten = {saying.id for saying in theirs}
        if forgotten:
            self._ends = [end for end in self._ends if end[1] not in forgotten]
        return forgotten

    def forget_words(self, suggestions: AbstractSet[str]) -> None:
        """Forget by which words these suggestions were carried: one of their texts was erased."""
        for saying in self._all.values():
            if saying.carriers and saying.suggestion in suggestions:
                self._all[saying.id] = replace(saying, carriers=frozenset())

    def ended(self, after: datetime | None, now: datetime) -> list[Saying]:
        """Return those that ceased to weigh after one moment (None: ever) and up to another."""
        first = 0 if after is None else bisect_right(self._ends, after, key=_when)
        return [self._all[saying] for _, saying in self._ends[first : bisect_right(self._ends, now, key=_when)]]

    def about(self, reason: NotRelevantReason, place: str, now: datetime) -> dict[str, list[Saying]]:
        """Return those of a reason that weigh now in a cluster or for an asking member, by answering member."""
        of_members = self._about.get((reason, place))
        if not of_members:
            return {}
        weighing = {member: self._weighing(ids, now) for member, ids in of_members.items()}
        return {member: sayings for member, sayings in weighing.items() if sayings}

    def of(self, reason: NotRelevantReason, place: str, member: str, now: datetime) -> list[Saying]:
        """Return those of a reason that weigh now in a cluster, or for an asking member, on one answering member."""
        of_members = self._about.get((reason, place))
        return [] if of_members is None else self._weighing(of_members.get(member, ()), now)

    def _weighing(self, ids: Iterable[str], now: datetime) -> list[Saying]:
        return [saying for saying in map(self._all.__getitem__, ids) if saying.until > now]


def _when(end: tuple[datetime, str]) -> datetime:
    return end[0]


def _places(saying: Saying) -> list[tuple[str, str]]:
    """Return where a saying weighs, in a cluster or on what a member asks, and on which member.

    In requests of the cluster of whoever said it alone: no ambassador lowers what another cluster's members are told.
    """
    match saying.reason:
        case NotRelevantReason.NOT_AVAILABLE:
            return [(saying.cluster, saying.member)]
        case NotRelevantReason.ALREADY_IN_TOUCH:
            places = [(saying.asker, saying.member), (saying.member, saying.asker)]
        case _:
            places = [(saying.asker, saying.member)]
    return [(asker, member) for asker, member in places if asker.startswith(f"{saying.cluster}/")]


@dataclass(frozen=True, slots=True)
class Decisions:
    """What feedback has settled, and what weighs.

    Attributes:
        suggestions: of suggestions introduced, declined or found not relevant, by id, the last revision that this
            was said of; `FOR_GOOD` for those of which no revision is to come any more.
        erased: of those of them that were erased, the revision at which they were: what comes back is another telling.
        in_touch: pairs of keys of members that know each other, noted by an earlier version, which did not say when.
        sayings: reasons of what was not relevant.
    """

    suggestions: dict[str, int] = field(default_factory=dict)
    erased: dict[str, int] = field(default_factory=dict)
    in_touch: set[frozenset[str]] = field(default_factory=set)
    sayings: Sayings = field(default_factory=Sayings)

    def settle(self, suggestion: str, revision: int | None) -> None:
        """Note that a suggestion is settled up to a revision; None: for good."""
        self.suggestions[suggestion] = max(self.settled_up_to(suggestion), revision or FOR_GOOD)

    def forget(self, suggestion: str, revision: int) -> None:
        """Note that nothing is left of a suggestion but its id and its revision."""
        if suggestion in self.suggestions:
            self.erased[suggestion] = max(self.erased.get(suggestion, 0), revision)

    def settled_up_to(self, suggestion: str) -> int:
        """Return the last revision of a suggestion that is settled; 0: none is."""
        return self.suggestions.get(suggestion, 0)

    def settled(self, ask: Ask, member: str, now: datetime) -> bool:
        """Whether the request must not be told to face the member again, unless by a new revision of what was told."""
        if self.know_each_other(ask.owner, member, now):
            return True
        if not self.suggestions:
            return False
        suggestion = suggestion_id(ask.lineage, member)
        return self.settled_up_to(suggestion) > self.erased.get(suggestion, 0)

    def know_each_other(self, one: str, other: str, now: datetime) -> bool:
        """Whether two members need not be told of each other."""
        if frozenset((one, other)) in self.in_touch:
            return True
        return bool(self.sayings.of(NotRelevantReason.ALREADY_IN_TOUCH, one, other, now))

    def learn(self, stored: "Decisions") -> None:
        """Take over what is stored."""
        for suggestion, revision in stored.suggestions.items():
            self.settle(suggestion, revision)
        for suggestion, revision in stored.erased.items():
            self.forget(suggestion, revision)
        self.in_touch.update(stored.in_touch)
        for saying in stored.sayings:
            self.sayings.replace(saying)


UNDECIDED: Final = Decisions()


@dataclass(frozen=True, slots=True)
class Weighing:
    """What sayings make of scores at one moment. Where nobody said anything it costs two look-ups."""

    sayings: Sayings
    now: datetime
    _unavailable: dict[str, AbstractSet[str]] = field(default_factory=dict)  # by cluster, for thousands of requests

    def concerned(self, ask: Ask) -> int:
        """Return of how many members, at the most, the scores for a request are adjusted."""
        unavailable = self._unavailable.get(ask.cluster)
        if unavailable is None:
            unavailable = self.sayings.about(NotRelevantReason.NOT_AVAILABLE, ask.cluster, self.now).keys()
            self._unavailable[ask.cluster] = unavailable
        return len(unavailable | self.sayings.about(NotRelevantReason.WRONG_TOPIC, ask.owner, self.now).keys())

    def adjustments(self, ask: Ask, member: str, carriers: Callable[[], AbstractSet[str]]) -> tuple[Adjustment, ...]:
        """Return why a member counts for less in a request than its texts say; mostly for nothing.

        Args:
            carriers: tells the words that carry the pairing.
        """
        found: list[Adjustment] = []
        off_topic = self.sayings.of(NotRelevantReason.WRONG_TOPIC, ask.owner, member, self.now)
        if off_topic:
            own = suggestion_id(ask.lineage, member)
            if of_this := [saying for saying in off_topic if saying.suggestion == own]:
                found.append(_adjustment(of_this, AdjustmentScope.PAIRING, OFF_TOPIC))
            elif any(saying.carriers for saying in off_topic):
                words = carriers()
                if alike := [saying for saying in off_topic if len(saying.carriers & words) >= SAME_CARRIERS]:
                    found.append(_adjustment(alike, AdjustmentScope.ASKER, OFF_TOPIC_ELSEWHERE))
        if away := self.sayings.of(NotRelevantReason.NOT_AVAILABLE, ask.cluster, member, self.now):
            factor = max(LEAST_UNAVAILABLE, UNAVAILABLE ** len(away))
            found.append(_adjustment(away, AdjustmentScope.CLUSTER, factor))
        return tuple(found)


def factor_of(adjustments: Iterable[Adjustment]) -> float:
    """Return what a score is multiplied by."""
    return prod(adjustment.factor for adjustment in adjustments)


def _adjustment(sayings: list[Saying], scope: AdjustmentScope, factor: float) -> Adjustment:
    return Adjustment(
        reason=sayings[0].reason,
        scope=scope,
        factor=factor,
        count=len(sayings),
        said_at=max(saying.at for saying in sayings),
        until=max(saying.until for saying in sayings),
    )
