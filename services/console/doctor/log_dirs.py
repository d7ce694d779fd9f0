"""The disks of a broker, by a request that the client library lacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields


@dataclass(frozen=True, slots=True)
class Directory:
    """A folder of records. `online` is false once the broker has given it up, as after a failed write."""

    path: str
    online: bool
    size_bytes: int
    free_bytes: int


class _DescribeLogDirsResponse(Response):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 35
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "results",
            CompactArray(
                ("error_code", Int16),
                ("log_dir", CompactString("utf-8")),
                (
                    "topics",
                    CompactArray(
                        ("name", CompactString("utf-8")),
                        (
                            "partitions",
                            CompactArray(
                                ("partition_index", Int32),
                                ("partition_size", Int64),
                                ("offset_lag", Int64),
                                ("is_future_key", Boolean),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("total_bytes", Int64),
                ("usable_bytes", Int64),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeLogDirsRequest(RequestStruct):  # type: ignore[misc]
    API_KEY = 35
    API_VERSION = 4
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _DescribeLogDirsResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)
            ),
        ),
        ("tags", TaggedFields),
    )


class _Asking(Request[_DescribeLogDirsRequest]):  # type: ignore[misc]
    API_KEY = 35

    def build(self, request_struct_class: type[Any]) -> Any:
        return request_struct_class([], {})  # no topics: the folders alone


async def directories(link: AIOKafkaConnection) -> Sequence[Directory]:
    """Return the folders of the broker behind a connection; none where the login may not see them.

    Raises:
        KafkaError, NotImplementedError: the broker is older than Kafka 3.3.
    """
    answer = await link.send(_Asking())
    return [Directory(path, code == 0, total, usable) for code, path, _, total, usable, _ in answer.results]
