"""`ambassadors.v1`: who relays between a cluster and an innovation city, and how to reach them.

Compacted; a record without a body erases the ambassador. The only topic that carries contact details of people.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import AnyHttpUrl, Field, StringConstraints, model_validator

from schemas.base import Contract, Event, Key, Line, Slug, UtcDatetime

EmailAddress = Annotated[str, StringConstraints(pattern=r"^[^@\s<>,;\"]{1,64}@[^@\s<>,;\"]{1,253}$")]
"""One address, `local@domain`, without display name."""


class AmbassadorRole(StrEnum):
    """An ambassador answers for one innovation city; the desk for whatever concerns no city."""

    AMBASSADOR = "ambassador"
    DESK = "desk"


class Webhook(Contract):
    """Where and with which secret to sign messages, by Standard Webhooks."""

    url: AnyHttpUrl
    secret: Annotated[str, StringConstraints(pattern=r"^whsec_[A-Za-z0-9+/=]{32,100}$")]


class AmbassadorProfile(Contract):
    """Who the ambassador is, for which city, and how to be told."""

    name: Line
    role: AmbassadorRole = AmbassadorRole.AMBASSADOR
    city: Annotated[Slug | None, Field(description="`member_id` of the innovation city; none for the desk")] = None
    language: Literal["fr", "ar", "en"] = "fr"
    email: EmailAddress | None = None
    webhook: Webhook | None = None

    @model_validator(mode="after")
    def _city_goes_with_role(self) -> "AmbassadorProfile":
        if (self.role is AmbassadorRole.AMBASSADOR) != (self.city is not None):
            raise ValueError("an ambassador has a `city`, the desk has none")
        return self


class AmbassadorKey(Key):
    """`cluster/ambassador_id`."""

    cluster: Slug
    ambassador_id: Slug


class AmbassadorPublished(Event, AmbassadorProfile):
    """An ambassador, whole, as of `rev`."""

    event_type: ClassVar[str] = "maillage.ambassador.published.v1"

    cluster: Slug
    ambassador_id: Slug
    published_at: UtcDatetime

    @property
    def key(self) -> AmbassadorKey:
        """The record key of this event."""
        return AmbassadorKey(cluster=self.cluster, ambassador_id=self.ambassador_id)
