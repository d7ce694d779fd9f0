"""Idempotent requests: the same `Idempotency-Key` with the same content is one request, however often it arrives."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError
from pymongo.write_concern import WriteConcern

from services.ingest.problems import Problem
from services.runtime.store import DUPLICATE_KEY, Database, Document
from services.runtime.together import Together

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


class UsedError(Problem):
    """The key was used for something else."""


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of a claim for good, and of which content."""

    fingerprint: str
    content: Document


def claim_of(scope: str, key: str, *content: bytes) -> Claim:
    """Return the claim that a caller makes by sending `content` under `key`."""
    return Claim(claim_id=_hash(scope.encode(), key.encode()), fingerprint=_hash(*content))


def _unless_said(claim: Claim, content: Document, now: datetime) -> UpdateOne:
    # Two replicas may say at the same time: the first one's stands. Of other content under the same key nothing is
    # kept: the insert that this then is finds the claim there.
    kept = {"at": {"$ifNull": ["$at", now]}, "said": {"$ifNull": ["$said", {"$literal": content}]}}
    return UpdateOne({"_id": claim.claim_id, "fingerprint": claim.fingerprint}, [{"$set": kept}], upsert=True)


def _raise_unless_duplicates(error: BulkWriteError) -> Sequence[Document]:
    details = error.details or {}
    if details.get("writeConcernErrors") or any(one["code"] != DUPLICATE_KEY for one in details["writeErrors"]):
        raise error
    errors: Sequence[Document] = details["writeErrors"]
    return errors


def _for_now(claim_id: str) -> str:
    return f"{claim_id}/now"


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
        self._new = Together(self._insert)
        self._told = Together(self._tell)
        self.said = Together(self._find_said)
        """Of a claim's id, what was said of it for good; none: nothing yet."""
        self.say = Together(self._say)
        """Say of a claim for good what came of it, unless something is said already; return what is said. Of other
        content than what the claim was made with nothing is kept."""

    async def prepare(self) -> None:
        """Create what expiry needs; may be repeated."""
        await self._claims.create_index("at", expireAfterSeconds=KEPT_SECONDS)

    async def make(self, claim: Claim, *, now: datetime) -> int | None:
        """Take a claim; return the rev that answered it before, none when nothing did yet.

        Raises:
            UsedError: the key was used for something else.
        """
        new = await self._new({"_id": claim.claim_id, "fingerprint": claim.fingerprint, "at": now})
        return None if new else await self._made(claim)

    async def answer(self, claim_id: str, rev: int, *, last: bool = False) -> None:
        """Remember what a claim led to; `last`: nothing is written after it."""
        answer = UpdateOne({"_id": claim_id}, {"$set": {"rev": rev}})
        if last:
            await self._claims.bulk_write([answer])
        else:
            await self._told(answer)

    async def say_for_now(self, claim: Claim, content: Document, *, now: datetime) -> None:
        """Keep what was said of a claim that was not made: another time, or other content, may be said otherwise."""
        kept = {"fingerprint": claim.fingerprint, "at": now, "said": content}
        await self._claims.replace_one({"_id": _for_now(claim.claim_id)}, kept, upsert=True)

    async def newest(self, claim_id: str) -> Document | None:
        """Return what was said of a claim, for good or else for now; none: nothing was."""
        for_good, for_now = await self._find_said([claim_id, _for_now(claim_id)])
        said = for_good or for_now
        return said.content if said else None

    async def _insert(self, claims: Sequence[Document]) -> Sequence[bool | Exception]:
        try:
            await self._claims.insert_many(claims, ordered=False)
        except BulkWriteError as error:
            taken = {one["index"] for one in _raise_unless_duplicates(error)}
            return [place not in taken for place in range(len(claims))]
        return [True] * len(claims)

    async def _tell(self, answers: Sequence[UpdateOne]) -> Sequence[None]:
        await self._quick.bulk_write(answers, ordered=False)
        return [None] * len(answers)

    async def _find_said(self, claim_ids: Sequence[str]) -> Sequence["Said | None"]:
        found = {
            one["_id"]: Said(one["fingerprint"], one["said"])
            async for one in self._claims.find({"_id": {"$in": list(claim_ids)}, "said": {"$exists": True}})
        }
        return [found.get(claim_id) for claim_id in claim_ids]

    async def _say(self, sayings: Sequence[tuple[Claim, Document, datetime]]) -> Sequence["Said | Exception"]:
        try:
            await self._claims.bulk_write([_unless_said(*saying) for saying in sayings], ordered=False)
        except BulkWriteError as error:
            _raise_unless_duplicates(error)
        found = await self._find_said([claim.claim_id for claim, _, _ in sayings])
        return [
            said if said and said.fingerprint == claim.fingerprint else Said(claim.fingerprint, content)
            for said, (claim, content, _) in zip(found, sayings, strict=True)
        ]

    async def _made(self, claim: Claim) -> int | None:
        found = await self._claims.find_one({"_id": claim.claim_id})
        if found is None:  # forgotten this instant
            return None
        if found["fingerprint"] != claim.fingerprint:
            raise UsedError(
                422,
                "Idempotency-Key already used",
                "This Idempotency-Key came with another request in the last 24 hours. Send a new key with new content.",
            )
        rev: int | None = found.get("rev")
        return rev
