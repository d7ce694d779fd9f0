"""Whose share of the work each is, and how far it is done: the store's word, against which a stale owner cannot write.

The group at the broker says who is to do the work; it cannot keep a process that was away from going on as before.
Taking a share over raises its epoch, and every transaction changes its row under the epoch that its owner knows.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from pymongo import ReturnDocument, UpdateOne

from services.runtime.errors import TransientError
from services.runtime.store import Document, Session, Store


class ShareLostError(TransientError):
    """A neighbour does this share of the work by now."""


class NotGivenError(TransientError):
    """The group has not said yet who does which share of the work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A share as its owner has it.

    Attributes:
        epoch: how often it has been taken over.
        version: what its row counts; whoever finds another has not seen what was stored since.
        log: identity of the log that the places are in.
        places: offset of the next record, by `topic/partition`; what is not named is not begun.
        clock: up to when it has been looked whether deadlines had passed.
    """

    share: int
    of: int
    epoch: int
    version: int
    log: str
    places: Mapping[str, int] = field(default_factory=dict)
    clock: datetime | None = None

    def reached(self, places: Mapping[str, int], clock: datetime) -> "Claim":
        """Return the claim once all before these places is done; places never go back."""
        on = {name: max(place, self.places.get(name, 0)) for name, place in places.items()}
        return replace(self, version=self.version + 1, places={**self.places, **on}, clock=clock)


class ShareStore:
    """The rows of the shares."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shares = store.database["shares"]

    async def all(self) -> dict[int, Claim]:
        """Return all shares as they are, by number."""
        return {row["_id"]: _claim(row) async for row in self._shares.find()}

    async def take(self, share: int, *, of: int, log: str) -> Claim:
        """Take a share over from whoever had it, and return how far it is: nowhere, in another log or another division.

        What its owner is about to store is undone.
        """
        ours = await self._store.session_id()
        before = await self._shares.find_one({"_id": share})
        if before is not None:
            await self._store.end_session(before["session"])
        changes = {"$inc": {"epoch": 1, "version": 1}, "$set": {"session": ours, "of": of, "log": log}}
        taken = await self._shares.find_one_and_update(
            {"_id": share}, changes, upsert=True, return_document=ReturnDocument.BEFORE
        )
        if taken is None:
            return Claim(share=share, of=of, epoch=1, version=1, log=log)
        if before is None or before["session"] != taken["session"]:
            await self._store.end_session(taken["session"])
        claim = replace(_claim(taken), epoch=taken["epoch"] + 1, version=taken["version"] + 1)
        if claim.of != of:
            return replace(claim, of=of, log=log, places={}, clock=None)
        return claim if claim.log == log else replace(claim, log=log, places={})  # deadlines are of no log

    async def forget_others(self, of: int) -> None:
        """Remove the rows of shares that there are no more: there were more of them."""
        await self._shares.delete_many({"_id": {"$gte": of}})

    async def reach(self, claims: Collection[Claim], session: Session) -> None:
        """Note how far the shares are.

        Raises:
            ShareLostError: one of them is a neighbour's by now.
        """
        if not claims:
            return
        done = await self._shares.bulk_write([_update(claim) for claim in claims], ordered=False, session=session)
        if done.matched_count < len(claims):
            raise ShareLostError("a neighbour has taken over a share of the work")


_TO_BEGIN: Final[Document] = {"places": [], "clock": None}


def _claim(row: Document) -> Claim:
    row = _TO_BEGIN | row
    return Claim(
        share=row["_id"],
        of=row["of"],
        epoch=row["epoch"],
        version=row["version"],
        log=row["log"],
        places=dict(row["places"]),
        clock=row["clock"],
    )


def _update(claim: Claim) -> Any:
    # Names of topics hold dots, which make poor field names.
    reached = {"places": [list(place) for place in claim.places.items()], "clock": claim.clock}
    owned = {"_id": claim.share, "epoch": claim.epoch}
    # Counted, not set: what was stored without our hearing of it counts too, or a neighbour could miss what follows.
    return UpdateOne(owned, {"$set": reached, "$inc": {"version": 1}})
