"""Writes the contract in the words of others: a JSON Schema for each event, one AsyncAPI document of the whole flow.

python -m schemas.generate           write `schemas/generated/`
python -m schemas.generate --check   name each file that is not what the models say; exit 1 if there is one
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from schemas.base import MAX_COUNT, Event, Key
from schemas.cloudevents import CONTENT_TYPE, SPEC_VERSION, TRACEPARENT_PATTERN, dataschema
from schemas.submissions import (
    ID_HEADER,
    KEY_HEADER,
    KEY_ID_PATTERN,
    SIGNATURE_HEADER,
    SIGNED_HEADERS,
    SUBMISSION_ID_PATTERN,
    TIMESTAMP_HEADER,
    TIMESTAMP_PATTERN,
)
from schemas.topics import MAX_EVENT_BYTES, READS, SUBMISSIONS, TOPICS, WRITES, Topic

FOLDER: Final = Path(__file__).parent / "generated"
ASYNCAPI: Final = "asyncapi.json"

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_KAFKA_BINDING: Final = "0.5.0"  # the version of the AsyncAPI Kafka binding whose fields are used here
_COMPONENT: Final = "#/components/schemas/{model}"
_CANONICAL_UUID: Final = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ABOUT: Final = f"""\
Maillage connects the companies, laboratories and innovation cities of a cluster. Members publish who they are and what
they need, a matcher finds the pairings worth a conversation, and the ambassador of the innovation city concerned is
told.

Events are CloudEvents {SPEC_VERSION} in Kafka's binary mode: attributes in `ce_` headers, JSON in the body. On a
compacted topic the newest record of a key is the state of that entity, and a record without a body erases it. States
of one entity are ordered by `rev`. A body has at most {MAX_EVENT_BYTES:,} bytes. A record that cannot be read goes to
the topic's `.dlq`, and its neighbours flow on."""

Json = dict[str, Any]


def schema_of(event: type[Event]) -> Json:
    """Return the JSON Schema of an event's body, as a producer must write it.

    Fields with a default may be left out. Readers are more lenient: they ignore fields that they do not know.
    """
    return {"$schema": _DIALECT, "$id": dataschema(event), **event.model_json_schema(mode="serialization")}


def asyncapi() -> Json:
    """Return the AsyncAPI document: every topic with its dead letters, and what each service sends and receives."""
    events = [event for topic in TOPICS for event in topic.events]
    _, shared = models_json_schema([(event, "serialization") for event in events], ref_template=_COMPONENT)
    messages: Json = {"DeadLetter": _dead_letter()}
    channels: Json = {}
    for topic in TOPICS:
        of_topic = {event.__name__: _message(topic, event) for event in topic.events}
        if topic.compacted:
            of_topic[_erased_name(topic)] = _erasure(topic)
        if topic is SUBMISSIONS:
            of_topic["Submission"] = _submission()
        messages |= of_topic
        channels[topic.name] = _channel(topic.name, topic.summary, of_topic, "compact" if topic.compacted else "delete")
        channels[topic.dead_letters] = _channel(
            topic.dead_letters,
            f"What could not be read from or handled on {topic.name}; a record without a body settles that of its key",
            ["DeadLetter"],
            "compact",
            "delete",
        )
    return {
        "asyncapi": "3.0.0",
        "id": "urn:maillage:asyncapi:1",
        "info": {
            "title": "Maillage",
            "version": "1",
            "description": _ABOUT,
            "tags": [{"name": name, "description": f"Sent or received by the {name}"} for name in sorted(WRITES)],
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "The Kafka of the deployment",
                "variables": {"bootstrap": {"default": "localhost:9092", "description": "Host and port of a broker"}},
            }
        },
        "channels": channels,
        "operations": dict(_operations(channels)),
        "components": {"messages": messages, "schemas": shared["$defs"]},
    }


def rendered() -> dict[str, str]:
    """Return the text of every generated file by its name."""
    documents = {f"{event.__name__}.schema.json": schema_of(event) for topic in TOPICS for event in topic.events}
    documents[ASYNCAPI] = asyncapi()
    return {
        name: json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
        for name, document in documents.items()
    }


def drifted(folder: Path) -> list[str]:
    """Return the names of files in `folder` that are missing, differ from what the models say, or are left over."""
    expected = rendered()
    present = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in expected.keys() | present.keys() if expected.get(name) != present.get(name))


def write(folder: Path) -> list[str]:
    """Bring `folder` in line with the models; return the names of the files that changed."""
    folder.mkdir(exist_ok=True)
    expected = rendered()
    changed = drifted(folder)
    for name in changed:
        if name in expected:
            (folder / name).write_text(expected[name], encoding="utf-8", newline="\n")
        else:
            (folder / name).unlink()
    return changed


def main(arguments: list[str] | None = None, *, folder: Path = FOLDER) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description="Write schemas/generated/.")
    parser.add_argument("--check", action="store_true", help="write nothing; name each file that is out of date")
    if parser.parse_args(arguments).check:
        stale = drifted(folder)
        for name in stale:
            print(f"{name} is not what the models say; run: python -m schemas.generate", file=sys.stderr)
        return 1 if stale else 0
    changed = write(folder)
    print(f"wrote {', '.join(changed)}" if changed else "nothing to write: all files are what the models say")
    return 0


def _message(topic: Topic, event: type[Event]) -> Json:
    return {
        "name": event.event_type,
        "title": event.__name__,
        "summary": _first_line(event),
        "contentType": CONTENT_TYPE,
        "headers": _headers(event.event_type, schema=dataschema(event)),
        "payload": _ref("schemas", event.__name__),
        "bindings": _key_binding(topic.key),
    }


def _erasure(topic: Topic) -> Json:
    return {
        "name": topic.erased_type,
        "title": _erased_name(topic),
        "summary": "A record without a body: the entity is erased, everywhere and for good.",
        "headers": _headers(topic.erased_type),
        "payload": {"type": "null", "description": "The record has no body (a Kafka null, not the JSON `null`)."},
        "bindings": _key_binding(topic.key),
    }


def _submission() -> Json:
    properties = {
        KEY_HEADER: {"type": "string", "pattern": KEY_ID_PATTERN, "description": "Id of the key that signed"},
        ID_HEADER: {
            "type": "string",
            "pattern": SUBMISSION_ID_PATTERN,
            "description": "The same id is the same submission, however often it is sent",
        },
        TIMESTAMP_HEADER: {
            "type": "string",
            "pattern": TIMESTAMP_PATTERN,
            "description": "When it was signed, whole seconds since 1970",
        },
        SIGNATURE_HEADER: {
            "type": "string",
            "description": "`v1,` and the HMAC-SHA-256 of `id.timestamp.body` in base64, as Standard Webhooks has it",
        },
        "traceparent": {"type": "string", "pattern": TRACEPARENT_PATTERN, "description": "W3C trace context"},
    }
    return {
        "name": "submission",
        "title": "Submission",
        "summary": "A profile or a need as a line of `POST /v1/bulk` has it, signed by its sender. No CloudEvent.",
        "contentType": CONTENT_TYPE,
        "headers": {"type": "object", "properties": properties, "required": [*SIGNED_HEADERS]},
        "payload": {"type": "object", "description": "The body of a PUT of the HTTP interface, with its id added"},
        "bindings": {
            "kafka": {
                "key": {
                    "type": "string",
                    "description": "Free; records of one key stay in their order, so the organisation's is best",
                },
                "bindingVersion": _KAFKA_BINDING,
            }
        },
    }


def _dead_letter() -> Json:
    return {
        "name": "DeadLetter",
        "title": "DeadLetter",
        "summary": "A record as it came, body and headers, with `dead_letter_` headers that say why and whence.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {
                "dead_letter_reason": {"type": "string", "description": "What was wrong; quotes nobody's data"},
                "dead_letter_topic": {"type": "string"},
                "dead_letter_partition": {"type": "string"},
                "dead_letter_offset": {"type": "string"},
            },
        },
        "payload": {"description": "The raw bytes of the body, whatever they are."},
    }


def _headers(event_type: str, *, schema: str | None = None) -> Json:
    properties: Json = {
        "ce_specversion": {"type": "string", "const": SPEC_VERSION},
        "ce_type": {"type": "string", "const": event_type},
        "ce_id": {"type": "string", "minLength": 1, "description": "The same for every copy of the event"},
        "ce_source": {
            "type": "string",
            "format": "uri-reference",
            "minLength": 1,
            "description": "The writing system, as in `/maillage/ingest`",
        },
        "ce_time": {"type": "string", "format": "date-time", "description": "When it happened"},
        "ce_rev": {
            "type": "string",
            "pattern": "^[0-9]{1,16}$",
            "description": f"`rev` of the state, from 1 to {MAX_COUNT}; an erasure has no other place to say it",
        },
        "traceparent": {"type": "string", "pattern": TRACEPARENT_PATTERN, "description": "W3C trace context"},
    }
    if schema is not None:
        properties["content-type"] = {"type": "string", "const": CONTENT_TYPE}
        properties["ce_dataschema"] = {"type": "string", "const": schema}
    return {
        "type": "object",
        "properties": properties,
        "required": ["ce_specversion", "ce_type", "ce_id", "ce_source"],
    }


def _key_binding(key: type[Key]) -> Json:
    parts = [_key_part(part) for part in key.model_json_schema(mode="serialization")["properties"].values()]
    return {
        "kafka": {
            "key": {"type": "string", "pattern": f"^{'/'.join(parts)}$", "description": _first_line(key)},
            "bindingVersion": _KAFKA_BINDING,
        }
    }


def _key_part(schema: Mapping[str, str]) -> str:
    if schema.get("format") == "uuid":
        return _CANONICAL_UUID
    return schema["pattern"].removeprefix("^").removesuffix("$")


def _channel(address: str, summary: str, messages: Iterable[str], *cleanup: str) -> Json:
    return {
        "address": address,
        "summary": summary,
        "messages": {name: _ref("messages", name) for name in messages},
        "bindings": {
            "kafka": {
                "topic": address,
                "topicConfiguration": {"cleanup.policy": list(cleanup)},
                "bindingVersion": _KAFKA_BINDING,
            }
        },
    }


def _operations(channels: Json) -> Iterable[tuple[str, Json]]:
    for service in sorted(WRITES):
        for topic in WRITES[service]:
            yield _operation(service, "send", topic.name, channels, topic.summary)
        for topic in READS[service]:
            yield _operation(service, "receive", topic.name, channels, topic.summary)
            yield _operation(service, "send", topic.dead_letters, channels, "What it could not read or handle")


def _operation(service: str, action: str, topic: str, channels: Json, summary: str) -> tuple[str, Json]:
    return f"{service}.{action}.{topic}", {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "messages": [{"$ref": f"#/channels/{topic}/messages/{name}"} for name in channels[topic]["messages"]],
        "summary": summary,
        "tags": [{"name": service}],
    }


def _erased_name(topic: Topic) -> str:
    # Not by the key: two topics may share one.
    return f"{topic.erased_type.split('.')[1].title()}Erased"


def _ref(section: str, name: str) -> Json:
    return {"$ref": f"#/components/{section}/{name}"}


def _first_line(model: type[Event] | type[Key]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
