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
from services.notifier.store.deliveries import Row, State, document, read
from services.runtime.store import Collection, Database, Document, Session

_BEST: Final = [("score", DESCENDING), ("_id", ASCENDING)]
_URGENT: Final = [("deadline", ASCENDING), ("_id", ASCENDING)]

_BY_SCORE: Final = "held_by_score"
_BY_DEADLINE: Final = "held_by_deadline"
_BY_DUE: Final = "held_by_due"


@dataclass(frozen=True, slots=True)
class Agenda:
    """When to look at what is held of somebody. `turn` is another one after each letter to them."""

    ambassador: str
    due: datetime
    turn: UUID


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

    async def there(self, ids: Iterable[UUID]) -> set[UUID]:
        """Return which of these rows exist."""
        return {found["_id"] async for found in self._rows.find({"_id": {"$in": list(ids)}}, {"_id": 1})}

    async def told_on(self, ambassador: str, day: str) -> int:
        """Return how many suggestions are in letters to somebody on a day of theirs."""
        told = {"ambassador": ambassador, "day": day, "state": {"$ne": State.CANCELLED.value}}
        return await self._rows.count_documents(told)

    async def expect(self, ids: Iterable[UUID]) -> None:
        """Have the agendas of those whose rows these are look when they are due; of rows that are not held, nothing."""
        held = {"_id": {"$in": list(ids)}, "state": State.HELD.value}
        await write(
            self._agendas,
            [
                UpdateOne(
                    {"_id": found["ambassador"]},
                    {"$min": {"due": found["due"]}, "$setOnInsert": {"turn": uuid4()}},
                    upsert=True,
                )
                async for found in self._rows.find(held, {"ambassador": 1, "due": 1})
            ],
        )

    async def expect_by(self, ambassador: str, at: datetime) -> None:
        """Have all that is held of somebody due by then, what is due before excepted."""
        await self._rows.update_many({"ambassador": ambassador, "state": State.HELD.value}, {"$min": {"due": at}})
        await self._agendas.update_one({"_id": ambassador}, {"$min": {"due": at}})

    async def next_agenda(self, now: datetime) -> Agenda | None:
        """Return the agenda that is due longest; none when none is."""
        found = await self._agendas.find_one({"due": {"$lte": now}}, sort=[("due", ASCENDING)])
        return Agenda(found["_id"], found["due"], found["turn"]) if found else None

    async def best(self, ambassador: str, *, now: datetime, pressing: datetime, limit: int) -> list[Row]:
        """Return what to tell somebody: first what presses, with a deadline before `pressing`, then the best."""
        held = {"ambassador": ambassador, "state": State.HELD.value, "due": {"$lte": now}}
        first = self._rows.find(held | {"deadline": {"$lt": pressing}}, hint=_BY_DEADLINE).sort(_URGENT).limit(limit)
        chosen = {found["_id"]: read(found) async for found in first}
        if len(chosen) < limit:
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

    async def look_again(self, agenda: Agenda, *, not_before: datetime | None) -> None:
        """Set an agenda to when the first of what is still held is due.

        Args:
            agenda: as it was looked at; if it says another time by now, it stays.
            not_before: there may be no letter before this; none: at any time.
        """
        held = {"ambassador": agenda.ambassador, "state": State.HELD.value}
        this: Document = {"_id": agenda.ambassador, "due": agenda.due}
        first = await self._rows.find_one(held, {"due": 1}, sort=[("due", ASCENDING)])
        if first is None:
            await self._agendas.delete_one(this)
        else:
            await self._agendas.update_one(this, {"$set": {"due": max(first["due"], not_before or first["due"])}})
        if not_before is None:
            # One may have come in between, and found the agenda as it was.
            sooner = await self._rows.find_one(held, {"_id": 1}, sort=[("due", ASCENDING)])
            await self.expect([sooner["_id"]] if sooner else [])

    async def items(self, letter: UUID, ambassador: str) -> list[UUID]:
        """Return the ids of the suggestions that a letter to somebody told, in its order."""
        found = self._rows.find({"letter": letter, "ambassador": ambassador}, {"suggestion_id": 1})
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
