"""What a service may expect of a `Publisher`: of the real one on two brokers, and of each one written for tests."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaConsumer

from schemas import cloudevents
from schemas.cloudevents import Envelope
from schemas.feedback import FeedbackKey
from schemas.members import Asset, MemberKey, MemberKind, MemberPublished
from schemas.topics import FEEDBACK, MEMBERS
from services.runtime.broker import open_broker
from services.runtime.clock import utc_now
from services.runtime.connection import Connection
from services.runtime.errors import BrokerUnavailableError, PermanentError
from services.runtime.publishing import KafkaPublisher, Publisher
from tests.component.ingest.replica import Log, Wire
from tests.component.matcher.log import RecordingLog as MatcherLog
from tests.component.notifier.world import RecordingLog as NotifierLog


@dataclass
class Adapter:
    """A publisher, how to read what it published, and how to take its broker away."""

    publisher: Publisher
    read: Callable[[], Awaitable[Sequence[tuple[str, object]]]]
    cut: Callable[[], Awaitable[None]]


async def _kafka(bootstrap: str) -> AsyncIterator[Adapter]:
    broker = open_broker(Connection(bootstrap), client_id="test", grace_seconds=5)
    await broker.connect()

    async def read() -> Sequence[tuple[str, object]]:
        consumer = AIOKafkaConsumer(MEMBERS.name, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        found: list[Envelope] = []
        ends = await consumer.end_offsets(list(consumer.assignment()))
        async with asyncio.timeout(30):
            while any([await consumer.position(partition) < end for partition, end in ends.items()]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    good = [record for record in batch if record.key.startswith(b"contract-")]
                    found += [cloudevents.read(MEMBERS, r.key, r.value, r.headers) for r in good]
        await consumer.stop()
        return [(one.event_id, one.value) for one in found]

    yield Adapter(KafkaPublisher(broker=broker, source="/maillage/test"), read, broker.stop)
    await broker.stop()


def _ingests() -> Adapter:
    log = Log()
    wire = Wire(log)

    async def read() -> Sequence[tuple[str, object]]:
        return [(one.event_id, one.value) for one in log.envelopes]

    async def cut() -> None:
        wire.unreachable = True

    return Adapter(wire, read, cut)


def _matchers() -> Adapter:
    log = MatcherLog()

    async def read() -> Sequence[tuple[str, object]]:
        return [(one.event_id, one.value) for one in log.envelopes]

    async def cut() -> None:
        log.lost_before = 1

    return Adapter(log, read, cut)


def _notifiers() -> Adapter:
    log = NotifierLog()

    async def read() -> Sequence[tuple[str, object]]:
        return log.events

    async def cut() -> None:
        log.lost_after = 1

    return Adapter(log, read, cut)


FAKES = {"ingest's": _ingests, "matcher's": _matchers, "notifier's": _notifiers}


@pytest.fixture(params=["memory_kafka", pytest.param("real_kafka", marks=pytest.mark.kafka), *FAKES])
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    name = request.param
    return name, "" if name in FAKES else str(request.getfixturevalue(name))


@pytest.fixture
async def adapter(kind: tuple[str, str]) -> AsyncIterator[Adapter]:
    name, bootstrap = kind
    if name in FAKES:
        yield FAKES[name]()
        return
    async for one in _kafka(bootstrap):
        yield one


def member(**more: object) -> MemberPublished:
    cluster = f"contract-{uuid.uuid4().hex}"
    profile = {"name": "مختبر", "kind": MemberKind.LABORATORY, **more}
    return MemberPublished(cluster=cluster, member_id="m", rev=3, published_at=utc_now(), **profile)


async def test_what_is_published_is_read_as_it_was_under_one_id(adapter: Adapter) -> None:
    event = member()
    for _ in range(2):
        await adapter.publisher.publish(MEMBERS, event.key, event, rev=3, occurred_at=event.published_at)
    own = [(event_id, value) for event_id, value in await adapter.read() if value == event]
    assert len(own) == 2
    assert own[0] == own[1]


async def test_what_the_log_never_takes_is_a_permanent_error(adapter: Adapter) -> None:
    assets = tuple(Asset(asset_id=f"a{number}", title="t", text="x" * 19_000) for number in range(60))
    large = member(assets=assets)
    with pytest.raises(PermanentError, match="bytes"):
        await adapter.publisher.publish(MEMBERS, large.key, large, rev=3, occurred_at=large.published_at)
    with pytest.raises(PermanentError):  # a topic that keeps every event erases nothing
        await adapter.publisher.publish(
            FEEDBACK, FeedbackKey(suggestion_id=uuid.uuid4()), None, rev=1, occurred_at=utc_now()
        )
    assert large not in [value for _, value in await adapter.read()]


async def test_without_a_broker_it_says_so(adapter: Adapter) -> None:
    await adapter.cut()
    event = member()
    key = MemberKey(cluster=event.cluster, member_id=event.member_id)
    with pytest.raises(BrokerUnavailableError):
        await adapter.publisher.publish(MEMBERS, key, event, rev=3, occurred_at=event.published_at)
