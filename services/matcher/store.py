"""The matcher's own view of the log, and the suggestions it made of it; each suggestion is its own outbox entry.

Collections: `members` and `needs` (the latest state by key, or of an erased one its last `rev`), `suggestions`, `pairs`
(what feedback settled), `writers` (which process wrote last). A write never replaces a newer state; writing the same
again changes nothing.

A row of a member or a need has its event, and in the same write its `mark`: a digest of all the rest of the row. So a
start reads the rows without their events, which are nearly all of their bytes: the mark tells whether a snapshot was
made of this very state, and an event that is read later is read by it. Who changes such a row by hand removes its mark.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from bson import encode
from pymongo import ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError

from schemas.base import Event
from schemas.members import MemberKind, MemberPublished
from schemas.needs import NeedPublished
from schemas.suggestions import LapseReason, SuggestionMade
from services.matcher.domain.directory import Directory
from services.matcher.domain.known import Gone, KnownMember, KnownNeed, Later
from services.matcher.domain.suggestion import Told, cities
from services.runtime.errors import TransientError
from services.runtime.store import Collection, Database, Document

_DUPLICATE_KEY: Final = 11000

E = TypeVar("E", bound=Event)

_WITHOUT_EVENT: Final = {"event": 0}

_MANY: Final = 500
"""Rows with their events that are read at a time."""

_STANDING: Final = "standing"
_LAPSED: Final = "lapsed"
_ERASED: Final = "erased"


class StateGoneError(TransientError, Gone):
    """Another process has replaced what is to be read: its claim will be seen in the next round."""


class MatcherStore:
    """Typed access to the matcher's database."""

    def __init__(self, database: Database) -> None:
        self._members = database["members"]
        self._needs = database["needs"]
        self._suggestions = database["suggestions"]
        self._pairs = database["pairs"]
        self._writers = database["writers"]

    async def prepare(self) -> None:
        """Create the indexes that are missing."""
        for field in ("ask", "asker", "member"):
            await self._suggestions.create_index(field)
        for field in ("cities", "across", "unpublished"):
            await self._suggestions.create_index(field, sparse=True)

    async def is_last_writer(self, process: str) -> bool:
        """Whether no other process has claimed the view since this one did."""
        last = await self._writers.find_one({"_id": "last"})
        return last is not None and last["process"] == process

    async def claim(self, process: str) -> None:
        """Tell every other process that its memory may be out of date."""
        await self._writers.replace_one({"_id": "last"}, {"process": process}, upsert=True)

    async def restore(self, directory: Directory) -> None:
        """Bring a new directory to what is stored.

        What events say is read when it is first asked for: in a thread other than the one that runs the event loop, as
        it waits for it.
        """
        loop = asyncio.get_running_loop()
        for row in await _rows(self._members):
            if "seq" in row:
                read = _Event(MemberPublished, row, self._members, loop)
                directory.restore_member(row["_id"], _member(row, read))
            else:
                directory.erased_members[row["_id"]] = row["rev"]
        for row in await _rows(self._needs):
            if "seq" in row:
                directory.restore_need(row["_id"], _need(row, _Event(NeedPublished, row, self._needs, loop)))
            else:
                directory.erased_needs[row["_id"]] = row["rev"]
        async for settled in self._pairs.find():
            if "in_touch" in settled:
                directory.decisions.in_touch.add(frozenset(settled["in_touch"]))
            else:
                directory.decisions.suggestions.add(settled["_id"])

    async def read_ahead(self, directory: Directory, owners: Sequence[str]) -> None:
        """Read together what these members and their needs say, where nobody has asked for it yet.

        What another process has replaced meanwhile is left out.
        """
        known = [directory.members[owner] for owner in owners if owner in directory.members]
        for collection, events in (
            (self._members, [member.read for member in known]),
            (self._needs, [need.read for owner in owners for need in directory.needs_of(owner)]),
        ):
            waiting = {event.key: event for event in events if isinstance(event, _Event) and event.waits}
            async for row in _whole(collection, list(waiting)):
                waiting[row["_id"]].give(row)

    async def keep(self, directory: Directory, *, members: Iterable[str], needs: Iterable[str]) -> None:
        """Store the present state of these members and needs, erased ones as nothing but their `rev`."""
        # In a thread: it may ask for events.
        rows = await asyncio.to_thread(lambda: [_member_row(key, directory) for key in sorted(members)])
        await _replace(self._members, rows)
        for row in rows:
            if "mark" in row:
                directory.member_stored(row["_id"], row["mark"])
        rows = await asyncio.to_thread(lambda: [_need_row(key, directory) for key in sorted(needs)])
        await _replace(self._needs, rows)
        for row in rows:
            if "mark" in row:
                directory.need_stored(row["_id"], row["mark"])

    async def settle(self, *, suggestions: Iterable[str], in_touch: Iterable[frozenset[str]]) -> None:
        """Store what feedback settled: suggestions by id, pairs of members by their keys."""
        rows: list[Document] = [{"_id": suggestion} for suggestion in sorted(suggestions)]
        rows += [{"_id": "|".join(sorted(pair)), "in_touch": sorted(pair)} for pair in in_touch]
        if rows:
            await self._pairs.bulk_write(
                [UpdateOne({"_id": row["_id"]}, {"$set": row}, upsert=True) for row in rows], ordered=False
            )

    async def told(
        self,
        *,
        ids: Iterable[str],
        asks: Iterable[str],
        members: Iterable[str],
        clusters: Iterable[str],
    ) -> dict[str, Told]:
        """Return the suggestions that one of these may concern, by id.

        Args:
            ids: suggestions themselves.
            asks: keys of requests.
            members: keys of members: as asking side, answering side or city of either.
            clusters: all suggestions between one of these clusters and another.
        """
        of_members = {"$in": sorted(members)}
        concerned: list[Document] = [
            {"_id": {"$in": sorted(ids)}},
            {"ask": {"$in": sorted(asks)}},
            *({field: of_members} for field in ("asker", "member", "cities")),
            {"across": {"$in": sorted(clusters)}},
        ]
        return {row["_id"]: _told(row) async for row in self._suggestions.find({"$or": concerned})}

    async def tell(self, suggestions: Sequence[Told]) -> None:
        """Store new states, to be published. A state that is there already, or a newer one, stays."""
        await _replace(self._suggestions, [_row(told) for told in suggestions])

    async def unpublished(self, limit: int) -> list[Told]:
        """Return suggestions whose latest state the broker has not confirmed."""
        return [_told(row) async for row in self._suggestions.find({"unpublished": True}).limit(limit)]

    async def count_unpublished(self) -> int:
        """Return how many suggestions the broker has not confirmed."""
        return await self._suggestions.count_documents({"unpublished": True})

    async def published(self, suggestions: Iterable[Told]) -> None:
        """Note that the broker holds these states."""
        changes = [
            UpdateOne({"_id": str(told.id), "rev": told.rev}, {"$unset": {"unpublished": 1}}) for told in suggestions
        ]
        if changes:
            await self._suggestions.bulk_write(changes, ordered=False)

    async def publish_all_again(self) -> None:
        """Have every suggestion published once more, in its present state."""
        await self._suggestions.update_many({}, {"$set": {"unpublished": True}})


async def _replace(collection: Collection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows unless a newer `rev` is there; the same `rev` is written again."""
    if not rows:
        return
    writes: list[Any] = [ReplaceOne({"_id": row["_id"], "rev": {"$lte": row["rev"]}}, row, upsert=True) for row in rows]
    try:
        await collection.bulk_write(writes, ordered=False)
    except BulkWriteError as error:
        # A newer row does not match the filter, so the upsert meets its id: the newer one stays.
        details = cast("dict[str, Any]", error.details or {})
        if details.get("writeConcernErrors") or any(
            problem["code"] != _DUPLICATE_KEY for problem in details.get("writeErrors", ())
        ):
            raise


class _Event(Later[E]):
    """The event of a row, which is read when it is first asked for."""

    __slots__ = ("_collection", "_loop", "_mark", "_model", "_row", "key")

    def __init__(self, model: type[E], row: Document, collection: Collection, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(self._read)
        self._model, self._collection, self._loop = model, collection, loop
        self.key, self._mark = row["_id"], row.get("mark")
        self._row: Document | None = row if "event" in row else None

    @property
    def waits(self) -> bool:
        """Whether it would have to be asked for."""
        return self._row is None and not self.made

    def give(self, row: Document) -> None:
        """Take the row that the event is in, if it is still in that state."""
        if row.get("mark") == self._mark:
            self._row = row

    def _read(self) -> E:
        if self._row is None and asyncio._get_running_loop() is self._loop:
            raise RuntimeError(f"{self.key} is asked for by the event loop, which would wait for itself")
        row = self._row or asyncio.run_coroutine_threadsafe(self._find(), self._loop).result()
        self._row = None
        return self._model.model_validate(row["event"])

    async def _find(self) -> Document:
        row = await self._collection.find_one({"_id": self.key, "mark": self._mark}, {"event": 1})
        if row is None:
            raise StateGoneError("a state that is to be read was replaced by another process")
        return row


async def _rows(collection: Collection) -> list[Document]:
    """Return all rows, without their events where a mark tells which they are; earlier versions wrote none."""
    rows = await collection.find({}, _WITHOUT_EVENT).to_list()
    unmarked = [row["_id"] for row in rows if "seq" in row and "mark" not in row]
    whole = {row["_id"]: row async for row in _whole(collection, unmarked)}
    return [whole.get(row["_id"], row) for row in rows] if whole else rows


async def _whole(collection: Collection, keys: Sequence[str]) -> AsyncIterator[Document]:
    for start in range(0, len(keys), _MANY):
        for row in await collection.find({"_id": {"$in": keys[start : start + _MANY]}}).to_list():
            yield row


def _marked(row: Document) -> Document:
    """Return a row with what tells it from any other: a digest of all that is stored besides."""
    return row | {"mark": sha256(encode(row)).digest()}  # processors have instructions for it


def _member(row: Document, read: Later[MemberPublished]) -> KnownMember:
    # Rows that an earlier version wrote have no `kind` and no `mark` of their own.
    kind = MemberKind(row.get("kind") or row["event"]["kind"])
    return KnownMember(row["rev"], kind, row["seq"], read, dict(row["since"]), row.get("mark") or _marked(row)["mark"])


def _need(row: Document, read: Later[NeedPublished]) -> KnownNeed:
    # Rows that an earlier version wrote have no `owner`, no `deadline` and no `mark` of their own.
    owner = row["owner"] if "owner" in row else f"{row['event']['cluster']}/{row['event']['member_id']}"
    deadline = row["deadline"] if "owner" in row else row["event"]["deadline"]
    return KnownNeed(
        rev=row["rev"],
        owner=owner,
        deadline=None if deadline is None else datetime.fromisoformat(deadline),
        seq=row["seq"],
        since=row["since"],
        lineage=row["lineage"],
        read=read,
        expired=row["expired"],
        mark=row.get("mark") or _marked(row)["mark"],
    )


def _member_row(key: str, directory: Directory) -> Document:
    known = directory.members.get(key)
    if known is None:
        return {"_id": key, "rev": directory.erased_members[key]}
    event = known.event.model_dump(mode="json")
    since = [list(item) for item in known.since.items()]  # ids may hold dots, which make poor field names
    row = {"_id": key, "rev": known.rev, "seq": known.seq, "kind": event["kind"], "since": since, "event": event}
    return _marked(row)


def _need_row(key: str, directory: Directory) -> Document:
    known = directory.needs.get(key)
    if known is None:
        return {"_id": key, "rev": directory.erased_needs[key]}
    event = known.event.model_dump(mode="json")
    row = {
        "_id": key,
        "rev": known.rev,
        "seq": known.seq,
        "owner": known.owner,
        "deadline": event["deadline"],
        "since": known.since,
        "lineage": known.lineage,
        "expired": known.expired,
        "event": event,
    }
    return _marked(row)


def _row(told: Told) -> Document:
    row: Document = {
        "_id": str(told.id),
        "rev": told.rev,
        "revision": told.revision,
        "at": told.at,
        "state": _ERASED,
        "unpublished": True,
    }
    if told.made is None:
        return row
    asker, member = told.made.request.party.key, told.made.offer.party.key
    row |= {
        "state": _STANDING if told.lapsed is None else _LAPSED,
        "lineage": told.lineage,
        "ask": told.ask,
        "seq": told.seq,
        "asker": str(asker),
        "member": str(member),
        "made": told.made.model_dump(mode="json"),
    }
    if named := cities(told.made):
        row["cities"] = sorted(named)
    if asker.cluster != member.cluster:
        row["across"] = [asker.cluster, member.cluster]
    if told.lapsed is not None:
        row["lapsed"] = told.lapsed.value
    if told.traceparent is not None:
        row["traceparent"] = told.traceparent
    return row


def _told(row: Document) -> Told:
    if row["state"] == _ERASED:
        return Told(id=UUID(row["_id"]), rev=row["rev"], revision=row["revision"], at=row["at"])
    return Told(
        id=UUID(row["_id"]),
        rev=row["rev"],
        revision=row["revision"],
        at=row["at"],
        lineage=row["lineage"],
        ask=row["ask"],
        seq=row["seq"],
        made=SuggestionMade.model_validate(row["made"]),
        lapsed=LapseReason(row["lapsed"]) if "lapsed" in row else None,
        traceparent=row.get("traceparent"),
    )
