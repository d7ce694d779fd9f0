"""Entities in MongoDB. An entity is one document, and its own outbox entry.

live:    {_id: key, rev, at, by, value, alerts, owner?, said?}: `by` tells one proposal from another, `said` is the
         same for needs that say the same
erased:  {_id: key, rev, at, by}: the stub lets a later re-creation go on counting
either may carry  pending: {state: {rev, at, by, value?, alerts?, owner?, said?}, since, claim?, traceparent?}
never on the log: {_id: key, rev: 0, pending}
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from uuid import UUID, uuid4

from pymongo import UpdateOne
from pymongo.collation import Collation
from pymongo.errors import BulkWriteError, OperationFailure, WriteError

from schemas.base import Key
from schemas.members import MemberKey
from schemas.needs import NeedStatus
from services.ingest.entities import (
    CONTACT,
    KINDS,
    MEMBER,
    NEED,
    NOTHING,
    Kind,
    Page,
    Part,
    Pending,
    Standing,
    State,
    Stored,
    Value,
    alike,
)
from services.runtime.store import DUPLICATE_KEY, Collection, Database, Document
from services.runtime.together import Together

_SHOWN: Final = 4
"""Needs that say the same, told of at most."""

_LOOKED_AT: Final = 1_000
"""Of them, for all that ask at the same time."""

_PAGE_BYTES: Final = 2_000_000
"""Of states in one part of a list, or the first state alone: a hundred of the largest would be as many megabytes, each
several times that while it is put together."""

_REPLACED: Final = ("owner_1", "owner_1__id_1")
"""Indexes that we made before others took their place."""

_ANY_CASE: Final = Collation(locale="en", strength=2)

_OF_A_LIST: Final = ("member_id", "title", "status", "deadline")
"""What is read of needs that are listed: a text may be long."""

_AT_AN_ADDRESS: Final = 50
"""Members that one person answers for: whoever has more of them needs another door than this."""


class EntityStore:
    """The states of members, contacts, needs and ambassadors."""

    def __init__(self, database: Database) -> None:
        self._entities: dict[Kind, Collection] = {kind: database[kind.name] for kind in KINDS}
        self._kept = {kind: _Kept(entities) for kind, entities in self._entities.items()}

    async def prepare(self) -> None:
        """Create what queries need; may be repeated."""
        for kind, entities in self._entities.items():
            await entities.create_index("pending.since", sparse=True)
            if kind.owned:
                await entities.create_index(
                    [("owner", 1), ("_id", 1)], name="owned", partialFilterExpression={"owner": {"$exists": True}}
                )
                await entities.create_index("pending.state.owner", sparse=True)
                for name in _REPLACED:
                    with suppress(OperationFailure):  # it is not there, or another replica was faster
                        await entities.drop_index(name)
        await self._entities[NEED].create_index([("owner", 1), ("said", 1)], sparse=True)
        await self._entities[NEED].create_index([("value.status", 1), ("_id", 1)])
        await self._entities[NEED].create_index(
            [("owner", 1), ("at", -1)], name="owned_lately", partialFilterExpression={"owner": {"$exists": True}}
        )
        await self._entities[CONTACT].create_index("value.email", sparse=True, collation=_ANY_CASE)

    async def get(self, kind: Kind, key: Key) -> Stored:
        """Return what is stored of an entity; `NOTHING` when nothing is."""
        return await self._kept[kind].get(str(key))

    async def standing(self, member: MemberKey) -> Standing:
        """Return whether a member is published, without reading its profile."""
        return await self._kept[MEMBER].standing(str(member))

    async def propose(self, kind: Kind, key: Key, base: Stored, pending: Pending, *, since: datetime) -> bool:
        """Store the next state, durably, unless the entity is no longer as in `base`; whether it was."""
        by = uuid4()
        # In the state: so it is told who proposed it also once somebody else has made it the current one.
        document: Document = {"state": _document(kind, key, pending.state) | {"by": by}, "since": since}
        if pending.claim is not None:
            document["claim"] = pending.claim
        if pending.traceparent is not None:
            document["traceparent"] = pending.traceparent
        as_it_was = {"_id": str(key), "rev": base.rev, "pending": {"$exists": False}}
        change = UpdateOne(as_it_was, {"$set": {"pending": document}}, upsert=base.rev == 0)
        return await self._kept[kind].propose((str(key), by, change))

    async def confirm(self, kind: Kind, key: Key, rev: int) -> bool:
        """Make the pending state `rev` the current one; False when another has become it meanwhile."""
        return await self._kept[kind].confirm((str(key), rev))

    async def replace_pending(self, kind: Kind, key: Key, rev: int, state: State) -> bool:
        """Have `state` go to the log instead of the pending `rev`; False when that is pending no more."""
        done = await self._entities[kind].update_one(
            {"_id": str(key), "pending.state.rev": rev},
            {"$set": {"pending.state": _document(kind, key, state)}},
        )
        return done.matched_count > 0

    async def abandon(self, kind: Kind, key: Key, rev: int) -> None:
        """Forget the pending state `rev`, which the log will never take."""
        where = {"_id": str(key), "pending.state.rev": rev}
        if not (await self._entities[kind].delete_one({**where, "rev": 0})).deleted_count:
            await self._entities[kind].update_one(where, {"$unset": {"pending": ""}})

    async def pending_since(self, kind: Kind, before: datetime, limit: int) -> Sequence[Key]:
        """Return entities with a pending state stored before a moment, the oldest first."""
        found = self._entities[kind].find({"pending.since": {"$lt": before}}, {"_id": 1})
        return [_key(kind, document) async for document in found.sort("pending.since").limit(limit)]

    async def count_pending(self) -> int:
        """Return how many entities have a state that is not confirmed."""
        counts = [await kept.count_documents({"pending.since": {"$exists": True}}) for kept in self._entities.values()]
        return sum(counts)

    async def owned_by(self, member: MemberKey) -> Sequence[tuple[Kind, Key]]:
        """Return what a member owns, or will own once what is pending is confirmed."""
        either = {"$or": [{"owner": str(member)}, {"pending.state.owner": str(member)}]}
        return [
            (kind, _key(kind, document))
            for kind, entities in self._entities.items()
            if kind.owned
            async for document in entities.find(either, {"_id": 1})
        ]

    async def page(
        self,
        kind: Kind,
        cluster: str,
        part: Part,
        *,
        owner: MemberKey | None = None,
        status: NeedStatus | None = None,
    ) -> Page:
        """Return part of what is published of a kind in a cluster; of what one member owns, or has this status.

        It has as many as are asked for, or fewer if they are large.
        """
        after, limit = part.after, part.limit
        # The sign that follows the one between the parts of a key: where the cluster's keys end.
        where: Document = {"_id": {"$gt": f"{cluster}/{after}", "$lt": f"{cluster}0"}, "value": {"$exists": True}}
        if owner is not None:
            where["owner"] = str(owner)
        if status is not None:
            where["value.status"] = status.value
        sizes = (
            self._entities[kind]
            .find(where, {"_id": 1, "bytes": {"$bsonSize": "$value"}})
            .sort("_id", 1)
            .limit(limit + 1)
        )
        ids, more, whole = list[str](), False, 0
        async for document in sizes:
            whole += document["bytes"]
            if more := len(ids) == limit or (whole > _PAGE_BYTES and bool(ids)):
                break
            ids.append(document["_id"])
        found = self._entities[kind].find({**where, **_among(ids)}, {"pending": 0}).sort("_id", 1)
        states = [(_key(kind, document), _state(document)) async for document in found]
        return Page(states, ids[-1].partition("/")[2] if more else None)

    async def saying_the_same(self, owner: MemberKey, key: Key, value: Value, now: datetime) -> Sequence[str]:
        """Return the ids of the owner's other needs that stand now and say what `value` says, the first few."""
        found = await self._kept[NEED].saying((str(owner), _said(value), now))
        return [other for other in found if other != str(key)]

    async def contacts_at(self, email: str) -> Sequence[tuple[MemberKey, Value]]:
        """Return the published contacts that are reached at an address, in whatever case it is written."""
        found = self._entities[CONTACT].find({"value.email": email}, {"value": 1}).collation(_ANY_CASE)
        rows = [document async for document in found.limit(_AT_AN_ADDRESS)]
        exact = [row for row in rows if row["value"]["email"].casefold() == email.casefold()]
        return [(MemberKey.decode(row["_id"].encode()), row["value"]) for row in exact]

    async def needs_of(self, member: MemberKey, limit: int) -> Sequence[tuple[Key, State]]:
        """Return a member's published needs, those changed last first: what they are called, and how they stand."""
        shown = dict.fromkeys(("rev", "at", *(f"value.{name}" for name in _OF_A_LIST)), 1)
        found = self._entities[NEED].find({"owner": str(member)}, shown).sort("at", -1).limit(limit)
        return [(_key(NEED, document), _state(document)) async for document in found]

    async def cities_of(self, cluster: str) -> Sequence[tuple[str, str]]:
        """Return id and name of the innovation cities of a cluster."""
        own = {"_id": {"$gte": f"{cluster}/", "$lt": f"{cluster}0"}}  # 0 comes after the slash
        found = self._entities[MEMBER].find(own | {"value.kind": "innovation_city"}, {"value.name": 1})
        rows = [(document["_id"].partition("/")[2], document["value"]["name"]) async for document in found]
        return sorted(rows, key=lambda row: row[1])

    async def everything(self, kind: Kind) -> AsyncIterator[tuple[Key, State]]:
        """Yield the current state of each entity, the erased ones included."""
        found = self._entities[kind].find({"rev": {"$gt": 0}}, {"pending": 0}, batch_size=500)
        async for document in found:
            yield _key(kind, document), _state(document)

    async def revs(self, kind: Kind, keys: Sequence[Key]) -> dict[str, int]:
        """Return the newest confirmed rev of each entity, by key."""
        found = self._entities[kind].find({"_id": {"$in": [str(key) for key in keys]}}, {"rev": 1})
        return {document["_id"]: document["rev"] async for document in found}


class _Kept:
    """What one write after another asks of a collection, for as many at a time as there are."""

    def __init__(self, entities: Collection) -> None:
        self._entities = entities
        self.get = Together(self._get)
        self.standing = Together(self._standing)
        self.propose = Together(self._propose)
        self.confirm = Together(self._confirm)
        self.saying = Together(self._saying)

    async def _get(self, keys: Sequence[str]) -> Sequence[Stored | Exception]:
        found = {document["_id"]: _stored(document) async for document in self._entities.find(_among(keys))}
        return [found.get(key, NOTHING) for key in keys]

    async def _standing(self, keys: Sequence[str]) -> Sequence[Standing | Exception]:
        fields = {"value.kind": 1, "pending.state.value.kind": 1, "pending.since": 1}
        found = {document["_id"]: document async for document in self._entities.find(_among(keys), fields)}
        return [_standing(found.get(key, {})) for key in keys]

    async def _propose(self, proposals: Sequence[tuple[str, UUID, UpdateOne]]) -> Sequence[bool | Exception]:
        done, failed = await self._write([change for _, _, change in proposals])
        if done == len(proposals):
            return [True] * done
        found = self._entities.find(_among([key for key, _, _ in proposals]), {"by": 1, "pending.state.by": 1})
        by_whom = {
            one["_id"]: {one.get("by"), one.get("pending", {}).get("state", {}).get("by")} async for one in found
        }
        return [failed.get(place, by in by_whom.get(key, ())) for place, (key, by, _) in enumerate(proposals)]

    async def _confirm(self, states: Sequence[tuple[str, int]]) -> Sequence[bool | Exception]:
        current = [{"$replaceWith": {"$mergeObjects": [{"_id": "$_id"}, "$pending.state"]}}]
        done, failed = await self._write(
            [UpdateOne({"_id": key, "pending.state.rev": rev}, current) for key, rev in states]
        )
        if done == len(states):
            return [True] * done
        found = self._entities.find(_among([key for key, _ in states]), {"rev": 1})
        revs = {document["_id"]: document["rev"] async for document in found}
        return [failed.get(place, revs.get(key) == rev) for place, (key, rev) in enumerate(states)]

    async def _saying(self, wanted: Sequence[tuple[str, str, datetime]]) -> Sequence[Sequence[str] | Exception]:
        """Return the keys of the needs of each owner that say the same, are open, and not over at the time."""
        either = [{"owner": owner, "said": said} for owner, said in {(owner, said): None for owner, said, _ in wanted}]
        # As profiles have it in JSON: in UTC, so that what is later sorts after it.
        now = max(now for _, _, now in wanted).astimezone(UTC).isoformat().replace("+00:00", "Z")
        stand = {"$or": either, "value.status": NeedStatus.OPEN.value, "value.deadline": {"$not": {"$lte": now}}}
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        async for one in self._entities.find(stand, {"owner": 1, "said": 1}).limit(_LOOKED_AT):
            found[one["owner"], one["said"]].append(one["_id"])
        return [found[owner, said][:_SHOWN] for owner, said, _ in wanted]

    async def _write(self, writes: Sequence[UpdateOne]) -> tuple[int, dict[int, Exception]]:
        """Return how many found what they change, and what was wrong with those that could not be made, by place."""
        try:
            done = await self._entities.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            details = error.details or {}
            if details.get("writeConcernErrors"):
                raise
            # Somebody was faster and made the document: that is no error but an answer.
            wrong = [one for one in details.get("writeErrors", ()) if one["code"] != DUPLICATE_KEY]
            return -1, {one["index"]: WriteError(one["errmsg"], one["code"]) for one in wrong}
        return done.matched_count + done.upserted_count, {}


def _among(keys: Sequence[str]) -> Document:
    return {"_id": {"$in": list(keys)}}


def _key(kind: Kind, document: Document) -> Key:
    return kind.topic.key.decode(document["_id"].encode())


def _document(kind: Kind, key: Key, state: State) -> Document:
    document: Document = {"rev": state.rev, "at": state.at}
    if state.value is not None:
        document |= {"value": state.value, "alerts": state.alerts}
        if owner := kind.owner(key, state.value):
            document["owner"] = str(owner)
        if kind is NEED:
            document["said"] = _said(state.value)
    return document


def _said(value: Value) -> str:
    return sha256(alike(value).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _state(document: Document) -> State:
    return State(
        rev=document["rev"],
        at=document["at"],
        value=document.get("value"),
        alerts=document.get("alerts", True),
    )


def _standing(document: Document) -> Standing:
    pending = document.get("pending")
    return Standing(
        kind=document["value"]["kind"] if "value" in document else None,
        arriving=pending is not None and "value" in pending.get("state", {}),
        leaving=pending is not None and "value" not in pending.get("state", {}),
    )


def _stored(document: Document) -> Stored:
    pending = document.get("pending")
    return Stored(
        current=_state(document) if document["rev"] else None,
        pending=None
        if pending is None
        else Pending(
            state=_state(pending["state"]), claim=pending.get("claim"), traceparent=pending.get("traceparent")
        ),
    )
