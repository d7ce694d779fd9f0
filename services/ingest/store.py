"""Entities in MongoDB. An entity is one document, and its own outbox entry.

live:    {_id: key, rev, at, value, alerts, owner?}
erased:  {_id: key, rev, at}: the stub lets a later re-creation go on counting
either may carry  pending: {state: {rev, at, value?, alerts?, owner?}, since, claim?, traceparent?}
never on the log: {_id: key, rev: 0, pending}
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from pymongo.errors import DuplicateKeyError

from schemas.base import Key
from schemas.members import MemberKey
from services.ingest.entities import KINDS, MEMBER, NOTHING, Kind, Pending, Standing, State, Stored
from services.runtime.store import Collection, Database, Document


class EntityStore:
    """The states of members, contacts, needs and ambassadors."""

    def __init__(self, database: Database) -> None:
        self._entities: dict[Kind, Collection] = {kind: database[kind.name] for kind in KINDS}

    async def prepare(self) -> None:
        """Create what queries need; may be repeated."""
        for kind, entities in self._entities.items():
            await entities.create_index("pending.since", sparse=True)
            if kind.owned:
                await entities.create_index("owner", sparse=True)
                await entities.create_index("pending.state.owner", sparse=True)

    async def get(self, kind: Kind, key: Key) -> Stored:
        """Return what is stored of an entity; `NOTHING` when nothing is."""
        found = await self._entities[kind].find_one({"_id": str(key)})
        return _stored(found) if found else NOTHING

    async def standing(self, member: MemberKey) -> Standing:
        """Return whether a member is published, without reading its profile."""
        fields = {"value.kind": 1, "pending.state.value.kind": 1, "pending.since": 1}
        found = await self._entities[MEMBER].find_one({"_id": str(member)}, fields) or {}
        pending = found.get("pending")
        return Standing(
            kind=found["value"]["kind"] if "value" in found else None,
            arriving=pending is not None and "value" in pending.get("state", {}),
            leaving=pending is not None and "value" not in pending.get("state", {}),
        )

    async def propose(self, kind: Kind, key: Key, base: Stored, pending: Pending, *, since: datetime) -> bool:
        """Store the next state, durably, unless the entity is no longer as in `base`; whether it was."""
        document: Document = {"state": _document(kind, key, pending.state), "since": since}
        if pending.claim is not None:
            document["claim"] = pending.claim
        if pending.traceparent is not None:
            document["traceparent"] = pending.traceparent
        as_it_was = {"_id": str(key), "rev": base.rev, "pending": {"$exists": False}}
        try:
            done = await self._entities[kind].update_one(
                as_it_was, {"$set": {"pending": document}}, upsert=base.rev == 0
            )
        except DuplicateKeyError:
            return False
        return done.matched_count > 0 or done.upserted_id is not None

    async def confirm(self, kind: Kind, key: Key, rev: int) -> bool:
        """Make the pending state `rev` the current one; False when it is pending no more."""
        done = await self._entities[kind].update_one(
            {"_id": str(key), "pending.state.rev": rev},
            [{"$replaceWith": {"$mergeObjects": [{"_id": "$_id"}, "$pending.state"]}}],
        )
        return done.matched_count > 0

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

    async def everything(self, kind: Kind) -> AsyncIterator[tuple[Key, State]]:
        """Yield the current state of each entity, the erased ones included."""
        found = self._entities[kind].find({"rev": {"$gt": 0}}, {"pending": 0}, batch_size=500)
        async for document in found:
            yield _key(kind, document), _state(document)

    async def revs(self, kind: Kind, keys: Sequence[Key]) -> dict[str, int]:
        """Return the newest confirmed rev of each entity, by key."""
        found = self._entities[kind].find({"_id": {"$in": [str(key) for key in keys]}}, {"rev": 1})
        return {document["_id"]: document["rev"] async for document in found}


def _key(kind: Kind, document: Document) -> Key:
    return kind.topic.key.decode(document["_id"].encode())


def _document(kind: Kind, key: Key, state: State) -> Document:
    document: Document = {"rev": state.rev, "at": state.at}
    if state.value is not None:
        document |= {"value": state.value, "alerts": state.alerts}
        if owner := kind.owner(key, state.value):
            document["owner"] = str(owner)
    return document


def _state(document: Document) -> State:
    return State(
        rev=document["rev"],
        at=document["at"],
        value=document.get("value"),
        alerts=document.get("alerts", True),
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
