"""What would come of a need if it were posted now."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from schemas.feedback import NotRelevantReason
from schemas.members import Admission, MemberKind, MemberPublished, MemberRef, Reach
from schemas.needs import Direction, NeedPublished, NeedStatus
from schemas.previews import (
    Advice,
    AdviceCode,
    CityReached,
    KindReached,
    Nearest,
    NeedPreview,
    PreviewedCity,
    PreviewedWord,
    Reached,
)
from services.matcher.domain.arrivals import eligibility
from services.matcher.domain.directory import Directory
from services.matcher.domain.eligibility import Ineligible, ineligible_itself, ineligible_traits, visible
from services.matcher.domain.pairing import Looked, Pair, Pairing
from services.matcher.domain.requests import Ask, posted_request
from services.matcher.domain.seats import Seat
from services.matcher.index import Request, Weighed, recognised

T = TypeVar("T")

NEAREST: Final = 3
"""Members shown: enough to see whether the need is understood."""

WORDS_SHOWN: Final = 12
"""Words shown of either sort: who reads on a telephone reads no more."""

WORDS_WANTED: Final = 5
"""Informative words from which a need says enough: two must be shared, and nobody shares all."""

LOOKED_AT_ONE_BY_ONE: Final = 5_000
"""Members that are each asked whether something is settled with them. Of more, those with whom it is count too."""

DEADLINE_NEAR: Final = timedelta(days=7)
"""A deadline that leaves less than this leaves no time for an introduction."""

READ: Final = ("fr", "ar", "en")
"""Languages that the index reads."""


class UnknownAskerError(Exception):
    """The member that asks is not known here yet."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A need as it is looked at, by whom, when."""

    ask: Ask
    asker: MemberPublished
    directory: Directory
    now: datetime

    def barred(self, seat: Seat) -> Ineligible | None:
        """Return why it may not face members of such traits."""
        conventions = self.directory.conventions
        return ineligible_traits(self.ask, self.asker, seat.traits, now=self.now, conventions=conventions)

    def sees(self, seat: Seat) -> bool:
        """Whether it and members of such traits are admitted, and see each other."""
        ask, traits, conventions = self.ask, seat.traits, self.directory.conventions
        return (
            traits.admission is Admission.ADMITTED
            and visible(ask.visibility, ask.cluster, traits.cluster, conventions)
            and visible(traits.visibility, traits.cluster, ask.cluster, conventions)
        )

    def may_be_named(self, member: MemberPublished) -> bool:
        """Whether whoever asks may see which member it is.

        In its own cluster as visibility says; in another one only if the member opened itself on purpose. A convention
        between the clusters alone, which is the usual visibility, pairs it without its name.
        """
        if member.cluster == self.ask.cluster:
            return True
        opened = member.visibility.reach in (Reach.ALL, Reach.NAMED_CLUSTERS)
        return opened and visible(member.visibility, member.cluster, self.ask.cluster, self.directory.conventions)

    def city(self, cluster: str, city: str | None) -> PreviewedCity | None:
        """Return an innovation city as far as whoever asks may see which it is."""
        if city is None:
            return None
        known = self.directory.members.get(f"{cluster}/{city}")
        if known is None:  # named by members before it is published
            return PreviewedCity(cluster=cluster, city=city if cluster == self.ask.cluster else None)
        if not self.may_be_named(known.event):
            return PreviewedCity(cluster=cluster)
        return PreviewedCity(cluster=cluster, city=city, name=known.event.name)


def preview(need: NeedPublished, directory: Directory, pairing: Pairing, now: datetime) -> NeedPreview:
    """Return what would come of a need if it were posted now. Nothing of it is kept.

    Raises:
        UnknownAskerError: nothing is known of its member.
    """
    known = directory.members.get(str(need.owner))
    if known is None:
        raise UnknownAskerError
    asked = _Asked(posted_request(need, directory.lineage_of(need)), known.event, directory, now)
    looked = pairing.look(asked.ask, eligibility(directory, now))
    asks = need.direction is Direction.REQUEST and need.status is NeedStatus.OPEN
    told, others = (looked.told, looked.others) if asks else ([], [])
    reached = _reached(asked, pairing) if asks else Reached(members=0)
    # Whom a need cannot reach, it is told nothing of.
    words = looked.words if reached.members else []
    informative = [word for word in words if word.informative and word.others]
    near = [*((pair, True) for pair in told), *((pair, False) for pair in others)][:NEAREST]
    return NeedPreview(
        language=pairing.index.language(need.text, title=need.title, language=need.language),
        words=tuple(
            PreviewedWord(word=_written(looked.request, word), weight=weight) for word, weight in _heaviest(informative)
        ),
        unshared=_distinct(_written(looked.request, word) for word in words if not word.others),
        reached=reached,
        nearest=tuple(_nearest(asked, pairing, looked, pair, suggested=told_of) for pair, told_of in near),
        suggested=len(told),
        bar=pairing.bar.score,
        advice=tuple(_advice(need, asked, pairing, looked, len(informative), reached)),
        seen_at=now,
    )


def _heaviest(words: Iterable[Weighed]) -> Iterator[tuple[Weighed, float]]:
    """Yield the heaviest words with what they weigh beside the first, in quarters: more would tell who uses them."""
    heaviest = sorted(words, key=lambda word: -word.weight)[:WORDS_SHOWN]
    for word in heaviest:
        yield word, max(1, round(4 * word.weight / heaviest[0].weight)) / 4


def _reached(asked: _Asked, pairing: Pairing) -> Reached:
    counts = Counter({seat: count for seat, count in pairing.seats.counts.items() if asked.barred(seat) is None})
    for member in _in_doubt(asked, pairing):
        seat = pairing.seats.get(member)
        barred = ineligible_itself(asked.ask, member, now=asked.now, decisions=asked.directory.decisions)
        if seat is not None and barred is not None and seat in counts:
            counts[seat] -= 1
    kinds, cities = Counter[MemberKind](), Counter[PreviewedCity | None]()
    for seat, count in counts.items():
        if count > 0:
            kinds[seat.traits.kind] += count
            cities[asked.city(seat.traits.cluster, seat.city)] += count
    return Reached(
        members=kinds.total(),
        by_kind=tuple(KindReached(kind=kind, members=count) for kind, count in _most_first(kinds)),
        by_city=tuple(CityReached(city=city, members=count) for city, count in _most_first(cities)),
    )


def _most_first(counts: Counter[T]) -> list[tuple[T, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))


def _in_doubt(asked: _Asked, pairing: Pairing) -> Iterable[str]:
    """Return the members that the need may not face for what concerns them alone, and perhaps others."""
    decisions, owner = asked.directory.decisions, asked.ask.owner
    key, directory = asked.ask.key.removeprefix("need:"), asked.directory
    is_new = asked.ask.lineage == key and key not in directory.needs and key not in directory.erased_needs
    if decisions.suggestions and not is_new and sum(pairing.seats.counts.values()) <= LOOKED_AT_ONE_BY_ONE:
        return list(pairing.seats)  # something may be settled with anybody
    in_touch = decisions.sayings.about(NotRelevantReason.ALREADY_IN_TOUCH, owner, asked.now)
    before = {member for two in decisions.in_touch if owner in two for member in two}
    return {owner, *asked.ask.excluded, *in_touch, *before}


def _nearest(asked: _Asked, pairing: Pairing, looked: Looked, pair: Pair, *, suggested: bool) -> Nearest:
    member = asked.directory.members[pair.member].event
    named, seat = asked.may_be_named(member), Seat.of(member)
    terms = pairing.index.explain(looked.request, pair.match).terms
    spans = (term.request_spans for term in terms if term.informative and term.request_spans)
    # An innovation city that may not be named sits in itself: where it is would say which it is.
    is_city = member.kind is MemberKind.INNOVATION_CITY
    return Nearest(
        kind=member.kind,
        city=asked.city(member.cluster, seat.city) if named or not is_city else None,
        member=_ref(member) if named else None,
        name=member.name if named else None,
        score=pair.score,
        suggested=suggested,
        words=_distinct(looked.request.written(each[0]) for each in spans),
    )


def _ref(member: MemberPublished) -> MemberRef:
    return MemberRef(cluster=member.cluster, member_id=member.member_id)


def _advice(
    need: NeedPublished, asked: _Asked, pairing: Pairing, looked: Looked, informative: int, reached: Reached
) -> Iterator[Advice]:
    """Yield what would help: first what keeps the need from being paired at all."""
    if need.status is not NeedStatus.OPEN:
        yield Advice(code=AdviceCode.WITHDRAWN)
    if asked.asker.admission is not Admission.ADMITTED:
        yield Advice(code=AdviceCode.NOT_ADMITTED)
    yield from _about_deadline(need, asked.now)
    offers = need.direction is Direction.OFFER
    if offers:
        yield Advice(code=AdviceCode.OFFER)
    elif absent := _kinds_absent(asked, pairing):
        yield Advice(code=AdviceCode.KINDS_ABSENT, kinds=absent)
    elif not reached.members and asked.asker.admission is Admission.ADMITTED and _in_time(need, asked.now):
        yield Advice(code=AdviceCode.NOBODY_REACHED)
    declared = (need.language or "").partition("-")[0].lower()
    if declared and declared not in READ:
        yield Advice(code=AdviceCode.LANGUAGE_NOT_READ, language=need.language)
    elif not recognised(f"{need.title}\n{need.text}"):
        yield Advice(code=AdviceCode.LANGUAGE_UNCLEAR)
    if informative < WORDS_WANTED and (offers or reached.members):
        yield Advice(code=AdviceCode.FEW_WORDS, found=informative, wanted=WORDS_WANTED)
    if reached.members and not offers:
        if not looked.told and not looked.others:
            yield Advice(code=AdviceCode.NOTHING_SHARED)
        elif not looked.told:
            yield Advice(code=AdviceCode.BELOW_BAR)


def _about_deadline(need: NeedPublished, now: datetime) -> Iterator[Advice]:
    if need.deadline is None:
        return
    if need.deadline <= now:
        yield Advice(code=AdviceCode.DEADLINE_PAST)
    elif need.deadline - now < DEADLINE_NEAR:
        yield Advice(code=AdviceCode.DEADLINE_NEAR, found=(need.deadline - now).days, wanted=DEADLINE_NEAR.days)


def _in_time(need: NeedPublished, now: datetime) -> bool:
    return need.deadline is None or need.deadline > now


def _kinds_absent(asked: _Asked, pairing: Pairing) -> tuple[MemberKind, ...]:
    """Return the kinds sought of which the need can see no admitted member, wherever it is and whatever it speaks."""
    if asked.asker.admission is not Admission.ADMITTED:
        return ()
    owner = pairing.seats.get(asked.ask.owner)
    counts = pairing.seats.counts.items()
    present = {seat.traits.kind for seat, count in counts if count > (seat == owner) and asked.sees(seat)}
    return tuple(kind for kind in asked.ask.kinds_sought if kind not in present)


def _written(request: Request, word: Weighed) -> str:
    return request.written(word.places[0])


def _distinct(words: Iterable[str]) -> tuple[str, ...]:
    """Return the first of these words, each once, whatever its case."""
    found: dict[str, str] = {}
    for word in words:
        found.setdefault(word.casefold(), word)
    return tuple(found.values())[:WORDS_SHOWN]
