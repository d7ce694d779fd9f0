"""What waits for its reader's next letter, and when that is due.

A row that is held says by when it wants to be told; an agenda, one for each person of whom something is held, says when
to look. Rows are written first and the agenda after them, so that no row is ever held without one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from pymongo import ASCENDING, DESCENDING, UpdateOne

from schemas.ids import derived_id
from schemas.notifications import Channel
from services.notifier.store.bulk import write
from services.notifier.store.rows import Row, State, document, read
from services.runtime.store import Collection, Database, Document, Session

_BEST: Final = [("score", DESCENDING), ("_id", ASCENDING)]
_URGENT: Final = [("deadline", ASCENDING), ("_id", ASCENDING)]

_BY_SCORE: Final = "held_by_score"
_BY_DEADLINE: Final = "held_by_deadline"
_BY_DUE: Final = "held_by_due"


@dataclass(frozen=True, slots=True)
class Agenda:
    """When to look at what is held of somebody.

    Attributes:
        turn: another one after each letter to them.
        asked: how often it was said that something is held.
        regular: until then only what presses is told: the last regular letter had no room for all.
    """

    ambassador: str
    due: datetime
    turn: UUID
    asked: int
    regular: datetime | None


class Letters:
    """Rows that are held, by person, and what became of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: Collection = database["notifications"]
        self._agendas: Collection = database["agendas"]

    async def ensure_indexes(self) -> None:
        """Create what queries need."""
        held = {"state": State.HELD.value}
        whose = ("ambassador", ASCENDING)
        # The best of somebody, the most urgent and the first due are found without going through all that waits.
        for keys, name in (
            ([whose, *_BEST, ("due", ASCENDING)], _BY_SCORE),
            ([whose, *_URGENT, ("due", ASCENDING)], _BY_DEADLINE),
            ([whose, ("due", ASCENDING)], _BY_DUE),
        ):
            await self._rows.create_index(keys, name=name, partialFilterExpression=held)
        await self._rows.create_index([whose, ("day", ASCENDING)], partialFilterExpression={"day": {"$exists": True}})
        await self._agendas.create_index("due")

    async def states(self, ids: Sequence[UUID]) -> dict[UUID, State]:
        """Return where those of these rows stand that exist."""
        if not ids:
            return {}
        found = self._rows.find({"_id": {"$in": list(ids)}}, {"state": 1})
        return {one["_id"]: State(one["state"]) async for one in found}

    async def put_back(self, row: Row) -> None:
        """Queue what was cancelled once more, as it is planned now."""
        change: Document = {"state": row.state.value, "due": row.due, "score": row.score, "deadline": row.deadline}
        change["by_chat"] = False  # how it is sent is decided anew
        this = {"_id": row.notification_id, "state": State.CANCELLED.value, "ended_at": None}
        gone = {"letter": "", "place": ""} | ({} if row.day else {"day": ""})
        await self._rows.update_one(this, {"$set": change | ({"day": row.day} if row.day else {}), "$unset": gone})

    async def free(self) -> int:
        """Hold again what is in a letter that ended without telling it; return how many suggestions.

        A letter that nobody takes any more is ended by an older version of us, which knows no letters about several.
        """
        found = self._rows.find({"letter": {"$exists": True}, "state": State.IN_LETTER.value}, {"letter": 1})
        letters = {one["_id"]: one["letter"] async for one in found}
        queued = {"$in": [State.WAITING.value, State.TO_CHAT.value]}
        waiting = {"_id": {"$in": list(set(letters.values()))}, "state": queued}
        alive = {one["_id"] async for one in self._rows.find(waiting, {"_id": 1})}
        ids = [row for row, letter in letters.items() if letter not in alive]
        if ids:
            in_letter = {"_id": {"$in": ids}, "state": State.IN_LETTER.value}
            gone = {"letter": "", "place": "", "day": ""}
            await self._rows.update_many(in_letter, {"$set": {"state": State.HELD.value}, "$unset": gone})
            await self.expect(ids)
        return len(ids)

    async def told_on(self, ambassador: str, day: str) -> int:
        """Return how many suggestions are in letters to somebody on a day of theirs."""
        told = {"ambassador": ambassador, "day": day, "state": {"$ne": State.CANCELLED.value}}
        return await self._rows.count_documents(told)

    async def expect(self, ids: Iterable[UUID]) -> None:
        """Have the agendas of those whose rows these are look when they are due; of rows that are not held, nothing."""
        held = {"_id": {"$in": list(ids)}, "state": State.HELD.value}
        first: dict[str, datetime] = {}
        async for found in self._rows.find(held, {"ambassador": 1, "due": 1}):
            first[found["ambassador"]] = min(found["due"], first.get(found["ambassador"], found["due"]))
        await write(
            self._agendas,
            [
                UpdateOne(
                    {"_id": ambassador},
                    {"$min": {"due": due}, "$inc": {"asked": 1}, "$setOnInsert": {"turn": uuid4()}},
                    upsert=True,
                )
                for ambassador, due in first.items()
            ],
        )

    async def expect_by(self, ambassador: str, at: datetime) -> None:
        """Have all that is held of somebody due by then, what is due before excepted."""
        await self._rows.update_many({"ambassador": ambassador, "state": State.HELD.value}, {"$min": {"due": at}})
        await self._agendas.update_one({"_id": ambassador}, {"$min": {"due": at}, "$inc": {"asked": 1}})

    async def next_agenda(self, now: datetime) -> Agenda | None:
        """Return the agenda that is due longest; none when none is."""
        found = await self._agendas.find_one({"due": {"$lte": now}}, sort=[("due", ASCENDING)])
        if found is None:
            return None
        return Agenda(found["_id"], found["due"], found["turn"], found["asked"], found.get("regular"))

    async def due_since(self) -> datetime | None:
        """Return when the agenda that is due longest became due; there is none: None."""
        found = await self._agendas.find_one({}, {"due": 1}, sort=[("due", ASCENDING)])
        return found["due"] if found else None

    async def count_due(self, now: datetime) -> int:
        """Return how many agendas are due."""
        return await self._agendas.count_documents({"due": {"$lte": now}})

    async def best(
        self, ambassador: str, *, now: datetime, pressing: datetime, limit: int, only_pressing: bool
    ) -> list[Row]:
        """Return what to tell somebody: first what presses, with a deadline before `pressing`, then the best."""
        held = {"ambassador": ambassador, "state": State.HELD.value, "due": {"$lte": now}}
        first = self._rows.find(held | {"deadline": {"$lt": pressing}}, hint=_BY_DEADLINE).sort(_URGENT).limit(limit)
        chosen = {found["_id"]: read(found) async for found in first}
        if len(chosen) < limit and not only_pressing:
            others = self._rows.find(held, hint=_BY_SCORE).sort(_BEST).limit(limit)
            chosen |= {found["_id"]: read(found) async for found in others if found["_id"] not in chosen}
        return list(chosen.values())[:limit]

    async def write(self, agenda: Agenda, rows: Sequence[Row], *, day: str, now: datetime) -> bool:
        """Put these rows of one person into a letter that is due now, in their order, all or none.

        Returns:
            False when one of them is not held any more, or a neighbour wrote to that person meanwhile: look again.

        A letter about one suggestion is the row itself. One about several is frozen by this: its rows name it.
        """
        ids = [row.notification_id for row in rows]
        change: Document = {"state": State.WAITING.value, "due": now, "day": day}
        letter = _letter(rows) if len(rows) > 1 else None
        if letter is not None:
            change |= {"state": State.IN_LETTER.value, "letter": letter.notification_id}
        takes = [
            UpdateOne({"_id": one, "state": State.HELD.value}, {"$set": change | {"place": place}})
            for place, one in enumerate(ids)
        ]

        async def take(session: Session) -> bool:
            turn = {"_id": agenda.ambassador, "turn": agenda.turn}
            ours = await self._agendas.update_one(turn, {"$set": {"turn": uuid4()}}, session=session)
            taken = await self._rows.bulk_write(takes, session=session) if ours.matched_count else None
            if taken is None or taken.modified_count < len(ids):
                await session.abort_transaction()
                return False
            if letter is not None:
                # The same ones may have been in one that was not sent, because all of them had lapsed meanwhile.
                await self._rows.replace_one(
                    {"_id": letter.notification_id}, document(letter, now), upsert=True, session=session
                )
            return True

        async with await self._database.client.start_session() as session:  # type: ignore[misc]  # motor's is a coroutine
            done: bool = await session.with_transaction(take)
        return done

    async def look_again(self, agenda: Agenda, *, not_before: datetime | None, regular: datetime | None) -> None:
        """Set an agenda to when the first of what is still held is due, unless more was asked for meanwhile.

        Args:
            agenda: as it was looked at.
            not_before: there may be no letter before this; none: at any time.
            regular: until then only what presses is told; none: all is.
        """
        held = {"ambassador": agenda.ambassador, "state": State.HELD.value}
        this: Document = {"_id": agenda.ambassador, "asked": agenda.asked}
        first = await self._rows.find_one(held, {"due": 1}, sort=[("due", ASCENDING)])
        if first is None:
            await self._agendas.delete_one(this)
            return
        due = max(first["due"], not_before or first["due"])
        await self._agendas.update_one(this, {"$set": {"due": due, "regular": regular}})

    async def items(self, letter: UUID, ambassador: str) -> list[UUID]:
        """Return the ids of the suggestions that a letter to somebody told, in its order."""
        # What lapsed before was not. A chat message beside it may tell what did not arrive by e-mail, or was not sent.
        told = {"state": {"$in": [State.IN_LETTER.value, State.DELIVERED.value, State.FAILED.value]}}
        unsent = {"state": State.CANCELLED.value, "ended_at": {"$ne": None}}
        query = {"letter": letter, "ambassador": ambassador, "$or": [told, unsent]}
        found = self._rows.find(query, {"suggestion_id": 1})
        return [row["suggestion_id"] async for row in found.sort("place", ASCENDING)]

    async def count_held(self) -> int:
        """Return how many suggestions wait for a letter."""
        return await self._rows.count_documents({"state": State.HELD.value}, hint=_BY_DUE)

    async def forget_ambassador(self, ambassador: str) -> None:
        """Remove a person's agenda."""
        await self._agendas.delete_one({"_id": ambassador})


def _letter(rows: Sequence[Row]) -> Row:
    """Return the row of a letter about several suggestions to one person; the same ones make the same letter."""
    ids = sorted(str(row.notification_id) for row in rows)
    return Row(
        notification_id=derived_id("letter", rows[0].ambassador, *ids),
        suggestion_id=None,
        revision=0,
        ambassador=rows[0].ambassador,
        channel=Channel.EMAIL,
        made_at=min(row.made_at for row in rows),
    )
