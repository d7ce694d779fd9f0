"""What could not be handled, kept as it came, with what an operator needs to understand and replay it."""

import base64
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from schemas.topics import MAX_EVENT_BYTES
from services.runtime.publishing import KafkaPublisher

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

MAX_DEAD_LETTER_BYTES: Final = 4 * MAX_EVENT_BYTES
"""Longest body kept whole; the dead-letter topics take a little more. Of a longer one the beginning is kept."""

_REASON_CHARACTERS = 1_000

# Compression lets a record of any size through a broker's limit, and one that no dead-letter topic took would hold its
# partition for ever. The longest key that can be read has a fifth of this; headers fit beside the longest body.
_KEY_BYTES = 1_000
_HEADER_BYTES = 100_000

OURS: Final = "dead_letter_"
"""How the names of our headers begin. What comes under such a name from outside is not kept: it could say of a record
that it had no body, and replaying that would erase the entity."""

REPLAYED_FROM: Final = "dead_letter_replayed_from"
"""On a record that was put back: the id of its dead letter. Kept when it becomes a dead letter anew."""

HEADER_BASE64: Final = "dead_letter_header_base64_"
"""Before the name of a header that is not UTF-8."""

ABSENT: Final = "absent"
"""What `dead_letter_body` says of a record that had none."""

ADDED: Final = "dead_letter_added"
"""Names the headers of a dead letter that the record did not have: the client writes them on all that it sends."""

_WRITTEN_BY_CLIENT = ("content-type", "correlation_id")


def letter_id(topic: str, partition: int, offset: int) -> str:
    """Return the id of a dead letter, also its key: where its record was."""
    return f"{topic}/{partition}/{offset}"


class DeadLetters:
    """Puts records onto `<topic>.dlq`.

    The body is the raw bytes. Headers of the record keep their names; one that is not UTF-8 is kept in base64 under
    `dead_letter_header_base64_<name>`. The key is `topic/partition/offset`, so a second copy, left by a crash between
    this and the commit, is recognised as one. A key or headers longer than any that can be read are cut, and
    `dead_letter_cut` says which. Of a record without a body the letter's is empty and `dead_letter_body` says so: a
    record without a body settles the letter of its key (`services.runtime.letters`).
    """

    def __init__(self, *, publisher: KafkaPublisher, service: str) -> None:
        self._publisher = publisher
        self._service = service

    async def put(
        self, record: "ConsumerRecord[bytes | None, bytes | None]", *, group: str, reason: str, first_seen: datetime
    ) -> None:
        """Return once the broker holds the dead letter.

        Args:
            reason: for an operator; names fields and remedies, quotes nobody's data.

        Raises:
            BrokerUnavailableError: not confirmed in time.
        """
        body = record.value
        about = {
            "dead_letter_service": self._service,
            "dead_letter_group": group,
            "dead_letter_reason": " ".join(reason.split())[:_REASON_CHARACTERS],
            "dead_letter_topic": record.topic,
            "dead_letter_partition": str(record.partition),
            "dead_letter_offset": str(record.offset),
            "dead_letter_first_seen": first_seen.isoformat(),
        }
        headers, cut = _readable(record.headers), list[str]()
        kept = _fitting(headers, _HEADER_BYTES)
        if record.key is not None:
            about["dead_letter_key_base64"] = base64.b64encode(record.key[:_KEY_BYTES]).decode()
            cut += ["key"] if len(record.key) > _KEY_BYTES else []
        cut += ["headers"] if len(kept) < len(headers) else []
        if added := [name for name in _WRITTEN_BY_CLIENT if name not in kept]:
            about[ADDED] = " ".join(added)
        if cut:
            about["dead_letter_cut"] = " and ".join(cut)
        if body is None:
            about["dead_letter_body"] = ABSENT
            body = b""
        elif len(body) > MAX_DEAD_LETTER_BYTES:
            about["dead_letter_body"] = f"first {MAX_DEAD_LETTER_BYTES} of {len(body)} bytes"
            body = body[:MAX_DEAD_LETTER_BYTES]
        await self._publisher.send(
            f"{record.topic}.dlq",
            letter_id(record.topic, record.partition, record.offset).encode(),
            body,
            kept | about,
        )


def _readable(headers: "Iterable[tuple[str, bytes | None]]") -> dict[str, str]:
    kept: dict[str, str] = {}
    for name, value in headers:
        if value is None or (name.startswith(OURS) and name != REPLAYED_FROM):
            continue
        try:
            kept[name] = value.decode()
        except UnicodeDecodeError:
            kept[f"{HEADER_BASE64}{name}"] = base64.b64encode(value).decode()
    return kept


def _fitting(headers: dict[str, str], room: int) -> dict[str, str]:
    """Return the headers that fit into so many bytes."""
    kept: dict[str, str] = {}
    for name, value in headers.items():
        size = len(name.encode()) + len(value.encode())
        if size <= room:
            kept[name] = value
            room -= size
    return kept
