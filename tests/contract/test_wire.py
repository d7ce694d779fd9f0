"""What is written is read back, and a record that cannot be read says why to a person, quoting nobody's data."""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.base import MAX_COUNT, Event, Key
from schemas.cloudevents import MalformedEventError, read, write
from schemas.feedback import FeedbackKey
from schemas.ids import event_id
from schemas.members import MemberKey, MemberKind, MemberPublished
from schemas.needs import NeedKey
from schemas.suggestions import SuggestionKey
from schemas.topics import AMBASSADORS, CONTACTS, FEEDBACK, MAX_EVENT_BYTES, MEMBERS, NEEDS, SUGGESTIONS, TOPICS, Topic
from tests.contract.documents import BODIES

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECRET = "zineb-4711"  # stands for somebody's data: no message may quote it

KEY = MemberKey(cluster="souss", member_id="argania")
MEMBER = MemberPublished(
    rev=3, cluster="souss", member_id="argania", name="Argania Tech", kind=MemberKind.COMPANY, published_at=NOON
)
RECORD = write(MEMBERS, KEY, MEMBER, rev=3, source="/maillage/ingest", occurred_at=NOON, traceparent=TRACE)
BODY: dict[str, Any] = json.loads(RECORD.body or b"")

Headers = dict[str, str | bytes | None]
HEADERS: Headers = dict(RECORD.headers)


def raw(headers: Mapping[str, str | bytes | None]) -> list[tuple[str, bytes | None]]:
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in headers.items()]


def refusal(topic: Topic, key: bytes | None, body: bytes | None, headers: Mapping[str, str | bytes | None]) -> str:
    with pytest.raises(MalformedEventError) as caught:
        read(topic, key, body, raw(headers))
    assert caught.value.__cause__ is None  # a log of the traceback must not quote the values either
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


@pytest.mark.parametrize(("topic", "event"), [(topic, event) for topic in TOPICS for event in topic.events])
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_is_read(topic: Topic, event: type[Event], data: st.DataObject) -> None:
    value = event.model_validate(data.draw(BODIES[event]))
    when = data.draw(st.datetimes(min_value=datetime(2, 1, 1), timezones=st.just(timezone(timedelta(hours=1)))))

    record = write(topic, value.key, value, rev=value.rev, source="/test", occurred_at=when, traceparent=TRACE)
    envelope = read(topic, record.key, record.body, raw(record.headers))

    assert envelope.value == value
    assert type(envelope.value) is event
    assert envelope.key == value.key
    assert envelope.rev == value.rev
    assert envelope.event_id == str(event_id(topic.name, value.key, value.rev))
    assert envelope.occurred_at == when
    assert envelope.occurred_at.utcoffset() == timedelta(0)
    assert envelope.traceparent == TRACE
    assert topic.key.decode(record.key) == value.key
    hash(envelope)


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic.compacted])
@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_erasure_is_read(topic: Topic, data: st.DataObject) -> None:
    value = topic.events[0].model_validate(data.draw(BODIES[topic.events[0]]))
    record = write(topic, value.key, None, rev=value.rev, source="/test", occurred_at=NOON)
    assert record.body is None
    assert record.headers["ce_type"] == topic.erased_type
    assert "ce_dataschema" not in record.headers
    envelope = read(topic, record.key, record.body, raw(record.headers))
    assert envelope.value is None
    assert (envelope.key, envelope.rev, envelope.occurred_at) == (value.key, value.rev, NOON)
    assert envelope.event_id == str(event_id(topic.name, value.key, value.rev))


def test_a_bare_erasure_is_read() -> None:
    envelope = read(MEMBERS, b"souss/argania", None, [])
    assert (envelope.key, envelope.value, envelope.rev, envelope.occurred_at) == (KEY, None, None, None)
    assert envelope.event_id == "members.v1/souss/argania/erased"
    assert read(MEMBERS, b"souss/argania", None, [("ce_id", b"")]).event_id == envelope.event_id


def test_the_headers_are_those_of_binary_mode() -> None:
    assert RECORD.key == b"souss/argania"
    assert RECORD.headers == {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": "020ac1b5-f984-520e-8987-c4195b98bab2",
        "ce_source": "/maillage/ingest",
        "ce_type": "maillage.member.published.v1",
        "ce_time": "2026-01-31T12:00:00Z",
        "ce_rev": "3",
        "ce_dataschema": "urn:maillage:schema:MemberPublished:1",
        "traceparent": TRACE,
    }


def test_a_repeated_publication_has_the_same_id_and_the_next_state_another() -> None:
    again = write(MEMBERS, KEY, MEMBER, rev=3, source="/other", occurred_at=NOON + timedelta(hours=1))
    assert again.headers["ce_id"] == RECORD.headers["ce_id"]
    erased = write(MEMBERS, KEY, None, rev=4, source="/other", occurred_at=NOON)
    assert erased.headers["ce_id"] != RECORD.headers["ce_id"]


def test_headers_of_others_are_left_alone() -> None:
    foreign = HEADERS | {"x-agent": "لا", "ce_tenant": "", "empty": None}
    assert read(MEMBERS, RECORD.key, RECORD.body, raw(foreign)).value == MEMBER


@pytest.mark.parametrize("trace", ["", "not a trace", TRACE.upper(), TRACE + "\n"])
def test_a_trace_that_is_none_is_dropped(trace: str) -> None:
    assert read(MEMBERS, RECORD.key, RECORD.body, raw(HEADERS | {"traceparent": trace})).traceparent is None


def test_time_is_optional_and_comes_back_in_utc() -> None:
    headers = {name: value for name, value in RECORD.headers.items() if name != "ce_time"}
    assert read(MEMBERS, RECORD.key, RECORD.body, raw(headers)).occurred_at is None
    moved = read(MEMBERS, RECORD.key, RECORD.body, raw(headers | {"ce_time": "2026-01-31t13:00:00.5+01:00"}))
    assert str(moved.occurred_at) == "2026-01-31 12:00:00.500000+00:00"


PUBLISHED = "maillage.member.published.v1"

HEADER_CASES: dict[str, tuple[Headers, str]] = {
    "not UTF-8": ({"ce_id": b"\xff" + SECRET.encode()}, "header ce_id is not UTF-8"),
    "of another, not UTF-8": ({"x-agent": b"\xff" + SECRET.encode()}, "header x-agent is not UTF-8"),
    "no spec version": ({"ce_specversion": None}, "header ce_specversion is missing"),
    "wrong spec version": ({"ce_specversion": SECRET}, "header ce_specversion: expected 1.0"),
    "no type": ({"ce_type": None}, "header ce_type is missing"),
    "empty type": ({"ce_type": ""}, "header ce_type is missing"),
    "unknown type": ({"ce_type": SECRET}, f"header ce_type: expected {PUBLISHED} on members.v1"),
    "type of another topic": (
        {"ce_type": "maillage.need.published.v1"},
        f"header ce_type: expected {PUBLISHED} on members.v1",
    ),
    "no id": ({"ce_id": None}, "header ce_id is missing"),
    **{
        f"time {time!r}": (
            {"ce_time": time},
            "header ce_time: expected RFC 3339 with an offset, as in 2026-01-31T08:00:00Z",
        )
        for time in [
            SECRET,
            "",
            "2026-01-31",
            "2026-01-31T08:00:00",
            "1769846400",
            "2026-13-01T00:00:00Z",
            "0001-01-01T00:00:00+14:00",
        ]
    },
}


@pytest.mark.parametrize(("headers", "message"), HEADER_CASES.values(), ids=HEADER_CASES)
def test_a_wrong_header_is_named(headers: Headers, message: str) -> None:
    assert refusal(MEMBERS, RECORD.key, RECORD.body, HEADERS | headers) == message


WRONG = f"body is not a {PUBLISHED}: "

BODY_CASES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "Invalid JSON: EOF while parsing a value at line 1 column 0"),
    "not JSON": (SECRET.encode(), "Invalid JSON: expected value at line 1 column 1"),
    "not UTF-8": (b'{"name":"\xff"}', "Invalid JSON: invalid unicode code point at line 1 column 10"),
    "half a character": (b'{"name":"\\ud800"}', "Invalid JSON: unexpected end of hex escape at line 1 column 16"),
    "too deep": (b"[" * 10_000, "Invalid JSON: recursion limit exceeded at line 1 column 202"),
    "null": (b"null", "Input should be an object"),
    "a list": (b"[]", "Input should be an object"),
    "empty object": (b"{}", "name: Field required; kind: Field required; rev: Field required; and 3 more"),
}

FIELD_CASES: list[tuple[dict[str, Any], str]] = [
    ({"rev": None}, "rev: Input should be a valid integer"),
    ({"rev": 0}, "rev: Input should be greater than or equal to 1"),
    ({"rev": 2**53}, "rev: Input should be less than or equal to 9007199254740991"),
    ({"rev": SECRET}, "rev: Input should be a valid integer, unable to parse string as an integer"),
    (
        {"member_id": f"{SECRET}/é"},
        "member_id: expected 1 to 80 letters, digits, dots, underscores or hyphens, a letter or digit first",
    ),
    ({"country": SECRET}, "country: expected an ISO 3166-1 code of two capital letters, as in MA"),
    ({"languages": ["fr", f"{SECRET}?"]}, "languages.1: expected a BCP 47 tag, as in fr or ar-MA"),
    ({"languages": ["fr" + "-latn" * 7]}, "languages.0: String should have at most 35 characters"),
    ({"name": " \n "}, "name: String should have at least 1 character"),
    ({"name": SECRET * 31}, "name: String should have at most 300 characters"),
    ({"name": 4711}, "name: Input should be a valid string"),
    (
        {"kind": SECRET},
        "kind: Input should be 'company', 'startup', 'laboratory', 'university', 'association', 'innovation_city', "
        "'funder' or 'partner_cluster'",
    ),
    (
        {"activities": [{"scheme": "nace-2.1", "code": SECRET}]},
        "activities.0.code: expected a code as its list prints it, as in 62.10 or 72000000-5",
    ),
    (
        {"assets": [{"asset_id": "a", "title": "t", "trl": 10}]},
        "assets.0.trl: Input should be less than or equal to 9",
    ),
    ({"published_at": SECRET}, "published_at: expected a date and time with its offset, as in 2026-01-31T08:00:00Z"),
    (
        {"published_at": 1769846400},
        "published_at: expected a date and time with its offset, as in 2026-01-31T08:00:00Z",
    ),
    ({"published_at": "2026-01-31T08:00:00"}, "published_at: Input should have timezone info"),
    (
        {"published_at": "0001-01-01T00:00:00+14:00"},
        "published_at: expected a moment within the years 1 to 9999 in UTC",
    ),
]


@pytest.mark.parametrize(("body", "message"), BODY_CASES.values(), ids=BODY_CASES)
def test_a_body_that_is_no_event_is_refused(body: bytes, message: str) -> None:
    assert refusal(MEMBERS, RECORD.key, body, HEADERS) == WRONG + message


@pytest.mark.parametrize(("change", "message"), FIELD_CASES)
def test_a_wrong_field_is_named_with_its_remedy(change: dict[str, Any], message: str) -> None:
    body = json.dumps(BODY | change).encode()
    assert refusal(MEMBERS, RECORD.key, body, HEADERS) == WRONG + message


AMBASSADOR = {
    "rev": 1,
    "cluster": "souss",
    "ambassador_id": "agadir",
    "name": "Cité d'Agadir",
    "city": "cia",
    "published_at": "2026-01-31T12:00:00Z",
}

AMBASSADOR_CASES: list[tuple[dict[str, Any], str]] = [
    ({"city": None}, "an ambassador has a `city`, the desk has none"),
    ({"role": "desk"}, "an ambassador has a `city`, the desk has none"),
    ({"email": SECRET}, "email: expected one e-mail address, without a name or brackets around it"),
    (
        {"email": f"a@b.example\r\nBcc: {SECRET}"},
        "email: expected one e-mail address, without a name or brackets around it",
    ),
    ({"language": SECRET}, "language: Input should be 'fr', 'ar' or 'en'"),
    (
        {"webhook": {"url": SECRET, "secret": f"whsec_{SECRET}"}},
        "webhook.url: Input should be a valid URL, relative URL without a base; "
        "webhook.secret: expected whsec_ followed by 24 to 64 bytes in base64",
    ),
    (
        {"webhook": {"url": f"ftp://{SECRET}", "secret": "whsec_" + "A" * 32}},
        "webhook.url: URL scheme should be 'http' or 'https'",
    ),
]


@pytest.mark.parametrize(("change", "message"), AMBASSADOR_CASES)
def test_a_wrong_ambassador_is_told_how(change: dict[str, Any], message: str) -> None:
    headers = {"ce_specversion": "1.0", "ce_id": "1", "ce_type": "maillage.ambassador.published.v1"}
    assert read(AMBASSADORS, b"souss/agadir", json.dumps(AMBASSADOR).encode(), raw(headers)).rev == 1
    body = json.dumps(AMBASSADOR | change).encode()
    expected = f"body is not a maillage.ambassador.published.v1: {message}"
    assert refusal(AMBASSADORS, b"souss/agadir", body, headers) == expected


CONTACT = {
    "rev": 1,
    "cluster": "souss",
    "member_id": "argania",
    "name": "Amal Zeroual",
    "email": "amal@argania.example",
    "published_at": "2026-01-31T12:00:00Z",
}

CONTACT_CASES: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "name: Input should be a valid string"),
    ({"email": SECRET}, "email: expected one e-mail address, without a name or brackets around it"),
    ({"email": None}, "email: Input should be a valid string"),
    ({"phone": f"{SECRET}?"}, "phone: expected a telephone number, as in +212 528 12 34 56"),
    ({"language": SECRET}, "language: Input should be 'fr', 'ar' or 'en'"),
]


@pytest.mark.parametrize(("change", "message"), CONTACT_CASES)
def test_a_wrong_contact_is_told_how(change: dict[str, Any], message: str) -> None:
    headers = {"ce_specversion": "1.0", "ce_id": "1", "ce_type": "maillage.contact.published.v1"}
    assert read(CONTACTS, b"souss/argania", json.dumps(CONTACT).encode(), raw(headers)).key == KEY
    body = json.dumps(CONTACT | change).encode()
    expected = f"body is not a maillage.contact.published.v1: {message}"
    assert refusal(CONTACTS, b"souss/argania", body, headers) == expected


def test_topics_that_share_a_key_erase_each_their_own() -> None:
    member, contact = (
        write(topic, KEY, None, rev=2, source="/test", occurred_at=NOON) for topic in (MEMBERS, CONTACTS)
    )
    assert member.key == contact.key
    assert member.headers["ce_id"] != contact.headers["ce_id"]
    assert (member.headers["ce_type"], contact.headers["ce_type"]) == (
        "maillage.member.erased.v1",
        "maillage.contact.erased.v1",
    )


def test_a_body_too_large_is_refused_unread() -> None:
    body = b"x" * (MAX_EVENT_BYTES + 1)
    message = "body has 1,000,001 bytes; at most 1,000,000 are read"
    assert refusal(MEMBERS, RECORD.key, body, HEADERS) == message
    padded = (RECORD.body or b"").ljust(MAX_EVENT_BYTES)
    assert read(MEMBERS, RECORD.key, padded, raw(RECORD.headers)).value == MEMBER


SHAPE = "expected cluster/member_id"
SLUG = "expected 1 to 80 letters, digits, dots, underscores or hyphens, a letter or digit first"
KEY_CASES: list[tuple[bytes | None, str]] = [
    (None, f"record has no key; {SHAPE}"),
    (b"", f"record has no key; {SHAPE}"),
    (b"\xff/" + SECRET.encode(), f"record key: not UTF-8; {SHAPE}"),
    (SECRET.encode(), f"record key: 1 part; {SHAPE}"),
    (f"souss/{SECRET}/more".encode(), f"record key: 3 parts; {SHAPE}"),
    (b"/", f"record key: cluster: {SLUG}; member_id: {SLUG}"),
    (b"souss/", f"record key: member_id: {SLUG}"),
    (b"souss/argania\n", f"record key: member_id: {SLUG}"),
    (b"souss/ argania", f"record key: member_id: {SLUG}"),
    (b"souss/..", f"record key: member_id: {SLUG}"),
    ("souss/arganié".encode(), f"record key: member_id: {SLUG}"),
    (b"souss/" + b"a" * 81, f"record key: member_id: {SLUG}"),
    (f"souss/{SECRET}".encode(), "record key is not that of its body; they differ in member_id"),
    (f"{SECRET}/{SECRET}".encode(), "record key is not that of its body; they differ in cluster and member_id"),
]


@pytest.mark.parametrize(("key", "message"), KEY_CASES)
def test_a_wrong_key_is_told_how(key: bytes | None, message: str) -> None:
    assert refusal(MEMBERS, key, RECORD.body, HEADERS) == message


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (SECRET.encode(), "record key: suggestion_id: expected a UUID in lower case with hyphens"),
        # The broker compacts by bytes: two spellings would be two entities, of which an erasure reaches one.
        (b"6BA7B810-9DAD-11D1-80B4-00C04FD430C8", "record key: expected the UUID in lower case with hyphens"),
        (b"6ba7b8109dad11d180b400c04fd430c8", "record key: expected the UUID in lower case with hyphens"),
        (b"urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8", "record key: expected the UUID in lower case with hyphens"),
    ],
)
def test_a_uuid_has_one_spelling_in_keys(key: bytes, message: str) -> None:
    assert refusal(SUGGESTIONS, key, None, {}) == message


REV = "header ce_rev: expected a whole number from 1 to 9007199254740991"


@pytest.mark.parametrize("rev", ["", "0", "-1", "1.5", "٣", "+1", " 1", "1_0", SECRET, "9007199254740992", "9" * 5_000])
def test_an_erasure_with_a_wrong_rev_is_refused(rev: str) -> None:
    assert refusal(MEMBERS, b"souss/argania", None, {"ce_rev": rev}) == REV


def test_a_topic_that_is_not_compacted_erases_nothing() -> None:
    key = b"6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    message = "record has no body; feedback.v1 keeps every event and erases nothing"
    assert refusal(FEEDBACK, key, None, RECORD.headers) == message


def test_no_message_quotes_what_was_sent() -> None:
    cases = [
        *(refusal(MEMBERS, RECORD.key, RECORD.body, HEADERS | headers) for headers, _ in HEADER_CASES.values()),
        *(refusal(MEMBERS, RECORD.key, body, HEADERS) for body, _ in BODY_CASES.values()),
        *(
            refusal(MEMBERS, RECORD.key, json.dumps(BODY | change).encode(), RECORD.headers)
            for change, _ in FIELD_CASES
        ),
        *(refusal(MEMBERS, key, RECORD.body, HEADERS) for key, _ in KEY_CASES),
    ]
    assert not [message for message in cases if SECRET in message]


@given(
    key=st.none() | st.binary(max_size=30) | st.just(b"souss/argania"),
    body=st.none() | st.binary(max_size=30) | st.text().map(str.encode) | st.just(RECORD.body),
    headers=st.dictionaries(st.sampled_from(list(RECORD.headers)), st.none() | st.binary(max_size=30)),
)
@settings(max_examples=500, deadline=None)
def test_any_record_is_read_or_refused(key: bytes | None, body: bytes | None, headers: dict[str, bytes | None]) -> None:
    """Any other error than `MalformedEventError` would be taken for a passing fault, and hold up the partition."""
    for topic in TOPICS:
        for complete in (headers, HEADERS | headers):
            with suppress(MalformedEventError):
                envelope = read(topic, key, body, raw(complete))
                assert isinstance(envelope.key, topic.key)
                assert (envelope.value is None) == (body is None)


class TestWriting:
    def refused(self, topic: Topic, key: Key, value: Event | None, *, rev: int = 3, when: datetime = NOON) -> str:
        with pytest.raises(MalformedEventError) as caught:
            write(topic, key, value, rev=rev, source="/test", occurred_at=when)
        return str(caught.value)

    def test_no_erasure_where_every_event_counts(self) -> None:
        key = FeedbackKey(suggestion_id=UUID(int=1))
        assert self.refused(FEEDBACK, key, None) == "feedback.v1 keeps every event: a record there must have a body"

    def test_no_event_on_another_topic(self) -> None:
        assert self.refused(NEEDS, KEY, MEMBER) == "needs.v1 is keyed by NeedKey, not MemberKey"
        key = NeedKey(cluster="souss", need_id="argania")
        assert self.refused(NEEDS, key, MEMBER) == "needs.v1 does not carry MemberPublished"
        other = SuggestionKey(suggestion_id=UUID(int=1))
        assert self.refused(FEEDBACK, other, None) == "feedback.v1 is keyed by FeedbackKey, not SuggestionKey"

    def test_no_other_key_or_rev_than_the_events(self) -> None:
        message = "key and rev must be those of the event itself"
        assert self.refused(MEMBERS, MemberKey(cluster="souss", member_id="other"), MEMBER) == message
        assert self.refused(MEMBERS, KEY, MEMBER, rev=4) == message

    @pytest.mark.parametrize("rev", [0, -1, MAX_COUNT + 1])
    def test_no_rev_that_nobody_would_read(self, rev: int) -> None:
        assert self.refused(MEMBERS, KEY, None, rev=rev) == "rev must be a whole number from 1 to 9007199254740991"

    def test_no_time_without_a_zone(self) -> None:
        assert self.refused(MEMBERS, KEY, MEMBER, when=datetime(2026, 1, 31)) == "occurred_at must have a time zone"

    def test_no_body_too_large(self) -> None:
        asset = {"asset_id": "a", "title": "t", "text": "ن" * 20_000}
        body = BODY | {"assets": [asset] * 26}
        large = MemberPublished.model_validate(body)
        assert self.refused(MEMBERS, KEY, large).endswith(" bytes; at most 1,000,000 are read")
