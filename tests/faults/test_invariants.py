"""Whoever judges the runs must see what is wrong: each of these is one thing wrong with a run that was right."""

import collections
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest

from schemas.notifications import Channel
from services.notifier.store.rows import notification_id
from tests.faults.invariants import judge
from tests.faults.story import CLUSTER, Act, Story
from tests.faults.traces import Suggested, Traces

SUGGESTION = "6f1b9d0e-5b0a-5e0f-9c1d-0a1b2c3d4e5f"
MEMBER = Act(0, "members/company-1", {"name": "Company 1"})
PEOPLE = [Act(0, "ambassadors/a", {"city": "city-a", "webhook": {}})]
STORY = Story(
    before=[], acts=[[MEMBER]], marks={"needs/need-2": "quzwexb"}, cities={"company-1": "city-a", "lab-1": "city-a"}
)
TOLD = str(notification_id(UUID(SUGGESTION), 1, f"{CLUSTER}/a", Channel.WEBHOOK))
SUGGESTED = Suggested(request="need-1", asking="company-1", offering="lab-1", score=0.5, revision=1)


@dataclass
class Record:
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass
class Acknowledged:
    acknowledged: dict[str, tuple[int, Act]] = field(default_factory=lambda: {MEMBER.path: (2, MEMBER)})


@dataclass
class Run:
    load: Any = field(default_factory=Acknowledged)
    letters: int = 0
    failing: str | None = None
    shuffled: bool = False
    past_ingest: bool = False


def record(rev: int, name: str = "Company 1") -> dict[str, dict[bytes, Any]]:
    return {
        "members.v1": {
            f"{CLUSTER}/company-1".encode(): Record(b'{"name": "%s"}' % name.encode(), [("ce_rev", b"%d" % rev)])
        }
    }


RIGHT = Traces(
    newest=record(2),
    highest=record(2),
    stored={MEMBER.path: 2},
    suggestions={SUGGESTION: SUGGESTED},
    told_once={SUGGESTION},
    delivered={TOLD},
    failed=set(),
    webhooks=collections.Counter({TOLD: 2}),  # a copy under the same id is no mistake
    mails=collections.Counter(),
    dead_letters=0,
    words={},
)


def test_a_run_that_is_right_is_found_so() -> None:
    assert judge(STORY, PEOPLE, Run(), RIGHT, RIGHT) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"newest": {"members.v1": {}}}, "rev 2 was acknowledged, the last record has None"),
        ({"newest": record(1), "highest": record(1)}, "rev 2 was acknowledged, the last record has 1"),
        ({"highest": record(3)}, "is not the highest"),
        ({"newest": record(2, "Another")}, "the log does not say what was asked for last"),
        ({"stored": {MEMBER.path: 1}}, "the matcher has rev 1, the log 2"),
        ({"stored": {}}, "the matcher has rev None, the log 2"),
        ({"suggestions": {}}, "nothing was suggested"),
        ({"suggestions": {SUGGESTION: replace(SUGGESTED, score=0.6)}}, "1 suggestions differ"),
        ({"webhooks": collections.Counter()}, "1 of 1 messages by webhook did not come"),
        ({"webhooks": collections.Counter({TOLD: 1, "another": 1})}, "1 messages by webhook were not to come"),
        ({"mails": collections.Counter({TOLD: 1})}, "1 messages by email were not to come"),
        ({"delivered": set()}, "not on the log as delivered"),
        ({"words": {"the inbox of a": {"quzwexb"}}}, "1 erased texts are in the inbox of a"),
        ({"dead_letters": 1}, "1 dead letters, 0 were to be"),
    ],
)
def test_what_is_wrong_is_said(wrong: dict[str, Any], said: str) -> None:
    assert any(said in problem for problem in judge(STORY, PEOPLE, Run(), replace(RIGHT, **wrong), RIGHT))
