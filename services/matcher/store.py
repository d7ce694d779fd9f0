"""The matcher's own view of the log, and the suggestions it made of it; each suggestion is its own outbox entry.

Collections: `members` and `needs` (the latest state by key, or of an erased one its last `rev`), `suggestions`, `pairs`
(what feedback settled), `writers` (which process wrote last). A write never replaces a newer state; writing the same
again changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from bson import decode, encode
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError

from schemas.members import MemberKind, MemberPublished
from schemas.needs import NeedPublished
from schemas.suggestions import LapseReason, SuggestionMade
from services.matcher.domain.directory import Directory
from services.matcher.domain.known import KnownMember, KnownNeed, Later
from services.matcher.domain.suggestion import Told, cities
from services.runtime.store import Collection, Database, Document

_DUPLICATE_KEY: Final = 11000

E = TypeVar("E", MemberPublished, NeedPublished)

_RAW: Final = CodecOptions(document_class=RawBSONDocument)
"""Rows as they come: nothing of them is read until it is asked for."""

_STANDING: Final = "standing"
_LAPSED: Final = "lapsed"
_ERASED: Final = "erased"


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
        """Bring a new directory to what is stored; what events say is read when it is first asked for."""
        for row in await self._members.with_options(_RAW).find().to_list():
            if "event" in row:
                directory.restore_member(row["_id"], _member(row))
            else:
                directory.erased_members[row["_id"]] = row["rev"]
        for row in await self._needs.with_options(_RAW).find().to_list():
            if "event" in row:
                directory.restore_need(row["_id"], _need(row))
            else:
                directory.erased_needs[row["_id"]] = row["rev"]
        async for settled in self._pairs.find():
            if "in_touch" in settled:
                directory.decisions.in_touch.add(frozenset(settled["in_touch"]))
            else:
                directory.decisions.suggestions.add(settled["_id"])
        directory.refresh_conventions()

    async def keep(self, directory: Directory, *, members: Iterable[str], needs: Iterable[str]) -> None:
        """Store the present state of these members and needs, erased ones as nothing but their `rev`."""
        rows = [_raw(_member_row(key, directory)) for key in sorted(members)]
        await _replace(self._members, rows)
        for row in rows:
            if row["_id"] in directory.members:
                directory.member_stored(row["_id"], _mark(row))
        rows = [_raw(_need_row(key, directory)) for key in sorted(needs)]
        await _replace(self._needs, rows)
        for row in rows:
            if row["_id"] in directory.needs:
                directory.need_stored(row["_id"], _mark(row))

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


def _raw(row: Document) -> RawBSONDocument:
    return RawBSONDocument(encode(row), _RAW)


def _mark(row: RawBSONDocument) -> bytes:
    """Return what tells a row from any other: of what is stored, byte for byte."""
    return sha256(row.raw).digest()  # processors have instructions for it, and there may be a hundred megabytes


def _read(model: type[E], row: RawBSONDocument) -> Later[E]:
    return Later(lambda: model.model_validate(decode(row["event"].raw)))


def _member(row: RawBSONDocument) -> KnownMember:
    # Rows that an earlier version wrote have no `kind` of their own.
    kind = MemberKind(row.get("kind") or row["event"]["kind"])
    since = Later(lambda: dict(decode(row.raw)["since"]))
    return KnownMember(row["rev"], kind, row["seq"], _read(MemberPublished, row), since, _mark(row))


def _need(row: RawBSONDocument) -> KnownNeed:
    # Rows that an earlier version wrote have no `owner` and no `deadline` of their own.
    event = row["event"]
    owner = row["owner"] if "owner" in row else f"{event['cluster']}/{event['member_id']}"
    deadline = row["deadline"] if "owner" in row else event["deadline"]
    return KnownNeed(
        rev=row["rev"],
        owner=owner,
        deadline=None if deadline is None else datetime.fromisoformat(deadline),
        seq=row["seq"],
        since=row["since"],
        lineage=row["lineage"],
        read=_read(NeedPublished, row),
        expired=row["expired"],
        mark=_mark(row),
    )


def _member_row(key: str, directory: Directory) -> Document:
    known = directory.members.get(key)
    if known is None:
        return {"_id": key, "rev": directory.erased_members[key]}
    event = known.event.model_dump(mode="json")
    since = [list(item) for item in known.since.items()]  # ids may hold dots, which make poor field names
    return {"_id": key, "rev": known.rev, "seq": known.seq, "kind": event["kind"], "since": since, "event": event}


def _need_row(key: str, directory: Directory) -> Document:
    known = directory.needs.get(key)
    if known is None:
        return {"_id": key, "rev": directory.erased_needs[key]}
    event = known.event.model_dump(mode="json")
    return {
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
