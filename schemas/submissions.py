"""`submissions.v1` and `submission-results.v1`: what an organisation's own producer sends, and what came of each.

A submission is no event yet: its body is a line of `POST /v1/bulk`, plain JSON, and its headers say by a signature who
sent it. The signature is that of Standard Webhooks: an HMAC-SHA-256 over `id.timestamp.body`, in base64 after `v1,`.
"""

import base64
import hashlib
import hmac
import re
from datetime import datetime
from typing import Annotated, ClassVar, Final

from pydantic import Field

from schemas.base import Contract, Event, Rev, Slug, UtcDatetime
from schemas.members import MemberKey

KEY_HEADER: Final = "maillage-key"
"""Id of the key that signed."""
ID_HEADER: Final = "webhook-id"
"""Id of the submission: the same id is the same submission, however often it is sent."""
TIMESTAMP_HEADER: Final = "webhook-timestamp"
"""When it was signed, whole seconds since 1970."""
SIGNATURE_HEADER: Final = "webhook-signature"
"""One or more signatures, separated by spaces; one that is right is enough."""

SIGNED_HEADERS: Final = (KEY_HEADER, ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)

KEY_ID_PATTERN: Final = r"^[0-9a-f]{16}$"
SUBMISSION_ID_PATTERN: Final = r"^[!-\-/-~]{1,255}$"
"""Visible ASCII but the full stop, which ends the id in what is signed."""
TIMESTAMP_PATTERN: Final = r"^[0-9]{1,11}$"

_KEY: Final = re.compile(r"mk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_SCHEME: Final = "v1,"


def signing_secret(key: str) -> tuple[str, bytes]:
    """Return the id of an organisation's key, and what it signs with: the SHA-256 of its secret part, 32 bytes.

    Raises:
        ValueError: it is no such key.
    """
    parts = _KEY.fullmatch(key)
    if parts is None:
        raise ValueError("expected a key as the operator issued it, mk_...")
    return parts[1], hashlib.sha256(parts[2].encode()).digest()


def signature_of(secret: bytes, submission_id: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a submission, as its header has it."""
    signed = b".".join((submission_id.encode(), timestamp.encode(), body))
    return _SCHEME + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()


def is_signed(secret: bytes, submission_id: str, timestamp: str, body: bytes, signatures: str) -> bool:
    """Whether one of `signatures`, separated by spaces, is that of the submission."""
    right = signature_of(secret, submission_id, timestamp, body).encode()
    return any(hmac.compare_digest(right, given.encode()) for given in signatures.split(" "))


def sign(key: str, body: bytes, *, submission_id: str, at: datetime) -> dict[str, str]:
    """Return the headers of a submission.

    Args:
        key: the organisation's, as the operator issued it.
        body: the value of the record, byte for byte.
        submission_id: new for each submission, the same when one is sent again.
        at: now.

    Raises:
        ValueError: the key or the id is malformed, or `at` has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError("at must have a time zone")
    if not re.fullmatch(SUBMISSION_ID_PATTERN, submission_id):
        raise ValueError("submission_id: expected 1 to 255 visible ASCII characters, none of them a full stop")
    key_id, secret = signing_secret(key)
    timestamp = str(int(at.timestamp()))
    return {
        KEY_HEADER: key_id,
        ID_HEADER: submission_id,
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: signature_of(secret, submission_id, timestamp, body),
    }


class Remark(Contract):
    """Something to know of one field."""

    field: Annotated[str, Field(max_length=200, description="Its path, as in `assets.0.title`")]
    detail: Annotated[str, Field(max_length=2_000, description="What there is to know")]
    remedy: Annotated[str, Field(max_length=2_000, description="What to do about it")]


class RefusedField(Remark):
    """One field that cannot be taken."""

    value: Annotated[str, Field(max_length=0, description="Always empty: what was sent is not repeated here")] = ""


class Refusal(Contract):
    """Problem details (RFC 9457), as the HTTP interface gives them, without the values that were sent."""

    type: Annotated[str, Field(max_length=200)] = "about:blank"
    title: Annotated[str, Field(max_length=200)]
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(max_length=2_000)]
    errors: Annotated[tuple[RefusedField, ...], Field(max_length=50)] = ()


class SubmissionAnswered(Event):
    """What came of a submission. `rev` is 1: an answer has one state; the same answer twice has the same event id."""

    event_type: ClassVar[str] = "maillage.submission.answered.v1"

    cluster: Slug
    member_id: Annotated[Slug, Field(description="Whose key signed the submission")]
    submission_id: Annotated[
        str, Field(pattern=SUBMISSION_ID_PATTERN, description=f"The header `{ID_HEADER}` of the submission")
    ]
    answered_at: UtcDatetime
    status: Annotated[int, Field(ge=200, le=599, description="202: taken and published; else that of the problem")]
    kind: Annotated[Slug | None, Field(description="`members` or `needs`: what was published; none: nothing was")] = (
        None
    )
    entity_id: Annotated[Slug | None, Field(description="Of what was published: `member_id` or `need_id`")] = None
    entity_rev: Annotated[Rev | None, Field(description="The `rev` that it has now")] = None
    notes: Annotated[
        tuple[Remark, ...], Field(max_length=100, description="What there is to know of what was taken all the same")
    ] = ()
    problem: Annotated[Refusal | None, Field(description="Why it was refused; none: it was taken")] = None

    @property
    def key(self) -> MemberKey:
        """The record key of this event: the organisation."""
        return MemberKey(cluster=self.cluster, member_id=self.member_id)
