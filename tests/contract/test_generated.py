"""The generated files say what the models say: what a schema accepts is read, what is written passes its schema."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators
from pydantic import ValidationError as RefusedByModelError

from schemas import generate
from schemas.base import Event
from schemas.cloudevents import SPEC_VERSION, dataschema
from schemas.submissions import sign
from schemas.topics import READS, SUBMISSIONS, TOPICS, WRITES
from tests.contract.documents import BODIES, Document

EVENTS = [event for topic in TOPICS for event in topic.events]
FORMATS = FormatChecker(["date-time", "uuid", "uri"])

# What breaks readers elsewhere: each is put in the place of some part of a good document.
ODD_VALUES = [
    *[None, True, 0, -1, 1.0, 1.5, 2**53, 2**70, [], {}, [None], [[]]],
    *["", " ", "\n", "\x00", "\x85", "\u2028", "\ufeff", "x" * 80, "x" * 81, "x" * 301, "x" * 20_001],
    *["a/b", "A\n", "-a", ".", "..", "é", "ma", "MA", "MAR", "FR", "fr-", "fr-x-" + "a-" * 20 + "a", "x-klingon"],
    *["2026-01-31", "2026-01-31T08:00:00", "2026-01-31T08:00:00Z", "2026-01-31 08:00:00Z", "2026-01-31t08:00:00z"],
    *["2026-02-30T08:00:00Z", "20260131T080000Z", "1700000000", 1700000000, "now"],
    *[
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "6BA7B810-9DAD-11D1-80B4-00C04FD430C8",
        "6ba7b8109dad11d180b400c04fd430c8",
    ],
    *["urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8", "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}"],
    *["ftp://a.example", "http://", "https://", "https://a.example", "https://a b.example", "//a.example"],
    *[
        "a@b",
        "a@b@c",
        "Amal <a@b.example>",
        "a@b.example\nBcc: c@d.example",
        "a:b@c.example",
        "a@b.example, c@d.example",
    ],
    *["+212 528", "123456", "(0528) 12-34-56", "+", "((((((", "0528 12 34 56 ext. 7", "٠٥٢٨١٢٣٤", "1" * 31],
    *["whsec_", "whsec_" + "A" * 32, "whsec_" + "A" * 33, "whsec_" + "=" * 32, "desk", "ambassador", "company"],
]


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    # In Python's dialect alone, `$` lets a final line break pass; JSON Schema has ECMAScript's.
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield ValidationError("does not match the pattern")


def checker(event: type[Event]) -> Any:
    kind = validators.extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]  # its stubs
    return kind(json.loads((generate.FOLDER / f"{event.__name__}.schema.json").read_text()), format_checker=FORMATS)


def reads(event: type[Event], body: Document) -> bool:
    try:
        event.model_validate_json(json.dumps(body))
    except RefusedByModelError:
        return False
    return True


def places(part: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if at:
        yield at
    inner = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, value in inner:
        yield from places(value, (*at, name))


def test_files_are_what_the_models_say() -> None:
    assert generate.drifted(generate.FOLDER) == [], "run: python -m schemas.generate"


def test_check_names_each_drifted_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main([], folder=tmp_path) == 0
    assert generate.main(["--check"], folder=tmp_path) == 0
    (tmp_path / "MemberPublished.schema.json").write_text("{}\n")
    (tmp_path / "asyncapi.json").unlink()
    (tmp_path / "Retired.schema.json").write_text("{}\n")
    capsys.readouterr()

    assert generate.main(["--check"], folder=tmp_path) == 1

    named = [line.split()[0] for line in capsys.readouterr().err.splitlines()]
    assert named == ["MemberPublished.schema.json", "Retired.schema.json", "asyncapi.json"]
    assert generate.main([], folder=tmp_path) == 0
    assert generate.main(["--check"], folder=tmp_path) == 0


@pytest.mark.parametrize("event", EVENTS)
def test_schema_is_valid_and_named_as_producers_name_it(event: type[Event]) -> None:
    text = (generate.FOLDER / f"{event.__name__}.schema.json").read_text()
    schema = json.loads(text)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == dataschema(event) == f"urn:maillage:schema:{event.__name__}:1"
    assert text.endswith("}\n")


@pytest.mark.parametrize("event", EVENTS)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_schema_accepts_what_the_model_writes(event: type[Event], data: st.DataObject) -> None:
    value = event.model_validate(data.draw(BODIES[event]))
    checker(event).validate(json.loads(value.model_dump_json()))
    assert event.model_validate_json(value.model_dump_json()) == value


@pytest.mark.parametrize("event", EVENTS)
@given(data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_schema_refuses_what_the_model_refuses(event: type[Event], data: st.DataObject) -> None:
    body = data.draw(BODIES[event])
    *path, last = data.draw(st.sampled_from(list(places(body))))
    holder: Any = body
    for step in path:
        holder = holder[step]
    if data.draw(st.booleans(), label="remove"):
        del holder[last]
    else:
        holder[last] = data.draw(st.sampled_from(ODD_VALUES) | st.text(max_size=5))
    assert reads(event, body) or not checker(event).is_valid(body)


@pytest.mark.parametrize(
    ("event", "wrong"),
    [
        (event, wrong)
        for event in EVENTS
        for wrong in ({"rev": 0}, {"rev": 2**53}, {"rev": "first"}, {"rev": None}, {"cluster": "a/b"}, {"score": 0})
        if set(wrong) <= set(event.model_fields)
    ],
)
@given(data=st.data())
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_schema_and_model_refuse(event: type[Event], wrong: Document, data: st.DataObject) -> None:
    body = data.draw(BODIES[event]) | wrong
    assert not checker(event).is_valid(body)
    assert not reads(event, body)


class TestAsyncApi:
    document = json.loads((generate.FOLDER / generate.ASYNCAPI).read_text())

    def test_has_every_topic_and_its_dead_letters(self) -> None:
        names = {topic.name for topic in TOPICS} | {f"{topic.name}.dlq" for topic in TOPICS}
        assert set(self.document["channels"]) == names
        assert {channel["address"] for channel in self.document["channels"].values()} == names
        for topic in TOPICS:
            channel = self.document["channels"][topic.name]
            cleanup = channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"]
            assert cleanup == (["compact"] if topic.compacted else ["delete"])
            of_letters = self.document["channels"][topic.dead_letters]["bindings"]["kafka"]["topicConfiguration"]
            assert of_letters["cleanup.policy"] == ["compact", "delete"]
            assert set(channel["messages"]) >= {event.__name__ for event in topic.events}
            erased = [name for name in channel["messages"] if name.endswith("Erased")]
            told = [self.document["components"]["messages"][name]["name"] for name in erased]
            assert told == ([topic.erased_type] if topic.compacted else [])

    def test_tells_of_submissions_what_must_be_signed(self) -> None:
        headers = self.document["components"]["messages"]["Submission"]["headers"]
        signed = sign(f"mk_{'0' * 16}_{'s' * 43}", b"{}", submission_id="one", at=datetime.now(UTC))
        assert set(headers["required"]) == set(signed)
        for name, value in signed.items():
            assert re.search(headers["properties"][name].get("pattern", ""), value), name

    def test_has_the_headers_that_are_written(self) -> None:
        for topic in TOPICS:
            for event in topic.events:
                headers = self.document["components"]["messages"][event.__name__]["headers"]
                assert headers["properties"]["ce_type"]["const"] == event.event_type
                assert headers["properties"]["ce_dataschema"]["const"] == dataschema(event)
                assert headers["properties"]["ce_specversion"]["const"] == SPEC_VERSION

    @pytest.mark.parametrize("event", EVENTS)
    @given(data=st.data())
    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_key_pattern_is_that_of_the_keys(self, event: type[Event], data: st.DataObject) -> None:
        value = event.model_validate(data.draw(BODIES[event]))
        binding = self.document["components"]["messages"][event.__name__]["bindings"]["kafka"]
        assert re.search(binding["key"]["pattern"], str(value.key))
        assert not re.search(binding["key"]["pattern"], f"{value.key}/more")

    def test_says_who_writes_and_reads_what(self) -> None:
        operations = self.document["operations"]
        for topic in TOPICS:
            assert any(topic in topics for topics in WRITES.values()) or topic is SUBMISSIONS
        assert operations["matcher.receive.needs.v1"]["action"] == "receive"
        assert operations["matcher.send.needs.v1.dlq"]["channel"] == {"$ref": "#/channels/needs.v1.dlq"}
        assert {name for name in operations if not name.endswith(".dlq")} == {
            *(f"{service}.send.{topic.name}" for service, topics in WRITES.items() for topic in topics),
            *(f"{service}.receive.{topic.name}" for service, topics in READS.items() for topic in topics),
        }

    def test_refers_to_nothing_missing(self) -> None:
        def references(part: Any) -> Iterator[str]:
            if isinstance(part, dict):
                if isinstance(part.get("$ref"), str):
                    yield part["$ref"]
                part = list(part.values())
            if isinstance(part, list):
                for inner in part:
                    yield from references(inner)

        for reference in references(self.document):
            target = self.document
            for step in reference.removeprefix("#/").split("/"):
                assert step in target, reference
                target = target[step]
