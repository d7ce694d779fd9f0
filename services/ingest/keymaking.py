"""Keys as their owners deal with them: issue, look, replace with an overlap, revoke."""

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from schemas.members import MemberKey
from services.ingest import problems
from services.ingest.keys import Caller, Issued, KeyAsked, Keyring, Operator, Overlap, Scope
from services.ingest.problems import FieldError, Problem
from services.runtime.clock import Clock

MOST: Final = 50
"""Keys of one member: more than it has systems, few enough to be looked through."""


class KeyMaking:
    """Deals with keys for whoever may: the operator with all, an organisation by a key of that scope with its own."""

    def __init__(self, *, keyring: Keyring, clock: Clock) -> None:
        self._keyring = keyring
        self._clock = clock

    async def issue(self, caller: Caller, asked: KeyAsked) -> tuple[Issued, str]:
        """Make a key for a member, which need not be published yet: it may do that itself."""
        member = MemberKey(cluster=asked.cluster, member_id=asked.member_id)
        _must_manage(caller, member)
        _must_have(caller, asked.scopes, "Leave it out.")
        return await self._make(caller, asked)

    async def of(self, caller: Caller, member: MemberKey) -> list[Issued]:
        """Return the keys of a member, the newest first."""
        _must_manage(caller, member)
        return await self._keyring.of(member)

    async def rotate(self, caller: Caller, key_id: str, overlap: Overlap) -> tuple[Issued, str]:
        """Make a key with the rights of another, which opens for a while yet: until all who use it have the new one."""
        old = await self._found(caller, key_id)
        _must_have(caller, old.scopes, "Have a key rotate it that has all of its scopes.")
        if old.ended(self._clock()):
            raise Problem(409, "Ended", "This key opens nothing any more. Issue another.")
        asked = KeyAsked(**old.member.model_dump(), scopes=old.scopes, label=old.label, ends_at=old.issued_until)
        issued = await self._make(caller, asked)
        await self._keyring.give_way(key_id, self._clock() + timedelta(seconds=overlap.overlap_seconds))
        return issued

    async def revoke(self, caller: Caller, key_id: str) -> None:
        """Make a key worthless, at once."""
        await self._found(caller, key_id)
        await self._keyring.revoke(key_id)

    async def _make(self, caller: Caller, asked: KeyAsked) -> tuple[Issued, str]:
        """Make a key that lasts no longer than the one that asks for it."""
        member = MemberKey(cluster=asked.cluster, member_id=asked.member_id)
        if len(await self._keyring.of(member)) >= MOST:
            detail = f"The member has {MOST} keys. Revoke one that is not used, then ask again."
            raise Problem(409, "Too many keys", detail)
        if isinstance(caller, Operator):
            return await self._keyring.issue(asked)
        if caller.given_way:
            raise problems.forbidden("Another key took the place of this one, which makes no keys any more: use that.")
        ends = [moment for moment in (asked.ends_at, caller.ends_at) if moment is not None]
        issued = await self._keyring.issue(asked.model_copy(update={"ends_at": min(ends, default=None)}))
        if await self._keyring.find(caller.key_id) is None:
            # Revoked meanwhile, perhaps with all keys of a member that is erased: nothing of it outlives that.
            await self._keyring.revoke(issued[0].key_id)
            raise problems.unknown_key()
        return issued

    async def _found(self, caller: Caller, key_id: str) -> Issued:
        found = await self._keyring.find(key_id)
        if found is not None:
            _must_manage(caller, found.member)
            return found
        # The same for whoever may not know whether there is such a key.
        raise problems.not_found("key of this id") if isinstance(caller, Operator) else _forbidden(caller)


def _must_manage(caller: Caller, member: MemberKey) -> None:
    if isinstance(caller, Operator):
        return
    if caller.member != member or Scope.KEYS not in caller.scopes:
        raise _forbidden(caller)


def _must_have(caller: Caller, scopes: Collection[Scope], remedy: str) -> None:
    """Refuse to give what the caller's key does not have itself."""
    if not isinstance(caller, Operator) and (more := set(scopes) - set(caller.scopes)):
        raise problems.forbidden(
            f"A key gives no more than it has itself: {_listed(caller.scopes)}.",
            FieldError("scopes", _listed(sorted(more)), "this key does not have it", remedy),
        )


def _forbidden(caller: Caller) -> Problem:
    scopes = _listed(() if isinstance(caller, Operator) else caller.scopes)
    return problems.forbidden(
        f"Keys are dealt with by the operator's key, or by a key of the same member with the scope {Scope.KEYS}. "
        f"This one has the scopes {scopes}."
    )


def _listed(scopes: Collection[Scope]) -> str:
    return ", ".join(scopes)
