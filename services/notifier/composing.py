"""What a person is told, put together at the moment of sending from what is so at that moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from schemas.ambassadors import AmbassadorKey
from schemas.contacts import ContactPublished
from schemas.feedback import Side
from schemas.members import MemberKind
from schemas.suggestions import SuggestionMade
from services.notifier.address import Invited, Tokens
from services.notifier.channels import (
    Colleague,
    Introducer,
    Invitation,
    Item,
    Message,
    Notice,
    Outgoing,
    UnreachableError,
    Unreached,
    WayIn,
)
from services.notifier.domain.entrance import Errand
from services.notifier.domain.introduction import (
    Introduction,
    Post,
    Purpose,
    introduction,
    other,
    party_of,
    stands,
)
from services.notifier.domain.preferences import Person
from services.notifier.domain.reaching import Matter
from services.notifier.domain.standing import Standing, standing
from services.notifier.store import Kept, NotifierStore, Row, Told, Way
from services.notifier.store.rows import State
from services.runtime.clock import Clock
from services.web.entrance import LINK_LASTS


class UnwantedError(Exception):
    """Whoever is to be told has asked not to be, or is not reached by this channel any more."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was known at one moment of what some rows deliver.

    Attributes:
        people: ambassadors, by key as text.
        in_letters: of each letter about several suggestions, the rows that are in it, in their order.
    """

    people: Mapping[str, Person]
    suggestions: Mapping[UUID, Kept]
    in_letters: Mapping[UUID, Sequence[Row]]


class Composing:
    """Looks up the suggestion, its reader, the reader's colleagues, the contacts of its two sides."""

    def __init__(self, *, store: NotifierStore, tokens: Tokens, base: str, clock: Clock) -> None:
        self._ambassadors = store.ambassadors
        self._contacts = store.contacts
        self._suggestions = store.suggestions
        self._deliveries = store.deliveries
        self._sessions = store.sessions
        self._tokens = tokens
        self._base = base
        self._clock = clock

    async def look_up(self, rows: Sequence[Row]) -> Known:
        """Return what is known now of what these rows deliver, and of whom they are about: few questions for all."""
        alone = [row for row in rows if row.purpose is None and row.errand is None and row.matter is None]
        letters = [_letter(row) for row in alone if row.suggestion_id is None]
        in_letters = await self._deliveries.in_letters(letters)
        told = [*rows, *(row for letter in in_letters.values() for row in letter)]
        suggestions = await self._suggestions.load({row.suggestion_id for row in told if row.suggestion_id})
        names = {name for row in rows for name in (row.ambassador, row.concerns) if name is not None}
        names |= {who.ambassador for one in suggestions for who in one.told or ()}
        people = await self._ambassadors.known([key_of(name) for name in names])
        return Known(people, {one.suggestion_id: one for one in suggestions}, in_letters)

    async def message(self, row: Row, known: Known) -> Outgoing | None:
        """Return what `row` delivers; none when there is nothing to tell, or nobody, any more.

        Raises:
            UnwantedError: its reader wants no e-mails, or no way that it could go works.
            UnreachableError: it is not known now whom to write to.
        """
        person = known.people.get(row.ambassador)
        if person is None:
            return None
        if row.errand is Errand.SIGN_IN:
            return await self._way_in(row, person)
        if row.matter is Matter.TEST:
            return self._notice(row, person, None)
        # A letter to a side of an introduction goes to somebody else.
        if row.side is None and row.way not in person.works and not self.ways(row, known) & person.works:
            raise UnwantedError
        if row.matter is Matter.WARNING:
            unreached = _unreached(row, known)
            return self._notice(row, person, unreached) if unreached else None
        kept = known.suggestions.get(row.suggestion_id) if row.suggestion_id else None
        if row.purpose is not None:
            return await self._invitation(row, row.purpose, person, kept)
        rows = [row] if row.suggestion_id else known.in_letters.get(_letter(row), ())
        rows = [one for one in rows if one.state is State.IN_LETTER or one is row or row.beside]
        found = [self._item(one, known, person) for one in rows]
        items = [item for item in found if item is not None]
        if not items:
            return None
        return Message(
            notification_id=row.notification_id,
            to=person,
            items=tuple(items),
            link=items[0].link if len(items) == 1 else self._letter_link(person, _letter(row)),
            unsubscribe=f"{self._base}/unsubscribe/{self._tokens.unsubscribe(person.key)}",
            preferences=f"{self._home(person)}/preferences",
            now=self._clock(),
        )

    async def _way_in(self, row: Row, person: Person) -> WayIn | None:
        """Return the letter with a link, as long as that is good and the address is the one it was asked for."""
        link = await self._sessions.link(row.notification_id, now=self._clock())
        if link is None or person.email is None or self._tokens.mark("address", person.email) != link.address:
            return None
        return WayIn(
            notification_id=row.notification_id,
            to=person,
            link=f"{self._base}/sign-in/{self._tokens.sign_in(link.link_id)}",
            minutes=int(LINK_LASTS.total_seconds() // 60),
            now=self._clock(),
        )

    def _notice(self, row: Row, person: Person, unreached: Unreached | None) -> Notice:
        page = "preferences" if unreached is None else "desk"
        return Notice(
            notification_id=row.notification_id,
            to=person,
            matter=Matter.TEST if unreached is None else Matter.WARNING,
            unreached=unreached,
            at=row.made_at,
            link=f"{self._home(person)}/{page}",
            now=self._clock(),
        )

    def ways(self, row: Row, known: Known) -> frozenset[Way]:
        """Return how what `row` delivers is sent now. Somebody may be told by e-mail, by chat, or by both.

        What one of the two was to tell goes by the other when that is all that works. A warning goes by one of them.
        """
        person = known.people.get(row.ambassador)
        alone = row.purpose or row.errand or row.matter is Matter.TEST or row.beside
        if person is None or alone or row.way is Way.WEBHOOK:
            return frozenset({row.way})
        works = person.works & {Way.EMAIL, Way.CHAT}
        one = (row.by_chat or row.matter is not None) and row.way in works
        return frozenset({row.way}) if one else works or frozenset({row.way})

    def _item(self, row: Row, known: Known, person: Person) -> Item | None:
        kept = known.suggestions.get(row.suggestion_id) if row.suggestion_id else None
        if kept is None or kept.made is None or kept.lapsed is not None or kept.revision != row.revision:
            return None
        mine = told_to(kept, row.ambassador)
        if mine is None or (row.number and not _untouched(kept, row.ambassador)):
            return None
        colleagues = colleagues_among(known.people, kept, row.ambassador)
        return Item(
            row=row.notification_id,
            suggestion=kept.made,
            leads=mine.leads,
            colleagues=colleagues,
            link=self.link(person, kept.suggestion_id),
            stands_in=mine.stands_in,
            passed_by=next((who for who in colleagues if who.ambassador == mine.passed_by), None),
            told_at=kept.told_at if row.number else None,
        )

    async def _invitation(self, row: Row, purpose: Purpose, person: Person, kept: Kept | None) -> Invitation | None:
        introduced = introduction(kept.acts) if kept else None
        if kept is None or kept.made is None or introduced is None:
            return None
        withdrawn = kept.lapsed is not None and purpose is Purpose.REMIND
        if withdrawn or not stands(introduced, Post(purpose, row.side, row.number), self._clock()):
            return None
        to: Person | ContactPublished = person
        mine, met = self.link(person, kept.suggestion_id), await self.met(kept, introduced)
        if row.side is not None:
            known = met if purpose is Purpose.MET else await self.contacts(kept)
            if row.side not in known:
                raise UnreachableError("the member has named nobody to write to, or somebody else than who accepted")
            to = known[row.side]
            mine = self._answer_link(kept, introduced, row.side, known[row.side])
        return Invitation(
            notification_id=row.notification_id,
            to=to,
            purpose=purpose,
            side=row.side,
            suggestion=kept.made,
            introducer=introducer(kept.made, person),
            introduced_at=introduced.at,
            contact=met.get(other(row.side)) if row.side else None,
            link=mine,
            now=self._clock(),
        )

    async def contacts(self, kept: Kept) -> dict[Side, ContactPublished]:
        """Return whom of each side to write to, as far as somebody is known."""
        if kept.made is None:
            return {}
        keys = {side: party_of(kept.made, side).key for side in Side}
        known = await self._contacts.known(keys.values())
        return {side: known[str(key)] for side, key in keys.items() if str(key) in known}

    def person(self, contact: ContactPublished) -> str:
        """Return what tells one contact of a member from the next."""
        return self._tokens.person(contact)

    async def met(self, kept: Kept, introduced: Introduction) -> dict[Side, ContactPublished]:
        """Return who may be told of whom: once both have accepted, those who did, as far as they are still there."""
        if not introduced.met:
            return {}
        contacts = await self.contacts(kept)
        return {side: who for side, who in contacts.items() if introduced.accepted_by.get(side) == self.person(who)}

    async def colleagues(self, kept: Kept, ambassador: str) -> tuple[Colleague, ...]:
        """Return who else is told, the one who leads first."""
        others = [told.ambassador for told in kept.told or () if told.ambassador != ambassador]
        people = await self._ambassadors.known([key_of(other) for other in others])
        return colleagues_among(people, kept, ambassador)

    def link(self, person: Person, suggestion_id: UUID) -> str:
        """Return the private address of a suggestion in somebody's inbox."""
        return f"{self._home(person)}/s/{suggestion_id}"

    def _home(self, person: Person) -> str:
        return f"{self._base}/inbox/{self._tokens.inbox(person.key, person.epoch)}"

    def _answer_link(self, kept: Kept, introduced: Introduction, side: Side, contact: ContactPublished) -> str:
        """Return the private address at which somebody answers for a side."""
        invited = Invited(kept.suggestion_id, introduced.rev, side, self.person(contact))
        return f"{self._base}/introduction/{self._tokens.answering(invited)}"

    def _letter_link(self, person: Person, letter: UUID) -> str:
        """Return the private address of just what a letter tells."""
        return f"{self._home(person)}/l/{letter}"


def _letter(row: Row) -> UUID:
    return row.beside or row.notification_id


def _unreached(row: Row, known: Known) -> Unreached | None:
    """Return whom a warning is about; none when they are gone, or reached again."""
    person = known.people.get(row.concerns) if row.concerns else None
    if person is None or row.concerns_way is None:
        return None
    off = person.off.get(row.concerns_way)
    if off is None or off.since != row.made_at:
        return None
    return Unreached(person.name, row.concerns_way, off, person.inbox_alone)


def told_to(kept: Kept, ambassador: str) -> Told | None:
    """Return how `ambassador` is told of a suggestion; none when they are not."""
    return next((told for told in kept.told or () if told.ambassador == ambassador), None)


def colleagues_among(people: Mapping[str, Person], kept: Kept, ambassador: str) -> tuple[Colleague, ...]:
    """Return who of `people`, by key as text, is told of a suggestion besides `ambassador`, who leads first."""
    if kept.made is None:
        return ()
    return tuple(
        Colleague(
            ambassador=told.ambassador,
            name=people[told.ambassador].name,
            city_name=city_name(kept.made, people[told.ambassador]),
            leads=told.leads,
        )
        for told in kept.told or ()
        if told.ambassador != ambassador and told.ambassador in people
    )


def _untouched(kept: Kept, ambassador: str) -> bool:
    where = standing(kept.acts, ambassador=ambassador, revision=kept.revision, lapsed=kept.lapsed is not None)
    return where is Standing.OPEN


def introducer(suggestion: SuggestionMade, person: Person) -> Introducer:
    """Return what both sides are told of who introduces them."""
    # An answer goes to an address that every mail server takes, or to nobody: a part beyond ASCII would be encoded.
    answers_to = person.email if person.email and person.email.rpartition("@")[0].isascii() else None
    return Introducer(person.name, city_name(suggestion, person), answers_to)


def key_of(ambassador: str) -> AmbassadorKey:
    """Return the key that rows and suggestions keep as text."""
    return AmbassadorKey.decode(ambassador.encode())


def city_name(suggestion: SuggestionMade, person: Person) -> str:
    """Return the name of a person's city as the suggestion tells it; empty for a desk."""
    for party in (suggestion.offer.party, suggestion.request.party):
        if party.kind is MemberKind.INNOVATION_CITY and party.member_id == person.city:
            return party.name
        if party.city is not None and party.city == person.city:
            return party.city_name
    return ""
