"""`ambassadors.v1`: who relays between a cluster and an innovation city, and how to reach them.

Compacted; a record without a body erases the ambassador. The only topic that carries contact details of people.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AnyHttpUrl, ConfigDict, Field, StringConstraints, model_validator

from schemas.base import Contract, Event, Key, Line, Slug, UtcDatetime

# Whatever RFC 5322 gives a meaning of its own in an address header, and whatever would break that header.
_SPECIAL: Final = r'@\s\x00-\x1f\x7f-\x9f()<>\[\]:;,"\\'
EMAIL_PATTERN: Final = rf"^[^{_SPECIAL}]{{1,64}}@[^{_SPECIAL}]{{1,253}}$"

EmailAddress = Annotated[str, StringConstraints(pattern=EMAIL_PATTERN)]
"""One address, `local@domain`, without display name."""


# Base64 of 24 to 65 bytes, padded: what does not decode could be stored, but never sign.
SECRET_PATTERN: Final = r"^whsec_([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?$"  # noqa: S105 - a shape


class AmbassadorRole(StrEnum):
    """An ambassador answers for one innovation city; the desk for whatever concerns no city."""

    AMBASSADOR = "ambassador"
    DESK = "desk"


class Webhook(Contract):
    """Where and with which secret to sign messages, by Standard Webhooks."""

    url: Annotated[AnyHttpUrl, Field(json_schema_extra={"pattern": r"^https?://[^/?#\s]+"})]
    secret: Annotated[str, StringConstraints(pattern=SECRET_PATTERN), Field(repr=False)]


class AmbassadorProfile(Contract):
    """Who the ambassador is, for which city, and how to be told."""

    # `_city_goes_with_role`, in the words of JSON Schema.
    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"role": {"const": "desk"}}, "required": ["role"]},
            "then": {"properties": {"city": {"type": "null"}}},
            "else": {"properties": {"city": {"type": "string"}}, "required": ["city"]},
        }
    )

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
