"""Introductions: letters to both sides, what they answer, and what follows from it, each once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from schemas.contacts import ContactPublished
from schemas.feedback import Act, Side
from schemas.notifications import Channel
from schemas.suggestions import SuggestionMade
from services.notifier.address import Invited
from services.notifier.channels import Introducer
from services.notifier.composing import Composing, introducer, key_of
from services.notifier.domain.acts import Given
from services.notifier.domain.introduction import (
    LINKS_END_AFTER,
    Introduction,
    Post,
    Purpose,
    due_posts,
    introduction,
    next_step,
    open_answers,
    other,
    party_of,
    silent,
)
from services.notifier.store import Kept, NotifierStore, Row
from services.notifier.store.rows import State, post_id
from services.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Shown:
    """What a side sees of its introduction.

    Attributes:
        language: of who reads it.
        contact: whom of the other side to write to; none until both have accepted, or when whoever accepted is gone.
    """

    side: Side
    suggestion: SuggestionMade
    introduced: Introduction
    introducer: Introducer
    language: str
    contact: ContactPublished | None
    may: frozenset[Act]


class Introducing:
    """Makes the steps that are due of an introduction, shows it to its sides, and stores the answers."""

    def __init__(
        self,
        *,
        store: NotifierStore,
        composing: Composing,
        clock: Clock,
        queued: Callable[[], None],
        acted: Callable[[], None],
    ) -> None:
        """`queued` is called when a letter is due, `acted` when somebody did something."""
        self._ambassadors = store.ambassadors
        self._suggestions = store.suggestions
        self._deliveries = store.deliveries
        self._composing = composing
        self._clock = clock
        self._queued = queued
        self._acted = acted

    async def shown(self, invited: Invited) -> Shown | None:
        """Return what somebody sees of an introduction; none when it is gone, over, or another one answers now."""
        kept = await self._suggestions.get(invited.suggestion_id)
        introduced = introduction(kept.acts) if kept else None
        if kept is None or kept.made is None or introduced is None or introduced.rev != invited.rev:
            return None
        person = await self._ambassadors.get(key_of(introduced.by))
        mine = (await self._composing.contacts(kept)).get(invited.side)
        ended = self._clock() >= introduced.at + LINKS_END_AFTER
        if person is None or mine is None or self._composing.person(mine) != invited.person or ended:
            return None
        met = await self._composing.met(kept, introduced)
        return Shown(
            side=invited.side,
            suggestion=kept.made,
            introduced=introduced,
            introducer=introducer(kept.made, person),
            language=mine.language,
            contact=met.get(other(invited.side)) if invited.side in met else None,
            may=open_answers(introduced, invited.side),
        )

    async def answer(self, invited: Invited, act: Act) -> None:
        """Store what a side answers, unless it has answered, or it is too late."""
        while (kept := await self._suggestions.get(invited.suggestion_id)) is not None:
            introduced = introduction(kept.acts)
            if introduced is None or introduced.rev != invited.rev or act not in open_answers(introduced, invited.side):
                return
            if await self._say(kept, introduced, invited.side, act, person=invited.person):
                return

    async def step(self, kept: Kept, introduced: Introduction) -> bool:
        """Make what is due of one introduction, and note when more will be; return whether to look again at once.

        Repeated after a crash, it does no harm.
        """
        now = self._clock()
        contacts = await self._composing.contacts(kept)
        people = {side: self._composing.person(contact) for side, contact in contacts.items()}
        written_at = await self._written_at(kept, introduced, people)
        if sides := silent(introduced, written_at, now):
            await self._say(kept, introduced, sides[0], Act.DECLINED, silent=True)
            return True
        rows = [_row(kept, introduced, post, people) for post in due_posts(introduced, now)]
        if await self._deliveries.add(rows, now=now):
            self._queued()
        if not await self._suggestions.stepped(kept, next_at=next_step(introduced, written_at, now)):
            await self._take_back(rows)
        return False

    async def _written_at(
        self, kept: Kept, introduced: Introduction, people: Mapping[Side, str]
    ) -> dict[Side, datetime]:
        """Return when the contact of each side got its first letter; whoever answered before them does not count."""
        asked = {_id(kept, introduced, Post(Purpose.ASK, side), people): side for side in people}
        rows = {row.notification_id: row for row in await self._deliveries.about_introduction(kept.suggestion_id)}
        found = {side: rows[one] for one, side in asked.items() if one in rows}
        return {
            side: row.ended_at
            for side, row in found.items()
            if row.state is State.DELIVERED and row.ended_at is not None
        }

    async def _take_back(self, rows: Sequence[Row]) -> None:
        """The suggestion or its ambassador may have been erased between our reading and our rows for them."""
        for row in rows[:1]:
            kept = await self._suggestions.get(row.suggestion_id) if row.suggestion_id else None
            introduced = introduction(kept.acts) if kept else None
            if introduced is None or introduced.by != row.ambassador:
                await self._deliveries.remove([row.notification_id for row in rows])

    async def _say(
        self,
        kept: Kept,
        introduced: Introduction,
        side: Side,
        act: Act,
        *,
        silent: bool = False,
        person: str | None = None,
    ) -> bool:
        given = Given(
            rev=kept.acts_given + 1,
            revision=kept.revision,
            ambassador=introduced.by,
            act=act,
            reason=None,
            at=self._clock(),
            side=side,
            silent=silent,
            person=person if act is Act.ACCEPTED else None,
        )
        stored = await self._suggestions.add_act(kept, given)
        if stored:
            self._acted()
        return stored


def _id(kept: Kept, introduced: Introduction, post: Post, people: Mapping[Side, str]) -> UUID:
    person = people.get(post.side, "") if post.side else ""
    return post_id(kept.suggestion_id, introduced.rev, post, person)


def _row(kept: Kept, introduced: Introduction, post: Post, people: Mapping[Side, str]) -> Row:
    member = party_of(kept.made, post.side).key if kept.made and post.side else None
    return Row(
        notification_id=_id(kept, introduced, post, people),
        suggestion_id=kept.suggestion_id,
        revision=introduced.revision,
        ambassador=introduced.by,
        channel=Channel.EMAIL,
        made_at=introduced.at,
        state=State.TO_INVITE,
        purpose=post.purpose,
        side=post.side,
        receiver=introduced.by if member is None else str(member),
        number=post.number,
        traceparent=kept.traceparent,
    )
