"""Whose record it is: the signature says, and whatever is changed of what it covers makes it nobody's."""

import base64
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from schemas.members import MemberKey
from schemas.submissions import ID_HEADER, KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign, signing_secret
from services.ingest.keys import PUBLISHING, Issued, Signer
from services.ingest.signed import AHEAD, OLDEST, UnsignedError, key_named, opened, untimely

PAGE = (Path(__file__).parents[3] / "docs" / "ingest.md").read_text(encoding="utf-8")

KEY = "mk_0123456789abcdef_a-key-for-this-page-alone-worth-nothing-els"
OTHER = "mk_fedcba9876543210_another-key-of-another-organisation-0123456"
SIGNED_AT = datetime(2026, 1, 1, tzinfo=UTC)
BODY = '{"need_id": "tourteau", "member_id": "argania-tech", "title": "Valoriser le tourteau d’argan"}'.encode()
HEADERS = sign(KEY, BODY, submission_id="tourteau-2026", at=SIGNED_AT)


def signer(key: str, member: str) -> Signer:
    key_id, secret = signing_secret(key)
    whose = MemberKey(cluster="souss", member_id=member)
    return Signer(Issued(key_id, whose, PUBLISHING, "", SIGNED_AT, None, None, None), secret)


WHOSE = {one.key.key_id: one for one in (signer(KEY, "argania-tech"), signer(OTHER, "atlas-lab"))}


def raw(headers: dict[str, str]) -> list[tuple[str, bytes | None]]:
    return [(name, value.encode()) for name, value in headers.items()]


def refusal(headers: dict[str, str], body: bytes | None = BODY) -> str:
    with pytest.raises(UnsignedError) as caught:
        opened(raw(headers), body, WHOSE.get)
    return str(caught.value)


def test_the_vector_of_the_page_is_what_is_signed() -> None:
    vector = dict(re.findall(r"^\| (?:header )?`?([\w-]+)`? \| `(.+)` \|$", PAGE, re.MULTILINE))
    assert vector["key"] == KEY
    assert vector["secret"] == signing_secret(KEY)[1].hex()
    assert vector["body"].encode() == BODY
    assert {name: vector[name] for name in HEADERS} == HEADERS


def test_what_is_signed_is_its_senders() -> None:
    found = opened([*raw(HEADERS), ("x-note", b"\xff"), ("traceparent", None)], BODY, WHOSE.get)
    assert found.sender.member == MemberKey(cluster="souss", member_id="argania-tech")
    assert (found.submission_id, found.signed_at, found.body) == ("tourteau-2026", SIGNED_AT, BODY)


def test_a_public_library_signs_and_is_verified_by_the_same() -> None:
    secret = "whsec_" + base64.b64encode(signing_secret(KEY)[1]).decode()
    theirs = Webhook(secret).sign("tourteau-2026", SIGNED_AT, BODY.decode())
    assert theirs == HEADERS[SIGNATURE_HEADER]
    now = datetime.now(UTC)
    Webhook(secret).verify(BODY.decode(), sign(KEY, BODY, submission_id="x", at=now))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({ID_HEADER: "tourteau-2027"}, "webhook-signature: not the signature"),
        ({TIMESTAMP_HEADER: "1767225601"}, "webhook-signature: not the signature"),
        ({SIGNATURE_HEADER: sign(KEY, BODY, submission_id="x", at=SIGNED_AT)[SIGNATURE_HEADER]}, "not the signature"),
        ({KEY_HEADER: signing_secret(OTHER)[0]}, "webhook-signature: not the signature"),
        ({KEY_HEADER: "0" * 16}, "maillage-key: no key has this id; it was revoked, has ended, or was"),
        ({KEY_HEADER: KEY}, "maillage-key: expected the id of a key, 16 digits 0-9a-f, and nothing of its secret"),
        ({ID_HEADER: "two words"}, "webhook-id: expected 1 to 255 visible ASCII characters"),
        ({ID_HEADER: "a.1"}, "webhook-id: expected 1 to 255 visible ASCII characters"),
        ({TIMESTAMP_HEADER: "2026-01-01T00:00:00Z"}, "webhook-timestamp: expected whole seconds since 1970"),
        ({TIMESTAMP_HEADER: "-1"}, "webhook-timestamp: expected whole seconds since 1970"),
        ({SIGNATURE_HEADER: "é"}, "webhook-signature is not ASCII"),
        ({SIGNATURE_HEADER: HEADERS[SIGNATURE_HEADER].removeprefix("v1,")}, "webhook-signature: not the signature"),
        *(({name: ""}, f"header {name} is missing") for name in HEADERS),
    ],
)
def test_what_is_changed_is_nobodys_and_the_reason_quotes_nothing(change: dict[str, str], reason: str) -> None:
    said = refusal(HEADERS | change)
    assert reason in said
    assert not [value for value in (HEADERS | change).values() if len(value) > 1 and value in said]


@pytest.mark.parametrize("body", [BODY + b"\n", BODY.replace(b"argania", b"atlas"), b"", None])
def test_other_bytes_are_nobodys(body: bytes | None) -> None:
    assert "not the signature of these bytes" in refusal(HEADERS, body)


def test_one_right_signature_among_several_is_enough() -> None:
    several = f"v1a,AAAA {HEADERS[SIGNATURE_HEADER]} v1,BBBB"
    assert opened(raw(HEADERS | {SIGNATURE_HEADER: several}), BODY, WHOSE.get).submission_id == "tourteau-2026"


def test_a_key_is_named_by_its_id_alone() -> None:
    assert key_named(raw(HEADERS)) == "0123456789abcdef"
    assert key_named([(KEY_HEADER, KEY.encode())]) is None
    assert key_named([(KEY_HEADER, None)]) is None


@pytest.mark.parametrize(
    ("age", "title"),
    [
        (OLDEST, None),
        (OLDEST + timedelta(seconds=1), "Signed too long ago"),
        (-AHEAD, None),
        (-AHEAD - timedelta(seconds=1), "Signed ahead of time"),
    ],
)
def test_what_was_signed_at_another_time_is_not_taken(age: timedelta, title: str | None) -> None:
    problem = untimely(opened(raw(HEADERS), BODY, WHOSE.get), now=SIGNED_AT + age)
    assert (problem and problem.title) == title
    assert problem is None or problem.status == 401
