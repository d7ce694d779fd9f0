"""Suggestions as they were made, whom they concern, and what was made of them.

One document a suggestion; how it lies in the database is told in `kept`, how it is found in `seeking`. `pending` says
that its consequences (routing, rows to deliver, rows to cancel or remove) are not all made yet; it is set by the same
write that changes the state, so no crash comes between. Its acts are in the document as well: an act is stored, counted
and queued for publication in one atomic write.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from pymongo import ASCENDING, DESCENDING, UpdateOne

from schemas.feedback import Act
from schemas.suggestions import SuggestionLapsed, SuggestionMade
from services.notifier.domain.acts import ERASED, Given
from services.notifier.domain.introduction import introduction
from services.notifier.store.bulk import write
from services.notifier.store.kept import (
    ENDED,
    UNDER_WAY,
    WORDS,
    Kept,
    Told,
    acts_fields,
    as_read,
    as_told,
    read,
    read_told,
    told_document,
    without,
)
from services.notifier.store.seeking import NEWEST, SEEK_MS, found_by
from services.runtime.store import Collection, Database, Document


class View(StrEnum):
    """A part of an inbox."""

    TO_DO = "todo"
    UNDER_WAY = "ongoing"
    DONE = "done"


_AT_ONCE: Final = 50
"""Suggestions with their texts that are taken from a cursor in one go."""


@dataclass(frozen=True, slots=True)
class Brief:
    """A suggestion without its texts: which state of it was told, and when."""

    suggestion_id: UUID
    rev: int
    told_at: datetime


class Suggestions:
    """Suggestions by id; every write is compare-and-set on `rev` or `acts_given`."""

    def __init__(self, database: Database) -> None:
        self._all: Collection = database["suggestions"]

    async def ensure_indexes(self) -> None:
        """Create what queries need."""
        await self._all.create_index([("told.ambassador", ASCENDING), ("made_at", DESCENDING), ("_id", ASCENDING)])
        await self._all.create_index("clusters", partialFilterExpression={"pending": True})
        await self._all.create_index("unannounced", partialFilterExpression={"unannounced": True})
        await self._all.create_index("step_at", sparse=True)
        await self._all.create_index("acts.ambassador", sparse=True)
        await self._all.create_index("opened.ambassador", sparse=True)
        await self._all.create_index("words")  # those without any are found by it, too

    async def put_made(self, made: Sequence[SuggestionMade], traces: Mapping[UUID, str | None]) -> None:
        """Keep each, unless a state as new is kept already. A new revision is to be told again."""
        await write(self._all, [_keep(event, traces.get(event.suggestion_id)) for event in made])

    async def put_lapsed(self, lapsed: Sequence[SuggestionLapsed]) -> None:
        """Note that each does not stand any more."""
        await write(
            self._all,
            [
                UpdateOne(
                    {"_id": event.suggestion_id, "rev": {"$lt": event.rev}},
                    {"$set": {"rev": event.rev, "lapsed": event.reason.value, "pending": True}},
                    upsert=True,
                )
                for event in lapsed
            ],
        )

    async def erase(self, suggestion_id: UUID, rev: int | None) -> None:
        """Forget every word of it and every act on it; the id and the counters stay, so that older states stay out."""
        gone: Document = {"$unset": dict.fromkeys(WORDS, "")}
        if rev is None:
            await self._all.update_one({"_id": suggestion_id}, gone | {"$set": {"erased": True, "pending": True}})
            return
        change = gone | {"$set": {"rev": rev, "erased": True, "pending": True}}
        await write(self._all, [UpdateOne({"_id": suggestion_id, "rev": {"$lt": rev}}, change, upsert=True)])

    async def load(self, ids: Iterable[UUID]) -> list[Kept]:
        """Return those of `ids` that are kept."""
        return [read(found) async for found in self._all.find({"_id": {"$in": list(ids)}})]

    async def get(self, suggestion_id: UUID) -> Kept | None:
        """Return one; none when it was never seen."""
        found = await self._all.find_one({"_id": suggestion_id})
        return read(found) if found else None

    async def waiting_for_somebody(self, clusters: Iterable[str]) -> list[UUID]:
        """Return the ids of what nobody is told of yet and concerns one of `clusters`."""
        query = {"pending": True, "clusters": {"$in": list(clusters)}}
        return [found["_id"] async for found in self._all.find(query, {"_id": 1})]

    async def decide(
        self, decisions: Sequence[tuple[Kept, Sequence[Told]]], *, now: datetime, look_at: datetime | None
    ) -> list[Kept]:
        """Write down whom each state is told to, once; return them as decided, by us or by somebody before us.

        At `look_at` it is looked at what became of them.
        """
        await write(
            self._all,
            [
                UpdateOne(
                    {"_id": kept.suggestion_id, "rev": kept.rev, "told": None},
                    {
                        "$set": {"told": [told_document(one) for one in told], "told_at": now}
                        | ({} if introduction(kept.acts) else {"step_at": look_at}),  # that has steps of its own
                        "$min": {"first_told_at": now},
                    },
                )
                for kept, told in decisions
            ],
        )
        return await self.load([kept.suggestion_id for kept, _ in decisions])

    async def also_tell(self, kept: Kept, more: Sequence[Told], *, told_at: datetime | None) -> None:
        """Have others told as well, unless the suggestion is in another state by now; what it brings is due at once.

        With `told_at`, what is done when nobody does anything counts from then.
        """
        told = [told_document(one) for one in (*(kept.told or ()), *more)]
        anew = {} if told_at is None else {"told_at": told_at}
        await self._all.update_one(as_told(kept), {"$set": {"told": told} | anew})

    async def settled(self, kept: Sequence[Kept]) -> list[UUID]:
        """Note that the consequences of these states are made; return the ids that are in another state by now.

        What was taken from the only one told of it, since it was read, stays pending: somebody else is to be told.
        """
        states = {one.suggestion_id: (one.rev, one.told) for one in kept}
        done: Document = {"$set": {"pending": False}}
        await write(self._all, [UpdateOne(as_told(one), done) for one in kept])
        now = self._all.find({"_id": {"$in": list(states)}}, {"rev": 1, "told": 1})
        return [found["_id"] async for found in now if (found["rev"], read_told(found)) != states[found["_id"]]]

    async def of_ambassador(
        self, ambassador: str, view: View, *, skip: int, limit: int, fits: Document | None = None
    ) -> list[Kept]:
        """Return one page of a view of an ambassador's inbox, newest first; of what fits, as in `seeking`."""
        found = self._all.find(_in_view(ambassador, view, fits)).sort([("made_at", DESCENDING), ("_id", ASCENDING)])
        return [read(document) async for document in found.skip(skip).limit(limit)]

    async def concerning(self, ambassador: str) -> AsyncIterator[tuple[Kept, datetime | None]]:
        """Yield what somebody is told of, and what they opened or did something about before, with when they opened it.

        Some of them at a time are in memory.
        """
        told = self._all.find({"told.ambassador": ambassador}).sort([("made_at", DESCENDING), ("_id", ASCENDING)])
        before = {"$or": [{"acts.ambassador": ambassador}, {"opened.ambassador": ambassador}]}
        others = self._all.find({"told.ambassador": {"$ne": ambassador}} | before)
        for found in (told, others):
            async for one in found.batch_size(_AT_ONCE):
                opened = (opening["at"] for opening in one.get("opened", ()) if opening["ambassador"] == ambassador)
                yield read(one), next(opened, None)

    async def newest_open(self, ambassador: str, limit: int) -> list[Brief]:
        """Return the newest suggestions told to somebody that still stand, without their texts."""
        found = self._all.find(_standing(ambassador), {"rev": 1, "made_at": 1, "told_at": 1})
        newest = found.sort([("made_at", DESCENDING), ("_id", ASCENDING)]).limit(limit)
        return [Brief(one["_id"], one["rev"], one.get("told_at") or one["made_at"]) async for one in newest]

    async def count_fitting(self, ambassador: str, view: View, fits: Document, *, most: int) -> int:
        """Return how much of a view fits; counted no further than `most`."""
        return await self._all.count_documents(_in_view(ambassador, view, fits), limit=most, maxTimeMS=SEEK_MS)

    async def cities(self, ambassador: str) -> dict[str, str]:
        """Return where both sides of the newest suggestions sit: names by id, of what an ambassador is told."""
        newest = self._all.find({"told.ambassador": ambassador}, {"sides": 1}).sort("made_at", DESCENDING)
        found: dict[str, str] = {}
        async for document in newest.limit(NEWEST):
            for side in document.get("sides", ()):
                if side["city"] is not None:
                    found.setdefault(side["city"], side["city_name"])
        return found

    async def without_words(self, limit: int) -> list[Kept]:
        """Return suggestions that an earlier version kept, which cannot be found by their words yet."""
        query = {"words": None, "body": {"$exists": True}}
        return [read(found) async for found in self._all.find(query).limit(limit)]

    async def put_words(self, kept: Sequence[Kept]) -> None:
        """Have these be found; of what changed meanwhile, nothing."""
        await write(
            self._all,
            [
                UpdateOne(
                    {"_id": one.suggestion_id, "rev": one.rev, "body": {"$exists": True}},
                    {"$set": found_by(one.made)},
                )
                for one in kept
                if one.made is not None
            ],
        )

    async def count_in_views(self, ambassador: str) -> dict[View, int]:
        """Return how many suggestions each view of an ambassador's inbox has."""
        return {view: await self._all.count_documents(_in_view(ambassador, view)) for view in View}

    async def add_act(self, kept: Kept, act: Given, *, undo_until: datetime | None = None) -> bool:
        """Store `act` as the next one, which makes those before final; False when another came first."""
        change = acts_fields((*kept.acts, act), kept.revision, undo_until=undo_until)
        change |= {"acts_given": act.rev, "unannounced": True}
        result = await self._all.update_one(as_read(kept), {"$set": change})
        return result.matched_count == 1

    async def undo_act(self, kept: Kept, *, now: datetime) -> bool:
        """Take away the last act of a suggestion that was read while it could be; False: it is in another state by now.

        What follows from those before is due again. The number of the act is not given to another.
        """
        change = acts_fields(kept.acts[:-1], kept.revision) | {"step_at": now}
        result = await self._all.update_one(_undoable(kept), {"$set": change})
        return result.matched_count == 1

    async def make_final(self, kept: Kept) -> bool:
        """Have the last act not be undone any more, before anything follows from it; False: as `undo_act`."""
        result = await self._all.update_one(_undoable(kept), {"$set": {"undo_until": None}})
        return result.matched_count == 1

    async def opened(self, suggestion_id: UUID, ambassador: str, *, now: datetime) -> None:
        """Note when somebody who is told of it opened it first."""
        not_yet = {"_id": suggestion_id, "told.ambassador": ambassador, "opened.ambassador": {"$ne": ambassador}}
        await self._all.update_one(not_yet, {"$push": {"opened": {"ambassador": ambassador, "at": now}}})

    async def due_steps(self, now: datetime, limit: int) -> list[UUID]:
        """Return the ids of suggestions of which something is due, the longest due first."""
        due = self._all.find({"step_at": {"$lte": now}}, {"_id": 1}).sort("step_at", ASCENDING).limit(limit)
        return [found["_id"] async for found in due]

    async def count_due_steps(self, now: datetime) -> int:
        """Return of how many suggestions something is due."""
        return await self._all.count_documents({"step_at": {"$lte": now}})

    async def stepped(self, kept: Kept, *, next_at: datetime | None) -> bool:
        """Note when the next step is due of a suggestion whose due ones are made; False: it is in another state by now.

        Then it is due as that state says.
        """
        result = await self._all.update_one(as_read(kept), {"$set": {"step_at": next_at}})
        return result.matched_count == 1

    async def step_later(self, suggestion_id: UUID, at: datetime) -> None:
        """Look at a suggestion again then: something went wrong with it now."""
        await self._all.update_one({"_id": suggestion_id, "step_at": {"$ne": None}}, {"$set": {"step_at": at}})

    async def with_unannounced_acts(self, limit: int, *, now: datetime) -> list[Kept]:
        """Return suggestions with acts that are due and not confirmed to be on the log."""
        return [read(found) async for found in self._all.find(_unannounced(now)).limit(limit)]

    async def count_unannounced(self, *, now: datetime) -> int:
        """Return how many suggestions have acts that are due and not confirmed to be on the log."""
        return await self._all.count_documents(_unannounced(now))

    async def announced(self, kept: Kept) -> None:
        """Note that every act of `kept` is on the log, unless another came since."""
        await self._all.update_one(
            {"_id": kept.suggestion_id, "acts_given": kept.acts_given}, {"$set": {"unannounced": False}}
        )

    async def announce_again(self) -> None:
        """Queue every act for publication once more."""
        await self._all.update_many({"acts.0": {"$exists": True}}, {"$set": {"unannounced": True}})

    async def forget_ambassador(self, ambassador: str) -> None:
        """Remove a person from whatever they were told and did. Open ones that nobody knows of now wait for somebody.

        Where they led, the next one told does: those who are left must not each believe that another acts. What they
        introduced stays introduced, by nobody any more: both sides have been asked, and are not asked anew.
        """
        touched = {"$or": [{"told.ambassador": ambassador}, {"acts.ambassador": ambassador}]}
        async for found in self._all.find(touched):
            kept = read(found)
            acts = without(kept.acts, ambassador)
            told = [
                entry | ({"passed_by": ERASED} if entry.get("passed_by") == ambassador else {})
                for entry in found.get("told") or []
                if entry["ambassador"] != ambassador
            ]
            if told and not any(entry["leads"] for entry in told):
                told[0] = told[0] | {"leads": True}
            # Put aside, it was answered; taken in hand, it was not, and the two sides still have not met.
            answered = bool(kept.acts) and kept.acts[-1].act is Act.NOT_RELEVANT
            orphan = not told and not answered and kept.lapsed is None and introduction(acts) is None
            change = acts_fields(acts, kept.revision) | {"told": None if orphan else told}
            if kept.made is not None:
                change["step_at"] = kept.made.made_at  # what is left of it is looked at now
            if orphan:
                change["pending"] = True
            result = await self._all.update_one(as_read(kept), {"$set": change})
            if result.matched_count == 0:  # changed in between: look at it again
                await self.forget_ambassador(ambassador)
                return
        # Last: while they are told of something, what they open is noted.
        theirs = {"opened": {"ambassador": ambassador}}
        await self._all.update_many({"opened.ambassador": ambassador}, {"$pull": theirs})

    async def count_unrouted(self) -> int:
        """Return how many open suggestions nobody is told of."""
        return await self._all.count_documents({"pending": True, "clusters": {"$exists": True}, "told": None})


def _standing(ambassador: str) -> Document:
    return {"told.ambassador": ambassador, "lapsed": None}


def _undoable(kept: Kept) -> Document:
    return as_read(kept) | {"undo_until": kept.undo_until, "unannounced": True}


def _unannounced(now: datetime) -> Document:
    return {"unannounced": True, "$or": [{"undo_until": None}, {"undo_until": {"$lte": now}}]}


def _in_view(ambassador: str, view: View, fits: Document | None = None) -> Document:
    told: Document = {"told.ambassador": ambassador} | ({"$and": [fits]} if fits else {})
    mine = told | {"dismissed": {"$ne": ambassador}}
    match view:
        case View.TO_DO:
            return mine | {"lapsed": None, "introduced": None, "taken": {"$ne": True}}
        case View.UNDER_WAY:
            in_hand = {"lapsed": None, "introduced": None, "taken": True}
            return mine | {"$or": [{"introduced": UNDER_WAY}, in_hand]}
        case View.DONE:
            lapsed = {"lapsed": {"$ne": None}, "introduced": None}
            return told | {"$or": [lapsed, {"dismissed": ambassador}, {"introduced": ENDED}]}


def _keep(event: SuggestionMade, traceparent: str | None) -> UpdateOne:
    # A pipeline, because what becomes of `told` depends on the stored revision. `$literal`: texts may begin with `$`.
    fields: Document = {
        "rev": event.rev,
        "revision": event.revision,
        "body": {"$literal": event.model_dump_json()},
        "traceparent": traceparent,
        "made_at": event.made_at,
        "posted_at": {"$ifNull": ["$posted_at", event.posted_at]},
        "clusters": {"$literal": sorted({event.request.party.cluster, event.offer.party.cluster})},
        "told": {"$cond": [{"$eq": ["$revision", event.revision]}, {"$ifNull": ["$told", None]}, None]},
        "dismissed": {"$cond": [{"$eq": ["$revision", event.revision]}, {"$ifNull": ["$dismissed", []]}, []]},
        "lapsed": None,
        "erased": False,
        "pending": True,
        **{name: {"$literal": value} for name, value in found_by(event).items()},
        # What stands again is looked at: while it had lapsed, nothing was due of it.
        "step_at": {"$cond": [{"$eq": [{"$ifNull": ["$lapsed", None]}, None]}, "$step_at", event.made_at]},
    }
    return UpdateOne({"_id": event.suggestion_id, "rev": {"$lt": event.rev}}, [{"$set": fields}], upsert=True)
