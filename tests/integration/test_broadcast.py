"""Reading whole topics, from where the store says that all is done."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer

from schemas.cloudevents import Envelope
from services.runtime.broadcast import Broadcast
from services.runtime.broker import open_broker
from services.runtime.clock import utc_now
from services.runtime.connection import Connection
from services.runtime.dead_letters import DeadLetters
from services.runtime.errors import PermanentError, TransientError
from services.runtime.publishing import KafkaPublisher
from services.runtime.settlement import RawRecord, Settlement
from tests.integration.test_consumption import Log, bootstrap, dead_letters, log, member, producer, send, until

__all__ = ["bootstrap", "log", "producer"]  # fixtures


class Reader:
    """Somebody who reads a topic whole, and remembers what came, and how far that was."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.came: list[str] = []
        self.reached: dict[str, int] = {}
        self.asked: dict[str, int] = {}
        """What it answers when it is asked how far all is done."""
        self.fails: Callable[[Sequence[Envelope]], None] = lambda _: None

    async def take(self, batch: Sequence[Envelope], places: Mapping[str, int]) -> None:
        self.fails(batch)
        self.came += [str(envelope.key).removeprefix("souss/") for envelope in batch]
        self.reached |= places
        self.asked |= places

    async def places(self, partitions: Collection[str]) -> dict[str, int]:
        return {name: self.asked[name] for name in partitions if name in self.asked}

    def place(self, offset: int) -> dict[str, int]:
        return {f"{self.log.topic.name}/0": offset}


@asynccontextmanager
async def reading(
    reader: Reader, *, sets_aside: Callable[[RawRecord], bool] = lambda _: True
) -> AsyncIterator[Broadcast]:
    log = reader.log
    broker = open_broker(Connection(log.bootstrap), client_id="test", grace_seconds=10)
    settlement = Settlement(
        name=log.group,
        topics=[log.topic],
        dead_letters=DeadLetters(publisher=KafkaPublisher(broker=broker, source="/test"), service="test"),
        clock=utc_now,
        sets_aside=sets_aside,
    )
    broadcast = Broadcast(broker=broker, name=log.group, settlement=settlement)
    broadcast.begin_at(reader.places)
    broadcast.handle_with(reader.take)
    await broker.start()
    try:
        yield broadcast
    finally:
        broadcast.stop()
        await broker.stop()


async def test_reading_begins_where_the_store_says(log: Log, producer: AIOKafkaProducer) -> None:
    for name in ("m0", "m1", "m2"):
        await send(producer, log, member(name), partition=0)
    reader = Reader(log)
    reader.asked = reader.place(1)
    async with reading(reader):
        await until(lambda: reader.reached == reader.place(3))
    assert reader.came == ["m1", "m2"]


async def test_two_readers_both_read_everything(log: Log, producer: AIOKafkaProducer) -> None:
    one, other = Reader(log), Reader(log)
    async with reading(one), reading(other):
        for name in ("m0", "m1"):
            await send(producer, log, member(name), partition=0)
        await until(lambda: len(one.came) == len(other.came) == 2)
    assert one.came == other.came == ["m0", "m1"]


async def test_reading_goes_back_when_more_is_to_be_done(log: Log, producer: AIOKafkaProducer) -> None:
    reader = Reader(log)
    for name in ("m0", "m1", "m2"):
        await send(producer, log, member(name), partition=0)
    async with reading(reader) as broadcast:
        await until(lambda: reader.reached == reader.place(3))
        reader.asked = reader.place(1)
        await broadcast.look()
        await until(lambda: len(reader.came) == 5)
    assert reader.came == ["m0", "m1", "m2", "m1", "m2"]


async def test_what_was_let_go_of_comes_again(log: Log, producer: AIOKafkaProducer) -> None:
    reader, held = Reader(log), asyncio.Event()

    def fail(_: Sequence[Envelope]) -> None:
        held.set()
        raise TransientError("the database is away")

    reader.fails = fail
    async with reading(reader) as broadcast:
        await send(producer, log, member("m0"), partition=0)
        await held.wait()
        broadcast.gate.clear()
        broadcast.settlement.let_go()
        await broadcast.drained()
        reader.fails = lambda _: None
        broadcast.settlement.go_on()
        broadcast.gate.set()
        await until(lambda: bool(reader.came))
    assert reader.came == ["m0"]


async def test_a_place_behind_what_nobody_can_read_is_reached(log: Log, producer: AIOKafkaProducer) -> None:
    reader = Reader(log)
    async with reading(reader):
        await send(producer, log, member("m0"), partition=0)
        await producer.send_and_wait(log.topic.name, b"no event", key=b"souss/m1", partition=0)
        await until(lambda: reader.reached == reader.place(2))
    assert reader.came == ["m0"]
    assert len(await dead_letters(log, 1)) == 1


async def test_of_a_batch_with_a_bad_event_all_others_are_handled_and_the_place_is_reached(
    log: Log, producer: AIOKafkaProducer
) -> None:
    reader = Reader(log)

    def refuse(batch: Sequence[Envelope]) -> None:
        if any(str(envelope.key) == "souss/bad" for envelope in batch):
            raise PermanentError("not to be handled")

    reader.fails = refuse
    for name in ("m0", "bad", "m2"):
        await send(producer, log, member(name), partition=0)
    async with reading(reader):
        await until(lambda: reader.reached == reader.place(3))
    assert reader.came == ["m0", "m2"]
    assert len(await dead_letters(log, 1)) == 1


async def test_what_is_a_neighbour_s_to_set_aside_is_left_to_it(log: Log, producer: AIOKafkaProducer) -> None:
    reader, neighbour = Reader(log), Reader(log)
    async with reading(reader, sets_aside=lambda _: False), reading(neighbour):
        await producer.send_and_wait(log.topic.name, b"no event", key=b"souss/m1", partition=0)
        await until(lambda: reader.reached == neighbour.reached == reader.place(1))
        await send(producer, log, member("m2"), partition=0)
        await until(lambda: reader.came == neighbour.came == ["m2"])
    assert len(await dead_letters(log, 1)) == 1


async def test_a_log_that_ends_before_what_was_handled_is_read_from_its_beginning(
    log: Log, producer: AIOKafkaProducer
) -> None:
    for name in ("m0", "m1"):
        await send(producer, log, member(name), partition=0)
    reader = Reader(log)
    reader.asked = reader.place(1_000)
    async with reading(reader):
        await until(lambda: reader.came == ["m0", "m1"])
        await send(producer, log, member("m2"), partition=0)
        await until(lambda: len(reader.came) == 3)
    assert reader.came == ["m0", "m1", "m2"]
