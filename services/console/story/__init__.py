"""Sample data: a fictional cluster, its members, their contacts, needs and ambassadors, as payloads for the API.

No company, person or product in it exists; towns, regions and technologies do.
"""

import json
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, Literal

Payload = dict[str, Any]
"""One object as the API takes it: `cluster`, the entity's id, then the fields of its profile."""


def cluster() -> Payload:
    """Return `cluster`, `name` and `partners`, the clusters with which there is a convention."""
    return _object("cluster.json")


def members() -> list[Payload]:
    """Return the members of both clusters, each with its assets."""
    return _lines("members.jsonl")


def contacts() -> list[Payload]:
    """Return who answers for some of the members."""
    return _lines("contacts.jsonl")


def needs(now: datetime) -> list[Payload]:
    """Return the needs, with deadlines counted from `now`."""
    return [_dated(need, now) for need in _lines("needs.jsonl")]


def ambassadors() -> list[Payload]:
    """Return the ambassador of each innovation city and the desk of each cluster."""
    return _lines("ambassadors.jsonl")


def live(language: Literal["fr", "ar"] = "fr", *, now: datetime | None = None) -> Payload:
    """Return the need to post in front of the reader; it is not among `needs`. `now` defaults to the present."""
    return _dated(_object("live.json" if language == "fr" else "live.ar.json"), now or datetime.now(UTC))


def expected() -> dict[str, list[str]]:
    """Return for each need, the live ones too, the members that a person would bring together with it.

    An empty list means that nothing should be suggested.
    """
    return _object("expected.json")


def _dated(need: Payload, now: datetime) -> Payload:
    """Turn `deadline_in_days` into `deadline`, an ISO 8601 time."""
    dated = dict(need)
    days = dated.pop("deadline_in_days", None)
    if days is not None:
        dated["deadline"] = (now + timedelta(days=days)).isoformat()
    return dated


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _object(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(_read(name))
    return loaded


def _lines(name: str) -> list[Payload]:
    return [json.loads(line) for line in _read(name).splitlines() if line]
