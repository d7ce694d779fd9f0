"""What of a broker, its topics and our groups is not as it should be."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from aiokafka.admin import NewTopic

from schemas.topics import READS, TOPICS
from services.console.doctor.findings import Finding, ok, problem, warning
from services.console.doctor.kafka import GroupFacts, KafkaFacts, TopicFacts
from services.console.doctor.sizes import judge_space
from services.runtime.broker import REPLICATION, wanted_topics
from services.runtime.rights import group_of

_MANY: Final = 10_000
"""Records that wait and are no longer a moment's work: some seconds for a matcher."""

_EVENTS: Final = frozenset(topic.name for topic in TOPICS)

_READING_BESIDE: Final = frozenset({"ingest"})
"""Services whose replicas have other work as well."""

# Of these more is as good: it only keeps longer, or takes larger records. -1 is without end.
_AT_LEAST: Final = ("retention.ms", "delete.retention.ms", "max.message.bytes")


def judge(facts: KafkaFacts, *, partitions: int | None = None) -> Iterator[Finding]:
    """Yield what is to be said of a broker that answered.

    Args:
        partitions: that each event topic should have; none: as many as most of them have.
    """
    yield from _brokers(facts)
    yield from _rights(facts)
    yield from _topics(facts, partitions)
    yield from _groups(facts.groups, facts.topics)
    for number, directories in facts.directories.items():
        for one in directories:
            name = f"broker {number}, {one.path}"
            if one.online:
                yield judge_space(name, free=one.free_bytes, size=one.size_bytes)
            else:
                yield problem(
                    "disk",
                    name,
                    "the broker has given this folder up: a write to it failed",
                    "Its log says why; most often the disk is full or broken. Mend it, then restart the broker.",
                )


def _brokers(facts: KafkaFacts) -> Iterator[Finding]:
    for number, address in facts.brokers.items():
        name = f"broker {number} at {address}"
        if why := facts.unreachable.get(number):
            yield problem(
                "addresses",
                name,
                f"the cluster sends clients there, and from here it cannot be reached: {why}",
                "Start that broker, or correct its advertised.listeners: clients use that address, "
                "whatever MAILLAGE_KAFKA says.",
            )
        else:
            yield ok("addresses", name, f"answers; log {facts.cluster}")


def _rights(facts: KafkaFacts) -> Iterator[Finding]:
    for right in facts.missing:
        yield problem(
            "permissions",
            f"Kafka: {right}",
            "the login may not",
            "Grant it: `maillage acl grant`, as the broker's administrator.",
        )
    if not facts.missing:
        yield ok("permissions", "Kafka", "the login may do what it must")


def _topics(facts: KafkaFacts, partitions: int | None) -> Iterator[Finding]:
    counts = Counter(len(topic.partitions) for name, topic in facts.topics.items() if name in _EVENTS)
    usual = partitions or (counts.most_common(1)[0][0] if counts else None)
    if missing := [wanted.name for wanted in wanted_topics() if wanted.name not in facts.topics]:
        do = "Create what is missing: `maillage topics`, which leaves those that are there alone."
        yield problem("topics", ", ".join(missing), "missing", do)
    for wanted in wanted_topics():
        topic = facts.topics.get(wanted.name)
        if topic is None:
            continue
        found = [
            *_count(wanted.name, topic, usual if wanted.name in _EVENTS else None),
            *_copies(wanted.name, topic, len(facts.brokers)),
            *_settings(wanted, topic.settings),
        ]
        yield from found or [
            ok("topics", wanted.name, f"partitions: {len(topic.partitions)}; settings as they should be")
        ]


def _count(name: str, topic: TopicFacts, usual: int | None) -> Iterator[Finding]:
    count = len(topic.partitions)
    if usual is None or count == usual:
        return
    if count < usual:
        do = (
            f"Raise it: `kafka-topics.sh --alter --topic {name} --partitions {usual}`. Nothing is lost or told twice; "
            "but what is erased later stays in its old partition: see docs/doctor.md."
        )
    else:
        do = f"A topic cannot be made narrower: raise the others to {count}, or give --partitions what you want."
    yield problem("topics", name, f"has {count} partitions, where {usual} are expected", do)


def _copies(name: str, topic: TopicFacts, brokers: int) -> Iterator[Finding]:
    leaderless = [number for number, one in enumerate(topic.partitions) if one.leader is None]
    behind = [number for number, one in enumerate(topic.partitions) if len(one.in_sync) < len(one.replicas)]
    copies = min((len(one.replicas) for one in topic.partitions), default=0)
    least = int(topic.settings.get("min.insync.replicas", copies - 1))  # not told: not judged
    if leaderless:
        yield problem(
            "topics",
            name,
            f"nobody leads {_numbers(leaderless)}: it takes no record",
            "Start the brokers that are down; a partition is led again once one with a whole copy is back.",
        )
    elif behind:
        yield warning(
            "topics",
            name,
            f"{_numbers(behind)} have copies that are behind",
            "See that every broker runs and has room; if they catch up by themselves, wait.",
        )
    if copies < min(REPLICATION, brokers):
        yield warning(
            "topics",
            name,
            f"has {copies} copies on {brokers} brokers: losing one broker may lose events",
            f"Give it {min(REPLICATION, brokers)} copies: `kafka-reassign-partitions.sh`.",
        )
    elif copies >= REPLICATION and least < copies - 1:
        yield warning(
            "topics",
            name,
            f"an event counts as kept with {least} of {copies} copies",
            f"Set min.insync.replicas={copies - 1} on it, or on the brokers.",
        )
    elif copies > 1 and least >= copies:
        yield warning(
            "topics",
            name,
            f"needs all {copies} copies to take an event: with one broker down nothing is taken",
            f"Set min.insync.replicas={copies - 1} on it.",
        )


def _settings(wanted: NewTopic, found: Mapping[str, str]) -> Iterator[Finding]:
    for setting, value in wanted.topic_configs.items():
        is_set = found.get(setting)
        if is_set is None or _as_good(setting, is_set, value):
            continue
        yield problem(
            "topics",
            wanted.name,
            f"{setting} is {is_set}, and should be {value}{_why(setting)}",
            f"Set it: `kafka-configs.sh --alter --entity-type topics --entity-name {wanted.name} "
            f"--add-config {_quoted(setting, value)}`.",
        )


def _as_good(setting: str, found: str, wanted: str) -> bool:
    if setting == "cleanup.policy":
        return set(found.replace(" ", "").split(",")) == set(wanted.split(","))
    if setting == "compression.type":
        return found == wanted
    if setting in _AT_LEAST:
        return found == "-1" or (wanted != "-1" and int(found) >= int(wanted))
    return int(found) <= int(wanted)  # the longest wait until compaction


def _why(setting: str) -> str:
    return {
        "cleanup.policy": ": otherwise it loses what must stay, or keeps what must go",
        "retention.ms": ": events would go before a service that was away has read them",
        "max.message.bytes": ": larger records are refused",
        "compression.type": ": whoever may write there can fill a reader's memory with a few kilobytes",
        "delete.retention.ms": ": a service that was away would miss erasures",
        "max.compaction.lag.ms": ": what was erased would stay on the disks",
    }.get(setting, "")


def _quoted(setting: str, value: str) -> str:
    return f"{setting}=[{value}]" if "," in value else f"{setting}={value}"


def _groups(groups: Mapping[str, GroupFacts], topics: Mapping[str, TopicFacts]) -> Iterator[Finding]:
    for service, group in groups.items():
        lag = group.lag or {}
        subject, waiting = group_of(service), sum(lag.values())
        by_topic = ", ".join(f"{topic} {count:,}" for topic, count in sorted(lag.items()) if count)
        if waiting and group.state is not None and group.members == 0:
            yield problem(
                "lag",
                subject,
                f"nobody reads, and {waiting:,} records wait ({by_topic})",
                f"Start the {service}. If it runs, its log and /readyz say why it does not read.",
            )
        elif group.state is not None and group.members == 0:
            yield warning("lag", subject, "nobody reads", f"Start the {service}.")
        elif waiting > _MANY:
            yield warning(
                "lag",
                subject,
                f"{waiting:,} records wait ({by_topic})",
                "Ask again in a minute: when it does not fall, /readyz says what it waits for; "
                f"when it waits for nothing, add a replica of the {service}.",
            )
        else:
            known = f"{waiting:,}" if group.lag is not None else "not known without its database"
            yield ok("lag", subject, f"records that wait: {known}; replicas: {group.members}")
        most = max((len(topics[topic.name].partitions) for topic in READS[service] if topic.name in topics), default=0)
        if group.members > most and service not in _READING_BESIDE:
            yield warning(
                "lag",
                subject,
                f"{group.members} replicas share {most} partitions: {group.members - most} have nothing to do",
                "Stop those, or raise the partitions of every event topic.",
            )


def judge_letters(counts: Mapping[str, int]) -> Iterator[Finding]:
    """Yield what is to be said of open dead letters, given their number by topic."""
    for topic, count in sorted(counts.items()):
        do = f"`maillage dlq list --topic {topic}` tells the reasons; replay what was right, drop what was wrong."
        yield warning("dead letters", topic, f"{count:,} open", do)
    if not counts:
        yield ok("dead letters", "all topics", "none is open")


def _numbers(partitions: Iterable[int]) -> str:
    return f"partition{'' if len(list(partitions)) == 1 else 's'} {', '.join(map(str, partitions))}"
