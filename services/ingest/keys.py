"""Who calls: the operator, or one organisation by a key that was issued to it.

`mk_<id>_<secret>`: the id finds the key, the secret proves it. The secret is 32 random bytes, so that one SHA-256 of it
is all that needs to be kept, and all that is.
"""

import hashlib
import hmac
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field
from pymongo.errors import PyMongoError

from schemas.base import Contract, Phrase, UtcDatetime
from schemas.members import MemberKey, MemberRef
from services.ingest.settings import IngestSettings
from services.runtime.clock import Clock
from services.runtime.store import Database, Document

_SHAPE: Final = re.compile(r"mk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_HASHED: Final = "sha256:"
_DAY: Final = 86_400
_NOTED_EVERY: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Operator:
    """The cluster's own staff: may write everything."""

    @property
    def scope(self) -> str:
        """Separates what different callers may call by the same name."""
        return "operator"


class Scope(StrEnum):
    """What a key may change of its member. Whatever its scopes, it may read the profile and the needs."""

    PROFILE = "profile"
    CONTACT = "contact"
    NEEDS = "needs"
    KEYS = "keys"


PUBLISHING: Final = (Scope.PROFILE, Scope.CONTACT, Scope.NEEDS)
"""What a key may do of which nothing else was said."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """One member: may write itself, its contact and its needs, as far as its scopes go.

    Attributes:
        key_id: of the key that it calls with.
        ends_at: from when on that opens nothing; none: it has no end.
        given_way: another took its place: it opens for a while yet, and makes no keys.
    """

    member: MemberKey
    key_id: str
    scopes: tuple[Scope, ...] = PUBLISHING
    ends_at: datetime | None = None
    given_way: bool = False

    @property
    def scope(self) -> str:
        """See `Operator.scope`. The member's, not the key's: a new key continues what the old one began."""
        return f"member {self.member}"


Caller = Operator | Organisation


class KeyAsked(MemberRef):
    """A key that somebody asks for."""

    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, description="What it may change")] = PUBLISHING
    label: Annotated[Phrase, Field(description="What it is for, in its owner's words")] = ""
    ends_at: Annotated[UtcDatetime | None, Field(description="From then on it opens nothing")] = None


class Overlap(Contract):
    """How a key gives way to the one after it."""

    overlap_seconds: Annotated[int, Field(ge=0, le=30 * 86_400, description="How long the old one still opens")] = (
        86_400
    )


@dataclass(frozen=True, slots=True)
class Issued:
    """A key, without what makes it one.

    Attributes:
        used_at: when it was last used, to the hour; none: not yet.
        ends_at: from when on it opens nothing; none: it has no end.
        issued_until: what `ends_at` was before another took its place.
        given_way: another took its place.
    """

    key_id: str
    member: MemberKey
    scopes: tuple[Scope, ...]
    label: str
    issued_at: datetime
    used_at: datetime | None
    ends_at: datetime | None
    issued_until: datetime | None
    given_way: bool = False

    @property
    def organisation(self) -> Organisation:
        """Who calls by it."""
        return Organisation(
            member=self.member,
            key_id=self.key_id,
            scopes=self.scopes,
            ends_at=self.ends_at,
            given_way=self.given_way,
        )

    def ended(self, now: datetime) -> bool:
        """Whether it opens nothing any more."""
        return self.ends_at is not None and self.ends_at <= now


@dataclass(frozen=True, slots=True)
class Signer:
    """A key by which somebody signs, and the secret that proves it (`schemas.submissions.signing_secret`)."""

    key: Issued
    secret: bytes = field(repr=False)


class OperatorKey:
    """Recognises the operator's key without keeping it."""

    def __init__(self, settings: IngestSettings) -> None:
        given = settings.operator_key.get_secret_value() if settings.operator_key else None
        if given is None:
            self._digest = None
        elif given.startswith(_HASHED):
            self._digest = given.removeprefix(_HASHED)
        else:
            self._digest = _digest(given)

    def is_in(self, presented: str) -> bool:
        """Whether `presented` is the operator's key."""
        return self._digest is not None and hmac.compare_digest(self._digest, _digest(presented))


class Keyring:
    """The keys of organisations. An ended one is nobody's, and is soon forgotten."""

    def __init__(self, *, database: Database, operator: OperatorKey, clock: Clock) -> None:
        self._keys = database["keys"]
        self._operator = operator
        self._clock = clock
        self._noted: dict[str, datetime] = {}
        """When the use of a key was last noted here."""

    async def prepare(self) -> None:
        """Create what lookups need; may be repeated."""
        await self._keys.create_index("member")
        await self._keys.create_index("ends", expireAfterSeconds=0)

    async def caller(self, presented: str) -> Caller | None:
        """Return whose key this is; none when it is nobody's."""
        if self._operator.is_in(presented):
            return Operator()
        shape = _SHAPE.fullmatch(presented)
        if shape is None:
            return None
        now = self._clock()
        key = await self._keys.find_one({"_id": shape[1]})
        # Compared also when there is no such id, so that the time taken does not tell.
        known = key["digest"] if key is not None else _digest("")
        if not hmac.compare_digest(known, _digest(shape[2])) or key is None:
            return None
        issued = _issued(key)
        if issued.ended(now):
            return None
        await self._note_use(issued, now)
        return issued.organisation

    async def signer(self, key_id: str) -> Signer | None:
        """Return who signs by the key of this id; none when it is nobody's."""
        key = await self._keys.find_one({"_id": key_id})
        if key is None or (issued := _issued(key)).ended(self._clock()):
            return None
        return Signer(issued, bytes.fromhex(key["digest"]))

    async def used(self, key: Issued) -> None:
        """Note that somebody showed to have a key."""
        await self._note_use(key, self._clock())

    async def issue(self, asked: KeyAsked) -> tuple[Issued, str]:
        """Make a key; what makes it one is told here and nowhere else."""
        key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        member = MemberKey(cluster=asked.cluster, member_id=asked.member_id)
        document: Document = {
            "_id": key_id,
            "digest": _digest(secret),
            "member": str(member),
            "scopes": [scope.value for scope in dict.fromkeys(asked.scopes)],
            "label": asked.label,
            "at": self._clock(),
        }
        if asked.ends_at is not None:
            document |= {"ends": asked.ends_at, "until": asked.ends_at}
        await self._keys.insert_one(document)
        return _issued(document), f"mk_{key_id}_{secret}"

    async def find(self, key_id: str) -> Issued | None:
        """Return a key; none when it is nobody's."""
        document = await self._keys.find_one({"_id": key_id})
        return None if document is None else _issued(document)

    async def of(self, member: MemberKey) -> list[Issued]:
        """Return the keys of `member`, the newest first."""
        found = self._keys.find({"member": str(member)}).sort("at", -1)
        return [_issued(document) async for document in found]

    async def give_way(self, key_id: str, until: datetime) -> None:
        """Have another take the place of a key, which opens nothing any more from a moment on, if it lasts so long."""
        await self._keys.update_one({"_id": key_id}, {"$min": {"ends": until}, "$set": {"given_way": True}})

    async def revoke(self, key_id: str) -> bool:
        """Make a key nobody's; False when it was already."""
        return (await self._keys.delete_one({"_id": key_id})).deleted_count > 0

    async def revoke_all(self, member: MemberKey) -> None:
        """Make every key of `member` nobody's."""
        # Until there is none: one that another makes meanwhile is seen by the next round, or sees its maker gone.
        while (await self._keys.delete_many({"member": str(member)})).deleted_count:
            pass

    async def _note_use(self, key: Issued, now: datetime) -> None:
        """Note that a key is used, once an hour: whoever wants to revoke an old one asks for no more."""
        last = self._noted.get(key.key_id, key.used_at)
        if last is None or now - last >= _NOTED_EVERY:
            self._noted[key.key_id] = now
            with suppress(PyMongoError):  # nobody is kept out for want of a note
                await self._keys.update_one({"_id": key.key_id}, {"$max": {"used": now}})


def _issued(document: Document) -> Issued:
    return Issued(
        key_id=document["_id"],
        member=MemberKey.decode(document["member"].encode()),
        scopes=tuple(map(Scope, document.get("scopes", PUBLISHING))),
        label=document.get("label", ""),
        issued_at=document["at"],
        used_at=document.get("used"),
        ends_at=document.get("ends"),
        issued_until=document.get("until"),
        # Not noted of those of before: they are known by an end that they were not issued with.
        given_way=document.get("given_way", document.get("ends") != document.get("until")),
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
