"""Who may come in: links that were mailed, sessions, and how often somebody asked for a link.

Nothing here opens anything to whoever reads it: links are signed when they are mailed, of sessions a digest is kept.
No address is kept either, only what tells one from another; what has ended is removed by the database.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pymongo import ReturnDocument

from services.runtime.store import Collection, Database, Document
from services.web.entrance import Limit, session_ends, window

SECRET_BYTES: Final = 32
"""Of a session's secret: nobody guesses 256 bits."""


def digest(secret: str) -> str:
    """Return what is kept of a session's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Link:
    """A link that opens a session, once.

    Attributes:
        whom: whom it is mailed to, by key.
        address: what tells their address from others, as `Seal.mark`.
        to: path at which they arrive.
    """

    link_id: UUID
    whom: str
    address: str
    to: str | None
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Signed:
    """Somebody who is signed in.

    Attributes:
        digest: of what the browser keeps.
        whom: whose pages it opens, by key.
        address: as of a `Link`: at which they were reached.
        epoch: of their private addresses, when the session began.
        chosen: whether it is settled which of those at this address is meant.
    """

    digest: str
    whom: str
    address: str
    epoch: int
    chosen: bool
    begun_at: datetime
    seen_at: datetime


class Sessions:
    """Links, sessions, and counts; each write is one document's."""

    def __init__(self, database: Database, *, whom: str) -> None:
        """`whom`: what those who sign in are called in the database."""
        self._whom = whom
        self._links: Collection = database["sign_ins"]
        self._sessions: Collection = database["sessions"]
        self._counts: Collection = database["sign_in_counts"]

    async def ensure_indexes(self) -> None:
        """Create what queries need, and what has the database remove what has ended."""
        for collection in (self._links, self._sessions, self._counts):
            await collection.create_index("ends_at", expireAfterSeconds=0)
        await self._links.create_index(self._whom)
        await self._sessions.create_index(self._whom)
        await self._sessions.create_index("address")

    async def count(self, who: str, limit: Limit, *, now: datetime) -> int:
        """Count that `who` asked once more, and return how often they have in this stretch of time."""
        began = window(limit, now)
        found: Any = await self._counts.find_one_and_update(
            {"_id": f"{who} {limit.most} {began.isoformat()}"},
            {"$inc": {"times": 1}, "$setOnInsert": {"ends_at": began + limit.within}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return int(found["times"])

    async def add_link(self, link: Link) -> None:
        """Keep a link, unless it is kept already."""
        kept = {self._whom: link.whom, "address": link.address, "to": link.to, "ends_at": link.ends_at}
        await self._links.update_one({"_id": link.link_id}, {"$setOnInsert": kept | {"used_at": None}}, upsert=True)

    async def link(self, link_id: UUID, *, now: datetime) -> Link | None:
        """Return a link that is still good; none when it was used, has ended, or never was."""
        found = await self._links.find_one(_good(link_id, now))
        return self._link(found) if found else None

    async def use_link(self, link_id: UUID, *, now: datetime) -> Link | None:
        """Return a link that was good until now, and is not any more: to one caller, once."""
        found = await self._links.find_one_and_update(_good(link_id, now), {"$set": {"used_at": now}})
        return self._link(found) if found else None

    async def begin(self, signed: Signed) -> None:
        """Keep a new session."""
        await self._sessions.insert_one(
            {
                "_id": signed.digest,
                self._whom: signed.whom,
                "address": signed.address,
                "epoch": signed.epoch,
                "chosen": signed.chosen,
                "begun_at": signed.begun_at,
                "seen_at": signed.seen_at,
                "ends_at": session_ends(signed.begun_at, signed.seen_at),
            }
        )

    async def find(self, digest: str, *, now: datetime) -> Signed | None:
        """Return a session that has not ended."""
        found = await self._sessions.find_one({"_id": digest, "ends_at": {"$gt": now}})
        return self._signed(found) if found else None

    async def of(self, whom: str) -> list[Signed]:
        """Return the sessions that open somebody's pages."""
        return [self._signed(found) async for found in self._sessions.find({self._whom: whom})]

    async def seen(self, signed: Signed, *, now: datetime) -> None:
        """Note that a session was used; of one that was ended meanwhile, nothing."""
        change = {"seen_at": now, "ends_at": session_ends(signed.begun_at, now)}
        await self._sessions.update_one({"_id": signed.digest}, {"$set": change})

    async def choose(self, digest: str, whom: str, epoch: int) -> None:
        """Settle whose pages a session opens."""
        change = {self._whom: whom, "epoch": epoch, "chosen": True}
        await self._sessions.update_one({"_id": digest}, {"$set": change})

    async def end(self, digest: str) -> None:
        """End one session."""
        await self._sessions.delete_one({"_id": digest})

    async def end_all(self, address: str) -> None:
        """End all sessions of whoever is reached at an address, and the links that would open others."""
        await self._sessions.delete_many({"address": address})
        await self._links.delete_many({"address": address})

    async def forget(self, whom: str) -> None:
        """Remove all of somebody."""
        await self._links.delete_many({self._whom: whom})
        await self._sessions.delete_many({self._whom: whom})

    def _link(self, found: Mapping[str, Any]) -> Link:
        return Link(found["_id"], found[self._whom], found["address"], found["to"], found["ends_at"])

    def _signed(self, found: Mapping[str, Any]) -> Signed:
        return Signed(
            digest=found["_id"],
            whom=found[self._whom],
            address=found["address"],
            epoch=found["epoch"],
            chosen=found["chosen"],
            begun_at=found["begun_at"],
            seen_at=found["seen_at"],
        )


def _good(link_id: UUID, now: datetime) -> Document:
    return {"_id": link_id, "used_at": None, "ends_at": {"$gt": now}}
