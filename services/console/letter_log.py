"""Dead letters on a broker: read whole, without a group; put back; settled."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, TopicAuthorizationFailedError
from aiokafka.partitioner import DefaultPartitioner

from schemas.topics import TOPICS
from services.runtime.broker import administration
from services.runtime.clock import Clock
from services.runtime.connection import Connection
from services.runtime.dead_letters import MAX_DEAD_LETTER_BYTES, REPLAYED_FROM, letter_id
from services.runtime.errors import PermanentError
from services.runtime.fetching import mend_client
from services.runtime.letters import SUFFIX, Letter, RawRecord, Shelf, settling_headers
from services.runtime.rights import Kind, Operation, Right, Rights

# Longer than a new leader takes: an operator would rather wait than find out what became of it.
_CONFIRM_SECONDS: Final = 15.0

# A read that brings nothing for so long, before its end, will bring nothing more.
_SILENCE_SECONDS: Final = 15.0

_GOODBYE_SECONDS: Final = 5.0

_POLL_MS: Final = 500

# A fetch that finds nothing holds up the questions behind it.
_FETCH_WAIT_MS: Final = 50

# Key and headers beside the longest body.
_RECORD_BYTES: Final = MAX_DEAD_LETTER_BYTES + 200_000

_OF_THE_FLOW: Final = frozenset(topic.name for topic in TOPICS)

# To whoever may not see them a broker shows none, which would look like good news.
_RIGHTS: Final[Rights] = frozenset(Right(Kind.TOPIC, topic.dead_letters, Operation.READ) for topic in TOPICS)

Progress = Callable[[str | None], None]
"""Is told what is being done; none: be quiet for now."""


@dataclass(frozen=True, slots=True)
class Later:
    """What the log holds behind the record of a letter, under the same key.

    Attributes:
        put_back: where the record itself was put back, `topic/partition/offset`; none: it was not.
        newer: where another record of the key is; none: there is none.
    """

    put_back: str | None = None
    newer: str | None = None


class LetterLog(Protocol):
    """What replaying and dropping need of a broker."""

    async def body(self, letter: Letter) -> bytes | None:
        """Return the body of the record, none if it had none."""

    async def later(self, letters: Sequence[Letter], dead: frozenset[tuple[str, int, int]]) -> Mapping[str, Later]:
        """Return what came behind each letter's record, by id of the letter; records at `dead` do not count."""

    async def put_back(self, letter: Letter, body: bytes | None) -> str:
        """Put the record onto its topic, by its key; return where it is once all in-sync replicas have it."""

    async def settle(self, letter: Letter, how: str) -> None:
        """Mark the letter as settled; return once all in-sync replicas have the mark."""


@asynccontextmanager
async def open_letter_log(
    connection: Connection, *, clock: Clock, on_progress: Progress = lambda _: None
) -> AsyncIterator["KafkaLetterLog"]:
    """Connect to a broker.

    Raises:
        RefusedError: the broker does not let us in, or not do this.
        BrokerUnavailableError: it is away, or does not confirm in time.
    """
    mend_client()
    client = connection.client()
    consumer = AIOKafkaConsumer(
        **client,
        enable_auto_commit=False,
        max_partition_fetch_bytes=_RECORD_BYTES,
        fetch_max_wait_ms=_FETCH_WAIT_MS,
    )
    # Not idempotent: such a producer is of no more use for a partition that refused one record as too large, and it
    # never gives up. One record is on its way at a time; a second copy of an event is harmless.
    producer = AIOKafkaProducer(**client, acks="all", enable_idempotence=False, max_request_size=_RECORD_BYTES)
    try:
        async with administration(connection, rights=_RIGHTS, within=10.0) as admin:
            try:
                await consumer.start()
                await producer.start()
                yield KafkaLetterLog(admin, consumer, producer, clock, on_progress)
            finally:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_GOODBYE_SECONDS):
                        await producer.stop()  # which waits for what is on its way
                await consumer.stop()
    except TopicAuthorizationFailedError as error:
        raise connection.refused(f"use {error}") from None
    except (KafkaError, OSError, TimeoutError) as error:
        raise connection.away(str(error) or type(error).__name__) from None


class KafkaLetterLog:
    """A `LetterLog` on a Kafka; see `open_letter_log`."""

    def __init__(
        self,
        admin: AIOKafkaAdminClient,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        clock: Clock,
        on_progress: Progress,
    ) -> None:
        self._admin = admin
        self._consumer = consumer
        self._producer = producer
        self._clock = clock
        self.on_progress = on_progress

    async def shelf(self, topic: str | None = None) -> Shelf:
        """Read the dead letters of one topic, or of all.

        Raises:
            PermanentError: there are no dead letters of that topic on this broker.
            KafkaError, OSError, TimeoutError: the broker is away.
        """
        names = sorted(name for name in await self._admin.list_topics() if name.endswith(SUFFIX))
        if topic is not None:
            if topic + SUFFIX not in names:
                if topic in _OF_THE_FLOW:  # the broker in memory makes a topic for its first record
                    return Shelf()
                known = ", ".join(name.removesuffix(SUFFIX) for name in names) or "none"
                raise PermanentError(f"no topic {topic}{SUFFIX} on this broker; it has dead letters of: {known}")
            names = [topic + SUFFIX]
        shelf = Shelf()
        for name in names:
            starts = dict.fromkeys(await self._partitions(name), 0)
            async for record in self._read(starts):
                shelf.add(record)
        return shelf

    async def body(self, letter: Letter) -> bytes | None:
        """See `LetterLog.body`.

        Raises:
            PermanentError: the letter is not there any more.
        """
        partition, offset = letter.place
        async for record in self._read({TopicPartition(letter.dead_letters, partition): offset}):
            if record.offset == offset:
                return None if letter.absent else record.value
            break
        raise PermanentError("it is not on the log any more: list the letters again")

    async def later(self, letters: Sequence[Letter], dead: frozenset[tuple[str, int, int]]) -> Mapping[str, Later]:
        """See `LetterLog.later`.

        Raises:
            PermanentError: a topic is not there.
        """
        found: dict[str, Later] = {}
        for topic in sorted({letter.topic for letter in letters}):
            await self._look_behind([letter for letter in letters if letter.topic == topic], dead, found)
        return found

    async def _look_behind(
        self, letters: Sequence[Letter], dead: frozenset[tuple[str, int, int]], found: dict[str, Later]
    ) -> None:
        partitions = await self._partitions(letters[0].topic)
        known = {partition.partition: partition for partition in partitions}
        starts: dict[TopicPartition, int] = {}
        of_key: dict[bytes | None, list[Letter]] = {}
        for letter in letters:
            of_key.setdefault(letter.key, []).append(letter)
            if letter.partition in known:
                place = known[letter.partition]
                starts[place] = min(letter.offset + 1, starts.get(place, letter.offset + 1))
        for key in of_key:
            # A foreign client may have chosen the partition otherwise than we do.
            for home in [known[_home(key, sorted(known))]] if key is not None else partitions:
                starts.setdefault(home, 0)
        async for record in self._read(starts):
            for letter in of_key.get(record.key, ()):
                found[letter.id] = _behind(letter, record, dead, found.get(letter.id, Later()))

    async def put_back(self, letter: Letter, body: bytes | None) -> str:
        """See `LetterLog.put_back`.

        Raises:
            PermanentError: its topic takes no record as large as this.
        """
        headers = [*letter.headers, (REPLAYED_FROM, letter.id.encode())]
        try:
            async with asyncio.timeout(_CONFIRM_SECONDS):
                sent = await self._producer.send_and_wait(letter.topic, body, key=letter.key, headers=headers)
        except MessageSizeTooLargeError:
            raise PermanentError(
                f"{letter.topic} takes no record as large as this one: have its sender shorten it, then drop it"
            ) from None
        return letter_id(sent.topic, sent.partition, sent.offset)

    async def settle(self, letter: Letter, how: str) -> None:
        """See `LetterLog.settle`."""
        async with asyncio.timeout(_CONFIRM_SECONDS):
            await self._producer.send_and_wait(
                letter.dead_letters,
                None,
                key=letter.id.encode(),
                headers=settling_headers(how, self._clock()),
                partition=letter.place[0],
            )

    async def _partitions(self, topic: str) -> list[TopicPartition]:
        (found,) = await self._admin.describe_topics([topic])
        if not found["partitions"]:
            raise PermanentError(f"no topic {topic} on this broker: make it by `maillage topics`")
        return sorted(TopicPartition(topic, one["partition"]) for one in found["partitions"])

    def _read(self, starts: Mapping[TopicPartition, int]) -> AsyncIterator[RawRecord]:
        return read_log(self._consumer, starts, self.on_progress)


async def read_log(
    consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int], on_progress: Progress = lambda _: None
) -> AsyncIterator[RawRecord]:
    """Yield what is on the log now, from `starts` on, in the order of each partition. `consumer` has no group.

    Raises:
        TimeoutError: nothing came for a while.
    """
    partitions = list(starts)
    consumer.assign(partitions)
    begins = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    places = {partition: max(start, begins[partition]) for partition, start in starts.items()}
    for partition, place in places.items():
        consumer.seek(partition, place)
    left = {partition for partition, place in places.items() if place < ends[partition]}
    total = sum(ends[partition] - places[partition] for partition in left)
    names, seen = ", ".join(sorted({partition.topic for partition in partitions})), 0
    loop = asyncio.get_running_loop()
    heard = loop.time()
    while left:
        for partition, records in (await consumer.getmany(*left, timeout_ms=_POLL_MS)).items():
            heard = loop.time()
            seen += len(records)
            for record in records:
                if record.offset < ends[partition]:
                    yield record
        on_progress(f"Reading {names}: {seen:,} of {total:,} records...")
        # Not by the records: the last ones may have been compacted away, the position passes them.
        left = {partition for partition in left if await consumer.position(partition) < ends[partition]}
        if left and loop.time() - heard > _SILENCE_SECONDS:
            raise TimeoutError(f"nothing came from {names} for {_SILENCE_SECONDS:g} s")


def _home(key: bytes, partitions: list[int]) -> int:
    return int(DefaultPartitioner()(key, partitions, partitions))


def _behind(letter: Letter, record: RawRecord, dead: Iterable[tuple[str, int, int]], so_far: Later) -> Later:
    """Return what is known with one more record of the letter's key."""
    place = letter_id(record.topic, record.partition, record.offset)
    origin = next((value.decode(errors="replace") for name, value in record.headers if name == REPLAYED_FROM), None)
    if origin == letter.id:
        return Later(put_back=place, newer=so_far.newer)
    if _came_before(letter, record, origin) or (record.topic, record.partition, record.offset) in dead:
        return so_far
    return Later(put_back=so_far.put_back, newer=place)


def _came_before(letter: Letter, record: RawRecord, origin: str | None) -> bool:
    """Whether a record was sent before that of the letter: by where each first was, or between partitions by time."""
    first, other = _place(letter.replayed_from) or _place(letter.id), _place(origin)
    if first is not None and other is not None and first[0] == other[0]:
        return other[1] < first[1]
    if record.partition == letter.partition:
        return bool(record.offset <= letter.offset)
    return bool(record.timestamp <= letter.first_seen.timestamp() * 1000)


def _place(identity: str | None) -> tuple[str, int] | None:
    """Return `topic/partition` and offset of an id; none of what is no id."""
    partition, _, offset = (identity or "").rpartition("/")
    return (partition, int(offset)) if partition and offset.isdecimal() else None
