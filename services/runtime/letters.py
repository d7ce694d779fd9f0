"""Dead letters as they are read again: what each says, which are settled, and the record that each was.

The counterpart of `services.runtime.dead_letters`, and as pure as the bytes it is given.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeAlias

from services.runtime.dead_letters import ABSENT, ADDED, HEADER_BASE64, OURS, REPLAYED_FROM, letter_id

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

RawRecord: TypeAlias = "ConsumerRecord[bytes | None, bytes | None]"

SUFFIX: Final = ".dlq"
"""What the name of a dead-letter topic adds to that of its topic."""

SETTLED: Final = "dead_letter_settled"
SETTLED_AT: Final = "dead_letter_settled_at"

REPLAYED: Final = "replayed"
DROPPED: Final = "dropped"

_CUT: Final = "dead_letter_cut"
_BODY: Final = "dead_letter_body"
_KEY: Final = "dead_letter_key_base64"


@dataclass(frozen=True, slots=True)
class Settlement:
    """That a letter needs nobody's attention any more.

    Attributes:
        how: `replayed` or `dropped`; empty where a record without a body came from elsewhere and does not say.
        at: when, as the record says it; empty where it does not say.
    """

    how: str
    at: str

    def __str__(self) -> str:
        return " ".join(filter(None, (self.how or "settled", self.at)))


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, without its body.

    Attributes:
        topic, partition, offset: where the record was that could not be handled.
        place: partition and offset of the letter itself on the dead-letter topic, of its newest copy.
        first_seen: when a service first set it aside, UTC.
        service, group: which service, and its consumer group.
        reason: what was wrong; quotes nobody's data.
        key: of the record; none: it had no key.
        headers: of the record, as they were.
        cut: what was too long to be kept whole, in words; empty: nothing was.
        absent: the record had no body.
        replayed_from: id of the letter of which this record was put back; none: of none.
        copies: how often it lies there; a crash leaves a second copy.
        settled: none: it is still open.
    """

    topic: str
    partition: int
    offset: int
    place: tuple[int, int]
    first_seen: datetime
    service: str
    group: str
    reason: str
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    cut: tuple[str, ...]
    absent: bool
    replayed_from: str | None
    copies: int = 1
    settled: Settlement | None = None

    @property
    def id(self) -> str:
        """`topic/partition/offset` of the record."""
        return letter_id(self.topic, self.partition, self.offset)

    @property
    def dead_letters(self) -> str:
        """The topic that it lies on."""
        return self.topic + SUFFIX

    @property
    def coordinates(self) -> tuple[str, int, int]:
        """Topic, partition and offset of the record."""
        return self.topic, self.partition, self.offset


class NotALetterError(ValueError):
    """A record on a dead-letter topic that none of our services put there."""


def read_letter(record: RawRecord) -> Letter:
    """Return the letter in a record of a dead-letter topic.

    Raises:
        NotALetterError: a header that every letter has is missing or unreadable.
    """
    about, own = _split(record.headers)
    try:
        topic, cut = about["dead_letter_topic"], [*filter(None, about.get(_CUT, "").split(" and "))]
        if f"{topic}{SUFFIX}" != record.topic:
            raise NotALetterError(f"it says that it is of {topic}")
        body = about.get(_BODY, "")
        first_seen = datetime.fromisoformat(about["dead_letter_first_seen"])
        return Letter(
            topic=topic,
            partition=int(about["dead_letter_partition"]),
            offset=int(about["dead_letter_offset"]),
            place=(record.partition, record.offset),
            first_seen=first_seen if first_seen.tzinfo else first_seen.replace(tzinfo=UTC),
            service=about["dead_letter_service"],
            group=about["dead_letter_group"],
            reason=about["dead_letter_reason"],
            key=base64.b64decode(about[_KEY], validate=True) if _KEY in about else None,
            headers=tuple(own),
            cut=(*cut, *(["body"] if body and body != ABSENT else [])),
            absent=body == ABSENT,
            replayed_from=about.get(REPLAYED_FROM),
        )
    except KeyError as error:
        raise NotALetterError(f"header {error.args[0]} is missing") from None
    except (ValueError, binascii.Error) as error:
        raise NotALetterError(str(error)) from None


def _split(headers: Iterable[tuple[str, bytes | None]]) -> tuple[dict[str, str], list[tuple[str, bytes]]]:
    """Return what the letter says about the record, and the record's own headers.

    Raises:
        NotALetterError: a header of ours is not text.
    """
    about: dict[str, str] = {}
    own: list[tuple[str, bytes]] = []
    for name, value in headers:
        if value is None:
            continue
        try:
            if name.startswith(HEADER_BASE64):
                own.append((name.removeprefix(HEADER_BASE64), base64.b64decode(value, validate=True)))
            elif name.startswith(OURS):
                about[name] = value.decode()
            else:
                own.append((name, value))
        except ValueError:
            raise NotALetterError(f"header {name} is not readable") from None
    added = about.get(ADDED, "").split()
    return about, [(name, value) for name, value in own if name not in added]


@dataclass(slots=True)
class Shelf:
    """What a dead-letter topic holds, built record by record in the order of the log.

    Attributes:
        letters: by id; open and settled ones.
        gone: settlements of letters that compaction has removed, by id.
        strangers: how many records there are no letters of ours.
    """

    letters: dict[str, Letter] = field(default_factory=dict)
    gone: dict[str, Settlement] = field(default_factory=dict)
    strangers: int = 0

    def add(self, record: RawRecord) -> None:
        """Take the next record.

        One without a body settles the letter of its key. What a service sets aside after that is open again: its topic
        may have been made anew, and a letter shown twice does less harm than one never shown.
        """
        if record.value is None and not any(name == "dead_letter_topic" for name, _ in record.headers):
            self._settle(record)
            return
        try:
            letter = read_letter(record)
        except NotALetterError:
            self.strangers += 1
            return
        known = self.letters.get(letter.id)
        if known is not None and known.settled is None:
            letter = replace(letter, first_seen=known.first_seen, copies=known.copies + 1)
        self.letters[letter.id] = letter

    def _settle(self, record: RawRecord) -> None:
        headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        settlement = Settlement(headers.get(SETTLED, ""), headers.get(SETTLED_AT, ""))
        identity = (record.key or b"").decode(errors="replace")
        if identity in self.letters:
            self.letters[identity] = replace(self.letters[identity], settled=settlement)
        else:
            self.gone[identity] = settlement


def settling_headers(how: str, at: datetime) -> list[tuple[str, bytes]]:
    """Return the headers of the record that settles a letter."""
    return [(SETTLED, how.encode()), (SETTLED_AT, at.isoformat(timespec="seconds").encode())]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant; each condition narrows.

    Attributes:
        service: the name of the service that set them aside.
        reason: a part of the reason, in either case.
        since: first seen then or later.
        limit: the newest so many.
    """

    service: str | None = None
    reason: str | None = None
    since: datetime | None = None
    limit: int | None = None

    def choose(self, letters: Iterable[Letter], *, settled: bool = False) -> list[Letter]:
        """Return the letters meant, newest first; open ones only unless `settled`."""
        chosen = [letter for letter in letters if (settled or letter.settled is None) and self._means(letter)]
        return sorted(chosen, key=lambda letter: (letter.first_seen, letter.coordinates), reverse=True)[: self.limit]

    def _means(self, letter: Letter) -> bool:
        return (
            (self.service is None or letter.service == self.service)
            and (self.reason is None or self.reason.casefold() in letter.reason.casefold())
            and (self.since is None or letter.first_seen >= self.since)
        )


def by_topic(letters: Iterable[Letter]) -> Mapping[str, int]:
    """Return how many letters there are of each topic, most first."""
    counts: dict[str, int] = {}
    for letter in letters:
        counts[letter.topic] = counts.get(letter.topic, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
