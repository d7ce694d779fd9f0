"""CloudEvents 1.0 in Kafka's binary mode: attributes as `ce_` headers, the body as JSON, the key as the entity's.

`ce_rev` is an extension attribute: the `rev` of the state, repeated in a header because a record without a body has
nowhere else to say it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from schemas.ambassadors import EMAIL_PATTERN, SECRET_PATTERN
from schemas.base import MAX_COUNT, SLUG_PATTERN, Event, Key, UtcDatetime
from schemas.codes import CODE_PATTERN, COUNTRY_PATTERN, LANGUAGE_PATTERN
from schemas.contacts import PHONE_PATTERN
from schemas.ids import event_id
from schemas.topics import MAX_EVENT_BYTES, Topic

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SPEC_VERSION: Final = "1.0"
CONTENT_TYPE: Final = "application/json"

TRACEPARENT_PATTERN: Final = r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"
"""W3C trace context."""

_MOMENT: Final[TypeAdapter[datetime]] = TypeAdapter(UtcDatetime)

_EXPECTED_BY_PATTERN: Final = {
    SLUG_PATTERN: "1 to 80 letters, digits, dots, underscores or hyphens, a letter or digit first",
    COUNTRY_PATTERN: "an ISO 3166-1 code of two capital letters, as in MA",
    LANGUAGE_PATTERN: "a BCP 47 tag, as in fr or ar-MA",
    CODE_PATTERN: "a code as its list prints it, as in 62.10 or 72000000-5",
    EMAIL_PATTERN: "one e-mail address, without a name or brackets around it",
    PHONE_PATTERN: "a telephone number, as in +212 528 12 34 56",
    SECRET_PATTERN: "whsec_ followed by 24 to 64 bytes in base64",
}


class MalformedEventError(ValueError):
    """A record that is not a readable event of its topic.

    The message says which part, and how it should be. It never quotes what the part held: that may be somebody's data.
    """


def dataschema(event: type[Event]) -> str:
    """Return the CloudEvents `dataschema` of an event type, which is also the `$id` of its JSON Schema."""
    return f"urn:maillage:schema:{event.__name__}:1"


@dataclass(frozen=True, slots=True)
class Record:
    """What goes onto the wire: key, body (none: erases the key) and headers."""

    key: bytes
    body: bytes | None
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event as read from a topic.

    Attributes:
        key: who it is about.
        value: what happened; none: the entity is erased.
        rev: the state it brings the entity to; none where an erasure from a foreign producer does not say.
        event_id: CloudEvents `id`; the same for every copy of the event. An erasure without one is given one made of
            topic and key, which a later erasure of the same key shares.
        occurred_at: CloudEvents `time`, UTC; none where the producer does not say.
        traceparent: W3C trace context, passed on to what this event causes; none where absent or not well-formed.
    """

    key: Key
    value: Event | None
    rev: int | None
    event_id: str
    occurred_at: datetime | None
    traceparent: str | None = None


def write(
    topic: Topic,
    key: Key,
    value: Event | None,
    *,
    rev: int,
    source: str,
    occurred_at: datetime,
    traceparent: str | None = None,
    identity: UUID | None = None,
) -> Record:
    """Return the record that says `value` happened to `key`, or, without a value, that `key` is erased.

    Args:
        source: CloudEvents `source`, a URI reference of the writing service: `/maillage/ingest`.
        identity: the event's id; none: derived from `key` and `rev`, which then tell one event of the topic from all
            others.

    Raises:
        MalformedEventError: the body is larger than `MAX_EVENT_BYTES`, `topic` cannot carry it, `key` or `rev` is not
            that of `value`, or `occurred_at` has no offset.
    """
    _check_writable(topic, key, value, rev, occurred_at)
    event_type = topic.erased_type if value is None else value.event_type
    headers = {
        "content-type": CONTENT_TYPE,
        "ce_specversion": SPEC_VERSION,
        "ce_id": str(identity or event_id(topic.name, key, rev)),
        "ce_source": source,
        "ce_type": event_type,
        "ce_time": occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "ce_rev": str(rev),
    }
    if value is not None:
        headers["ce_dataschema"] = dataschema(type(value))
    if traceparent is not None:
        headers["traceparent"] = traceparent
    body = None if value is None else value.model_dump_json(exclude_defaults=False).encode()
    _check_size(body)
    return Record(key=key.encode(), body=body, headers=headers)


def read(topic: Topic, key: bytes | None, body: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> Envelope:
    """Return the event in a record, fully checked.

    Raises:
        MalformedEventError: a header is not UTF-8, a required attribute is missing or malformed, the type is not one
            of the topic's, the body is too large, not JSON or not of the type's schema, or the key is not the entity's.
    """
    attributes = _decode_headers(headers)
    entity = _read_key(topic, key)
    if body is None:
        return _read_erasure(topic, entity, attributes)
    _check_size(body)
    model = _model_for(topic, attributes)
    try:
        value = model.model_validate_json(body)
    except ValidationError as error:
        raise MalformedEventError(f"body is not a {model.event_type}: {describe(error)}") from None
    if value.key != entity:
        differing = [name for name, part in value.key if part != getattr(entity, name)]
        raise MalformedEventError(f"record key is not that of its body; they differ in {' and '.join(differing)}")
    return Envelope(
        key=entity,
        value=value,
        rev=value.rev,
        event_id=_required(attributes, "ce_id"),
        occurred_at=_time(attributes),
        traceparent=_trace(attributes),
    )


def describe(error: ValidationError) -> str:
    """Return the first problems as `field: remedy`, without the values, which may be somebody's data."""
    errors = error.errors(include_input=False, include_url=False)
    problems = [": ".join(filter(None, (".".join(map(str, e["loc"])), _remedy(e)))) for e in errors]
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return "; ".join(problems[:3]) + more


def _remedy(error: "ErrorDetails") -> str:
    # Pydantic's own words quote a character of a wrong UUID, and a regular expression is no help to a person.
    match error["type"]:
        case "string_pattern_mismatch":
            return f"expected {_EXPECTED_BY_PATTERN.get(error['ctx']['pattern'], error['ctx']['pattern'])}"
        case "uuid_parsing":
            return "expected a UUID in lower case with hyphens"
        case _:
            return error["msg"].removeprefix("Value error, ")


def _check_writable(topic: Topic, key: Key, value: Event | None, rev: int, occurred_at: datetime) -> None:
    if type(key) is not topic.key:
        raise MalformedEventError(f"{topic.name} is keyed by {topic.key.__name__}, not {type(key).__name__}")
    if not 1 <= rev <= MAX_COUNT:
        raise MalformedEventError(f"rev must be a whole number from 1 to {MAX_COUNT}")
    if occurred_at.tzinfo is None:
        raise MalformedEventError("occurred_at must have a time zone")
    if value is None:
        if not topic.compacted:
            raise MalformedEventError(f"{topic.name} keeps every event: a record there must have a body")
        return
    if type(value) not in topic.events:
        raise MalformedEventError(f"{topic.name} does not carry {type(value).__name__}")
    if value.key != key or value.rev != rev:
        raise MalformedEventError("key and rev must be those of the event itself")


def _decode_headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for name, value in headers:
        if value is None:
            continue
        try:
            attributes[name] = value.decode()
        except UnicodeDecodeError:
            raise MalformedEventError(f"header {name} is not UTF-8") from None
    return attributes


def _read_key(topic: Topic, key: bytes | None) -> Key:
    if not key:
        raise MalformedEventError(f"record has no key; expected {'/'.join(topic.key.model_fields)}")
    try:
        return topic.key.decode(key)
    except ValidationError as error:
        raise MalformedEventError(f"record key: {describe(error)}") from None
    except ValueError as error:
        raise MalformedEventError(f"record key: {error}") from None


def _read_erasure(topic: Topic, key: Key, attributes: Mapping[str, str]) -> Envelope:
    if not topic.compacted:
        raise MalformedEventError(f"record has no body; {topic.name} keeps every event and erases nothing")
    rev = attributes.get("ce_rev")
    # Sixteen digits hold `MAX_COUNT`; Python itself refuses to convert more than a few thousand.
    if rev is not None and not (re.fullmatch("[0-9]{1,16}", rev) and 1 <= int(rev) <= MAX_COUNT):
        raise MalformedEventError(f"header ce_rev: expected a whole number from 1 to {MAX_COUNT}")
    return Envelope(
        key=key,
        value=None,
        rev=None if rev is None else int(rev),
        event_id=attributes.get("ce_id") or f"{topic.name}/{key}/erased",
        occurred_at=_time(attributes),
        traceparent=_trace(attributes),
    )


def _model_for(topic: Topic, attributes: Mapping[str, str]) -> type[Event]:
    spec = _required(attributes, "ce_specversion")
    if spec != SPEC_VERSION:
        raise MalformedEventError(f"header ce_specversion: expected {SPEC_VERSION}")
    event_type = _required(attributes, "ce_type")
    for model in topic.events:
        if model.event_type == event_type:
            return model
    known = " or ".join(model.event_type for model in topic.events)
    raise MalformedEventError(f"header ce_type: expected {known} on {topic.name}")


def _required(attributes: Mapping[str, str], name: str) -> str:
    value = attributes.get(name)
    if not value:
        raise MalformedEventError(f"header {name} is missing")
    return value


def _time(attributes: Mapping[str, str]) -> datetime | None:
    raw = attributes.get("ce_time")
    if raw is None:
        return None
    try:
        return _MOMENT.validate_python(raw)
    except ValidationError:
        raise MalformedEventError(
            "header ce_time: expected RFC 3339 with an offset, as in 2026-01-31T08:00:00Z"
        ) from None


def _trace(attributes: Mapping[str, str]) -> str | None:
    traceparent = attributes.get("traceparent", "")
    return traceparent if re.fullmatch(TRACEPARENT_PATTERN, traceparent) else None


def _check_size(body: bytes | None) -> None:
    if body is not None and len(body) > MAX_EVENT_BYTES:
        raise MalformedEventError(f"body has {len(body):,} bytes; at most {MAX_EVENT_BYTES:,} are read")
