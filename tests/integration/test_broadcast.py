"""What is promised of reading whole topics without a group, on a broker in memory."""

import asyncio
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence

import pytest
from aiokafka import AIOKafkaProducer

from schemas import cloudevents
from schemas.cloudevents import Envelope
from schemas.members import MemberKey, MemberKind, MemberPublished
from schemas.topics import Topic
from services.runtime.broadcast import Broadcast
from services.runtime.broker import open_broker
from services.runtime.clock import utc_now
from services.runtime.connection import Connection
from services.runtime.dead_letters import DeadLetters
from services.runtime.publishing import KafkaPublisher
from services.runtime.settlement import Settlement

SECONDS = 60.0
BEHIND_THE_END = 1_000


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
def topic() -> Topic:
    return Topic(f"members-{uuid.uuid4().hex}.v1", "of one test", MemberKey, (MemberPublished,), compacted=True)


async def send(bootstrap: str, topic: Topic, *names: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    for name in names:
        event = MemberPublished(
            cluster="souss", member_id=name, rev=1, name=name, kind=MemberKind.COMPANY, published_at=utc_now()
        )
        wire = cloudevents.write(topic, event.key, event, rev=1, source="/test", occurred_at=event.published_at)
        headers = [(key, value.encode()) for key, value in wire.headers.items()]
        await producer.send_and_wait(topic.name, wire.body, key=wire.key, headers=headers, partition=0)
    await producer.stop()


async def test_a_log_that_ends_before_what_was_handled_is_read_from_its_beginning(
    memory_kafka: str, topic: Topic
) -> None:
    read: list[str] = []

    async def places(partitions: Collection[str]) -> Mapping[str, int]:
        return dict.fromkeys(partitions, BEHIND_THE_END)

    async def handle(batch: Sequence[Envelope], _: Mapping[str, int]) -> None:
        read.extend(str(envelope.key) for envelope in batch)

    await send(memory_kafka, topic, "one", "two")
    broker = open_broker(Connection(memory_kafka), client_id="test", grace_seconds=10)
    dead_letters = DeadLetters(publisher=KafkaPublisher(broker=broker, source="/test"), service="test")
    settlement = Settlement(name="test", topics=[topic], dead_letters=dead_letters, clock=utc_now)
    reading = Broadcast(broker=broker, name="test", settlement=settlement)
    reading.begin_at(places)
    reading.handle_with(handle)
    await broker.start()
    try:
        await until(lambda: len(read) == 2)
        await send(memory_kafka, topic, "three")
        await until(lambda: len(read) == 3)
    finally:
        reading.stop()
        await broker.stop()
    assert read == ["souss/one", "souss/two", "souss/three"]
