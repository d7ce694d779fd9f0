"""What a batch of events changes, and which pairs come of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import Final

from schemas.base import Key
from schemas.cloudevents import Envelope
from schemas.feedback import Act, FeedbackGiven, NotRelevantReason
from schemas.members import MemberKey, MemberKind, MemberPublished
from schemas.needs import Direction, NeedKey, NeedPublished
from services.matcher.domain.decisions import Saying, Weighing, saying_of, suggestion_id
from services.matcher.domain.directory import Directory
from services.matcher.domain.eligibility import Traits, ineligible_itself, ineligible_traits
from services.matcher.domain.holding import Holding
from services.matcher.domain.pairing import Eligibility, Pair, Pairing
from services.matcher.domain.requests import Ask, need_key
from services.matcher.domain.sparing import Place
from services.matcher.domain.suggestion import Cause

SETTLING_ACTS: Final = frozenset({Act.INTRODUCED, Act.DECLINED, Act.NOT_RELEVANT})
"""After one of these a request is not told of the same member again, unless texts change."""


@dataclass(slots=True)
class Touched:
    """What a batch is about, whether it changed anything or was read before.

    Attributes:
        members: keys of members published or erased.
        needs: keys of needs published, erased or expired.
        owners: keys of the members whose needs these are or were.
        offerers: those of them whose needs may be or have been offers.
        owner_of: key of the member whose need each of these is, or was last.
        settled: ids of suggestions that feedback settled, with the key of the asking member.
        sayings: ids of reasons that weigh, with the key of the asking member.
        eased: reasons that ceased to weigh: what they held back is to be found now.
        freed: members who had been told of as often as they may be, and may be again.
        causes: what arrived and may bring suggestions about, by key of request, offer or member.
    """

    members: set[str] = field(default_factory=set)
    needs: set[str] = field(default_factory=set)
    owners: set[str] = field(default_factory=set)
    offerers: set[str] = field(default_factory=set)
    owner_of: dict[str, str] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)
    sayings: dict[str, str] = field(default_factory=dict)
    eased: list[Saying] = field(default_factory=list)
    freed: set[Place] = field(default_factory=set)
    causes: dict[str, Cause] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.members or self.needs or self.eased or self.freed)

    def erased(self, directory: Directory) -> bool:
        """Whether something of it is to be forgotten."""
        return bool(self.members - directory.members.keys() or self.needs - directory.needs.keys())


def take_in(batch: Sequence[Envelope], directory: Directory) -> Touched:
    """Bring the directory to the state after `batch`; return what the batch is about."""
    touched = Touched()
    erased_without_rev: set[Key] = set()
    for envelope in batch:
        again = envelope.key in erased_without_rev
        if envelope.value is None and envelope.rev is None:
            erased_without_rev.add(envelope.key)
        match envelope.key, envelope.value:
            case MemberKey(), MemberPublished() as member:
                news = directory.publish_member(member, again=again)
            case MemberKey(), None:
                news = directory.erase_member(str(envelope.key), envelope.rev)
                if news:
                    for saying in directory.decisions.sayings.forget_member(str(envelope.key)):
                        touched.sayings.pop(saying, None)
            case NeedKey(), NeedPublished() as need:
                _touch_owner(str(need.key), directory, touched)
                news = directory.publish_need(need, again=again)
                _touch_owner(str(need.key), directory, touched)
            case NeedKey(), None:
                _touch_owner(str(envelope.key), directory, touched)
                news = directory.erase_need(str(envelope.key), envelope.rev)
            case _, FeedbackGiven() as feedback:
                _settle(feedback, directory, touched)
                continue
            case _:
                continue
        if news:
            (touched.members if isinstance(envelope.key, MemberKey) else touched.needs).add(str(envelope.key))
            match envelope.value:
                case MemberPublished() as member:
                    touched.causes[str(member.key)] = Cause(member.published_at, envelope.traceparent)
                case NeedPublished() as need:
                    touched.causes[need_key(need)] = Cause(need.published_at, envelope.traceparent)
    directory.refresh_conventions()
    return touched


def touch_expired(touched: Touched, due: set[str], directory: Directory) -> None:
    """Add needs whose deadline has passed."""
    touched.needs |= due
    for key in due:
        _touch_owner(key, directory, touched)


def opened_conventions(touched: Touched, directory: Directory) -> set[frozenset[str]]:
    """Return the pairs of clusters between which a touched member may have opened a convention."""
    known = (directory.members.get(key) for key in touched.members)
    return {
        frozenset((member.event.cluster, member.event.represents))
        for member in known
        if member is not None
        and member.event.represents is not None
        and (member.event.cluster, member.event.represents) in directory.conventions
    }


def clusters_to_review(touched: Touched, directory: Directory) -> set[str]:
    """Return the clusters in which a convention may have ended; an erased member may have been a partner cluster."""
    known = {key: directory.members.get(key) for key in touched.members}
    return {
        key.partition("/")[0]
        for key, member in known.items()
        if member is None or member.kind is MemberKind.PARTNER_CLUSTER
    }


def asks_to_review(touched: Touched, directory: Directory, holding: Holding) -> set[str]:
    """Return the requests whose suggestions a touched need may concern, by key, as far as they are of this holding.

    They are the need itself, and what its owner asks while no need is open.
    """
    asks = {f"member:{owner}" for owner in touched.owners if owner in holding}
    return asks | {f"need:{key}" for key in touched.needs if any(map(holding.__contains__, directory.owners_of(key)))}


def lineages_to_review(touched: Touched, directory: Directory) -> set[str]:
    """Return the lineages of touched needs: what was told of one may stand by another that repeats it."""
    return {lineage for key in touched.needs for lineage in directory.lineages_of(key)}


def weighed_on(touched: Touched) -> set[tuple[str | None, str]]:
    """Return the asking and the answering members of suggestions on which something weighed until now; None: any."""
    found: set[tuple[str | None, str]] = set()
    for saying in touched.eased:
        if saying.reason is NotRelevantReason.NOT_AVAILABLE:
            found.add((None, saying.member))
        else:
            found |= {(saying.asker, saying.member), (saying.member, saying.asker)}
    return found


def find_pairs(touched: Touched, directory: Directory, pairing: Pairing, now: datetime) -> dict[str, Pair]:
    """Bring the index to the directory, all of the batch first; return the pairs that came of it, by suggestion id.

    They are those among the best of a request in which the request or the member is touched, or the convention that
    lets the two see each other.
    """
    concerned = sorted(touched.members | touched.owners)
    bring(concerned, directory, pairing, now)
    eligible = eligibility(directory, now)
    asks = _touched_asks(touched, pairing, concerned)
    pairs = [pair for key in sorted(asks) for pair in pairing.best(pairing.asks[key], eligible)]
    pairs += pairing.found_by(_touched_offerers(touched, directory), eligible)
    pairs += _no_more_held_back(touched.eased, directory, pairing, eligible)
    pairs += _with_room_again(touched.freed, directory, pairing, eligible)
    for clusters in opened_conventions(touched, directory):
        across = (ask for ask in pairing.asks.values() if ask.cluster in clusters)
        found = chain.from_iterable(pairing.best(ask, eligible) for ask in across)
        pairs += [pair for pair in found if {pair.ask.cluster, pair.member.partition("/")[0]} == clusters]
    # Of two open needs that repeat one another the first by key is told.
    return {suggestion_id(p.ask.lineage, p.member): p for p in sorted(pairs, key=lambda p: p.ask.key, reverse=True)}


def differing(directory: Directory, pairing: Pairing, now: datetime) -> list[str]:
    """Return the members whose stored states are not the very ones that an index was brought to."""
    owners = directory.owners()
    expired = {need.owner for need in directory.needs.values() if _expires(need.deadline, pairing.clock, now)}
    same = {owner for owner in owners - expired if pairing.marks.get(owner) == directory.mark(owner)}
    return sorted((owners | pairing.marks.keys()) - same)


def _expires(deadline: datetime | None, after: datetime | None, now: datetime) -> bool:
    return deadline is not None and deadline <= now and (after is None or deadline > after)


def remembers_erased(directory: Directory, pairing: Pairing) -> bool:
    """Tell whether an index of another moment holds what was erased since."""
    needs = {f"need:{key}" for key in directory.erased_needs}
    return (
        not directory.erased_members.keys().isdisjoint(pairing.marks)
        or not needs.isdisjoint(pairing.asks.askers)
        or any(need in pairing.index for need in needs)
    )


def catch_up(others: Sequence[str], directory: Directory, pairing: Pairing, now: datetime) -> None:
    """Bring an index, empty or of another moment, to the directory, given who differs; nobody else is even read."""
    directory.refresh_conventions()
    bring(others, directory, pairing, now)
    for owner in directory.owners().difference(others):
        pairing.adopt(owner, *directory.presence(owner, now))


def bring(members: Sequence[str], directory: Directory, pairing: Pairing, now: datetime) -> None:
    """Bring what these members offer and ask to what the directory says."""
    present = {member: directory.presence(member, now) for member in members}
    for member, (documents, asks) in present.items():  # a need may have passed from one to another
        pairing.withdraw(member, documents(), asks())
    for member, (documents, asks) in present.items():
        known = directory.members.get(member)
        name, traits = ("", None) if known is None else (known.event.name, Traits.of(known.event))
        pairing.offer(member, documents(), name=name, traits=traits)
        pairing.seats.put(member, None if known is None else known.event)
        if member in pairing.holding:
            pairing.ask(member, asks())
        _mark(member, directory, pairing)


def hold(holding: Holding, directory: Directory, pairing: Pairing, now: datetime) -> None:
    """Answer for the requests of the members of `holding`, and of nobody else."""
    for member in set(pairing.asks.askers.values()):
        if member not in holding:
            pairing.ask(member, {})
            _mark(member, directory, pairing)
    before, pairing.holding = pairing.holding, holding
    for member in sorted(directory.owners()):
        if member in holding and member not in before:
            pairing.ask(member, directory.requests(member, now))
            _mark(member, directory, pairing)


def _mark(member: str, directory: Directory, pairing: Pairing) -> None:
    """Note that what a member offers and asks is what is known of it."""
    if known := directory.mark(member):
        pairing.marks[member] = known


def eligibility(directory: Directory, now: datetime) -> Eligibility:
    """Return whom requests may face as far as the directory knows."""

    def traits(ask: Ask, traits: Traits) -> bool:
        asker = directory.members.get(ask.owner)
        if asker is None:
            return False
        return ineligible_traits(ask, asker.event, traits, now=now, conventions=directory.conventions) is None

    def member(ask: Ask, key: str) -> bool:
        return ineligible_itself(ask, key, now=now, decisions=directory.decisions) is None

    return Eligibility(traits, member, Weighing(directory.decisions.sayings, now))


def _touched_asks(touched: Touched, pairing: Pairing, concerned: Sequence[str]) -> set[str]:
    """Return the open requests that are new or changed, or that came to stand because another closed."""
    return {
        key
        for member in concerned
        for key in pairing.asks.of(member)
        if member in touched.members or key.startswith("member:") or key.removeprefix("need:") in touched.needs
    }


def _touched_offerers(touched: Touched, directory: Directory) -> dict[str, Traits]:
    """Return the members that bring something new or changed, and what they are."""
    needs = (directory.needs.get(key) for key in touched.needs)
    offering = {need.owner for need in needs if need and need.event.direction is Direction.OFFER}
    members = (touched.members | offering) & directory.members.keys()
    return {key: Traits.of(directory.members[key].event) for key in members}


def _no_more_held_back(
    eased: Sequence[Saying], directory: Directory, pairing: Pairing, eligible: Eligibility
) -> list[Pair]:
    """Return the pairs on which something weighed until now, as far as they are among the best."""
    found: list[Pair] = []
    for saying in eased:
        known = directory.members.get(saying.member)
        if saying.reason is NotRelevantReason.NOT_AVAILABLE:
            if known is not None:
                again = pairing.found_by({saying.member: Traits.of(known.event)}, eligible)
                found += [pair for pair in again if pair.ask.cluster == saying.cluster]
            continue
        two = {saying.asker, saying.member}
        asks = pairing.asks.of(saying.asker) | pairing.asks.of(saying.member)
        again = [pair for key in sorted(asks) for pair in pairing.best(pairing.asks[key], eligible)]
        found += [pair for pair in again if {pair.ask.owner, pair.member} == two]
    return found


def _with_room_again(
    freed: Iterable[Place], directory: Directory, pairing: Pairing, eligible: Eligibility
) -> list[Pair]:
    known = {place: directory.members.get(place[1]) for place in sorted(freed)}
    return [
        pair
        for (cluster, member), one in known.items()
        if one is not None
        for pair in pairing.found_by({member: Traits.of(one.event)}, eligible)
        if pair.ask.cluster == cluster
    ]


def next_best(
    touched: Touched, held_back: Mapping[str, Pair], directory: Directory, pairing: Pairing, now: datetime
) -> dict[str, Pair]:
    """Return the best of the touched requests from which pairs are held back, without these; by suggestion id."""
    all_eligible, without = eligibility(directory, now), set[tuple[str, str]]()
    for pair in held_back.values():
        without.add((pair.ask.key, pair.member))

    def member(ask: Ask, key: str) -> bool:
        return (ask.key, key) not in without and all_eligible.member(ask, key)

    eligible = replace(all_eligible, member=member)
    asks = _touched_asks(touched, pairing, sorted(touched.members | touched.owners))
    found = (
        pair for key in sorted(asks & {ask for ask, _ in without}) for pair in pairing.best(pairing.asks[key], eligible)
    )
    return {suggestion_id(pair.ask.lineage, pair.member): pair for pair in found}


def _touch_owner(need: str, directory: Directory, touched: Touched) -> None:
    if owners := directory.owners_of(need):
        touched.owners.update(owners)
        if not directory.asked_only(need):
            touched.offerers.update(owners)
        touched.owner_of[need] = owners[0]


def _of_erased(saying: Saying, directory: Directory) -> bool:
    two = (saying.asker, saying.member)
    return any(key in directory.erased_members and key not in directory.members for key in two)


def _settle(feedback: FeedbackGiven, directory: Directory, touched: Touched) -> None:
    if feedback.act not in SETTLING_ACTS:
        return
    asking, suggestion = f"{feedback.requesting.cluster}/{feedback.requesting.member_id}", str(feedback.suggestion_id)
    # What was not relevant may be so once its texts have changed; who has met, or would rather not, is asked no more.
    revision = feedback.revision if feedback.act is Act.NOT_RELEVANT else None
    directory.decisions.settle(suggestion, revision)
    touched.settled[suggestion] = asking
    if (saying := saying_of(feedback)) is not None and not _of_erased(saying, directory):
        directory.decisions.sayings.put(saying)
        touched.sayings[saying.id] = asking
