"""What the reading side promises, on a broker in memory and on a real Apache Kafka."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from faststream.kafka import KafkaBroker
from prometheus_client import REGISTRY

from schemas import cloudevents
from schemas.cloudevents import Envelope
from schemas.members import MemberKey, MemberKind, MemberPublished
from schemas.topics import Topic
from services.runtime import metrics
from services.runtime.broker import open_broker
from services.runtime.clock import utc_now
from services.runtime.connection import Connection
from services.runtime.consumption import Consumption
from services.runtime.dead_letters import DeadLetters
from services.runtime.errors import PermanentError, TransientError
from services.runtime.publishing import KafkaPublisher
from services.runtime.settlement import RawRecord, Settlement
from services.runtime.watchdog import Watchdog
from tests.parts.kafka import create_topics

SECONDS = 30.0


@dataclass
class Log:
    """A broker with a topic of the test's own."""

    bootstrap: str
    topic: Topic

    @property
    def group(self) -> str:
        return f"group-{self.topic.name}"


@pytest.fixture(params=["memory_kafka", pytest.param("real_kafka", marks=pytest.mark.kafka)])
def bootstrap(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture
async def log(bootstrap: str, memory_kafka: str) -> Log:
    topic = Topic(f"members-{uuid.uuid4().hex}.v1", "of one test", MemberKey, (MemberPublished,), compacted=True)
    if bootstrap != memory_kafka:  # which makes topics when they are first asked for
        large = {"max.message.bytes": "4200000"}
        await create_topics(bootstrap, [(topic.name, 3, large), (topic.dead_letters, 1, large)])
    return Log(bootstrap, topic)


@pytest.fixture
async def producer(log: Log) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=log.bootstrap, max_request_size=5_000_000)
    await producer.start()
    yield producer
    await producer.stop()


def member(name: str, rev: int = 1) -> MemberPublished:
    return MemberPublished(
        cluster="souss", member_id=name, rev=rev, name=name, kind=MemberKind.COMPANY, published_at=utc_now()
    )


def record(log: Log, event: MemberPublished) -> cloudevents.Record:
    return cloudevents.write(log.topic, event.key, event, rev=event.rev, source="/test", occurred_at=event.published_at)


async def send(producer: AIOKafkaProducer, log: Log, event: MemberPublished, partition: int | None = None) -> None:
    wire = record(log, event)
    headers = [(name, value.encode()) for name, value in wire.headers.items()]
    await producer.send_and_wait(log.topic.name, wire.body, key=wire.key, headers=headers, partition=partition)


Handle = Callable[[Sequence[Envelope]], Awaitable[None]]


@asynccontextmanager
async def consuming(log: Log, handle: Handle) -> AsyncIterator[Consumption]:
    broker = open_broker(Connection(log.bootstrap), client_id="test", grace_seconds=10)
    dead_letters = DeadLetters(publisher=KafkaPublisher(broker=broker, source="/test"), service="test")
    settlement = Settlement(name=log.group, topics=[log.topic], dead_letters=dead_letters, clock=utc_now)
    consumption = Consumption(broker=broker, group=log.group, settlement=settlement, session_seconds=6.0)
    consumption.handle_with(handle)
    await broker.start()
    try:
        yield consumption
    finally:
        consumption.stop()
        await broker.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


async def dead_letters(log: Log, count: int) -> list[ConsumerRecord]:
    consumer = AIOKafkaConsumer(log.topic.dead_letters, bootstrap_servers=log.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    found: list[ConsumerRecord] = []
    try:
        async with asyncio.timeout(SECONDS):
            while len(found) < count:
                batches = await consumer.getmany(timeout_ms=200)
                found.extend(item for batch in batches.values() for item in batch)
    finally:
        await consumer.stop()
    return sorted(found, key=lambda letter: int(dict(letter.headers)["dead_letter_offset"]))


GOOD_HEADERS = {"ce_specversion": b"1.0", "ce_id": b"x", "ce_type": b"maillage.member.published.v1"}

POISON = {
    "not JSON": (b"souss/bad", b"\x00\xff not json", GOOD_HEADERS, "body is not a maillage.member.published.v1"),
    "unknown type": (b"souss/bad", b"{}", {**GOOD_HEADERS, "ce_type": b"other"}, "header ce_type: expected"),
    "wrong schema": (b"souss/bad", b'{"name": 3}', GOOD_HEADERS, "name"),
    "2 MB": (b"souss/bad", b"x" * 2_000_000, GOOD_HEADERS, "2,000,000 bytes"),
    "header not UTF-8": (b"souss/bad", b"{}", {**GOOD_HEADERS, "x-note": b"\xff\xfe"}, "header x-note is not UTF-8"),
    "header without value": (b"souss/bad", b"{}", {**GOOD_HEADERS, "x-note": None}, "name: Field required"),
    "erasure of nobody": (b"bad", None, {}, "record key"),
}

# How a producer may compress. Where a topic lets it stay so, it comes to us so.
CODECS = ("gzip", "lz4", "snappy", "zstd")


async def test_what_others_compressed_is_read(log: Log) -> None:
    handled: list[str] = []

    async def handle(events: Sequence[Envelope]) -> None:
        handled.extend(str(event.key) for event in events)

    for codec in CODECS:
        packing = AIOKafkaProducer(bootstrap_servers=log.bootstrap, compression_type=codec)
        await packing.start()
        await send(packing, log, member(codec), partition=0)
        await packing.stop()
    async with consuming(log, handle):
        await until(lambda: len(handled) >= len(CODECS))
    assert handled == [f"souss/{codec}" for codec in CODECS]


# What compression makes small on its way, and base64 would make larger than the dead-letter topic takes.
VAST = 4_000_000


async def test_bad_records_are_set_aside_whole_and_their_neighbours_flow_on(
    log: Log, producer: AIOKafkaProducer
) -> None:
    handled: list[str] = []

    async def handle(events: Sequence[Envelope]) -> None:
        handled.extend(str(event.key) for event in events)

    offsets: list[int] = []
    for number, (key, body, headers, _) in enumerate(POISON.values()):
        await send(producer, log, member(f"m{number}"), partition=0)
        sent = await producer.send_and_wait(log.topic.name, body, key=key, headers=list(headers.items()), partition=0)
        offsets.append(sent.offset)
    await send(producer, log, member("last"), partition=0)
    async with consuming(log, handle):
        await until(lambda: "souss/last" in handled)
        letters = await dead_letters(log, len(POISON))

    assert handled == [*(f"souss/m{number}" for number in range(len(POISON))), "souss/last"]
    assert len(letters) == len(POISON)
    for letter, offset, (_, body, _, reason) in zip(letters, offsets, POISON.values(), strict=True):
        about = {name: value.decode() for name, value in letter.headers}
        assert letter.value == (body or b"")  # a letter without a body would settle itself
        assert reason in about["dead_letter_reason"]
        assert about["dead_letter_topic"] == log.topic.name
        assert (about["dead_letter_partition"], about["dead_letter_offset"]) == ("0", str(offset))
        assert about["dead_letter_service"] == "test"
        assert about["dead_letter_first_seen"]


@pytest.mark.parametrize(
    ("key", "body", "headers"),
    [
        (b"k" * VAST, b"{}", []),
        (b"souss/bad", b"{}", [("x-note", b"\xff" * VAST)]),
        (b"souss/bad", b"x" * VAST, [("x-note", b"n" * VAST)]),
    ],
    ids=["key", "header not UTF-8", "body and header"],
)
async def test_a_bad_record_however_large_does_not_hold_its_neighbours(
    log: Log, key: bytes, body: bytes, headers: list[tuple[str, bytes]]
) -> None:
    handled: list[str] = []

    async def handle(events: Sequence[Envelope]) -> None:
        handled.extend(str(event.key) for event in events)

    packing = AIOKafkaProducer(bootstrap_servers=log.bootstrap, max_request_size=20_000_000, compression_type="gzip")
    await packing.start()
    await packing.send_and_wait(log.topic.name, body, key=key, headers=headers, partition=0)
    await send(packing, log, member("last"), partition=0)
    await packing.stop()
    async with consuming(log, handle):
        await until(lambda: handled == ["souss/last"])
        (letter,) = await dead_letters(log, 1)
    assert dict(letter.headers)["dead_letter_offset"] == b"0"
    assert dict(letter.headers)["dead_letter_cut"]


async def test_the_first_batch_counts_as_waiting_while_it_is_in_hand(log: Log, producer: AIOKafkaProducer) -> None:
    taken, go_on = asyncio.Event(), asyncio.Event()

    async def handle(_: Sequence[Envelope]) -> None:
        taken.set()
        await go_on.wait()

    await send(producer, log, member("m1"))
    async with consuming(log, handle) as consumption:
        watchdog = Watchdog(reading=consumption, clock=utc_now, stuck_after_seconds=60)
        await asyncio.wait_for(taken.wait(), SECONDS)
        await watchdog.check()
        waiting = watchdog.lag
        go_on.set()
        await until(lambda: not consumption.busy)
        await watchdog.check()

    assert (waiting, watchdog.lag) == (1, 0)


async def test_the_age_of_what_waits_is_that_of_the_oldest_record(log: Log, producer: AIOKafkaProducer) -> None:
    def age() -> float:
        return REGISTRY.get_sample_value("maillage_oldest_waiting_seconds", {"topic": log.topic.name}) or 0

    go_on = asyncio.Event()

    async def handle(_: Sequence[Envelope]) -> None:
        await go_on.wait()

    hour_ago = int((utc_now().timestamp() - 3600) * 1000)
    old, young = record(log, member("old")), record(log, member("young"))
    for wire, at in ((old, hour_ago), (young, None)):
        headers = [(name, value.encode()) for name, value in wire.headers.items()]
        await producer.send(log.topic.name, wire.body, key=wire.key, headers=headers, partition=0, timestamp_ms=at)
    await producer.flush()
    async with consuming(log, handle) as consumption:
        watchdog = Watchdog(reading=consumption, clock=utc_now, stuck_after_seconds=60)
        await until(lambda: consumption.busy)
        await watchdog.check()
        assert 3600 <= age() < 3600 + SECONDS

        later = Watchdog(reading=consumption, clock=lambda: utc_now() + timedelta(hours=1), stuck_after_seconds=60)
        await send(producer, log, member("waits"), partition=1)
        await watchdog.check()
        await later.check()
        assert age() > 7200
        go_on.set()
        await until(lambda: not consumption.busy)
        async with asyncio.timeout(SECONDS):
            while age():
                await watchdog.check()


async def test_what_is_given_away_is_measured_by_its_new_owner_alone(log: Log, producer: AIOKafkaProducer) -> None:
    def partitions() -> set[str]:
        samples = next(iter(metrics.LAG.collect())).samples
        return {sample.labels["partition"] for sample in samples if sample.labels["topic"] == log.topic.name}

    async def handle(_: Sequence[Envelope]) -> None: ...

    await send(producer, log, member("m1"))
    async with consuming(log, handle) as consumption:
        watchdog = Watchdog(reading=consumption, clock=utc_now, stuck_after_seconds=60)
        await until(lambda: watchdog.assigned)
        await watchdog.check()
        assert len(partitions()) == len(consumption.consumer.assignment())
        consumption.consumer.unsubscribe()
        await watchdog.check()
        assert partitions() == set()


class Unassigned(Consumption):
    """A member of a group that is never given a partition."""

    member: AIOKafkaConsumer

    @property
    def consumer(self) -> AIOKafkaConsumer:
        return self.member


async def test_a_consumer_that_is_given_no_partition_is_noticed(log: Log) -> None:
    broker = open_broker(Connection(log.bootstrap), client_id="test", grace_seconds=10)
    dead_letters = DeadLetters(publisher=KafkaPublisher(broker=broker, source="/test"), service="test")
    settlement = Settlement(name=log.group, topics=[log.topic], dead_letters=dead_letters, clock=utc_now)
    consumption = Unassigned(broker=broker, group=log.group, settlement=settlement)
    consumption.member = AIOKafkaConsumer(bootstrap_servers=log.bootstrap)
    await consumption.member.start()
    watchdog = Watchdog(reading=consumption, clock=utc_now, stuck_after_seconds=0.2)
    async with asyncio.timeout(SECONDS):
        while not watchdog.stuck:
            await watchdog.check()
            await asyncio.sleep(0.05)
    await consumption.member.stop()
    assert watchdog.reachable
    assert not watchdog.assigned


async def test_a_member_that_others_leave_nothing_to_read_is_well_where_that_may_be(real_kafka: str) -> None:
    topic = Topic(f"members-{uuid.uuid4().hex}.v1", "of one test", MemberKey, (MemberPublished,), compacted=True)
    await create_topics(real_kafka, [(topic.name, 1, {})])
    log = Log(real_kafka, topic)

    async def nothing(_: Sequence[Envelope]) -> None:
        pass

    async with consuming(log, nothing) as one, consuming(log, nothing) as other:
        members = (one, other)
        await until(lambda: sorted(len(member.consumer.assignment()) for member in members) == [0, 1])
        await until(lambda: any(member.spare for member in members))
        spare, busy = sorted(members, key=lambda member: not member.spare)
        assert not busy.spare
        well = Watchdog(reading=spare, clock=utc_now, stuck_after_seconds=0.2, spare=lambda: spare.spare)
        elsewhere = Watchdog(reading=spare, clock=utc_now, stuck_after_seconds=0.2)
        async with asyncio.timeout(SECONDS):
            while not elsewhere.stuck:
                await elsewhere.check()
                await asyncio.sleep(0.05)
        await well.check()
        assert not well.stuck


async def test_records_that_are_no_events_are_taken_as_they_came(log: Log, producer: AIOKafkaProducer) -> None:
    asked: list[bytes] = []

    async def take(records: Sequence[RawRecord], noted: dict[int, str | None]) -> None:
        for place, record in enumerate(records):
            if place not in noted:
                asked.append(record.value or b"")
                if record.value != b"slow" or asked.count(b"slow") > 1:
                    noted[place] = "nobody signed it" if record.value == b"bad" else None
        # Of which record it is, this does not say: none may be passed over, or set aside, for it.
        if len(noted) < len(records):
            raise PermanentError("one is left")

    async def unread(_: Sequence[Envelope]) -> None:
        raise AssertionError

    for value in (b"good", b"bad", b"slow", b"good"):
        await producer.send_and_wait(log.topic.name, value, partition=0)
    async with consuming(log, unread) as consumption:
        consumption.settlement.take_with(take)
        [letter] = await dead_letters(log, 1)
        await until(lambda: consumption.settled.get(TopicPartition(log.topic.name, 0)) == 4)
    assert (letter.value, dict(letter.headers)["dead_letter_reason"]) == (b"bad", b"nobody signed it")
    assert sorted(asked) == [b"bad", b"good", b"good", b"slow", b"slow"]


async def test_what_cannot_be_handled_is_set_aside_alone(log: Log, producer: AIOKafkaProducer) -> None:
    handled: list[str] = []

    async def handle(events: Sequence[Envelope]) -> None:
        if any(str(event.key) == "souss/m3" for event in events):
            raise PermanentError("member_id: m3 cannot be; choose another")
        handled.extend(str(event.key) for event in events)

    for number in range(6):
        await send(producer, log, member(f"m{number}"), partition=0)
    async with consuming(log, handle):
        await until(lambda: len(handled) == 5)
        (letter,) = await dead_letters(log, 1)

    assert handled == ["souss/m0", "souss/m1", "souss/m2", "souss/m4", "souss/m5"]
    assert dict(letter.headers)["dead_letter_reason"] == b"member_id: m3 cannot be; choose another"


@pytest.mark.parametrize("error", [TransientError("the store is away"), KeyError("somebody's data")])
async def test_a_transient_failure_holds_the_batch_and_skips_nothing(
    log: Log, producer: AIOKafkaProducer, error: Exception
) -> None:
    failures = 4
    handled: list[str] = []

    async def handle(events: Sequence[Envelope]) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise error
        handled.extend(str(event.key) for event in events)

    for number in range(5):
        await send(producer, log, member(f"m{number}"), partition=0)
    async with consuming(log, handle):
        await until(lambda: len(handled) == 5)

    assert handled == [f"souss/m{number}" for number in range(5)]


async def test_a_batch_let_go_of_at_stop_comes_again(log: Log, producer: AIOKafkaProducer) -> None:
    tried = asyncio.Event()
    handled: list[str] = []

    async def failing(_: Sequence[Envelope]) -> None:
        tried.set()
        raise TransientError("the store is away")

    async def working(events: Sequence[Envelope]) -> None:
        handled.extend(str(event.key) for event in events)

    await send(producer, log, member("m"))
    async with consuming(log, failing):
        await asyncio.wait_for(tried.wait(), SECONDS)
    async with consuming(log, working):
        await until(lambda: bool(handled))

    assert handled == ["souss/m"]


@pytest.mark.kafka
async def test_the_librarys_default_loses_what_fails(real_kafka: str) -> None:
    """Why the acknowledgement policy is chosen: the same as the test above, left to FastStream's default."""
    topic = Topic(f"default-{uuid.uuid4().hex}.v1", "", MemberKey, (MemberPublished,), compacted=True)
    log = Log(real_kafka, topic)
    await create_topics(real_kafka, [(topic.name, 1, {}), (topic.dead_letters, 1, {})])
    producer = AIOKafkaProducer(bootstrap_servers=real_kafka)
    await producer.start()
    await send(producer, log, member("first"))
    tried = asyncio.Event()
    handled: list[str] = []

    async def failing(_: bytes) -> None:
        tried.set()
        raise TransientError("the store is away")

    async def working(events: Sequence[Envelope]) -> None:
        handled.extend(str(event.key) for event in events)

    broker = KafkaBroker(real_kafka, logger=None, apply_types=False)
    broker.subscriber(topic.name, group_id=log.group, auto_offset_reset="earliest")(failing)
    await broker.start()
    await asyncio.wait_for(tried.wait(), SECONDS)
    await broker.stop()
    await send(producer, log, member("second"))
    async with consuming(log, working):
        await until(lambda: "souss/second" in handled)
    await producer.stop()

    assert handled == ["souss/second"]


@pytest.mark.kafka
async def test_replicas_come_and_go_and_nothing_is_lost_or_handled_twice(real_kafka: str) -> None:
    topic = Topic(f"storm-{uuid.uuid4().hex}.v1", "", MemberKey, (MemberPublished,), compacted=True)
    log = Log(real_kafka, topic)
    await create_topics(real_kafka, [(topic.name, 6, {}), (topic.dead_letters, 1, {})])
    producer = AIOKafkaProducer(bootstrap_servers=real_kafka)
    await producer.start()
    handled: list[str] = []
    produced = 0
    ended = asyncio.Event()

    async def handle(events: Sequence[Envelope]) -> None:
        await asyncio.sleep(0.005)  # a store's round trip
        handled.extend(str(event.key) for event in events)

    async def produce() -> None:
        nonlocal produced
        while not ended.is_set():
            await send(producer, log, member(f"m{produced}"))
            produced += 1

    async with consuming(log, handle):
        flow = asyncio.create_task(produce())
        for _ in range(3):
            before = len(handled)
            async with consuming(log, handle) as second:
                await until(lambda second=second: bool(second.settled))  # type: ignore[misc]  # it takes part
            await until(lambda before=before: len(handled) > before + 50)  # type: ignore[misc]
        ended.set()
        await flow
        await until(lambda: len(set(handled)) == produced)
    await producer.stop()

    assert produced > 150  # each of the three came and went under load
    assert sorted(handled) == sorted(f"souss/m{number}" for number in range(produced))


async def test_consumption_that_died_silently_is_noticed(log: Log, producer: AIOKafkaProducer) -> None:
    handled: list[str] = []

    async def handle(events: Sequence[Envelope]) -> None:
        handled.extend(str(event.key) for event in events)

    async with consuming(log, handle) as consumption:
        watchdog = Watchdog(reading=consumption, clock=utc_now, stuck_after_seconds=0.5)
        await send(producer, log, member("m1"))
        await until(lambda: len(handled) == 1)
        await watchdog.check()
        assert not watchdog.stuck
        for task in consumption._subscriber.tasks:  # what one unexpected error in the client does
            task.cancel()
        await send(producer, log, member("m2"))

        async with asyncio.timeout(SECONDS):
            while not watchdog.stuck:
                await watchdog.check()
                await asyncio.sleep(0.05)

    assert handled == ["souss/m1"]
    assert watchdog.lag == 1


async def test_what_the_broker_dropped_unread_is_not_passed_over_in_silence(memory_kafka: str) -> None:
    """The broker in memory keeps 5 MB of a partition."""
    topic = Topic(f"full-{uuid.uuid4().hex}.v1", "", MemberKey, (MemberPublished,), compacted=True)
    log = Log(memory_kafka, topic)
    producer = AIOKafkaProducer(bootstrap_servers=memory_kafka)
    await producer.start()
    handled: list[str] = []

    async def handle(events: Sequence[Envelope]) -> None:
        handled.extend(str(event.key) for event in events)

    await send(producer, log, member("read"), partition=0)
    async with consuming(log, handle):
        await until(lambda: len(handled) == 1)
    long = member("long").model_copy(update={"summary": "x" * 19_000})
    for _ in range(400):
        await send(producer, log, long, partition=0)
    before = metrics.LOST.labels(topic.name)._value.get()
    async with consuming(log, handle):
        await until(lambda: metrics.LOST.labels(topic.name)._value.get() > before)
    await producer.stop()

    assert before == 0
    assert 0 < metrics.LOST.labels(topic.name)._value.get() < 400
