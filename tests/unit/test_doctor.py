"""What the doctor thinks of facts."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.console.doctor import kafka_judging, settings
from services.console.doctor.certificates import Endpoint, Presented
from services.console.doctor.certificates import judge as judge_certificate
from services.console.doctor.findings import Finding, State
from services.console.doctor.kafka import GroupFacts, KafkaFacts, Partition, TopicFacts
from services.console.doctor.mongo import MongoFacts
from services.console.doctor.mongo import judge as judge_mongo
from services.console.doctor.services import ServiceFacts, named
from services.console.doctor.services import judge as judge_service
from services.console.doctor.sizes import judge_space
from services.console.doctor.times import judge_clock
from services.console.main import cli
from services.runtime.broker import wanted_topics
from services.runtime.store import Disk

GIB = 1 << 30
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)

GOOD = Partition(1, (1, 2, 3), (1, 2, 3))
TOPICS = {
    topic.name: TopicFacts([GOOD] * topic.num_partitions, {**topic.topic_configs, "min.insync.replicas": "2"})
    for topic in wanted_topics()
}
WELL = KafkaFacts(
    cluster="log",
    brokers={1: "k1:9092", 2: "k2:9092", 3: "k3:9092"},
    topics=TOPICS,
    groups={"matcher": GroupFacts("Stable", 2, {"needs.v1": 3}), "ingest": GroupFacts("Stable", 9, {})},
)


def judged(facts: KafkaFacts) -> list[Finding]:
    return [one for one in kafka_judging.judge(facts) if one.state is not State.OK]


def with_topic(partitions: list[Partition] | None = None, **changed: str) -> KafkaFacts:
    known = TOPICS["needs.v1"]
    set_so = {**known.settings, **{name.replace("_", "."): value for name, value in changed.items()}}
    return replace(WELL, topics={**TOPICS, "needs.v1": TopicFacts(partitions or known.partitions, set_so)})


def test_a_broker_that_is_well() -> None:
    assert judged(WELL) == []


@pytest.mark.parametrize(
    ("facts", "state", "words"),
    [
        (with_topic([replace(GOOD, leader=None)] * 6), State.PROBLEM, "nobody leads partitions 0, 1, 2, 3, 4, 5"),
        (with_topic([GOOD] * 5 + [replace(GOOD, in_sync=(1,))]), State.WARNING, "partition 5 have copies"),
        (with_topic([Partition(1, (1,), (1,))] * 6), State.WARNING, "has 1 copies on 3 brokers"),
        (with_topic([GOOD] * 4), State.PROBLEM, "has 4 partitions, where 6 are expected"),
        (with_topic([GOOD] * 8), State.PROBLEM, "has 8 partitions, where 6 are expected"),
        (with_topic(min_insync_replicas="1"), State.WARNING, "1 of 3 copies"),
        (with_topic(min_insync_replicas="3"), State.WARNING, "needs all 3 copies"),
        (with_topic(cleanup_policy="delete"), State.PROBLEM, "cleanup.policy is delete, and should be compact"),
        (with_topic(cleanup_policy="compact,delete"), State.PROBLEM, "should be compact"),
        (with_topic(max_message_bytes="1048588"), State.PROBLEM, "max.message.bytes is 1048588"),
        (with_topic(retention_ms="604800000"), State.PROBLEM, "retention.ms is 604800000, and should be -1"),
        (with_topic(delete_retention_ms="86400000"), State.PROBLEM, "would miss erasures"),
        (
            replace(WELL, unreachable={2: "connection refused"}),
            State.PROBLEM,
            "cannot be reached: connection refused",
        ),
        (
            replace(WELL, groups={"matcher": GroupFacts("Empty", 0, {"needs.v1": 1200})}),
            State.PROBLEM,
            "nobody reads, and 1,200 records wait (needs.v1 1,200)",
        ),
        (replace(WELL, groups={"matcher": GroupFacts("Empty", 0, {})}), State.WARNING, "nobody reads"),
        (
            replace(WELL, groups={"matcher": GroupFacts("Stable", 1, {"needs.v1": 20_000})}),
            State.WARNING,
            "20,000 records wait",
        ),
        (
            replace(WELL, groups={"matcher": GroupFacts("Stable", 8, {})}),
            State.WARNING,
            "8 replicas share 6 partitions: 2 have nothing to do",
        ),
    ],
)
def test_what_is_wrong_with_a_broker_is_said(facts: KafkaFacts, state: State, words: str) -> None:
    [finding] = judged(facts)
    assert (finding.state, words in finding.says, bool(finding.do)) == (state, True, True), finding


@pytest.mark.parametrize(
    "facts",
    [
        with_topic(retention_ms="-1", max_message_bytes="5000000", delete_retention_ms=str(400 * 86_400_000)),
        replace(WELL, topics={**TOPICS, "needs.v1.dlq": replace(TOPICS["needs.v1.dlq"], partitions=[GOOD] * 3)}),
        replace(WELL, topics={name: replace(topic, settings={}) for name, topic in TOPICS.items()}),
        replace(WELL, groups={"matcher": GroupFacts(None, 0, {"needs.v1": 5})}),
        replace(WELL, groups={"matcher": GroupFacts("Stable", 1, None)}),
    ],
    ids=[
        "more than asked for",
        "dead letters in more partitions",
        "settings that are not told",
        "groups not told",
        "places not told",
    ],
)
def test_what_an_operator_may_choose_is_not_wrong(facts: KafkaFacts) -> None:
    assert judged(facts) == []


@pytest.mark.parametrize(
    ("free", "size", "state"),
    [
        (GIB // 4, 1 * GIB, State.PROBLEM),
        (20 * GIB, 1000 * GIB, State.PROBLEM),
        (100 * GIB, 1000 * GIB, State.WARNING),
        (1 * GIB, 4 * GIB, State.WARNING),
        (300 * GIB, 1000 * GIB, State.OK),
        (5 * GIB, 10 * GIB, State.OK),
    ],
)
def test_room_on_a_disk(free: int, size: int, state: State) -> None:
    assert judge_space("disk", free=free, size=size).state is state


@pytest.mark.parametrize(
    ("ahead", "within", "state", "words"),
    [
        (1.5, 0.0, State.OK, ""),
        (3.0, 1.5, State.OK, ""),
        (-5.0, 0.5, State.WARNING, "4.5 s behind"),
        (3600.0, 1.0, State.PROBLEM, "3599.0 s ahead of"),
    ],
)
def test_clocks_apart(ahead: float, within: float, state: State, words: str) -> None:
    finding = judge_clock("x", ahead=timedelta(seconds=ahead), within=timedelta(seconds=within))
    assert (finding.state, words in finding.says) == (state, True)


def test_a_service_that_is_not_ready_says_why() -> None:
    facts = ServiceFacts("matcher", "http://m:8000", problems=("a batch waits: the broker", "no partition"))
    assert [one.says for one in judge_service(facts) if one.state is State.PROBLEM] == list(facts.problems)


def test_services_are_named_or_named_by_their_hosts() -> None:
    assert named("ingest=http://i:8000") == ("ingest", "http://i:8000")
    assert named("http://matcher:8000") == ("matcher", "http://matcher:8000")
    with pytest.raises(ValueError, match="NAME=http"):
        named("matcher:8000")


@pytest.mark.parametrize(
    ("environment", "subjects"),
    [
        ({}, {"environment"}),
        ({"MAILLAGE_OPERATOR_KEY": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}, {"MAILLAGE_OPERATOR_KEY"}),
        ({"MAILLAGE_OPERATOR_KEY": "sha256:" + "a" * 64}, {"environment"}),
        ({"MAILLAGE_OPERATOR_KEY": "mk_operator_3pJqk8vLw0ZtXyB5nRfD2sHcUeGmAoIT"}, {"environment"}),
        ({"MAILLAGE_KAFKA_BROKER": "k:9092"}, {"MAILLAGE_KAFKA_BROKER"}),
        ({"OTHER": "x"}, {"environment"}),
    ],
)
def test_settings_in_the_environment(
    environment: Mapping[str, str], subjects: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = list(settings.check(environment))
    assert {one.subject for one in found} == subjects
    assert environment.get("MAILLAGE_OPERATOR_KEY", "-no-") not in str(found)


def test_secrets_in_files_are_judged_too(tmp_path: Path) -> None:
    (tmp_path / "maillage_operator_key").write_text("changeme-changeme-changeme\n")
    (tmp_path / "maillage_secrett").write_text("x")
    (tmp_path / "mongo_root").write_text("x")
    found = list(settings.check({}, secrets=tmp_path))
    assert {(one.state, one.subject) for one in found} == {
        (State.PROBLEM, "MAILLAGE_OPERATOR_KEY"),
        (State.WARNING, "MAILLAGE_SECRETT"),
    }
    assert "changeme" not in str(found)


@pytest.mark.parametrize(
    ("name", "presented", "state"),
    [
        ("localhost", Presented(distrusted="unable to get local issuer certificate"), State.OK),
        ("localhost", Presented(distrusted="certificate has expired"), State.PROBLEM),
        ("inbox.example.org", Presented(distrusted="unable to get local issuer certificate"), State.PROBLEM),
        ("inbox.example.org", Presented(away="no answer"), State.PROBLEM),
        ("inbox.example.org", Presented(until=NOW + timedelta(days=30)), State.OK),
        ("inbox.example.org", Presented(until=NOW + timedelta(days=13)), State.WARNING),
        ("inbox.example.org", Presented(until=NOW + timedelta(days=1)), State.PROBLEM),
    ],
)
def test_certificates(name: str, presented: Presented, state: State) -> None:
    [finding] = judge_certificate(Endpoint("public address", "proxy", 8443, name), presented, NOW)
    assert finding.state is state
    assert "by proxy:8443" in finding.subject


@pytest.mark.parametrize(
    ("changed", "area", "words"),
    [
        ({"set_name": None}, "addresses", "a server by itself"),
        ({"primary": False}, "addresses", "no primary"),
        ({"lacking": {"maillage_ingest": ["insert"]}}, "permissions", "may not insert"),
        ({"disk": Disk(size_bytes=GIB, free_bytes=0)}, "disk", "0 MiB of 1.0 GiB are free"),
        ({"ahead": timedelta(hours=1)}, "clock", "ahead of this machine"),
    ],
)
def test_what_is_wrong_with_a_database_is_said(changed: dict[str, Any], area: str, words: str) -> None:
    well = MongoFacts("7.0", "maillage", True, timedelta(), timedelta(seconds=0.1), "ingest@admin")
    assert [one for one in judge_mongo(well) if one.state is not State.OK] == []
    [finding] = [one for one in judge_mongo(replace(well, **changed)) if one.state is not State.OK]
    assert (finding.state, finding.area, words in finding.says) == (State.PROBLEM, area, True)


def test_a_wrong_option_is_wrong_use_and_no_finding() -> None:
    result = CliRunner().invoke(cli, ["doctor", "--service", "matcher:8000"])
    assert result.exit_code == 2
    assert "NAME=http" in result.stderr
