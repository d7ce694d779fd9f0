"""CloudEvents 1.0 in Kafka's binary mode: attributes as `ce_` headers, the body as JSON, the key as the entity's.

`ce_rev` is an extension attribute: the `rev` of the state, repeated in a header because a record without a body has
nowhere else to say it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from schemas.base import Event, Key
from schemas.ids import event_id
from schemas.topics import MAX_EVENT_BYTES, Topic

SPEC_VERSION: Final = "1.0"
CONTENT_TYPE: Final = "application/json"


class MalformedEventError(ValueError):
    """A record that is not a readable event of its topic. The message says which part, and how it should be."""


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
        event_id: CloudEvents `id`; the same for every copy of the event.
        occurred_at: CloudEvents `time`, UTC; none where the producer does not say.
        traceparent: W3C trace context, passed on to what this event causes.
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
) -> Record:
    """Return the record that says `value` happened to `key`, or, without a value, that `key` is erased.

    Args:
        source: CloudEvents `source`, a URI reference of the writing service: `/maillage/ingest`.

    Raises:
        MalformedEventError: the body is larger than `MAX_EVENT_BYTES`, or `topic` cannot carry it.
    """
    if value is None and not topic.compacted:
        raise MalformedEventError(f"{topic.name} keeps every event: a record there must have a body")
    event_type = topic.erased_type if value is None else value.event_type
    headers = {
        "content-type": CONTENT_TYPE,
        "ce_specversion": SPEC_VERSION,
        "ce_id": str(event_id(topic.name, key, rev)),
        "ce_source": source,
        "ce_type": event_type,
        "ce_time": occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "ce_rev": str(rev),
    }
    if value is not None:
        headers["ce_dataschema"] = f"urn:maillage:schema:{type(value).__name__}:1"
    if traceparent is not None:
        headers["traceparent"] = traceparent
    body = None if value is None else value.model_dump_json(exclude_defaults=False).encode()
    _check_size(body)
    return Record(key=key.encode(), body=body, headers=headers)


def read(topic: Topic, key: bytes | None, body: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Envelope:
    """Return the event in a record, fully checked.

    Raises:
        MalformedEventError: a header is not UTF-8, a required attribute is missing, the type is not one of the
            topic's, the body is too large, not JSON or not of the type's schema, or the key is not the entity's.
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
        raise MalformedEventError(f"record key {entity} is not that of its body, {value.key}")
    return Envelope(
        key=entity,
        value=value,
        rev=value.rev,
        event_id=_required(attributes, "ce_id"),
        occurred_at=_time(attributes),
        traceparent=attributes.get("traceparent"),
    )


def describe(error: ValidationError) -> str:
    """Return the first problems as `field: remedy`, without the values, which may be somebody's data."""
    problems = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors(include_input=False)]
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return "; ".join(problems[:3]) + more


def _decode_headers(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for name, value in headers:
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
    if rev is not None and not (rev.isascii() and rev.isdigit() and int(rev) >= 1):
        raise MalformedEventError(f"header ce_rev is {rev[:20]!r}; expected a whole number from 1")
    return Envelope(
        key=key,
        value=None,
        rev=None if rev is None else int(rev),
        event_id=attributes.get("ce_id", f"{topic.name}/{key}/erased"),
        occurred_at=_time(attributes),
        traceparent=attributes.get("traceparent"),
    )


def _model_for(topic: Topic, attributes: Mapping[str, str]) -> type[Event]:
    spec = _required(attributes, "ce_specversion")
    if spec != SPEC_VERSION:
        raise MalformedEventError(f"header ce_specversion is {spec[:20]!r}; expected {SPEC_VERSION}")
    event_type = _required(attributes, "ce_type")
    for model in topic.events:
        if model.event_type == event_type:
            return model
    known = ", ".join(model.event_type for model in topic.events)
    raise MalformedEventError(f"header ce_type is {event_type[:100]!r}; {topic.name} carries {known}")


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
        moment = datetime.fromisoformat(raw)
    except ValueError:
        raise MalformedEventError(
            f"header ce_time is {raw[:40]!r}; expected RFC 3339, as in 2026-01-31T08:00:00Z"
        ) from None
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


def _check_size(body: bytes | None) -> None:
    if body is not None and len(body) > MAX_EVENT_BYTES:
        raise MalformedEventError(f"body has {len(body):,} bytes; at most {MAX_EVENT_BYTES:,} are read")
