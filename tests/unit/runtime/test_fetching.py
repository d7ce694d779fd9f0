"""What anybody may have written is read, and a partition that cannot be read takes nothing from its neighbours."""

import struct
from collections import OrderedDict
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import consumer, fetcher
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from structlog.testing import capture_logs

from services.runtime.fetching import mend_client

ONE, OTHER = TopicPartition("t", 0), TopicPartition("t", 1)


def batch(*values: bytes, name: str = "name", is_now: bytes = b"name", codec: int = 0) -> bytes:
    """One batch as a broker sends it; the second record's header has a name of these bytes."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, 0, 1 << 20)
    for offset, value in enumerate(values):
        builder.append(offset, 0, b"key", value, [(name if offset == 1 else "other", b"1")])
    raw = bytearray(builder.build()).replace(name.encode(), is_now)
    struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])))
    return bytes(raw)


def fetched(partition: TopicPartition, data: bytes, place: int = 0) -> Any:
    return fetcher.PartitionRecords(partition, fetcher.MemoryRecords(data), None, place, None, None, True, 0)


def test_a_name_that_is_no_text_is_read_as_escapes_and_its_neighbours_as_they_are() -> None:
    mend_client()
    data = batch(b"a", b"b", b"c", is_now=b"\xff\xfeme")
    records = list(fetched(ONE, data))
    assert [record.value for record in records] == [b"a", b"b", b"c"]
    assert [record.headers[0][0] for record in records] == ["other", r"\xff\xfeme", "other"]
    assert [record.value for record in fetched(ONE, data, place=2)] == [b"c"]


async def test_what_was_taken_is_handed_out_before_what_cannot_be_read_is_told() -> None:
    mend_client()
    subscriptions = SubscriptionState()
    subscriptions.assign_from_user({ONE, OTHER})
    assignment: Any = subscriptions.subscription.assignment
    reader: Any = object.__new__(consumer.Fetcher)
    reader.__dict__ |= {"_subscriptions": subscriptions, "_wait_consume_future": None, "_fetch_waiters": set()}

    def fetch() -> None:
        damaged = bytearray(batch(b"x", b"y"))
        damaged[-1] ^= 1
        reader._records = OrderedDict(
            (
                partition,
                fetcher.FetchResult(partition, assignment=assignment, partition_records=records, backoff=0),
            )
            for partition, records in ((ONE, fetched(ONE, batch(b"a", b"b"))), (OTHER, fetched(OTHER, bytes(damaged))))
        )

    for partition in (ONE, OTHER):
        subscriptions.seek(partition, 0)
    fetch()
    found = await reader.fetched_records([], 0, 10)
    assert {partition: [one.value for one in records] for partition, records in found.items()} == {ONE: [b"a", b"b"]}
    assert [assignment.state_value(partition).position for partition in (ONE, OTHER)] == [2, 0]
    fetch()  # of the first, nothing more than was taken already
    with pytest.raises(KafkaError), capture_logs() as said:
        await reader.fetched_records([], 0, 10)
    assert [assignment.state_value(partition).position for partition in (ONE, OTHER)] == [2, 0]
    assert [one["event"] for one in said] == ["unreadable"]
