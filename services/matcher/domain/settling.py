"""Which state of a suggestion follows from what is known now. One function for every cause, so that an event that is
read again, or whose effects a crash cut short, ends in the same state.
"""

from dataclasses import replace

from schemas.members import Admission
from schemas.needs import Direction, NeedStatus
from schemas.suggestions import LapseReason, RequestSource, SuggestionMade
from services.matcher.domain.decisions import FOR_GOOD
from services.matcher.domain.directory import Directory
from services.matcher.domain.eligibility import ineligible
from services.matcher.domain.holding import Holding
from services.matcher.domain.pairing import Pair
from services.matcher.domain.requests import Ask, posted_request, standing_request, stands
from services.matcher.domain.suggestion import Scribe, Told, materially_changed


def answers_for(told: Told, holding: Holding, directory: Directory) -> bool:
    """Whether a suggestion is for whoever has this holding to bring to its next state."""
    if told.made is None:
        return True  # nothing but its id is left, and by that only its own request finds it
    need = directory.needs.get(told.ask.removeprefix("need:"))
    return (str(told.made.request.party.key) if need is None else need.owner) in holding


def settle(told: Told | None, pair: Pair | None, scribe: Scribe) -> Told | None:
    """Return the next state of a suggestion, or None if it stays as it was last told.

    Args:
        told: as it was last told; none: never.
        pair: the pair, if it is among the best of its request now; not one that feedback has settled.
        scribe: what is known now.
    """
    if told is None:
        return None if pair is None else scribe.write(pair)
    if told.made is None:
        # Erased, and both sides have come back in newer states: another telling, counted on from the erased one.
        return None if pair is None else scribe.write(pair, told, revision=told.revision + 1)
    if _told_of_later(told, told.made, scribe.directory):
        return None
    ask = _ask_of(told, told.made, scribe)
    if _erased(told, told.made, ask, scribe):
        return told.erase(scribe.now)
    return _settle_known(told, told.made, ask, pair, scribe) or _without_erased_city(told, told.made, scribe)


def _told_of_later(told: Told, made: SuggestionMade, directory: Directory) -> bool:
    """Whether it tells a state of the member that brings something which has not been read here yet.

    Whose the request was until now had read further. What is said of it has to wait for that state, which comes.
    """
    member = str(made.offer.party.key)
    for key, rev in (told.known or {}).items():
        if key == member:
            known = directory.members.get(member)
            behind = member not in directory.erased_members and (known is None or known.rev < rev)
        else:
            need = directory.needs.get(key.removeprefix("need:"))
            behind = key.removeprefix("need:") not in directory.erased_needs and (need is None or need.rev < rev)
        if behind:
            return True
    return False


def _settle_known(told: Told, made: SuggestionMade, ask: Ask | None, pair: Pair | None, scribe: Scribe) -> Told | None:
    reason = _why_lapsed(told, made, ask, scribe)
    if ask is None or reason is not None:
        return told.lapse(reason or LapseReason.WITHDRAWN, scribe.now) if told.stands else None
    if ask.key not in scribe.pairing.asks:
        return None  # a standing request that gave way to a posted one: what it brought stays
    member, decisions = str(made.offer.party.key), scribe.directory.decisions
    settled = decisions.settled_up_to(str(told.id))
    if settled == FOR_GOOD or decisions.know_each_other(ask.owner, member, scribe.now):
        return None
    if told.stands:
        return _revise(told, ask, member, settled, scribe)
    if pair is None and settled:  # which keeps it from being found
        pair = scribe.pairing.pair(ask, member, scribe.weighing)
    if pair is None or (revision := _revision(told, pair, scribe)) <= settled:
        return None
    return scribe.write(pair, told, revision=revision)


def _revise(told: Told, ask: Ask, member: str, settled: int, scribe: Scribe) -> Told | None:
    pair = scribe.pairing.pair(ask, member, scribe.weighing)
    if pair is None:
        return told.lapse(LapseReason.WITHDRAWN, scribe.now)
    revision = _revision(told, pair, scribe)
    if revision <= settled or (revision == told.revision and ask.key == told.ask):
        return None
    if (again := scribe.write(pair, told, revision=revision)) is not None:
        return again
    if scribe.pairing.explain(replace(pair, adjustments=())) is None:
        # What was told is not asked or brought any more, and what replaced it does not bear a suggestion.
        return told.lapse(LapseReason.WITHDRAWN, scribe.now)
    if settled >= told.revision:
        return None  # put aside, it comes back when it has more to show, or when nothing weighs on it any more
    return scribe.write(pair, told, revision=revision, below_the_bar=True)


def _revision(told: Told, pair: Pair, scribe: Scribe) -> int:
    def is_news(document: str) -> bool:
        if told.known is None:
            return False
        known = told.known.get(document if document.startswith("need:") else pair.member, 0)
        return scribe.directory.since(pair.member, document) > known

    return told.revision + materially_changed(told, pair, scribe.pairing.documents(pair.member), is_news)


def _ask_of(told: Told, made: SuggestionMade, scribe: Scribe) -> Ask | None:
    """Return the request that a suggestion answers now: its own while it stands, or else one that repeats it."""
    owner = str(made.request.party.key)
    if made.request.source is not RequestSource.NEED:
        known = scribe.directory.members.get(owner)
        return None if known is None else standing_request(known.event)
    own = scribe.directory.needs.get(told.ask.removeprefix("need:"))
    repeated = [need for need in scribe.directory.needs_of(owner) if need.lineage == told.lineage]
    for need in [own, *repeated] if own is not None else repeated:
        if need.event.direction is Direction.REQUEST and stands(need.event, scribe.now):
            return posted_request(need.event, need.lineage)
    return None


def _erased(told: Told, made: SuggestionMade, ask: Ask | None, scribe: Scribe) -> bool:
    """Whether a side was erased: one of the members, or the need without another that repeats it."""
    parties = (made.request.party, made.offer.party)
    if any(str(party.key) not in scribe.directory.members for party in parties):
        return True
    posted = made.request.source is RequestSource.NEED
    return posted and ask is None and told.ask.removeprefix("need:") not in scribe.directory.needs


def _why_lapsed(told: Told, made: SuggestionMade, ask: Ask | None, scribe: Scribe) -> LapseReason | None:
    directory = scribe.directory
    asker = directory.members.get(str(made.request.party.key) if ask is None else ask.owner)
    member = directory.members[str(made.offer.party.key)]
    if asker is None or {asker.event.admission, member.event.admission} != {Admission.ADMITTED}:
        return LapseReason.NOT_ELIGIBLE
    if ask is None:
        need = directory.needs.get(told.ask.removeprefix("need:"))
        open_ = need is not None and need.event.status is NeedStatus.OPEN and not stands(need.event, scribe.now)
        return LapseReason.EXPIRED if open_ else LapseReason.WITHDRAWN
    barred = ineligible(ask, asker.event, member.event, now=scribe.now, conventions=directory.conventions)
    return None if barred is None else LapseReason.NOT_ELIGIBLE


def _without_erased_city(told: Told, made: SuggestionMade, scribe: Scribe) -> Told | None:
    for party in (made.request.party, made.offer.party):
        city = f"{party.cluster}/{party.city}"
        if party.city_name and city in scribe.directory.erased_members and city not in scribe.directory.members:
            return told.forget_city(city, scribe.now)
    return None
