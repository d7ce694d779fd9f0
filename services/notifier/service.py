"""Telling: what is so is stored first; its consequences are then made from what is stored, as often as needed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final
from uuid import UUID

from schemas.ambassadors import AmbassadorKey, AmbassadorPublished
from schemas.contacts import ContactPublished
from schemas.members import MemberKey
from schemas.notifications import Channel
from schemas.suggestions import SuggestionLapsed, SuggestionMade
from services.notifier import metrics
from services.notifier.domain.chasing import next_chase
from services.notifier.domain.pace import absence_on
from services.notifier.domain.preferences import Person
from services.notifier.domain.reaching import Way
from services.notifier.domain.routing import Recipient, Relay, Subject, recipients, seat_of
from services.notifier.domain.standing import taken_by
from services.notifier.pacing import Pacing
from services.notifier.store import Kept, NotifierStore, Row, Told
from services.notifier.store.rows import notification_id
from services.runtime import logs, tracing
from services.runtime.clock import Clock

_CHUNK: Final = 200
"""Suggestions routed in one go when somebody arrives whom many were waiting for: a batch's worth."""


class Notifying:
    """Decides whom each suggestion is told to, once, and queues the deliveries."""

    def __init__(
        self, *, store: NotifierStore, pacing: Pacing, clock: Clock, queued: Sequence[Callable[[], None]]
    ) -> None:
        self._ambassadors = store.ambassadors
        self._contacts = store.contacts
        self._suggestions = store.suggestions
        self._deliveries = store.deliveries
        self._letters = store.letters
        self._sessions = store.sessions
        self._pacing = pacing
        self._clock = clock
        self._queued = queued
        self._log = logs.get()

    async def tell(
        self,
        made: Sequence[SuggestionMade],
        lapsed: Sequence[SuggestionLapsed],
        erased: Sequence[tuple[UUID, int | None]],
        traces: Mapping[UUID, str | None],
    ) -> None:
        """Take new states of suggestions, each id at most once, with trace contexts. May be repeated at any time."""
        await self._suggestions.put_made(made, traces)
        await self._suggestions.put_lapsed(lapsed)
        for suggestion_id, rev in erased:
            await self._suggestions.erase(suggestion_id, rev)
        ids = [event.suggestion_id for event in made] + [event.suggestion_id for event in lapsed]
        await self.settle(ids + [suggestion_id for suggestion_id, _ in erased])

    async def publish(self, people: Sequence[AmbassadorPublished]) -> None:
        """Take ambassadors and desks; tell them what waited for somebody like them, and nothing else of the past."""
        if not people:
            return
        await self._ambassadors.put(people)
        await self._pacing.keep_pace([person.key for person in people])
        await self._settle_waiting({person.cluster for person in people})

    async def publish_contacts(self, contacts: Sequence[ContactPublished]) -> None:
        """Take whom of each member to write to when it is introduced."""
        await self._contacts.put(contacts)

    async def forget_contact(self, key: MemberKey, rev: int | None) -> None:
        """Erase whom of a member to write to."""
        await self._contacts.erase(key, rev)

    async def forget(self, key: AmbassadorKey, rev: int | None) -> None:
        """Erase a person: contact, name, deliveries, acts. What they alone knew of is told to somebody else."""
        if await self._ambassadors.erase(key, rev):
            await self._forget_everywhere(key)

    async def _forget_everywhere(self, key: AmbassadorKey) -> None:
        await self._suggestions.forget_ambassador(str(key))
        await self._deliveries.forget_ambassador(str(key))
        await self._letters.forget_ambassador(str(key))
        await self._sessions.forget(str(key))
        # Not only what was just taken from them: a crash may have come between that and its consequences.
        await self._settle_waiting({key.cluster})

    async def _settle_waiting(self, clusters: Iterable[str]) -> None:
        for chunk in _chunks(await self._suggestions.waiting_for_somebody(clusters), _CHUNK):
            await self.settle(chunk)

    async def settle(self, ids: Sequence[UUID]) -> None:
        """Make the consequences of what is stored under `ids`; again for those that change meanwhile."""
        again = list(ids)
        while again:
            kept = await self._route(await self._suggestions.load(again))
            await self._consequences(kept)
            again = await self._suggestions.settled([one for one in kept if not _unrouted(one)])
        for wake in self._queued:
            wake()

    async def _route(self, kept: Sequence[Kept]) -> list[Kept]:
        """Decide whom the undecided are told to; return all, with the decisions that stand."""
        undecided = [one for one in kept if _unrouted(one)]
        people = await self._ambassadors.of_clusters({cluster for one in undecided for cluster in _clusters(one)})
        relays = [self._relay(person) for person in people.values()]
        decisions = [(one, [_told(r, people, one) for r in _recipients(one, relays, people)]) for one in undecided]
        now, certain = self._clock(), [(one, told) for one, told in decisions if told]
        decided = await self._suggestions.decide(certain, now=now, look_at=next_chase(now, now))
        for one, told in decisions:
            if not told:
                self._log.warning("unrouted", suggestion_id=str(one.suggestion_id), revision=one.revision)
        by_id = {one.suggestion_id: one for one in decided}
        return [by_id.get(one.suggestion_id, one) for one in kept]

    def _relay(self, person: AmbassadorPublished) -> Relay:
        absence = absence_on(person.absences, self._pacing.today(person))
        deputy = absence.deputy if absence else None
        return Relay(
            person.cluster,
            person.ambassador_id,
            person.city,
            away=absence is not None,
            deputy=deputy,
            concerns=person.concerns,
        )

    async def _consequences(self, kept: Sequence[Kept]) -> None:
        now = self._clock()
        standing = [one for one in kept if not one.erased and one.lapsed is None]
        rows = await self._pacing.plan([row for one in standing for row in _rows(one)])
        new = await self._deliveries.add(rows, now=now)
        _measure_stored(new, self._clock())
        await self._deliveries.follow(
            standing=[(one.suggestion_id, one.revision) for one in standing],
            lapsed=[one.suggestion_id for one in kept if one.lapsed is not None],
            erased=[one.suggestion_id for one in kept if one.erased],
            now=now,
        )
        await self._pacing.settle(rows)
        await self._forget_the_gone(standing)

    async def _forget_the_gone(self, standing: Sequence[Kept]) -> None:
        """Somebody may have been erased between our reading of them and our rows for them."""
        told = {AmbassadorKey.decode(t.ambassador.encode()) for one in standing for t in one.told or ()}
        known = await self._ambassadors.known(told) if told else {}
        for key in told:
            if str(key) not in known:
                await self._forget_everywhere(key)


def _measure_stored(rows: Sequence[Row], now: datetime) -> None:
    """Tell metrics and traces of what is in an inbox by being stored."""
    for row in rows:
        if row.channel is Channel.INBOX:
            with tracing.part("deliver inbox", parent=row.traceparent, attributes=row.about):
                metrics.DELIVERIES.labels(row.channel, "delivered").inc()
            metrics.told(row.channel, posted_at=row.posted_at, made_at=row.made_at, at=now)


def _unrouted(kept: Kept) -> bool:
    return kept.made is not None and kept.lapsed is None and kept.told is None


def _clusters(kept: Kept) -> tuple[str, ...]:
    return (kept.made.request.party.cluster, kept.made.offer.party.cluster) if kept.made else ()


def _recipients(kept: Kept, relays: Sequence[Relay], people: Mapping[str, Person]) -> Sequence[Recipient]:
    if kept.made is None:
        return ()
    seats = (seat_of(kept.made.request.party), seat_of(kept.made.offer.party))
    chosen = recipients(*seats, relays, Subject.of(kept.made))
    taken = taken_by(kept.acts, kept.revision)
    holder = None if taken is None else people.get(taken.ambassador)
    if holder is None or any(
        one.ambassador_id == holder.ambassador_id for one in chosen if one.cluster == holder.cluster
    ):
        return chosen
    # It stays theirs whoever else looks after it now: for the others it is in other hands.
    return (*chosen, Recipient(holder.cluster, holder.ambassador_id, leads=not chosen))


def _told(recipient: Recipient, people: Mapping[str, Person], kept: Kept) -> Told:
    alerts = kept.made is not None and kept.made.alerts
    key = AmbassadorKey(cluster=recipient.cluster, ambassador_id=recipient.ambassador_id)
    person = people[str(key)]
    return Told(ambassador=str(key), leads=recipient.leads, channels=channels_of(person, alerts=alerts))


def channels_of(person: Person, *, alerts: bool) -> tuple[Channel, ...]:
    """Return by which channels somebody is told; where nobody is to be alerted, by the inbox alone.

    What is told by chat is an e-mail until it is sent: it has the hours of e-mails, and may be in one with others. A
    way that is turned off is none: what it would have told goes by another one that works, and is in the inbox.
    """
    mail = alerts and bool(person.works & {Way.EMAIL, Way.CHAT})
    webhook = alerts and Way.WEBHOOK in person.works
    return (Channel.INBOX, *([Channel.EMAIL] if mail else []), *([Channel.WEBHOOK] if webhook else []))


def _rows(kept: Kept) -> list[Row]:
    if kept.made is None:
        return []
    return [row_of(kept, told, Channel(name)) for told in kept.told or () for name in told.channels]


def row_of(kept: Kept, told: Told, channel: Channel, *, number: int = 0) -> Row:
    """Return the row by which somebody is told, or told once more (`number`), of a suggestion that is not erased."""
    if kept.made is None:
        raise ValueError("nobody is told of what was erased")
    return Row(
        notification_id=notification_id(kept.suggestion_id, kept.revision, told.ambassador, channel, number),
        suggestion_id=kept.suggestion_id,
        revision=kept.revision,
        ambassador=told.ambassador,
        channel=channel,
        number=number,
        made_at=kept.made.made_at,
        score=kept.made.score - number,  # what is told for the first time comes before
        deadline=kept.made.request.deadline,
        posted_at=kept.made.posted_at,
        traceparent=kept.traceparent,
    )


def _chunks(ids: Sequence[UUID], size: int) -> Iterable[list[UUID]]:
    rest = iter(ids)
    while chunk := list(islice(rest, size)):
        yield chunk
