"""What goes with a member when it goes: its contact, every need that it owns, and its keys."""

from collections.abc import Sequence

from schemas.base import Key
from schemas.members import MemberKey
from services.ingest.entities import Kind
from services.ingest.keys import Keyring
from services.ingest.store import EntityStore
from services.web.sessions import Sessions


class Erasure:
    """Finds what belongs to a member that is being erased, and what comes too late to belong to it.

    What is owned is stored before its owner is looked at; an erasure is stored before what is owned is looked for.
    Whatever the order, at least one of the two sees the other: nothing outlives its owner.
    """

    def __init__(self, *, entities: EntityStore, keyring: Keyring, sessions: Sessions) -> None:
        """`sessions` are those in which its contact is signed in."""
        self._entities = entities
        self._keyring = keyring
        self._sessions = sessions

    async def belongings_of(self, member: Key) -> Sequence[tuple[Kind, Key]]:
        """Return what belongs to a member, and must be erased before it."""
        return await self._entities.owned_by(MemberKey.decode(member.encode()))

    async def finish(self, member: Key) -> None:
        """Revoke the keys of a member, and end its sessions: last, so that who was told to ask again still can."""
        await self._keyring.revoke_all(MemberKey.decode(member.encode()))
        await self._sessions.forget(str(member))

    async def took(self, owner: MemberKey) -> bool:
        """Whether a member is erased, or about to be."""
        standing = await self._entities.standing(owner)
        return standing.kind is None or standing.leaving
