"""`contacts.v1`: who answers for a member when it is introduced to another one.

Compacted; a record without a body erases the contact. Not a part of `members.v1`, which is read by whoever matches:
contact details of people travel here and on `ambassadors.v1` alone.
"""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, StringConstraints

from schemas.ambassadors import EmailAddress
from schemas.base import Contract, Event, Line, Slug, UtcDatetime
from schemas.members import MemberKey

PHONE_PATTERN: Final = r"^\+?[0-9(][0-9 ().-]{4,28}[0-9]$"

PhoneNumber = Annotated[str, StringConstraints(pattern=PHONE_PATTERN)]
"""One telephone number as people write it: 6 to 30 digits, spaces, dots, hyphens and parentheses, after `+` if any."""


class ContactProfile(Contract):
    """Who answers for a member, and how to reach that person."""

    name: Line
    email: EmailAddress
    phone: Annotated[
        PhoneNumber | None, Field(description="Shown to the other side of an introduction that both accepted")
    ] = None
    language: Literal["fr", "ar", "en"] = "fr"


class ContactPublished(Event, ContactProfile):
    """A member's contact, whole, as of `rev`."""

    event_type: ClassVar[str] = "maillage.contact.published.v1"

    cluster: Slug
    member_id: Slug
    published_at: UtcDatetime

    @property
    def key(self) -> MemberKey:
        """The record key of this event: a member has one contact, under the member's own key."""
        return MemberKey(cluster=self.cluster, member_id=self.member_id)
