"""What every event shares: frozen models, identifiers, UTC times, the `rev` that orders the states of one entity."""

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints


def _to_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A moment in UTC; another offset is converted, a time without an offset is refused."""

Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
"""An identifier chosen by people: at most 80 letters, digits, dots, underscores, hyphens; a letter or digit first."""

Rev = Annotated[int, Field(ge=1)]
"""Counts the states of one entity, from 1. Order between two states of an entity is by `rev`, never by clock."""

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
"""One line of text for people: a name, a title."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=20_000)]
"""Free text for people, at most 20,000 characters; may be empty."""


class Contract(BaseModel):
    """A part of the contract. Frozen; fields that a later version added are ignored when an older reader meets them."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Key(Contract):
    """The key of a topic's records. On the wire: its parts in order, joined by `/`, in UTF-8."""

    def encode(self) -> bytes:
        """Return the record key."""
        return "/".join(str(part) for part in self.model_dump(mode="json").values()).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read a record key.

        Raises:
            ValueError: the bytes are not UTF-8, have not as many parts as the key, or a part is malformed.
        """
        names = list(cls.model_fields)
        parts = raw.decode().split("/")
        if len(parts) != len(names):
            raise ValueError(f"key {raw[:80]!r} has {len(parts)} parts; expected {'/'.join(names)}")
        return cls.model_validate(dict(zip(names, parts, strict=True)))

    def __str__(self) -> str:
        return self.encode().decode()


class Event(Contract, ABC):
    """Something that happened to one entity, told in the past tense.

    `event_type` is the CloudEvents `type`; a new incompatible shape is a new type on a new topic version.
    """

    event_type: ClassVar[str]
    rev: Rev

    @property
    @abstractmethod
    def key(self) -> Key:
        """The record key of this event: the entity it happened to."""
