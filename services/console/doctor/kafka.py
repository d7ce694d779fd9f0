"""What a broker says of itself, its topics and our groups."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    IncompatibleBrokerVersion,
    KafkaError,
    for_code,
)
from aiokafka.structs import OffsetAndMetadata
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from schemas.topics import READS
from services.console.doctor.log_dirs import Directory, directories
from services.runtime.broker import administration, wanted_topics
from services.runtime.connection import Connection
from services.runtime.errors import TransientError
from services.runtime.outcome import describe
from services.runtime.rights import Right, Rights, group_of, look

# An operator would rather wait than read that a busy broker is away.
_ANSWER_SECONDS: Final = 15.0

_UNTIL_COORDINATED: Final = AsyncRetrying(
    # A new broker keeps no groups before it is first asked for one.
    retry=retry_if_exception_type((GroupCoordinatorNotAvailableError, GroupLoadInProgressError)),
    wait=wait_fixed(0.2),
    stop=stop_after_delay(_ANSWER_SECONDS),
    reraise=True,
)


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: brokers by id; `leader` is none where nobody leads."""

    leader: int | None
    replicas: Sequence[int]
    in_sync: Sequence[int]


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as the broker keeps it."""

    partitions: Sequence[Partition]
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """A consumer group.

    Attributes:
        state: in the broker's word, as `Stable` or `Empty`; none: the broker does not tell.
        lag: records that are not handled, by topic; none: nobody says how far the service is.
    """

    state: str | None
    members: int
    lag: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class KafkaFacts:
    """What was found.

    Attributes:
        brokers: by id, `host:port` as the broker tells clients.
        topics: those of ours that are there, by name.
        groups: of the services that read, by service.
        missing: what the login lacks of the rights that it should have.
        unreachable: why we cannot reach a broker at the address that it tells clients, by id.
        directories: of each broker that tells, by id.
    """

    cluster: str
    brokers: Mapping[int, str]
    topics: Mapping[str, TopicFacts]
    groups: Mapping[str, GroupFacts]
    missing: Sequence[Right] = ()
    unreachable: Mapping[int, str] = field(default_factory=dict)
    directories: Mapping[int, Sequence[Directory]] = field(default_factory=dict)


Places = Mapping[str, Mapping[str, int] | None]
"""Of services that keep for themselves how far they are: offset of the next record, by `topic/partition`.

None: it is not known.
"""


async def ask(connection: Connection, rights: Rights, places: Places) -> KafkaFacts:
    """Ask a broker for everything that can be judged.

    Args:
        rights: those that the login should have.

    Raises:
        TransientError: it is away, or does not let us in; says what to correct.
        KafkaError, OSError, TimeoutError: it went away meanwhile.
    """
    async with connection.open() as link:
        _, missing = await look(link, rights)
    async with administration(connection, within=_ANSWER_SECONDS) as admin:
        described = await admin.describe_cluster()
        brokers = {one["node_id"]: f"{one['host']}:{one['port']}" for one in described["brokers"]}
        topics = await _topics(admin)
        unreachable, found = await _visit(connection, brokers)
        return KafkaFacts(
            cluster=str(described["cluster_id"]),
            brokers=brokers,
            topics=topics,
            groups=await _groups(admin, connection, topics, places),
            missing=missing,
            unreachable=unreachable,
            directories=found,
        )


async def _topics(admin: AIOKafkaAdminClient) -> dict[str, TopicFacts]:
    # Only those that are there: some brokers make a topic of whatever is asked for.
    there = sorted({topic.name for topic in wanted_topics()} & set(await admin.list_topics()))
    if not there:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
    settings: dict[str, dict[str, str]] = {}
    with suppress(KafkaError):  # without the right to see them there is nothing to judge
        for answer in await admin.describe_configs(asked):
            for code, _, _, name, entries in answer.resources:
                if code == 0:
                    settings[name] = {entry[0]: entry[1] for entry in entries}
    return {
        topic["topic"]: TopicFacts([_partition(one) for one in topic["partitions"]], settings.get(topic["topic"], {}))
        for topic in await admin.describe_topics(there)
    }


def _partition(one: Mapping[str, Any]) -> Partition:
    return Partition(one["leader"] if one["leader"] >= 0 else None, one["replicas"], one["isr"])


async def _groups(
    admin: AIOKafkaAdminClient, connection: Connection, topics: Mapping[str, TopicFacts], places: Places
) -> dict[str, GroupFacts]:
    if not topics:
        return {}
    found = {}
    consumer = AIOKafkaConsumer(**connection.client(), request_timeout_ms=int(_ANSWER_SECONDS * 1000))
    await consumer.start()
    try:
        for service, read in READS.items():
            partitions = [
                TopicPartition(topic.name, number)
                for topic in read
                if topic.name in topics
                for number, _ in enumerate(topics[topic.name].partitions)
            ]
            if partitions:
                state, members = await _members(admin, group_of(service))
                if service in places:
                    at = places[service]
                else:
                    at = await _committed(admin, group_of(service))
                lag = None if at is None else await _lag(consumer, partitions, at)
                found[service] = GroupFacts(state, members, lag)
    finally:
        await consumer.stop()
    return found


async def _members(admin: AIOKafkaAdminClient, group: str) -> tuple[str | None, int]:
    with suppress(KafkaError, NotImplementedError):  # the broker in memory does not tell
        async for attempt in _UNTIL_COORDINATED:
            with attempt:
                [answer] = await admin.describe_consumer_groups([group])
                [(code, _, state, _, _, found, *_)] = answer.groups
                if code:
                    raise for_code(code)
        return state, len(found)
    return None, 0


async def _committed(admin: AIOKafkaAdminClient, group: str) -> dict[str, int]:
    committed: Mapping[TopicPartition, OffsetAndMetadata] = {}
    async for attempt in _UNTIL_COORDINATED:
        with attempt:
            committed = await admin.list_consumer_group_offsets(group)
    return {f"{partition.topic}/{partition.partition}": place.offset for partition, place in committed.items()}


async def _lag(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], at: Mapping[str, int]
) -> dict[str, int]:
    begins = await consumer.beginning_offsets(partitions)
    lag: dict[str, int] = {}
    for partition, end in (await consumer.end_offsets(partitions)).items():
        # Below the beginning lies what retention has taken.
        place = max(begins[partition], at.get(f"{partition.topic}/{partition.partition}", 0))
        lag[partition.topic] = lag.get(partition.topic, 0) + max(0, end - place)
    return lag


async def _visit(
    connection: Connection, brokers: Mapping[int, str]
) -> tuple[dict[int, str], dict[int, Sequence[Directory]]]:
    """Go to each broker by its own address: return why some cannot be reached, and the disks of those that tell."""
    unreachable: dict[int, str] = {}
    found: dict[int, Sequence[Directory]] = {}
    for number, address in brokers.items():
        try:
            async with replace(connection, servers=address).open() as link:
                with suppress(NotImplementedError, IncompatibleBrokerVersion):  # older than Kafka 3.3
                    found[number] = await directories(link)
        except (TransientError, KafkaError) as error:
            unreachable[number] = describe(error)
    return unreachable, found
