"""What goes with a member when it goes: every need that it owns, and its keys."""

from collections.abc import Sequence

from schemas.base import Key
from schemas.members import MemberKey
from services.ingest.entities import Value
from services.ingest.keys import Keyring
from services.ingest.store import EntityStore


class Erasure:
    """Finds what belongs to a member that is being erased, and needs that come too late.

    A need is stored before its owner is looked at; an erasure is stored before the needs are looked for. Whatever the
    order, at least one of the two sees the other: no need outlives its owner.
    """

    def __init__(self, *, entities: EntityStore, keyring: Keyring) -> None:
        self._entities = entities
        self._keyring = keyring

    async def needs_of(self, member: Key) -> Sequence[Key]:
        """Return the needs of a member, which must be erased before it."""
        return await self._entities.needs_of(MemberKey.decode(member.encode()))

    async def finish(self, member: Key) -> None:
        """Revoke the keys of a member: last, so that whoever was told to ask again still can."""
        await self._keyring.revoke_all(MemberKey.decode(member.encode()))

    async def took_owner(self, need: Key, value: Value) -> bool:
        """Whether the owner of a need is erased, or about to be."""
        owner = MemberKey(cluster=need.model_dump()["cluster"], member_id=value["member_id"])
        standing = await self._entities.standing(owner)
        return standing.kind is None or standing.leaving
