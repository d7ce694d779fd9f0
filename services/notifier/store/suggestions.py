"""Suggestions as they were made, whom they concern, and what was made of them.

One document a suggestion. `pending` says that its consequences (routing, rows to deliver, rows to cancel or remove) are
not all made yet; it is set by the same write that changes the state, so no crash comes between. Its acts are in the
document as well: an act is stored, counted and queued for publication in one atomic write.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from pymongo import ASCENDING, DESCENDING, UpdateOne

from schemas.ambassadors import AmbassadorKey
from schemas.feedback import Act, NotRelevantReason, Result, Side
from schemas.suggestions import LapseReason, SuggestionLapsed, SuggestionMade
from services.notifier.domain.acts import ERASED, Given
from services.notifier.domain.introduction import OF_INTRODUCTIONS, introduction
from services.notifier.domain.standing import Standing, standing, taken_by
from services.notifier.store.bulk import write
from services.runtime.store import Collection, Database, Document

_WORDS: Final = (
    "body", "traceparent", "made_at", "clusters", "told", "acts", "lapsed", "revision", "taken", "dismissed",
    "unannounced", "introduced", "step_at", "told_at", "opened", "first_told_at",
    "posted_at",
)  # fmt: skip


_UNDER_WAY: Final = "under_way"
_ENDED: Final = "ended"


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody who is told of a suggestion, and by which channels.

    Attributes:
        stands_in: told because those who were told first did nothing, or passed it on.
        passed_by: who passed it on to them.
    """

    ambassador: str
    leads: bool
    channels: tuple[str, ...]
    stands_in: bool = False
    passed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A suggestion as stored.

    Attributes:
        made: none when erased, or lapsed before it was ever read.
        lapsed: why it does not stand any more.
        told: none while nobody is decided on.
        told_at: when that was decided; none: an earlier version did.
        traceparent: W3C trace context of the event that told it.
        acts_given: acts counted so far; more than `acts` where those of an erased person are gone.
    """

    suggestion_id: UUID
    rev: int
    erased: bool
    revision: int
    made: SuggestionMade | None
    lapsed: LapseReason | None
    told: tuple[Told, ...] | None
    acts: tuple[Given, ...]
    acts_given: int
    told_at: datetime | None = None
    traceparent: str | None = None


class View(StrEnum):
    """A part of an inbox."""

    TO_DO = "todo"
    UNDER_WAY = "ongoing"
    DONE = "done"


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
        gone: Document = {"$unset": dict.fromkeys(_WORDS, "")}
        if rev is None:
            await self._all.update_one({"_id": suggestion_id}, gone | {"$set": {"erased": True, "pending": True}})
            return
        change = gone | {"$set": {"rev": rev, "erased": True, "pending": True}}
        await write(self._all, [UpdateOne({"_id": suggestion_id, "rev": {"$lt": rev}}, change, upsert=True)])

    async def load(self, ids: Iterable[UUID]) -> list[Kept]:
        """Return those of `ids` that are kept."""
        return [_read(found) async for found in self._all.find({"_id": {"$in": list(ids)}})]

    async def get(self, suggestion_id: UUID) -> Kept | None:
        """Return one; none when it was never seen."""
        found = await self._all.find_one({"_id": suggestion_id})
        return _read(found) if found else None

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
                        "$set": {"told": [_told_document(one) for one in told], "told_at": now}
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
        told = [_told_document(one) for one in (*(kept.told or ()), *more)]
        anew = {} if told_at is None else {"told_at": told_at}
        await self._all.update_one(_as_told(kept), {"$set": {"told": told} | anew})

    async def settled(self, kept: Sequence[Kept]) -> list[UUID]:
        """Note that the consequences of these states are made; return the ids that are in another state by now.

        What was taken from the only one told of it, since it was read, stays pending: somebody else is to be told.
        """
        as_read = {one.suggestion_id: (one.rev, one.told) for one in kept}
        done: Document = {"$set": {"pending": False}}
        await write(self._all, [UpdateOne(_as_told(one), done) for one in kept])
        now = self._all.find({"_id": {"$in": list(as_read)}}, {"rev": 1, "told": 1})
        return [found["_id"] async for found in now if (found["rev"], _read_told(found)) != as_read[found["_id"]]]

    async def of_ambassador(self, ambassador: str, view: View, *, skip: int, limit: int) -> list[Kept]:
        """Return one page of a view of an ambassador's inbox, newest first."""
        found = self._all.find(_in_view(ambassador, view)).sort([("made_at", DESCENDING), ("_id", ASCENDING)])
        return [_read(document) async for document in found.skip(skip).limit(limit)]

    async def count_in_views(self, ambassador: str) -> dict[View, int]:
        """Return how many suggestions each view of an ambassador's inbox has."""
        return {view: await self._all.count_documents(_in_view(ambassador, view)) for view in View}

    async def add_act(self, kept: Kept, act: Given) -> bool:
        """Store `act` as the next one; False when another came first."""
        change = _acts_fields((*kept.acts, act), kept.revision) | {"acts_given": act.rev, "unannounced": True}
        result = await self._all.update_one(_as_read(kept), {"$set": change})
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
        result = await self._all.update_one(_as_read(kept), {"$set": {"step_at": next_at}})
        return result.matched_count == 1

    async def step_later(self, suggestion_id: UUID, at: datetime) -> None:
        """Look at a suggestion again then: something went wrong with it now."""
        await self._all.update_one({"_id": suggestion_id, "step_at": {"$ne": None}}, {"$set": {"step_at": at}})

    async def with_unannounced_acts(self, limit: int) -> list[Kept]:
        """Return suggestions with acts that are not confirmed to be on the log."""
        return [_read(found) async for found in self._all.find({"unannounced": True}).limit(limit)]

    async def count_unannounced(self) -> int:
        """Return how many suggestions have acts that are not confirmed to be on the log."""
        return await self._all.count_documents({"unannounced": True})

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
            kept = _read(found)
            acts = _without(kept.acts, ambassador)
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
            change = _acts_fields(acts, kept.revision) | {"told": None if orphan else told}
            if kept.made is not None:
                change["step_at"] = kept.made.made_at  # what is left of it is looked at now
            if orphan:
                change["pending"] = True
            result = await self._all.update_one(_as_read(kept), {"$set": change})
            if result.matched_count == 0:  # changed in between: look at it again
                await self.forget_ambassador(ambassador)
                return
        # Last: while they are told of something, what they open is noted.
        theirs = {"opened": {"ambassador": ambassador}}
        await self._all.update_many({"opened.ambassador": ambassador}, {"$pull": theirs})

    async def count_unrouted(self) -> int:
        """Return how many open suggestions nobody is told of."""
        return await self._all.count_documents({"pending": True, "clusters": {"$exists": True}, "told": None})


def _in_view(ambassador: str, view: View) -> Document:
    told: Document = {"told.ambassador": ambassador}
    mine = told | {"dismissed": {"$ne": ambassador}}
    match view:
        case View.TO_DO:
            return mine | {"lapsed": None, "introduced": None, "taken": {"$ne": True}}
        case View.UNDER_WAY:
            in_hand = {"lapsed": None, "introduced": None, "taken": True}
            return mine | {"$or": [{"introduced": _UNDER_WAY}, in_hand]}
        case View.DONE:
            lapsed = {"lapsed": {"$ne": None}, "introduced": None}
            return told | {"$or": [lapsed, {"dismissed": ambassador}, {"introduced": _ENDED}]}


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
        # What stands again is looked at: while it had lapsed, nothing was due of it.
        "step_at": {"$cond": [{"$eq": [{"$ifNull": ["$lapsed", None]}, None]}, "$step_at", event.made_at]},
    }
    return UpdateOne({"_id": event.suggestion_id, "rev": {"$lt": event.rev}}, [{"$set": fields}], upsert=True)


def _as_told(kept: Kept) -> Document:
    """Ask for a suggestion in the state that was read, told to the same people."""
    told = None if kept.told is None else [_told_document(one) for one in kept.told]
    return {"_id": kept.suggestion_id, "rev": kept.rev, "told": told}


def _as_read(kept: Kept) -> Document:
    """Ask for it with the same acts as well: writing them whole must not bring back those of somebody erased since.

    By what counts them: what else an act holds depends on the version that stored it.
    """
    revs = {"$ifNull": ["$acts.rev", []]}
    same = {"$eq": [revs, [given.rev for given in kept.acts]]}
    return _as_told(kept) | {"acts_given": kept.acts_given or None, "$expr": same}


def _acts_fields(acts: Sequence[Given], revision: int) -> Document:
    """The acts, with what the views of an inbox ask for, and that there is something to look at."""
    people = sorted({given.ambassador for given in acts})
    introduced = introduction(acts)
    where = {person: standing(acts, ambassador=person, revision=revision, lapsed=False) for person in people}
    return {
        "acts": [_act_document(given) for given in acts],
        "taken": taken_by(acts, revision) is not None,
        "dismissed": [person for person in people if where[person] in (Standing.DISMISSED, Standing.PASSED)],
        "introduced": None if introduced is None else _UNDER_WAY if introduced.is_open else _ENDED,
    } | ({"step_at": acts[-1].at} if acts else {})


def _without(acts: Sequence[Given], ambassador: str) -> list[Given]:
    """Return acts without those of a person; of those that tell of an introduction, without the person."""
    nobody = str(AmbassadorKey.decode(ambassador.encode()).model_copy(update={"ambassador_id": ERASED}))
    kept = [given for given in acts if given.ambassador != ambassador or given.act in OF_INTRODUCTIONS]
    return [replace(given, ambassador=nobody) if given.ambassador == ambassador else given for given in kept]


def _told_document(told: Told) -> Document:
    always = {"ambassador": told.ambassador, "leads": told.leads, "channels": list(told.channels)}
    stands_in = {"stands_in": True} if told.stands_in else {}
    return always | stands_in | ({"passed_by": told.passed_by} if told.passed_by else {})


def _act_document(given: Given) -> Document:
    return {
        "rev": given.rev,
        "revision": given.revision,
        "ambassador": given.ambassador,
        "act": given.act.value,
        "reason": given.reason.value if given.reason else None,
        "at": given.at,
    } | {name: value for name, value in _of_introductions(given).items() if value}


def _of_introductions(given: Given) -> Document:
    return {"side": given.side, "result": given.result, "silent": given.silent, "person": given.person}


def _read(found: Mapping[str, Any]) -> Kept:
    body, lapsed = found.get("body"), found.get("lapsed")
    return Kept(
        suggestion_id=found["_id"],
        rev=found["rev"],
        erased=bool(found.get("erased")),
        revision=found.get("revision", 0),
        made=SuggestionMade.model_validate_json(body) if body else None,
        lapsed=LapseReason(lapsed) if lapsed else None,
        told=_read_told(found),
        acts=tuple(read_act(act) for act in found.get("acts", ())),
        acts_given=found.get("acts_given") or 0,
        told_at=found.get("told_at"),
        traceparent=found.get("traceparent"),
    )


def _read_told(found: Mapping[str, Any]) -> tuple[Told, ...] | None:
    told = found.get("told")
    if told is None:
        return None
    return tuple(
        Told(
            one["ambassador"],
            one["leads"],
            tuple(one["channels"]),
            one.get("stands_in", False),
            one.get("passed_by"),
        )
        for one in told
    )


def read_act(found: Mapping[str, Any]) -> Given:
    """Return an act as kept."""
    return Given(
        rev=found["rev"],
        revision=found["revision"],
        ambassador=found["ambassador"],
        act=Act(found["act"]),
        reason=NotRelevantReason(found["reason"]) if found["reason"] else None,
        at=found["at"],
        side=Side(found["side"]) if found.get("side") else None,
        result=Result(found["result"]) if found.get("result") else None,
        silent=found.get("silent", False),
        person=found.get("person"),
    )
