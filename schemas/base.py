"""What every event shares: frozen models, identifiers, UTC times, the `rev` that orders the states of one entity."""

import re
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

_DATE_AND_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")


def _spelt_out(moment: object) -> object:
    # Pydantic would also take a number, as seconds or milliseconds by its size: the wrong century without a word.
    if isinstance(moment, datetime) or (isinstance(moment, str) and _DATE_AND_TIME.match(moment)):
        return moment
    raise ValueError("expected a date and time with its offset, as in 2026-01-31T08:00:00Z")


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("expected a moment within the years 1 to 9999 in UTC") from None


UtcDatetime = Annotated[AwareDatetime, BeforeValidator(_spelt_out), AfterValidator(_to_utc)]
"""A moment in UTC; another offset is converted, a time without an offset is refused."""

SLUG_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"

Slug = Annotated[str, StringConstraints(pattern=SLUG_PATTERN)]
"""An identifier chosen by people: at most 80 letters, digits, dots, underscores, hyphens; a letter or digit first."""

MAX_COUNT: Final = 2**53 - 1
"""Largest whole number that every JSON reader takes exactly; also within the 64 bits of a document database."""

Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
"""A whole number from 1."""

Rev = Count
"""Counts the states of one entity, from 1. Order between two states of an entity is by `rev`, never by clock."""

# Control characters break what texts end up in: a subject line, a feed, a terminal. They are not worth refusing a
# member's text for: pasted from a document, nobody sees them. XML has no way to write U+FFFE and U+FFFF either.
_NOT_IN_A_LINE: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff"
_NOT_IN_A_TEXT: Final = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff"
_LINE_BREAKERS: Final = re.compile(f"[{_NOT_IN_A_LINE}]+")
_TEXT_BREAKERS: Final = re.compile(f"[{_NOT_IN_A_TEXT}]")
# What is left when the above are taken out. Matching it takes half the time of a search for the others.
_CLEAN_TEXT: Final = re.compile(r"[\t\n\r -~\xa0-\ufffd\U00010000-\U0010ffff]*")


def _on_one_line(words: object) -> object:
    if not isinstance(words, str) or words.isprintable():
        return words
    return _LINE_BREAKERS.sub(" ", words)


def _without_controls(text: object) -> object:
    if not isinstance(text, str) or _CLEAN_TEXT.fullmatch(text):
        return text
    return _TEXT_BREAKERS.sub(" ", text)


Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=300),
    BeforeValidator(_on_one_line),
    Field(json_schema_extra={"pattern": rf"^[^{_NOT_IN_A_LINE}]*[^{_NOT_IN_A_LINE}\s][^{_NOT_IN_A_LINE}]*$"}),
]
"""One line of text for people: a name, a title. A line break or control character becomes a space."""

Phrase = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=300),
    BeforeValidator(_on_one_line),
    Field(json_schema_extra={"pattern": rf"^[^{_NOT_IN_A_LINE}]*$"}),
]
"""As `Line`, but may be empty: a label, a town."""

Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=20_000),
    BeforeValidator(_without_controls),
    Field(json_schema_extra={"pattern": rf"^[^{_NOT_IN_A_TEXT}]*$"}),
]
"""Free text for people, at most 20,000 characters; may be empty. A control character becomes a space."""


class Contract(BaseModel):
    """A part of the contract. Frozen; fields that a later version added are ignored when an older reader meets them."""

    # JSON has no way to write an infinity: it would go out as `null` and never be read again.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Key(Contract):
    """The key of a topic's records. On the wire: its parts in order, joined by `/`, in UTF-8."""

    def encode(self) -> bytes:
        """Return the record key."""
        return "/".join(str(part) for part in self.model_dump(mode="json").values()).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read a record key.

        Raises:
            ValueError: the bytes are not UTF-8, have not as many parts as the key, a part is malformed, or is not
                spelt as `encode` spells it: the broker compacts and partitions by bytes, so one entity has one key.
        """
        names = list(cls.model_fields)
        try:
            parts = raw.decode().split("/")
        except UnicodeDecodeError:
            raise ValueError(f"not UTF-8; expected {'/'.join(names)}") from None
        if len(parts) != len(names):
            count = "1 part" if len(parts) == 1 else f"{len(parts)} parts"
            raise ValueError(f"{count}; expected {'/'.join(names)}")
        key = cls.model_validate(dict(zip(names, parts, strict=True)))
        if key.encode() != raw:
            raise ValueError("expected the UUID in lower case with hyphens")
        return key

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
