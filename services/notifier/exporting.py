"""All that is kept of one ambassador, for that ambassador (law 09-08, article 7; GDPR, articles 15 and 20).

Piece by piece, as it comes from the store: whoever was told of very much is given it all, and it fills nobody's memory.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import AnyUrl, BaseModel

from schemas.feedback import Side
from services.notifier.composing import Composing, colleagues_among, key_of, told_to
from services.notifier.domain.acts import Given
from services.notifier.domain.described import described, moment
from services.notifier.domain.introduction import Introduction, introduction
from services.notifier.domain.preferences import Person
from services.notifier.domain.presentation import card
from services.notifier.domain.standing import standing
from services.notifier.store import Kept, NotifierStore, Row
from services.runtime.clock import Clock

FORMAT: Final = "maillage.export.v1"

_AT_ONCE: Final = 50
"""Suggestions for which people are looked up together."""


class Exporting:
    """Reads all that is kept of a person. What others see on pages of theirs alone is theirs, and not in it."""

    def __init__(self, *, store: NotifierStore, composing: Composing, clock: Clock) -> None:
        self._ambassadors = store.ambassadors
        self._suggestions = store.suggestions
        self._deliveries = store.deliveries
        self._sessions = store.sessions
        self._composing = composing
        self._clock = clock

    async def head(self, person: Person) -> dict[str, Any]:
        """Return who it is, as their cluster says and as they have set themselves. Secrets are left out."""
        profile = await self._ambassadors.profile(person.key)
        return {
            "format": FORMAT,
            "exported_at": moment(self._clock()),
            "profile": _open(profile) if profile else {},
            "preferences": _open(await self._ambassadors.preferences(person.key)),
            "channels_off": {
                way: {"since": moment(off.since), "reason": off.reason} for way, off in person.off.items()
            },
            "test_messages": {way: moment(at) for way, at in (await self._ambassadors.tests(person.key)).items()},
            "sessions": [
                {"begun_at": moment(one.begun_at), "last_used_at": moment(one.seen_at)}
                for one in await self._sessions.of(str(person.key))
            ],
        }

    async def suggestions(self, person: Person) -> AsyncIterator[dict[str, Any]]:
        """Yield each suggestion that they are or were told of, as the page shows it, with what they did."""
        some: list[tuple[Kept, datetime | None]] = []
        async for one in self._suggestions.concerning(str(person.key)):
            some.append(one)
            if len(some) == _AT_ONCE:
                async for said in self._some(person, some):
                    yield said
                some.clear()
        async for said in self._some(person, some):
            yield said

    async def deliveries(self, person: Person) -> AsyncIterator[dict[str, Any]]:
        """Yield each message to them, or to a member in their name: when, how, and what became of it."""
        async for row in self._deliveries.of_ambassador(str(person.key)):
            yield _delivery(row)

    async def _some(
        self, person: Person, some: Iterable[tuple[Kept, datetime | None]]
    ) -> AsyncIterator[dict[str, Any]]:
        others = {told.ambassador for kept, _ in some for told in kept.told or () if told.ambassador != str(person.key)}
        people = await self._ambassadors.known(key_of(one) for one in others)
        for kept, opened in some:
            yield await self._suggestion(person, people, kept, opened)

    async def _suggestion(
        self, person: Person, people: Mapping[str, Person], kept: Kept, opened: datetime | None
    ) -> dict[str, Any]:
        who = str(person.key)
        own = {
            "suggestion_id": str(kept.suggestion_id),
            "revision": kept.revision,
            "opened_at": moment(opened),
            "acts": [_act(given) for given in kept.acts if given.ambassador == who],
        }
        told, introduced = told_to(kept, who), introduction(kept.acts)
        if told is None or kept.made is None:  # it is told to others by now: its texts are theirs
            return own
        return {
            **own,
            "made_at": moment(kept.made.made_at),
            "told_at": moment(kept.told_at),
            "lapsed": kept.lapsed,
            "standing": standing(kept.acts, ambassador=who, revision=kept.revision, lapsed=kept.lapsed is not None),
            "leads": told.leads,
            "channels": list(told.channels),
            "told_with": [
                {"name": one.name, "city": one.city_name, "leads": one.leads}
                for one in colleagues_among(people, kept, who)
            ],
            "introduction": await self._introduction(kept, introduced) if introduced else None,
            **described(card(kept.made, now=self._clock())),
        }

    async def _introduction(self, kept: Kept, introduced: Introduction) -> dict[str, Any]:
        met = await self._composing.met(kept, introduced)
        contacts = {side.value: {"name": who.name, "email": who.email, "phone": who.phone} for side, who in met.items()}
        return {
            "at": moment(introduced.at),
            "phase": introduced.phase,
            "answers": {side.value: introduced.answers[side] for side in Side},
            "result": introduced.result,
            "contacts": contacts,
        }


def _act(given: Given) -> dict[str, Any]:
    return {
        "act": given.act,
        "at": moment(given.at),
        "revision": given.revision,
        "reason": given.reason,
        "result": given.result,
    }


def _delivery(row: Row) -> dict[str, Any]:
    return {
        "notification_id": str(row.notification_id),
        "suggestion_id": str(row.suggestion_id) if row.suggestion_id else None,
        "revision": row.revision or None,
        "channel": row.channel,
        "chat": row.by_chat,
        "purpose": row.purpose or row.errand or row.matter,
        "to": row.side or "you",
        "state": row.state,
        "due": moment(row.due),
        "ended_at": moment(row.ended_at),
        "attempts": row.attempts,
        "reason": row.reason,
        "bounced_at": moment(row.bounced_at),
    }


def _open(said: BaseModel) -> dict[str, Any]:
    """Return what a model says but secrets: those that it does not show when it is printed, and those in addresses."""
    written: dict[str, Any] = said.model_dump(mode="json")
    for name, field in type(said).model_fields.items():
        value = getattr(said, name)
        if not field.repr:
            written.pop(name, None)
        elif isinstance(value, BaseModel):
            written[name] = _open(value)
        elif isinstance(value, AnyUrl):
            written[name] = _address(str(value))
    return written


def _address(url: str) -> str:
    """Return where an address leads, without who one is there: a login before the host, a token in the query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
