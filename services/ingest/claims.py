"""Idempotent requests: the same `Idempotency-Key` with the same content is one request, however often it arrives."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from services.ingest.problems import Problem
from services.runtime.store import Database

KEPT_SECONDS: Final = 24 * 3600
"""How long a key is remembered: longer than any client goes on trying."""

# An answer needs no journal of its own: the state is confirmed right after it, and the journal keeps their order.
_WITH_WHAT_FOLLOWS: Final = WriteConcern(w=1, j=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """One idempotent request. Neither its key nor its content can be read from it.

    Attributes:
        claim_id: derived from who called, and the key.
        fingerprint: derived from what was asked.
    """

    claim_id: str
    fingerprint: str


def claim_of(scope: str, key: str, *content: bytes) -> Claim:
    """Return the claim that a caller makes by sending `content` under `key`."""
    return Claim(claim_id=_hash(scope.encode(), key.encode()), fingerprint=_hash(*content))


def _hash(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(b"%d:" % len(part) + part)
    return whole.hexdigest()


class Claims:
    """Remembers idempotent requests and their answers."""

    def __init__(self, database: Database) -> None:
        self._claims = database["claims"]
        self._quick = self._claims.with_options(write_concern=_WITH_WHAT_FOLLOWS)

    async def prepare(self) -> None:
        """Create what expiry needs; may be repeated."""
        await self._claims.create_index("at", expireAfterSeconds=KEPT_SECONDS)

    async def make(self, claim: Claim, *, now: datetime) -> int | None:
        """Take a claim; return the rev that answered it before, none when nothing did yet.

        Raises:
            Problem: the key was used for something else.
        """
        try:
            await self._claims.insert_one({"_id": claim.claim_id, "fingerprint": claim.fingerprint, "at": now})
        except DuplicateKeyError:
            return await self._made(claim)
        return None

    async def answer(self, claim_id: str, rev: int, *, last: bool = False) -> None:
        """Remember what a claim led to; `last`: nothing is written after it."""
        claims = self._claims if last else self._quick
        await claims.update_one({"_id": claim_id}, {"$set": {"rev": rev}})

    async def _made(self, claim: Claim) -> int | None:
        found = await self._claims.find_one({"_id": claim.claim_id})
        if found is None:  # forgotten this instant
            return None
        if found["fingerprint"] != claim.fingerprint:
            raise Problem(
                422,
                "Idempotency-Key already used",
                "This Idempotency-Key came with another request in the last 24 hours. Send a new key with new content.",
            )
        rev: int | None = found.get("rev")
        return rev
