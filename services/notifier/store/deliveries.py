"""The queue of deliveries: rows are added once, leased, sent, and noted; what a row is, is told in `rows`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from pymongo import ASCENDING, DeleteMany, InsertOne, UpdateMany, UpdateOne

from schemas.ids import derived_id
from schemas.notifications import Channel
from services.notifier.domain.reaching import Way
from services.notifier.store.bulk import write
from services.notifier.store.rows import Row, Sent, State, document, read
from services.runtime.store import Collection, Database, Document


@dataclass(frozen=True, slots=True)
class Lease:
    """Until when rows stay with a holder. `id` tells them from those of whoever comes after."""

    id: UUID
    holder: str | None
    now: datetime
    until: datetime


_LOOKED_AT: Final = 4
"""Rows looked at for each that may be taken: more than one may be due to one receiver."""

_QUEUES: Final[Mapping[Way, Sequence[tuple[str, Document]]]] = {
    # Who has just asked for it waits least, who is asked by a person less than who is told by a program.
    Way.EMAIL: (
        ("receiver", {"state": State.TO_SERVE.value}),
        ("receiver", {"state": State.TO_INVITE.value}),
        ("ambassador", {"channel": Channel.EMAIL.value, "state": State.WAITING.value}),
    ),
    Way.WEBHOOK: (("ambassador", {"channel": Channel.WEBHOOK.value, "state": State.WAITING.value}),),
    Way.CHAT: (("ambassador", {"state": State.TO_CHAT.value}),),
}
"""What waits to be sent each way, with what names who gets it."""

_QUEUED: Final = (State.WAITING.value, State.TO_INVITE.value, State.TO_SERVE.value, State.TO_CHAT.value)


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
        await self._rows.create_index(
            [("due", ASCENDING), ("receiver", ASCENDING), ("channel", ASCENDING)],
            partialFilterExpression={"state": State.TO_INVITE.value},
            name="to_invite",
        )
        await self._rows.create_index(
            [("due", ASCENDING), ("receiver", ASCENDING), ("channel", ASCENDING)],
            partialFilterExpression={"state": State.TO_SERVE.value},
            name="to_serve",
        )
        await self._rows.create_index(
            [("due", ASCENDING), ("ambassador", ASCENDING)],
            partialFilterExpression={"state": State.TO_CHAT.value},
            name="to_chat",
        )
        await self._rows.create_index("suggestion_id")
        await self._rows.create_index("ambassador")
        await self._rows.create_index("letter", partialFilterExpression={"letter": {"$exists": True}})
        await self._rows.create_index("unannounced", partialFilterExpression={"unannounced": True})

    async def add(self, rows: Sequence[Row], *, now: datetime) -> list[Row]:
        """Insert what is absent, due now unless held; return it. What is in the inbox is delivered by being stored."""
        there = await write(self._rows, [InsertOne(document(row, now)) for row in rows])
        return [row for place, row in enumerate(rows) if place not in there]

    async def follow(
        self, *, standing: Sequence[tuple[UUID, int]], lapsed: Sequence[UUID], erased: Sequence[UUID], now: datetime
    ) -> None:
        """Bring rows in line with what became of their suggestions.

        Args:
            standing: suggestions with their revision. Older revisions leave the queue; what was cancelled of this one
                while it had lapsed is due again, but for e-mails: they have their hours.
            lapsed: nothing more of these is delivered.
            erased: no row of these stays.
        """
        cancelled: Document = {"$set": {"state": State.CANCELLED.value, "lease": None}}
        # Letters about an introduction are not about what the suggestion says now.
        told: Sequence[State] = (State.HELD, State.IN_LETTER, State.WAITING, State.TO_CHAT)
        waiting: Document = {"state": {"$in": [state.value for state in told]}}
        changes: list[UpdateMany | DeleteMany] = []
        for suggestion_id, revision in standing:
            this = {"suggestion_id": suggestion_id}
            changes.append(UpdateMany(this | waiting | {"revision": {"$ne": revision}}, cancelled))
            stopped = this | {"revision": revision, "state": State.CANCELLED.value, "channel": Channel.WEBHOOK.value}
            changes.append(UpdateMany(stopped, {"$set": {"state": State.WAITING.value, "due": now}}))
        if lapsed:
            changes.append(UpdateMany({"suggestion_id": {"$in": list(lapsed)}} | waiting, cancelled))
        if erased:
            changes.append(DeleteMany({"suggestion_id": {"$in": list(erased)}}))
        await write(self._rows, changes)

    async def forget_ambassador(self, ambassador: str) -> None:
        """Remove every row of a person."""
        await self._rows.delete_many({"ambassador": ambassador})

    async def lease(
        self,
        way: Way,
        *,
        busy: Sequence[str],
        most: int,
        now: datetime,
        until: datetime,
        holder: str | None = None,
    ) -> list[Row]:
        """Take up to `most` rows of a way into hand, those due longest, one of each receiver, of nobody in `busy`.

        A row whose holder is gone comes up again at `until`, or when a holder of this name is back (`take_back`).
        """
        lease = Lease(uuid4(), holder, now, until)
        taken: list[Row] = []
        for receiver, queue in _QUEUES[way]:
            more = True
            while more and len(taken) < most:
                others = {receiver: {"$nin": [*busy, *(row.to for row in taken)]}}
                rows, more = await self._take(queue | others, receiver, most - len(taken), lease)
                taken += rows
        return taken

    async def _take(self, queue: Document, receiver: str, most: int, lease: "Lease") -> tuple[list[Row], bool]:
        """Take up to `most` rows of a queue, one of each receiver; also return whether another look may find more."""
        due, looked = queue | {"due": {"$lte": lease.now}}, most * _LOOKED_AT
        found = self._rows.find(due, {receiver: 1}).sort("due", ASCENDING).limit(looked)
        seen, first = 0, dict[str, UUID]()
        async for one in found:
            seen += 1
            first.setdefault(one[receiver], one["_id"])
        if not first:
            return [], False
        chosen = {"_id": {"$in": list(first.values())[:most]}}
        # A neighbour may have been quicker with some of them: those are not due any more.
        await self._rows.update_many(
            chosen | {"state": queue["state"], "due": {"$lte": lease.now}},
            {"$set": {"due": lease.until, "lease": lease.id, "holder": lease.holder}, "$inc": {"attempts": 1}},
        )
        rows = [read(one) async for one in self._rows.find(chosen | {"lease": lease.id})]
        return rows, seen == looked

    async def take_back(
        self, holder: str, *, but: Sequence[UUID], now: datetime, tried: Sequence[UUID] | None = None
    ) -> int:
        """Put what `holder` leased and has not in hand (`but`) back into the queue; return how many rows.

        Of those that are not among `tried`, no try began, and none is counted; none: it is not known of which.
        """
        held = {"state": {"$in": list(_QUEUED)}, "lease": {"$ne": None}, "holder": holder}
        back = {"due": now, "lease": None}
        changes = [UpdateMany(held | {"_id": {"$nin": list(but)}}, {"$set": back})]
        if tried is not None:
            untried = held | {"_id": {"$nin": [*but, *tried]}}
            changes.insert(0, UpdateMany(untried, {"$set": back, "$inc": {"attempts": -1}}))
        result = await self._rows.bulk_write(changes)
        return int(result.modified_count)

    async def delivered(self, sent: Sequence[Sent]) -> list[bool]:
        """Note of each that the receiver's side took it; False when that is known, or the row is gone.

        It is so whoever holds the lease by now. A row that was cancelled while in hand would otherwise be sent again
        when its suggestion stands again. Should some of several be known or gone, it is False of all of them.
        """
        done: Document = {"state": State.DELIVERED.value, "unannounced": True, "lease": None}
        by_chat = {"by_chat": True}
        # What was in a letter first: should we end in between, there is nothing left in it, and it is not sent again.
        items = [
            UpdateMany(
                {"_id": {"$in": list(one.told)}, "ended_at": None},
                {
                    "$set": done
                    | {"ended_at": one.at, "attempts": one.row.attempts}
                    | (by_chat if one.row.by_chat else {})
                },
            )
            for one in sent
            if one.told
        ]
        if items:
            await self._rows.bulk_write(items)
        messages = [
            UpdateOne(
                {"_id": one.row.notification_id, "ended_at": None},
                # Of what tells several, the rows that are in it say it; of what tells of no suggestion, nobody is told.
                {"$set": done | {"ended_at": one.at, "unannounced": one.row.suggestion_id is not None}},
            )
            for one in sent
        ]
        result = await self._rows.bulk_write(messages)
        return [result.matched_count == len(sent)] * len(sent)

    async def failed(self, row: Row, told: Sequence[UUID], reason: str, *, now: datetime) -> bool:
        """Note that it will not be tried again; False when the row was taken from us. `told` as for `delivered`."""
        said = row.suggestion_id is not None
        ended = {"state": State.FAILED.value, "ended_at": now, "reason": reason, "unannounced": said}
        if told:
            items = {"_id": {"$in": list(told)}, "state": State.IN_LETTER.value, "letter": row.notification_id}
            by_chat = {"by_chat": True} if row.by_chat else {}
            await self._rows.update_many(
                items, {"$set": ended | {"attempts": row.attempts, "unannounced": True} | by_chat}
            )
        return await self._end(row, ended)

    async def in_letters(self, letters: Sequence[UUID]) -> dict[UUID, list[Row]]:
        """Return what each of these letters tells, or told, in its order; without what lapsed before it was told."""
        told: dict[UUID, list[Row]] = {}
        if letters:
            states = [State.IN_LETTER.value, State.DELIVERED.value, State.FAILED.value]
            found = self._rows.find({"letter": {"$in": list(letters)}, "state": {"$in": states}})
            async for one in found.sort("place", ASCENDING):
                told.setdefault(one["letter"], []).append(read(one))
        return told

    async def postpone(self, row: Row, reason: str, *, now: datetime, wait: timedelta) -> bool:
        """Put it back into the queue; False when the row was taken from us."""
        return await self._end(row, {"due": now + wait, "reason": reason})

    async def put_back(self, row: Row, *, now: datetime) -> bool:
        """Put it back into the queue, as of which no try began; False when the row was taken from us."""
        return await self._end(row, {"due": now, "attempts": row.attempts - 1})

    async def also_by_chat(self, row: Row, *, now: datetime) -> None:
        """Queue a chat message that says what this letter says, once, however often it is asked for."""
        beside = Row(
            notification_id=derived_id("chat", str(row.notification_id)),
            suggestion_id=row.suggestion_id,
            revision=row.revision,
            ambassador=row.ambassador,
            channel=row.channel,
            made_at=row.made_at,
            number=row.number,
            beside=row.notification_id,
            by_chat=True,
            posted_at=row.posted_at,
            traceparent=row.traceparent,
            state=State.TO_CHAT,
        )
        if not await self.add([beside], now=now):
            # It may have been taken from the queue because the suggestion had lapsed, which stands again.
            stopped = {"_id": beside.notification_id, "state": State.CANCELLED.value, "ended_at": None}
            await self._rows.update_one(stopped, {"$set": {"state": State.TO_CHAT.value, "due": now}})

    async def by_chat(self, row: Row, *, now: datetime) -> None:
        """Have a letter sent by chat, not by e-mail: its reader has no address, or wants no e-mails."""
        change = {"state": State.TO_CHAT.value, "by_chat": True, "due": now, "attempts": row.attempts - 1}
        await self._end(row, change)

    async def drop(self, row: Row) -> None:
        """Take a row of which there is nothing to tell any more out of the queue; with it, what was in the letter."""
        in_it = {"letter": row.notification_id, "state": State.IN_LETTER.value}
        if row.suggestion_id is None:
            await self._rows.update_many(in_it, {"$set": {"state": State.CANCELLED.value}})
        await self._end(row, {"state": State.CANCELLED.value})

    async def end_unsent(self, row: Row, *, now: datetime) -> None:
        """Take a row whose reader wants no e-mails out of the queue for good; with it, what was in the letter."""
        gone = {"state": State.CANCELLED.value, "ended_at": now}
        if row.suggestion_id is None:
            in_it = {"letter": row.notification_id, "state": State.IN_LETTER.value}
            await self._rows.update_many(in_it, {"$set": gone})
        await self._end(row, gone)

    async def remove(self, ids: Sequence[UUID]) -> None:
        """Remove rows that should not have been added."""
        await self._rows.delete_many({"_id": {"$in": list(ids)}})

    async def unannounced(self, limit: int) -> list[Row]:
        """Return ended deliveries that are not confirmed to be on the log."""
        return [read(found) async for found in self._rows.find({"unannounced": True}).limit(limit)]

    async def announced(self, ids: Sequence[UUID]) -> None:
        """Note that these are on the log."""
        await self._rows.update_many({"_id": {"$in": list(ids)}}, {"$set": {"unannounced": False}})

    async def announce_again(self) -> None:
        """Queue every ended delivery for publication once more."""
        ended = [State.DELIVERED.value, State.FAILED.value]
        await self._rows.update_many(
            {"state": {"$in": ended}, "suggestion_id": {"$ne": None}}, {"$set": {"unannounced": True}}
        )

    async def to_ambassador(self, suggestion_id: UUID, revision: int, ambassador: str) -> list[Row]:
        """Return how one person is told of one revision."""
        query = {"suggestion_id": suggestion_id, "revision": revision, "ambassador": ambassador, "purpose": None}
        query["beside"] = None  # what says it once more by chat is told of nowhere
        return [read(found) async for found in self._rows.find(query)]

    async def of_ambassador(self, ambassador: str) -> AsyncIterator[Row]:
        """Yield every row of a person: what told them, and what was written in their name."""
        async for found in self._rows.find({"ambassador": ambassador}):
            yield read(found)

    async def about_introduction(self, suggestion_id: UUID) -> list[Row]:
        """Return the letters about the introduction that came of a suggestion."""
        query = {"suggestion_id": suggestion_id, "purpose": {"$ne": None}}
        return [read(found) async for found in self._rows.find(query)]

    async def count_waiting(self, way: Way | None = None) -> int:
        """Return how many deliveries are due now or later, one way or all."""
        # One after the other: each has an index of its own.
        ways = Way if way is None else (way,)
        return sum([await self._rows.count_documents(queue) for one in ways for _, queue in _QUEUES[one]])

    async def due_since(self, way: Way) -> datetime | None:
        """Return when what is due longest one way became due; none waits: None."""
        first = [await self._rows.find_one(queue, {"due": 1}, sort=[("due", ASCENDING)]) for _, queue in _QUEUES[way]]
        return min((found["due"] for found in first if found), default=None)

    async def count_unannounced(self) -> int:
        """Return how many ended deliveries are not confirmed to be on the log."""
        return await self._rows.count_documents({"unannounced": True})

    async def _end(self, row: Row, change: Document) -> bool:
        result = await self._rows.update_one(
            {"_id": row.notification_id, "lease": row.lease}, {"$set": change | {"lease": None}}
        )
        return result.matched_count == 1
