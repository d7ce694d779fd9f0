"""The matcher's own view of the log, and the suggestions it made of it; each suggestion is its own outbox entry.

Collections: `members` and `needs` (the latest state by key, or of an erased one its last `rev`), `suggestions`, `pairs`
(what feedback settled, and what it said that weighs), `tellings` (when each member was told of, see `sparing.py`),
`shares` (whose share of the work each is, and how far it is done). What came of a batch and how far that is are stored
in one transaction. A write never replaces a newer state.

A row of a member or a need has its event, and a digest of it as its `mark`. So a start reads the rows without their
events, which are nearly all of their bytes: the mark tells whether a snapshot was made of this very state, and an event
that is read later is read by it. Who changes such a row by hand removes its `slot`, and the next start reads it anew.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from collections.abc import Collection as Many
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pymongo import UpdateOne

from schemas.base import Event
from schemas.members import MemberPublished
from schemas.needs import NeedPublished
from services.matcher.domain.directory import Directory
from services.matcher.domain.holding import slot
from services.matcher.domain.known import Gone, Later
from services.matcher.domain.suggestion import Told
from services.matcher.renewal import renew_rows
from services.matcher.rows import (
    known_member,
    known_need,
    member_row,
    need_row,
    saying_of_row,
    saying_row,
    told_of,
    told_row,
)
from services.matcher.sharing import Claim, ShareStore
from services.matcher.tellings import NO_TELLINGS, Tellings, TellingStore
from services.runtime.errors import TransientError
from services.runtime.store import Collection, Document, Session, Store

E = TypeVar("E", bound=Event)

_WITHOUT_EVENT: Final = {"event": 0}

_MANY: Final = 500
"""Rows with their events that are read at a time."""


class StateGoneError(TransientError, Gone):
    """Another replica has replaced what was to be read of a member."""

    def __init__(self, owner: str) -> None:
        super().__init__("a state that is to be read was replaced by another replica")
        self.owner = owner


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What came of a batch, as far as it is this replica's to store.

    Attributes:
        members: keys of members.
        needs: keys of needs, with those of the members whose they are or were.
        suggestions: ids of suggestions that feedback settled.
        sayings: ids of reasons that weigh.
        unsaid: ids of reasons that were of a member that is erased.
        told: new states of suggestions.
        tellings: members told of for the first time in suggestions among these, and how often.
        claims: the shares for which all of it is, with the places that are reached.
    """

    members: Many[str] = ()
    needs: Mapping[str, str]
    suggestions: Many[str] = ()
    sayings: Many[str] = ()
    unsaid: Many[str] = ()
    told: Sequence[Told] = ()
    tellings: Tellings = NO_TELLINGS
    claims: Many[Claim] = ()


class MatcherStore:
    """Typed access to the matcher's database."""

    def __init__(self, store: Store) -> None:
        database = store.database
        self.shares = ShareStore(store)
        self._store = store
        self._members = database["members"]
        self._needs = database["needs"]
        self._suggestions = database["suggestions"]
        self._pairs = database["pairs"]
        self.tellings = TellingStore(database)

    async def prepare(self) -> None:
        """Create the indexes that are missing, and bring rows of earlier versions to the present form."""
        for field in ("ask", "lineage", "asker", "member"):
            await self._suggestions.create_index(field)
        for field in ("cities", "across", "unpublished"):
            await self._suggestions.create_index(field, sparse=True)
        await self._needs.create_index("owner", sparse=True)
        for collection in (self._members, self._needs):
            await collection.create_index("slot")
        await self._pairs.create_index("suggestion", sparse=True)
        await self.tellings.prepare()
        await renew_rows(self._members, self._needs, self._suggestions, self._pairs)

    async def restore(
        self,
        directory: Directory,
        *,
        slots: Sequence[int] | None = None,
        owners: Many[str] | None = None,
        known_needs: Many[str] = (),
    ) -> None:
        """Bring a new directory to what is stored; with `slots` or `owners` to what is stored of these members alone.

        With `owners`, also to what is stored of the needs that were known as theirs: they may be erased by now, which
        says no owner, or somebody else's.

        What events say is read when it is first asked for: in a thread other than the one that runs the event loop, as
        it waits for it.
        """
        loop = asyncio.get_running_loop()
        of_slots: Document = {} if slots is None else {"slot": {"$in": slots}}
        members = of_slots if owners is None else {"_id": {"$in": sorted(owners)}}
        theirs = [{"owner": {"$in": sorted(owners or ())}}, {"_id": {"$in": sorted(known_needs)}}]
        needs = of_slots if owners is None else {"$or": theirs}
        for row in await self._members.find(members, _WITHOUT_EVENT).to_list():
            if "mark" in row:
                directory.restore_member(
                    row["_id"], known_member(row, _Event(MemberPublished, row, self._members, loop))
                )
            else:
                directory.erased_members[row["_id"]] = row["rev"]
        for row in await self._needs.find(needs, _WITHOUT_EVENT).to_list():
            if "mark" in row:
                directory.restore_need(row["_id"], known_need(row, _Event(NeedPublished, row, self._needs, loop)))
            else:
                directory.erased_needs[row["_id"]] = row["rev"]
        if owners is not None:
            return  # what feedback settled is for those who answer for the requests: not for us, of a neighbour's
        async for settled in self._pairs.find():
            if "in_touch" in settled:
                directory.decisions.in_touch.add(frozenset(settled["in_touch"]))
            elif "reason" in settled:
                directory.decisions.sayings.replace(saying_of_row(settled))
            else:
                directory.decisions.settle(settled["_id"], settled.get("revision"))
                if "erased" in settled:
                    directory.decisions.forget(settled["_id"], settled["erased"])

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

    async def commit(self, directory: Directory, changes: Changes) -> None:
        """Store what came of a batch, and how far the shares are with it: all of it or nothing.

        Raises:
            ShareLostError: one of the shares is a neighbour's by now.
            TransientError: a suggestion has been told of otherwise meanwhile, or a member as often as it may be.
            StoreError: the database is away.
        """
        # In a thread: it may ask for events.
        members, needs = await asyncio.to_thread(_rows, directory, changes)
        settled = [_settled(key, directory.decisions.settled_up_to(key)) for key in sorted(changes.suggestions)]
        settled += [_said(saying_row(directory.decisions.sayings.get(key))) for key in sorted(changes.sayings)]
        told = [told_row(state) for state in changes.told]
        erased = {str(state.id): state.revision for state in changes.told if state.made is None}

        async def write(session: Session) -> None:
            await _replace(self._members, members, session, again=True)
            await _replace(self._needs, needs, session, again=True)
            if changes.unsaid:
                await self._pairs.delete_many({"_id": {"$in": sorted(changes.unsaid)}}, session=session)
            if settled:
                await self._pairs.bulk_write(settled, ordered=False, session=session)
            if erased:
                said_of_them = {"suggestion": {"$in": sorted(erased)}}
                await self._pairs.update_many(said_of_them, {"$set": {"carriers": []}}, session=session)
                gone = [_gone(suggestion, revision) for suggestion, revision in sorted(erased.items())]
                await self._pairs.bulk_write(gone, ordered=False, session=session)
            if await _replace(self._suggestions, told, session) < len(told):
                raise TransientError("a suggestion has been told of otherwise meanwhile")
            await self.tellings.count(changes.tellings, session)
            # Last, so that whoever takes a share over hardly ever has to wait for it.
            await self.shares.reach(changes.claims, session)

        await self._store.transaction(write)

    async def told_of(self, ids: Iterable[str]) -> dict[str, Told]:
        """Return those of these suggestions that were told, by id."""
        return {row["_id"]: told_of(row) async for row in self._suggestions.find({"_id": {"$in": sorted(ids)}})}

    async def told(
        self,
        *,
        ids: Iterable[str],
        asks: Iterable[str],
        lineages: Iterable[str],
        members: Iterable[str],
        sides: Iterable[tuple[str | None, str]],
        clusters: Iterable[str],
        slots: Sequence[int] | None,
    ) -> dict[str, Told]:
        """Return the suggestions that one of these may concern, by id.

        Args:
            ids: suggestions themselves.
            asks: keys of requests.
            lineages: of requests.
            members: keys of members: as asking side, answering side or city of either.
            sides: keys of the asking, None for any, and of the answering member.
            clusters: all suggestions between one of these clusters and another.
            slots: of the askers, where it is not for this replica to know all; ids and asks are its own.
        """
        of_members = {"$in": sorted(members)}
        concerned: list[Document] = [
            *({field: of_members} for field in ("asker", "member", "cities")),
            *({"member": member} | ({} if asker is None else {"asker": asker}) for asker, member in sides),
            {"lineage": {"$in": sorted(lineages)}},
            {"across": {"$in": sorted(clusters)}},
        ]
        if slots is not None:
            concerned = [{"$and": [{"slot": {"$in": slots}}, {"$or": concerned}]}]
        concerned += [{"_id": {"$in": sorted(ids)}}, {"ask": {"$in": sorted(asks)}}]
        return {row["_id"]: told_of(row) async for row in self._suggestions.find({"$or": concerned})}

    async def carriers(self, suggestions: Iterable[str]) -> dict[tuple[str, int], list[str]]:
        """Return the words that carry these suggestions, as they were last told, by id and revision."""
        found = self._suggestions.find({"_id": {"$in": sorted(suggestions)}}, {"carriers": 1, "revision": 1})
        return {(row["_id"], row["revision"]): row.get("carriers", []) async for row in found}

    async def unpublished(self, limit: int, slots: Sequence[int] | None = None) -> list[Told]:
        """Return suggestions, of askers in these slots, whose latest state the broker has not confirmed."""
        waiting: Document = {"unpublished": True}
        if slots is not None:
            waiting["slot"] = {"$in": slots}
        return [told_of(row) async for row in self._suggestions.find(waiting).limit(limit)]

    async def count_unpublished(self) -> int:
        """Return how many suggestions the broker has not confirmed."""
        return await self._suggestions.count_documents({"unpublished": True})

    async def published(self, suggestions: Iterable[Told]) -> None:
        """Note that the broker holds these states.

        One that was replaced before it was sent is to be followed by its successor once more: the broker keeps the
        last one sent.
        """
        changes: list[Any] = []
        for told in suggestions:
            changes.append(UpdateOne({"_id": str(told.id), "rev": told.rev}, {"$unset": {"unpublished": 1}}))
            newer = {"_id": str(told.id), "rev": {"$gt": told.rev}}
            changes.append(UpdateOne(newer, {"$set": {"unpublished": True}}))
        if changes:
            await self._suggestions.bulk_write(changes, ordered=False)

    async def publish_all_again(self) -> None:
        """Have every suggestion published once more, in its present state."""
        await self._suggestions.update_many({}, {"$set": {"unpublished": True}})


async def _replace(collection: Collection, rows: Sequence[Document], session: Session, *, again: bool = False) -> int:
    """Write rows unless a newer `rev` is there, or the same one without `again`; return how many are other than before.

    In one question and answer: for a batch of one event these are most of what storing costs.
    """
    if not rows:
        return 0
    done = await collection.bulk_write(
        [_unless_newer(row, again=again) for row in rows], ordered=False, session=session
    )
    return done.modified_count + done.upserted_count


def _settled(suggestion: str, revision: int) -> Any:
    return UpdateOne({"_id": suggestion}, {"$max": {"revision": revision}}, upsert=True)


def _gone(suggestion: str, revision: int) -> Any:
    """Note, of one that was settled, at which revision it was erased."""
    return UpdateOne({"_id": suggestion}, {"$max": {"erased": revision}})


def _said(row: Document) -> Any:
    return UpdateOne({"_id": row["_id"]}, {"$set": row}, upsert=True)


def _unless_newer(row: Document, *, again: bool) -> Any:
    newer = [{"$ifNull": ["$rev", -1]}, row["rev"]]
    there = {"$cond": [{"$lte" if again else "$lt": newer}, {"$literal": row}, "$$ROOT"]}
    return UpdateOne({"_id": row["_id"]}, [{"$replaceWith": there}], upsert=True)


class _Event(Later[E]):
    """The event of a row, which is read when it is first asked for."""

    __slots__ = ("_collection", "_loop", "_mark", "_model", "_owner", "_row", "key")

    def __init__(self, model: type[E], row: Document, collection: Collection, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(self._read)
        self._model, self._collection, self._loop = model, collection, loop
        self.key, self._owner, self._mark = row["_id"], str(row.get("owner") or row["_id"]), row["mark"]
        self._row: Document | None = None

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
            raise StateGoneError(self._owner)
        return row


async def _whole(collection: Collection, keys: Sequence[str]) -> AsyncIterator[Document]:
    for start in range(0, len(keys), _MANY):
        for row in await collection.find({"_id": {"$in": keys[start : start + _MANY]}}).to_list():
            yield row


def _rows(directory: Directory, changes: Changes) -> tuple[list[Document], list[Document]]:
    members = [
        member_row(key, directory.members[key])
        if key in directory.members
        else {"_id": key, "rev": directory.erased_members[key], "slot": slot(key)}
        for key in sorted(changes.members)
    ]
    needs = [
        need_row(key, directory.needs[key])
        if key in directory.needs
        else {"_id": key, "rev": directory.erased_needs[key], "slot": slot(owner)}
        for key, owner in sorted(changes.needs.items())
    ]
    return members, needs
