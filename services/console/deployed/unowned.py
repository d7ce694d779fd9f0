"""What lies on the log and nowhere else: events that members wrote with a Kafka client of their own.

All other events are published again by the service that owns them, once it meets another log (docs/architecture.md).

A dead letter means nothing on another log, where its coordinates are those of another record. So the record itself
comes back, and is set aside again if it is still as bad; not so where an operator has settled the letter.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import TOPICS
from services.console.letter_log import read_log
from services.runtime.broker import log_id
from services.runtime.connection import Connection
from services.runtime.dead_letters import MAX_DEAD_LETTER_BYTES, letter_id
from services.runtime.letters import SUFFIX, RawRecord, Shelf
from services.runtime.rights import OPERATOR_RIGHTS

_OURS: Final = tuple(f"/maillage/{service}".encode() for service in ("ingest", "matcher", "notifier"))

# Key and headers beside the longest body.
_RECORD_BYTES: Final = MAX_DEAD_LETTER_BYTES + 200_000

_CONFIRM_SECONDS: Final = 60.0


@asynccontextmanager
async def _whole(
    connection: Connection,
) -> AsyncIterator[tuple[AIOKafkaConsumer, Mapping[str, list[TopicPartition]]]]:
    """Yield a consumer without a group, and the partitions of each topic of the flow."""
    await log_id(connection, rights=OPERATOR_RIGHTS)
    admin = AIOKafkaAdminClient(**connection.client())
    consumer = AIOKafkaConsumer(
        **connection.client(), enable_auto_commit=False, max_partition_fetch_bytes=_RECORD_BYTES
    )
    try:
        await admin.start()
        await consumer.start()
        there = set(await admin.list_topics())
        names = [name for topic in TOPICS for name in (topic.name, topic.dead_letters) if name in there]
        yield (
            consumer,
            {
                topic["topic"]: sorted(TopicPartition(topic["topic"], one["partition"]) for one in topic["partitions"])
                for topic in (await admin.describe_topics(names) if names else [])
            },
        )
    finally:
        await consumer.stop()
        await admin.close()


async def read(connection: Connection) -> dict[str, list[bytes]]:
    """Return what no service owns as lines of JSON, by topic, in the order of each partition.

    Raises:
        RefusedError: the broker does not let us in, or not see all of it.
        TransientError, KafkaError, OSError, TimeoutError: the broker is away.
    """
    found: dict[str, dict[str, bytes]] = {}
    shelf = Shelf()
    async with _whole(connection) as (consumer, topics):
        # The letters last: one that is made meanwhile is among them.
        for topic in sorted(topics, key=lambda name: name.endswith(SUFFIX)):
            async for record in read_log(consumer, dict.fromkeys(topics[topic], 0)):
                if topic.endswith(SUFFIX):
                    shelf.add(record)
                elif not _is_ours(record):
                    place = letter_id(topic, record.partition, record.offset)
                    found.setdefault(topic, {})[place] = _line(record)
    settled = shelf.gone.keys() | {letter.id for letter in shelf.letters.values() if letter.settled}
    return {topic: [line for place, line in lines.items() if place not in settled] for topic, lines in found.items()}


async def written(connection: Connection) -> list[str]:
    """Return the topics of the flow to which anything was ever written.

    Raises:
        RefusedError: the broker does not let us in, or not see all of it.
        TransientError, KafkaError, OSError: the broker is away.
    """
    async with _whole(connection) as (consumer, topics):
        return [topic for topic, partitions in topics.items() if any((await consumer.end_offsets(partitions)).values())]


async def put_back(connection: Connection, topic: str, content: bytes) -> None:
    """Put records onto their topic, each by its key; return when all in-sync replicas have them.

    Raises:
        KafkaError, OSError, TimeoutError: the broker is away, or refuses.
    """
    # One at a time: the order within a partition is kept, and there are few.
    producer = AIOKafkaProducer(
        **connection.client(), acks="all", enable_idempotence=True, max_request_size=_RECORD_BYTES
    )
    await producer.start()
    try:
        for line in content.splitlines():
            record = json.loads(line)
            async with asyncio.timeout(_CONFIRM_SECONDS):
                await producer.send_and_wait(
                    topic,
                    _bytes(record["body"]),
                    key=_bytes(record["key"]),
                    headers=[(name, _bytes(value)) for name, value in record["headers"]],
                    timestamp_ms=record["timestamp"],
                )
    finally:
        await producer.stop()


def _is_ours(record: RawRecord) -> bool:
    return any(name == "ce_source" and value in _OURS for name, value in record.headers)


def _line(record: RawRecord) -> bytes:
    about: dict[str, Any] = {
        "key": _text(record.key),
        "timestamp": record.timestamp,
        "headers": [(name, _text(value)) for name, value in record.headers],
        "body": _text(record.value),
    }
    return json.dumps(about).encode() + b"\n"


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
