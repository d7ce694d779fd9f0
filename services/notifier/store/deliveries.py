"""One row for each message to one person by one channel, under an id derived from what it is: told once, not twice.

Rows name ambassadors by their keys and carry no words of a suggestion and no address; both are looked up when sending.
A row is its own outbox entry: `unannounced` until its end is confirmed on the log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from pymongo import ASCENDING, DeleteMany, InsertOne, ReturnDocument, UpdateMany

from schemas.ids import derived_id
from schemas.notifications import Channel
from services.notifier.store.bulk import write
from services.runtime.store import Collection, Database, Document


class State(StrEnum):
    """Where a delivery stands. The last two end it for good."""

    WAITING = "waiting"
    CANCELLED = "cancelled"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Row:
    """One delivery.

    Attributes:
        posted_at: when what brought the suggestion about was published; none: nothing was.
        traceparent: W3C trace context of the suggestion; none: it is not traced.
        attempts: tries made, the one in hand included.
        lease: who has it in hand; whoever lost the lease changes nothing any more.
        ended_at: when it was delivered or failed.
        reason: for an operator, of a failed one, or the last of one that is tried again.
    """

    notification_id: UUID
    suggestion_id: UUID
    revision: int
    ambassador: str
    channel: Channel
    made_at: datetime
    posted_at: datetime | None = None
    traceparent: str | None = None
    state: State = State.WAITING
    attempts: int = 0
    lease: UUID | None = None
    ended_at: datetime | None = None
    reason: str | None = None

    @property
    def about(self) -> Mapping[str, str | int]:
        """What a trace may say of it."""
        return {
            "maillage.suggestion.id": str(self.suggestion_id),
            "maillage.suggestion.revision": self.revision,
            "maillage.notification.id": str(self.notification_id),
            "maillage.attempt": self.attempts,
        }


def notification_id(suggestion_id: UUID, revision: int, ambassador: str, channel: Channel) -> UUID:
    """Return the id of telling one person one revision by one channel."""
    return derived_id("notification", str(suggestion_id), str(revision), ambassador, channel.value)


class Deliveries:
    """The rows, and the queue that they are."""

    def __init__(self, database: Database) -> None:
        self._rows: Collection = database["notifications"]

    async def ensure_indexes(self) -> None:
        """Create what queries need."""
        await self._rows.create_index(
            # With the ambassador, so that rows of those who are busy are passed over without being fetched.
            [("channel", ASCENDING), ("due", ASCENDING), ("ambassador", ASCENDING)],
            partialFilterExpression={"state": State.WAITING.value},
        )
        await self._rows.create_index("suggestion_id")
        await self._rows.create_index("ambassador")
        await self._rows.create_index("unannounced", partialFilterExpression={"unannounced": True})

    async def add(self, rows: Sequence[Row], *, now: datetime) -> list[Row]:
        """Insert what is absent, due now; return it. What is in the inbox by being stored is delivered by that."""
        there = await write(self._rows, [InsertOne(_document(row, now)) for row in rows])
        return [row for place, row in enumerate(rows) if place not in there]

    async def follow(
        self, *, standing: Sequence[tuple[UUID, int]], lapsed: Sequence[UUID], erased: Sequence[UUID], now: datetime
    ) -> None:
        """Bring rows in line with what became of their suggestions.

        Args:
            standing: suggestions with their revision. Older revisions leave the queue; what was cancelled of this one
                while it had lapsed is due again.
            lapsed: nothing more of these is delivered.
            erased: no row of these stays.
        """
        cancelled: Document = {"$set": {"state": State.CANCELLED.value, "lease": None}}
        again: Document = {"$set": {"state": State.WAITING.value, "due": now}}
        waiting = {"state": State.WAITING.value}
        changes: list[UpdateMany | DeleteMany] = []
        for suggestion_id, revision in standing:
            this = {"suggestion_id": suggestion_id}
            changes.append(UpdateMany(this | waiting | {"revision": {"$ne": revision}}, cancelled))
            changes.append(UpdateMany(this | {"revision": revision, "state": State.CANCELLED.value}, again))
        if lapsed:
            changes.append(UpdateMany({"suggestion_id": {"$in": list(lapsed)}} | waiting, cancelled))
        if erased:
            changes.append(DeleteMany({"suggestion_id": {"$in": list(erased)}}))
        await write(self._rows, changes)

    async def forget_ambassador(self, ambassador: str) -> None:
        """Remove every row of a person."""
        await self._rows.delete_many({"ambassador": ambassador})

    async def lease(
        self, channel: Channel, *, busy: Sequence[str], now: datetime, until: datetime, holder: str | None = None
    ) -> Row | None:
        """Take the row of `channel` that is due longest into hand, of nobody in `busy`; none when nothing is due.

        A row whose holder is gone comes up again at `until`, or when a holder of this name is back (`take_back`).
        """
        found = await self._rows.find_one_and_update(
            {
                "channel": channel.value,
                "state": State.WAITING.value,
                "due": {"$lte": now},
                **({"ambassador": {"$nin": list(busy)}} if busy else {}),
            },
            {"$set": {"due": until, "lease": uuid4(), "holder": holder}, "$inc": {"attempts": 1}},
            sort=[("due", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )
        return _read(found) if found else None

    async def take_back(self, holder: str, *, but: Sequence[UUID], now: datetime) -> int:
        """Put what `holder` leased and has not in hand (`but`) back into the queue; return how many rows."""
        held = {"state": State.WAITING.value, "lease": {"$ne": None}, "holder": holder, "_id": {"$nin": list(but)}}
        result = await self._rows.update_many(held, {"$set": {"due": now, "lease": None}})
        return int(result.modified_count)

    async def delivered(self, row: Row, *, now: datetime) -> bool:
        """Note that the receiver's side took it; False when that is known, or the row is gone.

        It is so whoever holds the lease by now. A row that was cancelled while in hand would otherwise be sent again
        when its suggestion stands again.
        """
        change = {"state": State.DELIVERED.value, "ended_at": now, "unannounced": True, "lease": None}
        result = await self._rows.update_one({"_id": row.notification_id, "ended_at": None}, {"$set": change})
        return result.matched_count == 1

    async def failed(self, row: Row, reason: str, *, now: datetime) -> bool:
        """Note that it will not be tried again; False when the row was taken from us."""
        ended = {"state": State.FAILED.value, "ended_at": now, "reason": reason, "unannounced": True}
        return await self._end(row, ended)

    async def postpone(self, row: Row, reason: str, *, now: datetime, wait: timedelta) -> bool:
        """Put it back into the queue; False when the row was taken from us."""
        return await self._end(row, {"due": now + wait, "reason": reason})

    async def drop(self, row: Row) -> None:
        """Take a row whose suggestion does not stand in this revision any more out of the queue."""
        await self._end(row, {"state": State.CANCELLED.value})

    async def unannounced(self, limit: int) -> list[Row]:
        """Return ended deliveries that are not confirmed to be on the log."""
        return [_read(found) async for found in self._rows.find({"unannounced": True}).limit(limit)]

    async def announced(self, ids: Sequence[UUID]) -> None:
        """Note that these are on the log."""
        await self._rows.update_many({"_id": {"$in": list(ids)}}, {"$set": {"unannounced": False}})

    async def announce_again(self) -> None:
        """Queue every ended delivery for publication once more."""
        ended = [State.DELIVERED.value, State.FAILED.value]
        await self._rows.update_many({"state": {"$in": ended}}, {"$set": {"unannounced": True}})

    async def to_ambassador(self, suggestion_id: UUID, revision: int, ambassador: str) -> list[Row]:
        """Return how one person is told of one revision."""
        query = {"suggestion_id": suggestion_id, "revision": revision, "ambassador": ambassador}
        return [_read(found) async for found in self._rows.find(query)]

    async def count_waiting(self, channel: Channel | None = None) -> int:
        """Return how many deliveries are due now or later, by one channel or by all."""
        by = {"channel": channel.value} if channel else {}
        return await self._rows.count_documents({"state": State.WAITING.value} | by)

    async def due_since(self, channel: Channel) -> datetime | None:
        """Return when the delivery of a channel that is due longest became due; none waits: None."""
        found = await self._rows.find_one(
            {"channel": channel.value, "state": State.WAITING.value}, {"due": 1}, sort=[("due", ASCENDING)]
        )
        return found["due"] if found else None

    async def count_unannounced(self) -> int:
        """Return how many ended deliveries are not confirmed to be on the log."""
        return await self._rows.count_documents({"unannounced": True})

    async def _end(self, row: Row, change: Document) -> bool:
        result = await self._rows.update_one(
            {"_id": row.notification_id, "lease": row.lease}, {"$set": change | {"lease": None}}
        )
        return result.matched_count == 1


def _document(row: Row, now: datetime) -> Document:
    stored = row.channel is Channel.INBOX
    return {
        "_id": row.notification_id,
        "suggestion_id": row.suggestion_id,
        "revision": row.revision,
        "ambassador": row.ambassador,
        "channel": row.channel.value,
        "made_at": row.made_at,
        "posted_at": row.posted_at,
        "traceparent": row.traceparent,
        "state": (State.DELIVERED if stored else State.WAITING).value,
        "due": now,
        "lease": None,
        "attempts": 1 if stored else 0,
        "ended_at": now if stored else None,
        "reason": None,
        "unannounced": stored,
    }


def _read(found: Mapping[str, Any]) -> Row:
    return Row(
        notification_id=found["_id"],
        suggestion_id=found["suggestion_id"],
        revision=found["revision"],
        ambassador=found["ambassador"],
        channel=Channel(found["channel"]),
        made_at=found["made_at"],
        posted_at=found.get("posted_at"),  # earlier versions wrote neither
        traceparent=found.get("traceparent"),
        state=State(found["state"]),
        attempts=found["attempts"],
        lease=found["lease"],
        ended_at=found["ended_at"],
        reason=found["reason"],
    )
