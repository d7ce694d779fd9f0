"""The broker: how we connect, which log it keeps, and the topics that the flow needs."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code
from faststream.kafka import KafkaBroker

from schemas.topics import MAX_EVENT_BYTES, TOPICS, Topic
from services.runtime.connection import NOT_ALLOWED, Connection
from services.runtime.dead_letters import MAX_DEAD_LETTER_BYTES
from services.runtime.rights import Rights, look

# Room for key and headers beside the longest body.
_HEADROOM = 200_000

PARTITIONS = 6
"""Of each event topic, unless an operator asks for another number: how many matchers can share the requests."""

REPLICATION = 3
"""Copies of each partition, where there are as many brokers: one may be lost while another is being upgraded."""

# Events sent together share a request and, on the reading side, a fetch; nobody notices two milliseconds.
_LINGER_MS = 2

# What waits for the batch before goes in one: in the client's own 16 kB, of some four events, hundreds wait in a row.
_BATCH_BYTES: Final = 262_144

_DAY_MS = 24 * 3600 * 1000

_DEAD_LETTER_DAYS = 90

SETTLING: Final[Mapping[str, str]] = {
    # A record without a body settles the letter of its key; the oldest go after their time all the same.
    "cleanup.policy": "compact,delete",
    # As long as the letters themselves: letters of older versions had no body where their record had none.
    "delete.retention.ms": str(_DEAD_LETTER_DAYS * _DAY_MS),
    # What is settled may hold personal data: off the disks within about a week, however little is written.
    "max.compaction.lag.ms": str(7 * _DAY_MS),
}
"""Settings of a dead-letter topic by which settled letters go."""

UNPACKED: Final[Mapping[str, str]] = {"compression.type": "uncompressed"}
"""Setting of an event topic by which the broker unpacks what was compressed, and judges its size by that. Otherwise a
batch of a few kilobytes can fill a reader's memory, and whoever may write the topic may send one."""

# Where a setting comes from, in the broker's answer: set on this topic.
_SET_ON_TOPIC = 1


def open_broker(connection: Connection, *, client_id: str, grace_seconds: float) -> KafkaBroker:
    """Return a broker that is not connected yet. Confirms by `acks=all`, without duplicates from its own retries."""
    return KafkaBroker(
        connection.servers.split(","),
        security=connection.faststream(),
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        linger_ms=_LINGER_MS,
        max_batch_size=_BATCH_BYTES,
        max_request_size=MAX_DEAD_LETTER_BYTES + _HEADROOM,
        graceful_timeout=grace_seconds / 2,
        allow_auto_create_topics=False,
        request_timeout_ms=10_000,
        apply_types=False,
        logger=None,
    )


async def log_id(connection: Connection, *, rights: Rights = frozenset()) -> str:
    """Return the cluster id: which log this is. Offsets and checkpoints of another log mean nothing in it.

    Raises:
        RefusedError: the broker does not let us in, or we lack some of `rights`; says which.
        BrokerUnavailableError: it is away.
    """
    async with connection.open() as link:
        cluster, missing = await look(link, rights)
    if missing:
        raise connection.refused(", ".join(map(str, missing)))
    return cluster


@asynccontextmanager
async def administration(
    connection: Connection, *, rights: Rights = frozenset(), within: float = 40.0
) -> AsyncIterator[AIOKafkaAdminClient]:
    """Connect a client for what is set on the broker; each answer may take `within` seconds.

    Raises:
        RefusedError: the broker does not let us in, or we lack some of `rights`.
        BrokerUnavailableError: it is away.
    """
    await log_id(connection, rights=rights)  # tells what is wrong: the client only says that it could not connect
    admin = AIOKafkaAdminClient(**connection.client(), request_timeout_ms=int(within * 1000))
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def create_topics(connection: Connection, *, partitions: int, replication: int | None = None) -> list[str]:
    """Create the topics that are missing; return their names. May be run again at any time.

    Args:
        partitions: of each event topic.
        replication: copies of each partition; none: `REPLICATION`, or one for each broker where there are fewer.

    Raises:
        TransientError, KafkaError: the broker is away, does not let us, or refuses a topic.
    """
    async with administration(connection) as admin:
        copies = replication or min(REPLICATION, len((await admin.describe_cluster())["brokers"]))
        answer = await admin.create_topics(wanted_topics(partitions=partitions, replication=copies))
    created: list[str] = []
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if code == 0:
            created.append(name)
        elif error in NOT_ALLOWED:
            raise connection.refused(f"create {name}")
        elif error is not TopicAlreadyExistsError:
            raise error(f"topic {name}")
    return created


async def update_topics(connection: Connection) -> list[str]:
    """Give the topics of an older version the settings that they lack; return the names of those changed.

    These are `UNPACKED` of events, and of dead letters `SETTLING` and how long they are kept. A dead-letter topic that
    is compacted is left so as its operator has it, and so is every other setting.

    Raises:
        TransientError, KafkaError: the broker is away, does not let us, or refuses a change.
    """
    async with administration(connection) as admin:
        topics = {name: topic for topic in TOPICS for name in (topic.name, topic.dead_letters)}
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in sorted(topics)]
        found = {
            name: entries
            for answer in await admin.describe_configs(asked)
            for code, _, _, name, entries in answer.resources
            if code == 0
        }
        changed: list[str] = []
        for name, entries in found.items():
            now = {entry[0]: entry[1] for entry in entries}
            wanted = _event_lacks(now) if name == topics[name].name else _letters_lack(topics[name], now)
            if not wanted:
                continue
            # The request replaces all that is set on the topic.
            kept = {entry[0]: entry[1] for entry in entries if entry[3] == _SET_ON_TOPIC}
            change = ConfigResource(ConfigResourceType.TOPIC, name, {**kept, **wanted})
            for answer in await admin.alter_configs([change]):
                for code, message, *_ in answer.resources:
                    if for_code(code) in NOT_ALLOWED:
                        raise connection.refused(f"alter configs {name}")
                    if code:
                        raise for_code(code)(f"topic {name}: {message}")
            changed.append(name)
    return changed


def _event_lacks(now: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in UNPACKED.items() if now.get(name) != value}


def _letters_lack(topic: Topic, now: Mapping[str, str]) -> Mapping[str, str]:
    settling = {} if "compact" in now.get("cleanup.policy", "") else SETTLING
    # Of an older version, which kept the letters of every topic for as long; another time its operator chose.
    longer = now.get("retention.ms") == str(_DEAD_LETTER_DAYS * _DAY_MS) != _letters_kept(topic)
    return {**settling, **({"retention.ms": _letters_kept(topic)} if longer else {})}


def _letters_kept(topic: Topic) -> str:
    # No letter outlasts what its topic promises of its records.
    return str(min(_DEAD_LETTER_DAYS, topic.days) * _DAY_MS)


def wanted_topics(*, partitions: int = PARTITIONS, replication: int = 1) -> list[NewTopic]:
    """Return the topics that the flow needs, with their settings."""
    return [*_event_topics(partitions, replication), *_dead_letter_topics(replication)]


def _event_topics(partitions: int, replication: int) -> list[NewTopic]:
    # Larger than an event may be: what a member's own client made too large becomes a dead letter that an operator
    # sees, not an error that only the member's log knows.
    size = str(3 * MAX_EVENT_BYTES)
    return [
        NewTopic(
            name=topic.name,
            num_partitions=partitions,
            replication_factor=replication,
            topic_configs={
                "cleanup.policy": "compact" if topic.compacted else "delete",
                "retention.ms": "-1" if topic.compacted else str(topic.days * _DAY_MS),
                "max.message.bytes": size,
                **UNPACKED,
                # A tombstone must outlive the longest time that a reader may be away, or it would keep what was erased.
                **({"delete.retention.ms": str(90 * _DAY_MS)} if topic.compacted else {}),
            },
        )
        for topic in TOPICS
    ]


def _dead_letter_topics(replication: int) -> list[NewTopic]:
    return [
        NewTopic(
            name=topic.dead_letters,
            num_partitions=1,
            replication_factor=replication,
            topic_configs={
                **SETTLING,
                "retention.ms": _letters_kept(topic),
                "max.message.bytes": str(MAX_DEAD_LETTER_BYTES + _HEADROOM),
            },
        )
        for topic in TOPICS
    ]
