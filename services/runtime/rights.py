"""What each client may do on the broker: the least with which its work is done, granted and checked from one table."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeAlias

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.metadata import MetadataRequest_v2
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from schemas.topics import MEMBERS, NEEDS, READS, SUBMISSION_RESULTS, SUBMISSIONS, TOPICS, WRITES, Topic


class Kind(IntEnum):
    """What a right is about; the numbers are the protocol's."""

    TOPIC = 2
    GROUP = 3


class Operation(IntEnum):
    """What may be done with it; the numbers are the protocol's. Reading and writing include describing."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One thing that a client may do with one topic or one group."""

    kind: Kind
    name: str
    operation: Operation

    def __str__(self) -> str:
        """Return it in words, as in `write members.v1`."""
        verb = self.operation.name.lower().replace("_", " ")
        return f"{verb} {self.name}" if self.kind is Kind.TOPIC else f"{verb} group {self.name}"


Rights: TypeAlias = frozenset[Right]


def group_of(service: str) -> str:
    """Return the name of a service's consumer group."""
    return f"maillage-{service}"


def rights_of(service: str, *, without: Collection[Topic] = ()) -> Rights:
    """Return what a service needs. Nothing on the cluster: a broker lets whoever may write do so idempotently.

    `without`: topics that it is set to leave alone.
    """
    reads = [topic for topic in READS.get(service, ()) if topic not in without]
    writes = [topic for topic in WRITES.get(service, ()) if topic not in without]
    group = {Right(Kind.GROUP, group_of(service), Operation.READ)} if reads else set()
    return frozenset(
        group
        | {Right(Kind.TOPIC, topic.name, Operation.WRITE) for topic in writes}
        | {Right(Kind.TOPIC, topic.name, Operation.READ) for topic in reads}
        # A record that a service cannot read it sets aside.
        | {Right(Kind.TOPIC, topic.dead_letters, Operation.WRITE) for topic in reads}
    )


MEMBER_RIGHTS: Final[Rights] = frozenset(Right(Kind.TOPIC, topic.name, Operation.WRITE) for topic in (MEMBERS, NEEDS))
"""What a client needs that is trusted with every key, as a cluster's own system is: it writes, and reads nothing."""

SUBMITTER_RIGHTS: Final[Rights] = frozenset({Right(Kind.TOPIC, SUBMISSIONS.name, Operation.WRITE)})
"""What an organisation's own producer needs. Not to read: there it would see what all others send, and the answers to
all others; it is told its own over HTTP."""

LISTENER_RIGHTS: Final[Rights] = frozenset({Right(Kind.TOPIC, SUBMISSION_RESULTS.name, Operation.READ)})
"""What a client needs that may see which organisation was answered what, as a cluster's own system may."""

OPERATOR_RIGHTS: Final[Rights] = frozenset(
    Right(Kind.TOPIC, name, operation)
    for topic in TOPICS
    for name in (topic.name, topic.dead_letters)
    for operation in Operation
    if operation is not Operation.DESCRIBE  # reading includes it
) | frozenset(Right(Kind.GROUP, group_of(service), Operation.DESCRIBE) for service in READS if READS[service])
"""What the commands of `maillage` need that make topics and see to dead letters. No rights are granted with it."""

# What the broker says instead of operations when it was not asked, or does not know.
_UNTOLD: Final = -(2**31)


class _MetadataResponse(Response):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", String()), ("port", Int32), ("rack", String()))),
        ("cluster_id", String()),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String()),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataRequest(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String())),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _Asking(Request[MetadataRequest_v2 | _MetadataRequest]):  # type: ignore[misc]
    """Asks for the cluster and what we may do with some topics. The client's own classes end before such answers."""

    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = sorted(topics)

    def build(self, request_struct_class: type[Any]) -> Any:
        if request_struct_class is _MetadataRequest:
            return _MetadataRequest(self._topics, False, False, True)
        return MetadataRequest_v2(self._topics)


async def look(link: AIOKafkaConnection, rights: Rights) -> tuple[str, list[Right]]:
    """Return the cluster id, and which of the rights we do not have. A topic that is not there yet lacks none.

    Raises:
        KafkaError, OSError, TimeoutError: the broker is away.
    """
    answer = (await link.send(_Asking({right.name for right in rights if right.kind is Kind.TOPIC}))).to_object()
    topics = {topic["topic"]: topic for topic in answer["topics"]}
    missing = [
        right for right in sorted(rights) if right.kind is Kind.TOPIC and not _may(topics[right.name], right.operation)
    ]
    for right in sorted(rights):
        # Only whoever may read a group may send it a sign of life; that of an unknown member has no effect.
        if right.kind is Kind.GROUP and right.operation is Operation.READ:
            beat = await link.send(HeartbeatRequest(right.name, -1, ""))
            if beat.error_code == GroupAuthorizationFailedError.errno:
                missing.append(right)
    return str(answer["cluster_id"]), missing


def _may(topic: dict[str, Any], operation: Operation) -> bool:
    if topic["error_code"] == TopicAuthorizationFailedError.errno:
        return False
    allowed = topic.get("authorized_operations", _UNTOLD)
    if topic["error_code"] == UnknownTopicOrPartitionError.errno or allowed == _UNTOLD:
        return True
    return bool(allowed & (1 << operation))
