"""What changes in the store, as the store tells it: for whoever has a page open."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.errors import OperationFailure

from services.runtime.errors import TransientError
from services.runtime.store import Database, Document, changes

_UNSEEN: Final = frozenset({"pending", "unannounced", "step_at", "opened", "traceparent", "acts_given", "told_at"})
"""Fields of a suggestion that no page shows: when nothing else changes, there is nothing to tell."""

_PIPELINE: Final[tuple[Document, ...]] = (
    {"$match": {"ns.coll": {"$in": ["suggestions", "ambassadors", "contacts"]}, "documentKey": {"$exists": True}}},
    # Which fields, and not what is in them now: texts stay where they are.
    {
        "$project": {
            "ns": 1,
            "documentKey": 1,
            "told": "$fullDocument.told.ambassador",
            # By what was done: `told` is looked up later, and may name who is told next. What is absent is no null
            # here: one that is put in, and concerns nobody yet, was taken from nobody.
            "taken": {
                "$or": [
                    {"$eq": ["$operationType", "delete"]},
                    {"$eq": ["$updateDescription.updatedFields.told", None]},
                    {"$in": ["told", {"$ifNull": ["$updateDescription.removedFields", []]}]},
                ]
            },
            "changed": {"$map": {"input": {"$objectToArray": "$updateDescription.updatedFields"}, "in": "$$this.k"}},
        }
    },
)


class PlaceLostError(TransientError):
    """What came after a place is not known any more: whoever follows has to begin anew."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that changed.

    Attributes:
        readers: who sees it, ambassadors by key as text; none: nobody knows whom it concerns, as what was taken from
            whoever saw it, or whom to write to at a member.
        person: the ambassador who changed, by `Ambassadors.id_of`.
    """

    readers: tuple[str, ...] | None = ()
    person: UUID | None = None


class Stream:
    """Changes, one after another."""

    def __init__(self, stream: AsyncChangeStream[Document]) -> None:
        self._stream = stream

    @property
    def place(self) -> Document | None:
        """From where to go on."""
        token: Document | None = self._stream.resume_token  # type: ignore[assignment]  # a mapping that we hand back
        return token

    async def next(self) -> Change | None:
        """Return the next change; none when there was none for a moment. With the first answer, following has begun.

        Raises:
            PlaceLostError: there is no going on from where it was to begin, or from here: the database was dropped.
            StoreError: the database does not answer.
        """
        try:
            found = await self._stream.try_next()
        except OperationFailure as error:
            raise PlaceLostError("the store does not know any more what has changed since") from error
        if found is None and not self._stream.alive:  # it would go on saying at once that there is nothing
            raise PlaceLostError("the store has ended what told of its changes")
        return None if found is None else _read(found)


class Changes:
    """Suggestions, people and contacts, followed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def follow(self, after: Document | None) -> AsyncIterator[Stream]:
        """Follow what changes after a place; none: from now on."""
        async with changes(self._database, _PIPELINE, after=after) as stream:
            yield Stream(stream)


def _read(found: Mapping[str, Any]) -> Change:
    if found["ns"]["coll"] == "ambassadors":
        return Change(person=found["documentKey"]["_id"])
    if found["ns"]["coll"] == "contacts" or found["taken"]:
        return Change(readers=None)
    changed = {name.partition(".")[0] for name in found.get("changed") or ()}
    if changed and changed <= _UNSEEN:
        return Change()
    return Change(readers=tuple(found.get("told") or ()))
