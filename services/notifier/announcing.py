"""What became of deliveries, and what ambassadors did, onto the log: from the store, until the broker has confirmed."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from schemas.feedback import FeedbackGiven
from schemas.ids import derived_id
from schemas.members import MemberRef
from schemas.notifications import NotificationDelivered, NotificationFailed
from schemas.suggestions import SuggestionMade
from schemas.topics import FEEDBACK, NOTIFICATIONS
from services.notifier.composing import key_of
from services.notifier.domain.acts import Given
from services.notifier.store import Kept, NotifierStore, Row
from services.notifier.store.rows import State
from services.runtime.clock import Clock
from services.runtime.publishing import Publisher

_AT_ONCE: Final = 100
"""Events sent without waiting for one another: as many as a broker confirms in one round trip."""


class Announcing:
    """Publishes what the store says is not on the log yet. An event keeps its id however often it is sent."""

    def __init__(self, *, store: NotifierStore, publisher: Publisher, clock: Clock) -> None:
        self._store = store
        self._deliveries = store.deliveries
        self._suggestions = store.suggestions
        self._publisher = publisher
        self._clock = clock

    async def announce(self) -> None:
        """Publish all that waits.

        Raises:
            BrokerUnavailableError: not confirmed in time; what was not noted as announced is sent again.
        """
        while kept := await self._suggestions.with_unannounced_acts(_AT_ONCE, now=self._clock()):
            await asyncio.gather(*(self._acts(one) for one in kept))
        while rows := await self._deliveries.unannounced(_AT_ONCE):
            await asyncio.gather(*(self._ended(row) for row in rows))
            await self._deliveries.announced(rows)

    async def announce_again(self) -> None:
        """The log is another one: everything this service has said belongs on it too."""
        await self._suggestions.announce_again()
        await self._deliveries.announce_again()

    async def count_due(self) -> int:
        """Return how many suggestions and deliveries have something to say by now that is not on the log yet."""
        return await self._store.count_unannounced(now=self._clock())

    async def _acts(self, kept: Kept) -> None:
        # First: what is on the log can not be undone.
        if kept.undo_until is not None and not await self._suggestions.make_final(kept):
            return  # it was undone, or another one came; it is looked at again as it is now
        for event in feedback(kept.made, kept.acts):
            await self._publisher.publish(FEEDBACK, event.key, event, rev=event.rev, occurred_at=event.given_at)
        await self._suggestions.announced(kept)

    async def _ended(self, row: Row) -> None:
        for event in ends(row):
            at = event.delivered_at if isinstance(event, NotificationDelivered) else event.failed_at
            await self._publisher.publish(
                NOTIFICATIONS, event.key, event, rev=event.rev, occurred_at=at, traceparent=row.traceparent
            )


def feedback(made: SuggestionMade | None, acts: Sequence[Given]) -> list[FeedbackGiven]:
    """Return the events that say what was done with a suggestion."""
    if made is None:
        return []
    request, offer = made.request.party, made.offer.party
    return [
        FeedbackGiven(
            rev=given.rev,
            feedback_id=derived_id("feedback", str(made.suggestion_id), str(given.rev)),
            suggestion_id=made.suggestion_id,
            cluster=key_of(given.ambassador).cluster,
            ambassador_id=key_of(given.ambassador).ambassador_id,
            act=given.act,
            revision=given.revision,
            reason=given.reason,
            side=given.side,
            result=given.result,
            silent=given.silent,
            requesting=MemberRef(cluster=request.cluster, member_id=request.member_id),
            offering=MemberRef(cluster=offer.cluster, member_id=offer.member_id),
            given_at=given.at,
        )
        for given in acts
    ]


def ends(row: Row) -> list[NotificationDelivered | NotificationFailed]:
    """Return the events that say how a delivery ended: one, or for an e-mail that came back after it was taken, two.

    Raises:
        ValueError: it has not ended.
    """
    if row.ended_at is None:
        raise ValueError("the delivery has not ended")
    first = replace(row, state=State.DELIVERED, bounced_at=None) if row.bounced_at else row
    return [_end(first, row.ended_at, rev=1), *([_end(row, row.bounced_at, rev=2)] if row.bounced_at else [])]


def _end(row: Row, at: datetime, *, rev: int) -> NotificationDelivered | NotificationFailed:
    key = key_of(row.ambassador)
    about = {
        "rev": rev,
        "notification_id": row.notification_id,
        "suggestion_id": row.suggestion_id,
        "revision": row.revision,
        "cluster": key.cluster,
        "ambassador_id": key.ambassador_id,
        "channel": row.channel,
        "chat": row.by_chat,
        "attempts": row.attempts,
        "side": row.side,
    }
    if row.reason is not None and row.state is State.FAILED:
        return NotificationFailed(**about, failed_at=at, reason=row.reason[:500])
    return NotificationDelivered(**about, delivered_at=at)
