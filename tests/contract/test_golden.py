"""Records of version 1 as they were once written. They read the same for ever: a log keeps what it was given.

A file here is never changed and never removed. A record that must not be read any more is a new version of its topic.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.cloudevents import read
from schemas.topics import TOPICS

FOLDER = Path(__file__).parent / "golden" / "v1"
GOLDEN = sorted(FOLDER.glob("*.json"))


def load(path: Path) -> dict[str, Any]:
    golden: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return golden


def differences(expected: Any, actual: Any, at: str = "value") -> list[str]:
    """Where `actual` is not as expected. A field that a later version added is no difference; one that it lost is."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return [
            difference
            for name, part in expected.items()
            for difference in (
                differences(part, actual[name], f"{at}.{name}") if name in actual else [f"{at}.{name} is missing"]
            )
        ]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return [difference for i, (one, other) in pairs for difference in differences(one, other, f"{at}.{i}")]
    return [] if expected == actual else [f"{at} is {actual!r}, once {expected!r}"]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_record_of_version_1_still_reads(path: Path) -> None:
    golden = load(path)
    record, expected = golden["record"], golden["expected"]
    topic = next(topic for topic in TOPICS if topic.name == golden["topic"])
    body = None if record["body"] is None else record["body"].encode()

    envelope = read(topic, record["key"].encode(), body, [(name, value.encode()) for name, value in record["headers"]])

    assert envelope.key.model_dump(mode="json") == expected["key"]
    assert envelope.rev == expected["rev"]
    assert envelope.event_id == expected["event_id"]
    assert (envelope.occurred_at and envelope.occurred_at.isoformat()) == expected["occurred_at"]
    assert envelope.traceparent == expected["traceparent"]
    if expected["value"] is None:
        assert envelope.value is None
    else:
        assert envelope.value is not None
        assert type(envelope.value).__name__ == expected["event"]
        assert differences(expected["value"], envelope.value.model_dump(mode="json")) == []


def test_every_event_and_erasure_has_a_full_and_a_minimal_record() -> None:
    types = [event.event_type for topic in TOPICS for event in topic.events]
    types += [topic.erased_type for topic in TOPICS if topic.compacted]
    names = {"-".join(name.split(".")[1:3]) for name in types}
    assert {f"{name}-{size}" for name in names for size in ("full", "minimal")} <= {path.stem for path in GOLDEN}


def test_a_difference_is_seen() -> None:
    assert differences({"a": [{"b": 1}]}, {"a": [{"b": 1, "new": 2}], "new": 3}) == []
    assert differences({"a": [{"b": 1}]}, {"a": [{"b": 2}]}) == ["value.a.0.b is 2, once 1"]
    assert differences({"a": 1}, {}) == ["value.a is missing"]
    assert differences({"a": [1]}, {"a": []}) == ["value.a is [], once [1]"]
