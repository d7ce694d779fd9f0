"""What aiokafka's reader lacks against records that anybody may have written. Mended here, in one place, for 0.14.

1. It decodes the *names* of headers strictly, though to a broker they are bytes. One that is not UTF-8 would end each
   fetch of its partition for ever. Here the batch that has it is read by the client's parser in Python, and what is no
   text in a name is written as escapes. All other batches go through the parser in C, as before.
2. It moves on from each partition as it takes its records out. When those of a later partition cannot be read, as after
   damage to a disk, it raises: what it took is lost to the caller, and the next commit passes over it. Here the caller
   gets what was taken. The partition that cannot be read stays where it is, and the log says so.
"""

import struct
from collections.abc import Collection, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.consumer import consumer, fetcher
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from services.runtime import logs
from services.runtime.outcome import describe

# A batch begins with its offset (8 bytes) and the length of what follows (4).
_LENGTH: Final = struct.Struct(">8xi")


def mend_client() -> None:
    """Have every consumer that is made from now on read in this way. May be called again."""
    fetcher.MemoryRecords, fetcher.FetchResult, consumer.Fetcher = _Records, _Result, _Fetcher


class _Records:
    """The batches of one fetch from one partition, as `MemoryRecords` has them."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0
        self._batches = MemoryRecords(data)

    def size_in_bytes(self) -> int:
        return int(self._batches.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> Any:
        begin = self._place
        self._place += _LENGTH.size + _LENGTH.unpack_from(self._data, begin)[0]
        return _Batch(self._batches.next_batch(), self._data, slice(begin, self._place))


class _Batch:
    """One batch of either parser."""

    def __init__(self, batch: Any, data: bytes, place: slice) -> None:
        self._batch, self._data, self._place = batch, data, place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                read += 1
                yield record
        except UnicodeDecodeError:
            yield from islice(_leniently(self._data[self._place]), read, None)


def _leniently(data: bytes) -> Iterator[Any]:
    batch: Any = _DefaultRecordBatchPy(bytearray(data))
    iter(batch)  # unpacks it
    batch._buffer = _Lenient(batch._buffer)
    yield from batch


class _Lenient(bytearray):
    """Bytes, each part of which can be read as text."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return found if isinstance(found, int) else _Lenient(found)

    def decode(self, encoding: str = "utf-8", _: str = "") -> str:
        return super().decode(encoding, "backslashreplace")


@dataclass(slots=True)
class _Taking:
    """What one call took out so far, and of which partition it takes now, from which place on."""

    done: dict[TopicPartition, Any] = field(default_factory=dict)
    at: tuple[TopicPartition, int] | None = None


_taking: ContextVar[_Taking] = ContextVar("taking")


class _Result(fetcher.FetchResult):  # type: ignore[misc]  # aiokafka ships no types
    """Records of one partition that were fetched."""

    def getall(self, max_records: int | None = None) -> Any:
        taking, partition = _taking.get(), self._topic_partition
        if self.has_more():
            taking.at = partition, self._partition_records.next_fetch_offset
        records = super().getall(max_records)
        taking.at = None
        if records:
            taking.done[partition] = records
        return records


class _Fetcher(consumer.Fetcher):  # type: ignore[misc]
    """Hands out what could be read, before it says what could not."""

    async def fetched_records(
        self,
        partitions: Collection[TopicPartition],
        timeout: float = 0,  # noqa: ASYNC109 - as the client has it
        max_records: int | None = None,
    ) -> Mapping[TopicPartition, Any]:
        taking = _Taking()
        _taking.set(taking)
        try:
            found: Mapping[TopicPartition, Any] = await super().fetched_records(partitions, timeout, max_records)
        except Exception as error:
            if taking.at is None:  # it is not about a record: the broker is away, the group has no place for us
                raise
            partition, place = taking.at
            # Nothing was moved there yet. What is left of the fetch has lost its place, and is asked for again.
            self.seek_to(partition, place)
            reason = describe(error)
            logs.get().error("unreadable", topic=partition.topic, partition=partition.partition, reason=reason)
            if taking.done:
                return taking.done
            if isinstance(error, KafkaError):
                raise
            # After such an error FastStream asks again, by and by; any other would end its task.
            raise KafkaError(f"{partition.topic}/{partition.partition} cannot be read: {reason}") from error
        return found
