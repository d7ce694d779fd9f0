"""The queue of deliveries: rows are added once, leased, sent, and noted; what a row is, is told in `rows`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from pymongo import ASCENDING, DESCENDING, DeleteMany, InsertOne, UpdateMany, UpdateOne

from schemas.ids import derived_id
from schemas.notifications import Channel
from services.notifier.domain.reaching import Fault, Matter, Way
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

_COMES_BACK_WITHIN: Final = timedelta(days=14)
"""After it was delivered. Mail servers give up after five days; after that, whoever says so is no mail server."""

_TEST: Final[Document] = {"state": State.TO_NOTIFY.value, "matter": Matter.TEST.value}
_WARNING: Final[Document] = {"state": State.TO_NOTIFY.value, "matter": Matter.WARNING.value}

_QUEUES: Final[Mapping[Way, Sequence[tuple[str, Document]]]] = {
    # Who has just asked for it waits least, who is asked by a person less than who is told by a program.
    Way.EMAIL: (
        ("receiver", {"state": State.TO_SERVE.value}),
        ("ambassador", _TEST | {"channel": Channel.EMAIL.value, "by_chat": False}),
        ("receiver", {"state": State.TO_INVITE.value}),
        ("ambassador", {"channel": Channel.EMAIL.value, "state": State.WAITING.value}),
        ("ambassador", _WARNING | {"channel": Channel.EMAIL.value, "by_chat": False}),
    ),
    Way.WEBHOOK: (
        ("ambassador", _TEST | {"channel": Channel.WEBHOOK.value, "by_chat": False}),
        ("ambassador", {"channel": Channel.WEBHOOK.value, "state": State.WAITING.value}),
    ),
    Way.CHAT: (
        ("ambassador", _TEST | {"channel": Channel.EMAIL.value, "by_chat": True}),
        ("ambassador", {"state": State.TO_CHAT.value}),
        ("ambassador", _WARNING | {"channel": Channel.EMAIL.value, "by_chat": True}),
    ),
}
"""What waits to be sent each way, with what names who gets it."""

_QUEUED: Final = (
    *(State.WAITING.value, State.TO_INVITE.value, State.TO_SERVE.value),
    *(State.TO_CHAT.value, State.TO_NOTIFY.value),
)
_NOT_SENT: Final = (*_QUEUED, State.HELD.value, State.IN_LETTER.value)
_SENT_BY: Final[Mapping[Way, Document]] = {
    Way.EMAIL: {"channel": Channel.EMAIL.value, "by_chat": {"$ne": True}},
    Way.WEBHOOK: {"channel": Channel.WEBHOOK.value},
    Way.CHAT: {"by_chat": True},
}
"""What tells how a row was sent."""


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
        await self._rows.create_index(
            [("channel", ASCENDING), ("by_chat", ASCENDING), ("due", ASCENDING), ("ambassador", ASCENDING)],
            partialFilterExpression={"state": State.TO_NOTIFY.value},
            name="to_notify",
        )
        await self._rows.create_index("unjudged", partialFilterExpression={"unjudged": True})
        await self._rows.create_index("concerns", partialFilterExpression={"concerns": {"$exists": True}})
        for way in (Way.WEBHOOK, Way.CHAT):
            await self._rows.create_index(
                [("ambassador", ASCENDING), *((name, ASCENDING) for name in _SENT_BY[way]), ("ended_at", DESCENDING)],
                partialFilterExpression={"state": State.DELIVERED.value} | _SENT_BY[way],
                name=f"delivered_by_{way.value}",
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
        """Remove every row of a person, and what tells others of them."""
        await self._rows.delete_many({"$or": [{"ambassador": ambassador}, {"concerns": ambassador}]})

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
        # What was in a letter first: should we end in between, there is nothing left in it, and it is not sent again.
        items = [
            UpdateMany(
                {"_id": {"$in": list(one.told)}, "ended_at": None},
                {"$set": one.end | {"unannounced": True, "attempts": one.row.attempts}},
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
                {
                    "$set": one.end
                    | {"unannounced": one.row.suggestion_id is not None}
                    | ({"unjudged": True} if one.row.matter is Matter.TEST else {})
                },
            )
            for one in sent
        ]
        result = await self._rows.bulk_write(messages)
        return [result.matched_count == len(sent)] * len(sent)

    async def failed(
        self,
        row: Row,
        told: Sequence[UUID],
        reason: str,
        *,
        now: datetime,
        address: str | None = None,
        gone: bool = False,
        fault: Fault = Fault.THEIRS,
    ) -> bool:
        """Note that it will not be tried again; False when the row was taken from us.

        `told` and `address` are as for `delivered`, `gone` and `fault` as in `RefusedError`. Whether this turns a way
        off, or a desk has to be warned another way, is to be judged (`unjudged`), as is noted with it, on each row: we
        may end between the rows of a letter and the letter.
        """
        ended: Document = {"state": State.FAILED.value, "ended_at": now, "reason": reason, "fault": fault.value}
        judged = row.matter is Matter.WARNING
        if address is not None:
            judged = judged or gone or (row.way is not Way.EMAIL and fault is not Fault.OURS)
            ended |= {"address": address, "gone": gone}
        ended["unjudged"] = judged
        if told:
            items = {"_id": {"$in": list(told)}, "state": State.IN_LETTER.value, "letter": row.notification_id}
            by_chat = {"by_chat": True} if row.by_chat else {}
            await self._rows.update_many(
                items, {"$set": ended | {"attempts": row.attempts, "unannounced": True} | by_chat}
            )
        return await self._end(row, ended | {"unannounced": row.suggestion_id is not None})

    async def bounced(self, notification_id: UUID, reason: str, *, to: str, gone: bool, now: datetime) -> bool:
        """Note that an e-mail came back after it had been delivered; what a letter told came back with it.

        Args:
            notification_id: which e-mail.
            reason: for an operator.
            to: how the digest of the address begins that it was sent to.
            gone: whether nobody is there.
            now: when it came back.

        Returns:
            False when it is not noted yet that it was delivered: come again. True also for one that is not there, that
            did not arrive in any case, that was delivered elsewhere after that, or so long ago that nothing of it can
            still come back, or of which this is known.
        """
        this = _SENT_BY[Way.EMAIL] | {"_id": notification_id}
        found = await self._rows.find_one(this)
        if found is None or found["state"] not in (*_NOT_SENT, State.DELIVERED.value):
            return True
        if found["state"] != State.DELIVERED.value:
            return False
        if found["ended_at"] < now - _COMES_BACK_WITHIN:
            return True
        if (address := found.get("address")) and not address.startswith(to):
            return True  # a try before the one that was noted, to an address that they have no more
        change = {"state": State.FAILED.value, "bounced_at": now, "reason": reason, "gone": gone}
        items = _SENT_BY[Way.EMAIL] | {"letter": notification_id, "state": State.DELIVERED.value}
        await self._rows.update_many(items, {"$set": change | {"unannounced": True}})
        # Whatever a test message came back for, it did not get through; and a desk has to hear of a warning.
        tells = gone or found.get("matter") is not None
        judged = {"unannounced": found["suggestion_id"] is not None, "unjudged": tells and address is not None}
        await self._rows.update_one(this | {"state": State.DELIVERED.value}, {"$set": change | judged})
        return True

    async def unjudged(self, limit: int) -> list[Row]:
        """Return what ended in a way from which it is to be concluded whether it works, the oldest first."""
        found = self._rows.find({"unjudged": True}).sort("ended_at", ASCENDING).limit(limit)
        return [read(one) async for one in found]

    async def judged(self, row: Row) -> None:
        """Note that all that follows of this one is so, unless it has come back since it was read."""
        read_as = {"_id": row.notification_id, "state": row.state.value, "bounced_at": row.bounced_at}
        await self._rows.update_one(read_as, {"$set": {"unjudged": False}})

    async def failures_in_a_row(self, ambassador: str, way: Way, address: str) -> list[datetime]:
        """Return when messages to an address failed since one was delivered that way; a letter about several is one.

        Without those that were our fault; and of those that nobody answered, only if somebody else was reached that way
        since the first of them: else it may be we who reach nobody.
        """
        by = {"ambassador": ambassador} | _SENT_BY[way]
        last = await self._rows.find_one(
            by | {"state": State.DELIVERED.value}, {"ended_at": 1}, sort=[("ended_at", DESCENDING)]
        )
        failed: Document = by | {"state": State.FAILED.value, "address": address, "letter": {"$exists": False}}
        failed["fault"] = {"$ne": Fault.OURS.value}
        since = {"ended_at": {"$gt": last["ended_at"]}} if last else {}
        found = [one async for one in self._rows.find(failed | since, {"ended_at": 1, "fault": 1})]
        unknown = [one["ended_at"] for one in found if one.get("fault") == Fault.UNKNOWN.value]
        if unknown:
            other = {"ambassador": {"$ne": ambassador}, "ended_at": {"$gte": min(unknown)}}
            reached = _SENT_BY[way] | {"state": State.DELIVERED.value} | other
            if await self._rows.find_one(reached, {"_id": 1}) is None:
                return [one["ended_at"] for one in found if one.get("fault") != Fault.UNKNOWN.value]
        return [one["ended_at"] for one in found]

    async def in_letters(self, letters: Sequence[UUID]) -> dict[UUID, list[Row]]:
        """Return what each of these letters tells, or told, in its order; without what lapsed before it was told."""
        told: dict[UUID, list[Row]] = {}
        if letters:
            states = [State.IN_LETTER.value, State.DELIVERED.value, State.FAILED.value]
            unsent = {"state": State.CANCELLED.value, "ended_at": {"$ne": None}}  # a message beside it may tell it
            found = self._rows.find({"letter": {"$in": list(letters)}, "$or": [{"state": {"$in": states}}, unsent]})
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
            notification_id=_beside(row.notification_id),
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

    async def redirect(self, row: Row, way: Way, *, now: datetime) -> None:
        """Have a letter sent by chat, not by e-mail, or the other way round, with tries of its own.

        One that a chat message beside it tells, or is about to tell, is ended instead: it would ring twice.
        """
        by_chat = way is Way.CHAT
        told = {"_id": _beside(row.notification_id), "state": {"$in": [State.TO_CHAT.value, State.DELIVERED.value]}}
        if by_chat and await self._rows.find_one(told, {"_id": 1}) is not None:
            await self.end_unsent(row, now=now)
            return
        state = State.TO_NOTIFY if row.matter else State.TO_CHAT if by_chat else State.WAITING
        await self._end(row, {"state": state.value, "by_chat": by_chat, "due": now, "attempts": 0})

    async def drop(self, row: Row) -> None:
        """Take a row of which there is nothing to tell any more out of the queue; with it, what was in the letter.

        What is about reaching somebody is removed: whom it names may have been erased just before it was added.
        """
        if row.matter is not None:
            await self._rows.delete_one({"_id": row.notification_id, "lease": row.lease})
            return
        in_it = {"letter": row.notification_id, "state": State.IN_LETTER.value}
        if row.suggestion_id is None:
            await self._rows.update_many(in_it, {"$set": {"state": State.CANCELLED.value}})
        await self._end(row, {"state": State.CANCELLED.value})

    async def end_unsent(self, row: Row, *, now: datetime) -> None:
        """Take a row that its reader does not want, or would not get, out of the queue for good; so what it told."""
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

    async def announced(self, rows: Sequence[Row]) -> None:
        """Note that these are on the log, but for what has come back since it was read: that is to be said, too."""
        back = [row.notification_id for row in rows if row.bounced_at is not None]
        taken = [row.notification_id for row in rows if row.bounced_at is None]
        these = [{"_id": {"$in": taken}, "bounced_at": None}, {"_id": {"$in": back}}]
        await self._rows.update_many({"$or": these}, {"$set": {"unannounced": False}})

    async def announce_again(self) -> None:
        """Queue every ended delivery for publication once more."""
        ended = [State.DELIVERED.value, State.FAILED.value]
        await self._rows.update_many(
            {"state": {"$in": ended}, "suggestion_id": {"$ne": None}}, {"$set": {"unannounced": True}}
        )

    async def some(self, ids: Sequence[UUID]) -> dict[UUID, Row]:
        """Return those of these rows that exist."""
        found = self._rows.find({"_id": {"$in": list(ids)}})
        return {row.notification_id: row for row in [read(one) async for one in found]}

    async def to_ambassador(self, suggestion_id: UUID, revision: int, ambassador: str) -> list[Row]:
        """Return how one person is told of one revision."""
        query = {"suggestion_id": suggestion_id, "revision": revision, "ambassador": ambassador, "purpose": None}
        query["beside"] = None  # what says it once more by chat is told of nowhere
        return [read(found) async for found in self._rows.find(query)]

    async def told_beside(self, row: Row) -> datetime | None:
        """Return when a chat message beside an e-mail, or beside the letter that it was in, told what it says."""
        found = await self._rows.find_one({"_id": row.notification_id}, {"letter": 1})
        letter = (found or {}).get("letter", row.notification_id)
        told = {"_id": _beside(letter), "state": State.DELIVERED.value}
        beside = await self._rows.find_one(told, {"ended_at": 1})
        return beside["ended_at"] if beside else None

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

    async def count_unjudged(self) -> int:
        """Return how many ended deliveries it has not been concluded of whether their ways work."""
        return await self._rows.count_documents({"unjudged": True})

    async def _end(self, row: Row, change: Document) -> bool:
        result = await self._rows.update_one(
            {"_id": row.notification_id, "lease": row.lease}, {"$set": change | {"lease": None}}
        )
        return result.matched_count == 1


def _beside(letter: UUID) -> UUID:
    """Return the id of the chat message that says what a letter says."""
    return derived_id("chat", str(letter))
