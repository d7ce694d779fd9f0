"""Introductions: what is due of them is done when the store says so, and what both sides answer is kept once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from schemas.contacts import ContactPublished
from schemas.feedback import Act, Side
from schemas.notifications import Channel
from schemas.suggestions import SuggestionMade
from services.notifier.channels import Introducer
from services.notifier.composing import Composing, introducer, key_of
from services.notifier.domain.acts import Given
from services.notifier.domain.introduction import (
    Introduction,
    Post,
    due_posts,
    introduction,
    next_step,
    open_answers,
    other,
    silent,
)
from services.notifier.store import Kept, NotifierStore, Row
from services.notifier.store.deliveries import post_id
from services.runtime import logs
from services.runtime.clock import Clock
from services.runtime.outcome import describe
from services.runtime.store import StoreError

LATER: Final = timedelta(minutes=5)
"""When to look again at what could not be done."""

_AT_ONCE: Final = 100
"""Introductions looked at in one go."""


@dataclass(frozen=True, slots=True)
class Invited:
    """What a side sees of its introduction.

    Attributes:
        contact: whom of the other side to write to; none until both have accepted, or when there is nobody any more.
        mine: the reader's own contact.
    """

    side: Side
    suggestion: SuggestionMade
    introduced: Introduction
    introducer: Introducer
    mine: ContactPublished
    contact: ContactPublished | None
    may: frozenset[Act]


class Introducing:
    """Sends what is due of introductions, shows them to their sides, and stores the answers."""

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
        self._log = logs.get()

    async def take_steps(self) -> None:
        """Make all steps that are due: letters, reminders, the end of waiting. What a time away left over is one step.

        Raises:
            StoreError: the store is away. Call again.
        """
        while due := await self._suggestions.with_due_steps(self._clock(), _AT_ONCE):
            for kept in due:
                try:
                    await self._step(kept)
                except StoreError:
                    raise
                except Exception as error:  # a fault of ours with one must not keep all others waiting
                    self._log.warning("step_not_made", suggestion_id=str(kept.suggestion_id), error=describe(error))
                    await self._suggestions.stepped(kept, next_at=self._clock() + LATER)

    async def count_due(self) -> int:
        """Return how many introductions have a step due."""
        return await self._suggestions.count_due_steps(self._clock())

    async def shown(self, suggestion_id: UUID, rev: int, side: Side) -> Invited | None:
        """Return what a side sees of the introduction that was made by the act `rev`; none when it is gone."""
        kept = await self._suggestions.get(suggestion_id)
        introduced = introduction(kept.acts) if kept else None
        if kept is None or kept.made is None or introduced is None or introduced.rev != rev:
            return None
        person = await self._ambassadors.get(key_of(introduced.by))
        contacts = await self._composing.contacts(kept)
        if person is None or side not in contacts:
            return None
        return Invited(
            side=side,
            suggestion=kept.made,
            introduced=introduced,
            introducer=introducer(kept.made, person),
            mine=contacts[side],
            contact=contacts.get(other(side)) if introduced.met else None,
            may=open_answers(introduced, side),
        )

    async def answer(self, suggestion_id: UUID, rev: int, side: Side, act: Act) -> None:
        """Store what a side answers, unless it has answered, or it is too late."""
        while (kept := await self._suggestions.get(suggestion_id)) is not None:
            introduced = introduction(kept.acts)
            if introduced is None or introduced.rev != rev or act not in open_answers(introduced, side):
                return
            if await self._say(kept, introduced, side, act):
                return

    async def _step(self, kept: Kept) -> None:
        introduced, now = introduction(kept.acts), self._clock()
        if introduced is None or kept.made is None:
            await self._suggestions.stepped(kept, next_at=None)
            return
        if sides := silent(introduced, now):
            await self._say(kept, introduced, sides[0], Act.DECLINED, silent=True)  # it is due again at once
            return
        rows = [_row(kept, introduced, post, now) for post in due_posts(introduced, now)]
        if await self._deliveries.add(rows, now=now):
            self._queued()
        await self._suggestions.stepped(kept, next_at=next_step(introduced, now))

    async def _say(self, kept: Kept, introduced: Introduction, side: Side, act: Act, *, silent: bool = False) -> bool:
        given = Given(
            rev=kept.acts_given + 1,
            revision=kept.revision,
            ambassador=introduced.by,
            act=act,
            reason=None,
            at=self._clock(),
            side=side,
            silent=silent,
        )
        stored = await self._suggestions.add_act(kept, given)
        if stored:
            self._acted()
        return stored


def _row(kept: Kept, introduced: Introduction, post: Post, now: datetime) -> Row:
    return Row(
        notification_id=post_id(kept.suggestion_id, introduced.rev, post),
        suggestion_id=kept.suggestion_id,
        revision=introduced.revision,
        ambassador=introduced.by,
        channel=Channel.EMAIL,
        made_at=now,
        purpose=post.purpose,
        side=post.side,
        number=post.number,
        traceparent=kept.traceparent,
    )
