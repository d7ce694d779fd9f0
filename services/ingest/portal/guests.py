"""Who may sign in to the portal: whoever answers for a published member, at the address that its contact names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.members import MemberKey
from services.ingest.entities import CONTACT, MEMBER
from services.ingest.store import EntityStore


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody who answers for a member.

    Attributes:
        organisation: what the member is called.
        name: what they are called.
        language: in which they are written to, and read.
    """

    member: MemberKey
    organisation: str
    name: str
    email: str | None
    language: str
    epoch: int = 0

    @property
    def whom(self) -> str:
        """The member's key, as text: a member has one contact."""
        return str(self.member)


class Contacts:
    """Those who may sign in, as they are published now."""

    def __init__(self, entities: EntityStore) -> None:
        self._entities = entities

    async def at(self, email: str) -> Sequence[Contact]:
        """Return who is reached at an e-mail address, by their members' order."""
        found = await self._entities.contacts_at(email)
        contacts = [await self._of(key, value) for key, value in sorted(found, key=lambda one: str(one[0]))]
        return [contact for contact in contacts if contact is not None]

    async def guest(self, whom: str) -> Contact | None:
        """Return who answers for a member, by its key; none: nobody, or there is no such member."""
        key = MemberKey.decode(whom.encode())
        value = (await self._entities.get(CONTACT, key)).value
        return None if value is None else await self._of(key, value)

    async def _of(self, key: MemberKey, contact: Mapping[str, Any]) -> Contact | None:
        member = (await self._entities.get(MEMBER, key)).value
        if member is None:
            return None
        return Contact(key, member["name"], contact["name"], contact["email"], contact["language"])
