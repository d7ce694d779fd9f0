"""Dead letters as they are read again, from records written by hand."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from services.runtime.letters import Filter, Letter, NotALetterError, Shelf, by_topic, read_letter, settling_headers

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)

ABOUT = {
    "dead_letter_service": "matcher",
    "dead_letter_group": "maillage-matcher",
    "dead_letter_reason": "Name: Field required",
    "dead_letter_topic": "members.v1",
    "dead_letter_partition": "2",
    "dead_letter_offset": "41",
    "dead_letter_first_seen": AT.isoformat(),
}


def record(
    value: bytes | None = b"{}", *, place: int = 0, headers: dict[str, str] | None = None, **about: str | None
) -> Any:
    said = {**ABOUT, **{f"dead_letter_{name}": text for name, text in about.items()}}
    wire = {name: text.encode() for name, text in {**said, **(headers or {})}.items() if text is not None}
    key = f"{said['dead_letter_topic']}/{said['dead_letter_partition']}/{said['dead_letter_offset']}".encode()
    return SimpleNamespace(
        topic="members.v1.dlq", partition=0, offset=place, key=key, value=value, headers=list(wire.items())
    )


def settlement(identity: str, how: str = "dropped") -> Any:
    return SimpleNamespace(
        topic="members.v1.dlq",
        partition=0,
        offset=9,
        key=identity.encode(),
        value=None,
        headers=settling_headers(how, AT),
    )


def shelf(*records: Any) -> Shelf:
    made = Shelf()
    for one in records:
        made.add(one)
    return made


def letters(*records: Any) -> list[Letter]:
    return list(shelf(*records).letters.values())


def test_the_record_that_a_letter_was_is_read_from_it() -> None:
    letter = read_letter(
        record(
            key_base64="c291c3MvbTM=",
            added="content-type correlation_id",
            header_base64_note="//4=",
            headers={"ce_id": "x", "content-type": "", "correlation_id": "made up"},
            place=7,
        )
    )
    assert (letter.id, letter.place, letter.first_seen) == ("members.v1/2/41", (0, 7), AT)
    assert letter.key == b"souss/m3"
    assert sorted(letter.headers) == [("ce_id", b"x"), ("note", b"\xff\xfe")]
    assert (letter.cut, letter.absent, letter.replayed_from, letter.settled) == ((), False, None, None)


def test_a_record_without_key_or_body_is_told_from_an_empty_one() -> None:
    assert read_letter(record()).key is None
    assert read_letter(record(key_base64="")).key == b""
    assert read_letter(record(b"", body="absent")).absent
    assert not read_letter(record(b"")).absent


def test_what_was_cut_is_named() -> None:
    letter = read_letter(record(cut="key and headers", body="first 4000000 of 5000000 bytes"))
    assert letter.cut == ("key", "headers", "body")


@pytest.mark.parametrize(
    "about",
    [
        {"reason": None},
        {"offset": "many"},
        {"first_seen": "yesterday"},
        {"key_base64": "not base64"},
        {"header_base64_note": "not base64"},
        {"topic": "needs.v1"},
    ],
    ids=lambda about: next(iter(about)),
)
def test_what_none_of_us_put_there_is_no_letter_and_is_counted(about: dict[str, str | None]) -> None:
    with pytest.raises(NotALetterError):
        read_letter(record(**about))
    made = shelf(record(**about), record())
    assert (made.strangers, list(made.letters)) == (1, ["members.v1/2/41"])


def test_a_second_copy_is_the_same_letter_as_first_seen() -> None:
    later = (AT + timedelta(minutes=1)).isoformat()
    [letter] = letters(record(place=3), record(place=4, first_seen=later))
    assert (letter.copies, letter.first_seen, letter.place) == (2, AT, (0, 4))


def test_a_record_without_a_body_settles_the_letter_of_its_key_and_no_other() -> None:
    settled, other = letters(record(), record(offset="42"), settlement("members.v1/2/41", "replayed"))
    assert str(settled.settled) == "replayed 2026-03-01T08:00:00+00:00"
    assert other.settled is None
    assert Filter().choose([settled, other]) == [other]
    assert Filter().choose([settled, other], settled=True) == [other, settled]


def test_a_letter_of_an_older_version_without_a_body_settles_nothing() -> None:
    [letter] = letters(record(None, body="absent"))
    assert letter.settled is None


def test_what_is_set_aside_after_it_was_settled_is_open_again() -> None:
    [letter] = letters(record(), settlement("members.v1/2/41"), record(place=5))
    assert (letter.settled, letter.copies) == (None, 1)


def test_a_settlement_outlives_its_letter() -> None:
    made = shelf(record(offset="42"), settlement("members.v1/2/41", "replayed"))
    assert [letter.settled for letter in made.letters.values()] == [None]
    assert made.gone["members.v1/2/41"].how == "replayed"


def numbered(offset: int, **about: str) -> Any:
    return record(offset=str(offset), first_seen=(AT + timedelta(hours=offset)).isoformat(), **about)


@pytest.mark.parametrize(
    ("meant", "offsets"),
    [
        (Filter(), [4, 3, 2, 1]),
        (Filter(service="notifier"), [3]),
        (Filter(reason="field REQUIRED"), [4, 3, 1]),
        (Filter(since=AT + timedelta(hours=3)), [4, 3]),
        (Filter(limit=1), [4]),
        (Filter(service="matcher", reason="required", since=AT + timedelta(hours=1), limit=1), [4]),
        (Filter(service="matcher", reason="late"), [2]),
    ],
)
def test_each_condition_narrows_and_the_newest_come_first(meant: Filter, offsets: list[int]) -> None:
    found = letters(numbered(1), numbered(2, reason="too late"), numbered(3, service="notifier"), numbered(4))
    assert [letter.offset for letter in meant.choose(found)] == offsets


def test_letters_are_counted_by_topic() -> None:
    assert by_topic(letters(numbered(1), numbered(2))) == {"members.v1": 2}
