"""Who calls: the operator, or one organisation by a key that was issued to it.

`mk_<id>_<secret>`: the id finds the key, the secret proves it. The secret is 32 random bytes, so that one SHA-256 of it
is all that needs to be kept, and all that is.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.members import MemberKey
from services.ingest.settings import IngestSettings
from services.runtime.store import Database

_SHAPE: Final = re.compile(r"mk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_HASHED: Final = "sha256:"


@dataclass(frozen=True, slots=True)
class Operator:
    """The cluster's own staff: may write everything."""

    @property
    def scope(self) -> str:
        """Separates what different callers may call by the same name."""
        return "operator"


@dataclass(frozen=True, slots=True)
class Organisation:
    """One member: may write itself, its contact and its needs."""

    member: MemberKey

    @property
    def scope(self) -> str:
        """See `Operator.scope`. The member's, not the key's: a new key continues what the old one began."""
        return f"member {self.member}"


Caller = Operator | Organisation


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key as it is told, once."""

    key_id: str
    key: str


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
    """The keys of organisations."""

    def __init__(self, *, database: Database, operator: OperatorKey) -> None:
        self._keys = database["keys"]
        self._operator = operator

    async def prepare(self) -> None:
        """Create what lookups need; may be repeated."""
        await self._keys.create_index("member")

    async def caller(self, presented: str) -> Caller | None:
        """Return whose key this is; none when it is nobody's."""
        if self._operator.is_in(presented):
            return Operator()
        shape = _SHAPE.fullmatch(presented)
        if shape is None:
            return None
        key = await self._keys.find_one({"_id": shape[1]})
        # Compared also when there is no such id, so that the time taken does not tell.
        known = key["digest"] if key is not None else _digest("")
        if not hmac.compare_digest(known, _digest(shape[2])) or key is None:
            return None
        return Organisation(member=MemberKey.decode(key["member"].encode()))

    async def issue(self, member: MemberKey, *, now: datetime) -> IssuedKey:
        """Make a key for `member`; it is told here and nowhere else."""
        key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        await self._keys.insert_one({"_id": key_id, "digest": _digest(secret), "member": str(member), "at": now})
        return IssuedKey(key_id=key_id, key=f"mk_{key_id}_{secret}")

    async def revoke(self, key_id: str) -> bool:
        """Make a key nobody's; False when it was already."""
        return (await self._keys.delete_one({"_id": key_id})).deleted_count > 0

    async def revoke_all(self, member: MemberKey) -> None:
        """Make every key of `member` nobody's."""
        await self._keys.delete_many({"member": str(member)})


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
