"""The members and needs as known, each in its latest state, and what follows from all of them together."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush
from typing import Final

from schemas.members import Admission, Asset, MemberKind, MemberPublished
from schemas.needs import Direction, NeedPublished
from services.matcher.domain.change import Wording, materially_different
from services.matcher.domain.decisions import Decisions, Saying
from services.matcher.domain.known import Arrival, KnownMember, KnownNeed, Later
from services.matcher.domain.requests import Ask, Document, need_key, offer_documents, open_requests, stands

WORDINGS: Final = 10_000
"""Needs whose words are kept for comparison: as large as their texts, and soon made again."""


@dataclass(slots=True)
class Directory:
    """All that the matcher knows of the clusters.

    Changed by one writer. The same events in the same order give the same directory; one read again changes nothing.
    """

    members: dict[str, KnownMember] = field(default_factory=dict)
    needs: dict[str, KnownNeed] = field(default_factory=dict)
    erased_members: dict[str, int] = field(default_factory=dict)
    """Last `rev` of each erased member: what is not newer stays away."""
    erased_needs: dict[str, int] = field(default_factory=dict)
    decisions: Decisions = field(default_factory=Decisions)
    conventions: set[tuple[str, str]] = field(default_factory=set)
    last_seq: int = 0
    clock: datetime | None = None
    """Up to when what follows from deadlines is done; none: it has to be looked at for each."""
    _needs_of: dict[str, set[str]] = field(default_factory=dict)
    _former: dict[str, str] = field(default_factory=dict)  # owner of a need that is erased, or is another's by now
    _asked_only: set[str] = field(default_factory=set)  # needs that never offered anything, as far as anybody knows
    _wordings: dict[str, tuple[bytes, Wording]] = field(default_factory=dict)  # with the mark of what they are of
    _former_lineage: dict[str, str] = field(default_factory=dict)  # of needs that are erased
    _partners: set[str] = field(default_factory=set)
    _deadlines: list[tuple[datetime, str]] = field(default_factory=list)  # a heap; may name needs that have changed
    _due: set[str] = field(default_factory=set)

    def restore_member(self, key: str, member: KnownMember) -> None:
        """Take over a member as it was stored."""
        self.members[key] = member
        self.erased_members.pop(key, None)
        if member.kind is MemberKind.PARTNER_CLUSTER:
            self._partners.add(key)

    def restore_need(self, key: str, need: KnownNeed) -> None:
        """Take over a need as it was stored."""
        self.be_unsure_of(key)
        self._put_need(key, need)
        if need.deadline is not None and (self.clock is None or need.deadline > self.clock):
            heappush(self._deadlines, (need.deadline, key))

    def _put_need(self, key: str, need: KnownNeed) -> None:
        before = self.needs.get(key)
        if before is not None:
            self._needs_of[before.owner].discard(key)
            if before.owner != need.owner:
                self._former[key] = before.owner
        self.needs[key] = need
        self.erased_needs.pop(key, None)
        self._needs_of.setdefault(need.owner, set()).add(key)
        self.last_seq = max(self.last_seq, need.seq)

    def publish_member(self, event: MemberPublished, *, again: bool = False) -> bool:
        """Take a state of a member; False if it is out of date, and has no effect.

        Args:
            again: the state comes after an erasure that did not say its `rev`, so equal to the erased one is newer.
        """
        key = str(event.key)
        known = self.members.get(key)
        if _stale(event.rev, None if known is None else known.rev, self.erased_members.get(key), again=again):
            return False
        if known is None or known.rev < event.rev:
            self.restore_member(key, KnownMember.of(event, assets_since(event, known)))
        return True

    def publish_need(self, event: NeedPublished, *, again: bool = False) -> bool:
        """Take a state of a need; see `publish_member`."""
        key = str(event.key)
        known = self.needs.get(key)
        if _stale(event.rev, None if known is None else known.rev, self.erased_needs.get(key), again=again):
            return False
        if known is None or known.rev < event.rev:
            self._note_direction(key, event, self.erased_needs.get(key, 0) if known is None else known.rev)
            lineage = self.lineage_of(event)
            same = known is not None and not materially_different(_text(known.event), _text(event))
            since = known.since if known and same else event.rev
            self._put_need(key, KnownNeed.of(event, self.last_seq + 1, since, lineage))
            if event.deadline is not None:
                heappush(self._deadlines, (event.deadline, key))
        return True

    def _note_direction(self, key: str, event: NeedPublished, before: int) -> None:
        known = key in self._asked_only if before else key not in self._former
        # A state in between may have been an offer: the log keeps not all, and a neighbour may have told of it.
        if event.direction is Direction.REQUEST and known and event.rev == before + 1:
            self._asked_only.add(key)
        else:
            self._asked_only.discard(key)

    def asked_only(self, need: str) -> bool:
        """Whether a need is and always was a request, so that nobody was ever told of it as an offer.

        Only of one of which this process has read each state is that known.
        """
        return need in self._asked_only

    def be_unsure_of(self, need: str) -> None:
        """Note that a need may have been in states that this process has not read."""
        self._asked_only.discard(need)

    def lineages_of(self, need: str) -> set[str]:
        """Return the lineages under which a need may have been told: its own, and that of before it was erased."""
        known, former = self.needs.get(need), self._former_lineage.get(need)
        return {need} | ({known.lineage} if known else set()) | ({former} if former else set())

    def erase_member(self, key: str, rev: int | None) -> bool:
        """Forget a member; False if a newer state is known. Without `rev`: whatever is known."""
        known = self.members.get(key)
        if rev is not None and known is not None and known.rev > rev:
            return False
        self.members.pop(key, None)
        last = 0 if known is None else known.rev
        self.erased_members[key] = max(self.erased_members.get(key, 0), rev or 0, last)
        return True

    def erase_need(self, key: str, rev: int | None) -> bool:
        """Forget a need; see `erase_member`."""
        known = self.needs.get(key)
        if rev is not None and known is not None and known.rev > rev:
            return False
        if known is not None:
            self._drop_need(key)
            if rev != known.rev + 1:
                self.be_unsure_of(key)
        last = 0 if known is None else known.rev
        self.erased_needs[key] = max(self.erased_needs.get(key, 0), rev or 0, last)
        return True

    def forget_need(self, key: str) -> None:
        """Know nothing of a need any more, not even that it was erased."""
        self.be_unsure_of(key)
        self._drop_need(key)

    def _drop_need(self, key: str) -> None:
        need = self.needs.pop(key)
        self._former[key], self._former_lineage[key] = need.owner, need.lineage
        self._wordings.pop(key, None)
        self._needs_of[need.owner].discard(key)

    def owners_of(self, need: str) -> list[str]:
        """Return whose a need is, or was last; then whose it was before that, as far as this process has seen it.

        What is read once more has the same members to look at as the first time.
        """
        known, former = self.needs.get(need), self._former.get(need)
        owners = [] if known is None else [known.owner]
        return owners if former is None or former in owners else [*owners, former]

    def needs_of(self, member: str) -> list[KnownNeed]:
        """Return all known needs of a member, by key."""
        return [self.needs[key] for key in self.need_keys_of(member)]

    def need_keys_of(self, member: str) -> list[str]:
        """Return the keys of all known needs of a member, in order."""
        return sorted(self._needs_of.get(member, ()))

    def due(self, now: datetime) -> set[str]:
        """Return the needs whose deadline has passed since `clock`, by key; again until `pass_time`."""
        while self._deadlines and self._deadlines[0][0] <= now:
            self._due.add(heappop(self._deadlines)[1])
        self._due = {key for key in self._due if self._is_due(key, now)}
        return set(self._due)

    def eased(self, now: datetime) -> list[Saying]:
        """Return what was said and ceased to weigh since `clock`; again until `pass_time`."""
        return self.decisions.sayings.ended(self.clock, now)

    def pass_time(self, now: datetime, done: Iterable[str]) -> None:
        """Note that what follows from the deadlines of these needs, all that were due, is done."""
        self._due.difference_update(done)
        self.clock = now

    def turn_back(self, clock: datetime | None) -> None:
        """Have the needs due again whose deadline passed after `clock`; all, if there is none."""
        if self.clock is None or (clock is not None and clock >= self.clock):
            return
        self.clock = clock
        for key, need in self.needs.items():
            if need.deadline is not None and (clock is None or need.deadline > clock):
                heappush(self._deadlines, (need.deadline, key))

    def _is_due(self, key: str, now: datetime) -> bool:
        need = self.needs.get(key)
        return need is not None and need.deadline is not None and need.deadline <= now

    def read(self, owners: Iterable[str]) -> None:
        """Read what these members and their needs say, where nobody has asked for it yet. Raises what that raises."""
        for owner in owners:
            if (known := self.members.get(owner)) is not None:
                known.read()
            for need in self.needs_of(owner):
                need.read()

    def owners(self) -> set[str]:
        """Return the keys of all members, and of those that are not known yet but have needs."""
        return self.members.keys() | {owner for owner, needs in self._needs_of.items() if needs}

    def mark(self, owner: str) -> bytes:
        """Return what tells all that a member and its needs say from any other states of them; empty if unknown."""
        known = self.members.get(owner)
        marks = [need.mark for need in self.needs_of(owner)]
        if known is not None:
            marks.append(known.mark)
        return b"".join(marks)

    def documents(self, member: str, now: datetime) -> dict[str, Document]:
        """Return what a member brings now; nothing if it is unknown."""
        return self.presence(member, now)[0]()

    def requests(self, member: str, now: datetime) -> dict[str, Ask]:
        """Return what a member asks now; nothing if it is unknown."""
        return self.presence(member, now)[1]()

    def presence(self, member: str, now: datetime) -> tuple[Later[dict[str, Document]], Later[dict[str, Ask]]]:
        """Return what a member brings and what it asks now, to be read when it is asked for, whatever changes then."""
        known, needs = self.members.get(member), self.needs_of(member)

        def documents() -> dict[str, Document]:
            events = [need.event for need in needs]
            return {} if known is None else offer_documents(known.event, events, now)

        def asks() -> dict[str, Ask]:
            events = [(need.event, need.lineage) for need in needs]
            return {} if known is None else dict(open_requests(known.event, events, now))

        return Later(documents), Later(asks)

    def since(self, member: str, document: str) -> int:
        """Return the `rev`, of the member or of the need that it is, with which a document came or became materially
        another; 0 for a profile.
        """
        if document.startswith("need:"):
            need = self.needs.get(document.removeprefix("need:"))
            return 0 if need is None else need.since
        known = self.members.get(member)
        return 0 if known is None else known.since.get(document.rpartition("/")[2], 0)

    def came(self, ask: Ask, member: str, now: datetime) -> Arrival:
        """Return the arrival that completed the pair of a request and a member: the last of all that it takes."""
        arrivals = [self.members[ask.owner].arrival, self.members[member].arrival]
        arrivals += [
            need.arrival
            for need in self.needs_of(member)
            if need.event.direction is Direction.OFFER and stands(need.event, now)
        ]
        if (posted := self.needs.get(ask.key.removeprefix("need:"))) is not None:
            arrivals.append(posted.arrival)
        cluster = self.members[member].event.cluster
        if cluster != ask.cluster:
            arrivals += [
                known.arrival
                for known in self._partner_clusters()
                if {known.event.cluster, known.event.represents} == {cluster, ask.cluster}
            ]
        return max(arrivals, key=lambda arrival: (arrival.at, arrival.alerts))

    def revs(self, member: str, now: datetime) -> dict[str, int]:
        """Return the `rev` of a member, and of each need that it offers, by key: which documents of it are known."""
        known = self.members.get(member)
        revs = {} if known is None else {member: known.rev}
        offers = (need for need in self.needs_of(member) if need.event.direction is Direction.OFFER)
        return revs | {need_key(need.event): need.rev for need in offers if stands(need.event, now)}

    def refresh_conventions(self) -> None:
        """Find out anew which clusters open themselves to which."""
        self.conventions.clear()
        self.conventions.update(
            (known.event.cluster, known.event.represents)
            for known in self._partner_clusters()
            if known.event.represents is not None and known.event.admission is Admission.ADMITTED
        )

    def _partner_clusters(self) -> list[KnownMember]:
        known = (self.members.get(key) for key in self._partners)
        return [member for member in known if member and member.kind is MemberKind.PARTNER_CLUSTER]

    def lineage_of(self, event: NeedPublished) -> str:
        """Return the lineage of a need: that of the owner's earliest one whose text it repeats, or else its own key.

        One that is known keeps the one it has.
        """
        if (before := self.needs.get(str(event.key))) is not None:
            return before.lineage
        wording = Wording.of(_text(event))
        for key in sorted(self.need_keys_of(str(event.owner)), key=lambda key: self.needs[key].seq):
            known = self.needs[key]
            if known.event.direction is event.direction and not self._wording(key).differs(wording):
                return known.lineage
        return str(event.key)

    def _wording(self, key: str) -> Wording:
        """Return the words of a need, which are compared with each that its owner posts after it."""
        need = self.needs[key]
        of, wording = self._wordings.get(key, (b"", None))
        if wording is None or of != need.mark:
            wording = Wording.of(_text(need.event))
            if len(self._wordings) >= WORDINGS:
                self._wordings.clear()
            self._wordings[key] = need.mark, wording
        return wording


def _stale(rev: int, known: int | None, erased: int | None, *, again: bool) -> bool:
    if known is not None and rev < known:
        return True
    return erased is not None and (rev < erased if again else rev <= erased)


def assets_since(event: MemberPublished, before: KnownMember | None) -> dict[str, int]:
    """Return for each asset the `rev` with which it came or became materially another, `event` being the latest."""
    if before is None:
        return dict.fromkeys((asset.asset_id for asset in event.assets), event.rev)
    old = {asset.asset_id: _text(asset) for asset in before.event.assets}
    return {
        asset.asset_id: before.since.get(asset.asset_id, event.rev)
        if asset.asset_id in old and not materially_different(old[asset.asset_id], _text(asset))
        else event.rev
        for asset in event.assets
    }


def _text(written: NeedPublished | Asset) -> str:
    return f"{written.title}\n{written.text}"
