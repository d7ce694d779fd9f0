"""Who sent a record of `submissions.v1`: its signature says, and nothing else does."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.cloudevents import TRACEPARENT_PATTERN
from schemas.submissions import (
    ID_HEADER,
    KEY_HEADER,
    KEY_ID_PATTERN,
    SIGNATURE_HEADER,
    SIGNED_HEADERS,
    SUBMISSION_ID_PATTERN,
    TIMESTAMP_HEADER,
    TIMESTAMP_PATTERN,
    is_signed,
)
from services.ingest.claims import KEPT_SECONDS
from services.ingest.keys import Issued, Organisation, Signer
from services.ingest.problems import Problem
from services.runtime.errors import PermanentError

Headers = Iterable[tuple[str, bytes | None]]

OLDEST: Final = timedelta(seconds=KEPT_SECONDS) - timedelta(hours=1)
"""How long ago a submission may have been signed: less than its answer is remembered for, by more than clocks differ
and one partition is read behind another. What is put on the topic again after that is refused for its age."""

AHEAD: Final = timedelta(minutes=5)
"""How far the sender's clock may be ahead of ours."""

_EXPECTED: Final = {
    KEY_HEADER: (KEY_ID_PATTERN, "expected the id of a key, 16 digits 0-9a-f, and nothing of its secret"),
    ID_HEADER: (SUBMISSION_ID_PATTERN, "expected 1 to 255 visible ASCII characters, none of them a full stop"),
    TIMESTAMP_HEADER: (TIMESTAMP_PATTERN, "expected whole seconds since 1970"),
}


class UnsignedError(PermanentError):
    """Nobody signed the record, so there is nobody to answer. The message quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A record whose sender is known.

    Attributes:
        submission_id: the same id is the same submission.
        body: as it was signed.
        traceparent: W3C trace context, not signed; none where absent or not well-formed.
    """

    sender: Organisation
    key: Issued
    submission_id: str
    signed_at: datetime
    body: bytes
    traceparent: str | None


def key_named(headers: Headers) -> str | None:
    """Return the id of the key by which a record says that it is signed; none: it names none."""
    value = dict(headers).get(KEY_HEADER) or b""
    return value.decode() if re.fullmatch(KEY_ID_PATTERN.encode(), value) else None


def opened(headers: Headers, body: bytes | None, signer_of: Callable[[str], Signer | None]) -> Submission:
    """Return the submission in a record.

    Args:
        signer_of: tells whose key has an id.

    Raises:
        UnsignedError: no key of ours signed it as it is.
    """
    given = _read(headers)
    signer = signer_of(given[KEY_HEADER])
    if signer is None:
        raise UnsignedError(
            f"header {KEY_HEADER}: no key has this id; it was revoked, has ended, or was never issued. If it ended "
            "just now, the record may have been taken before"
        )
    content = body or b""
    about = given[ID_HEADER], given[TIMESTAMP_HEADER]
    if not is_signed(signer.secret, *about, content, given[SIGNATURE_HEADER]):
        raise UnsignedError(
            f"header {SIGNATURE_HEADER}: not the signature of these bytes, {ID_HEADER} and {TIMESTAMP_HEADER} by the "
            f"key that {KEY_HEADER} names"
        )
    return Submission(
        sender=signer.key.organisation,
        key=signer.key,
        submission_id=given[ID_HEADER],
        signed_at=datetime.fromtimestamp(int(given[TIMESTAMP_HEADER]), UTC),
        body=content,
        traceparent=given.get("traceparent"),
    )


def untimely(submission: Submission, *, now: datetime) -> Problem | None:
    """Return why a submission is not taken at this time; none: it is."""
    if submission.signed_at > now + AHEAD:
        return Problem(
            401,
            "Signed ahead of time",
            f"{TIMESTAMP_HEADER} is more than {AHEAD.seconds // 60} minutes ahead. Correct your clock and sign again.",
        )
    if submission.signed_at < now - OLDEST:
        return Problem(
            401,
            "Signed too long ago",
            f"It was signed more than {OLDEST.total_seconds() / 3600:.0f} hours before it was read, and whoever may "
            "write the topic may repeat what is old. If it still holds, sign it again.",
        )
    return None


def _read(headers: Headers) -> Mapping[str, str]:
    """Return what we need of the headers. Of others nothing is asked, not even that they are text."""
    found: dict[str, str] = {}
    named = dict(headers)
    for name in SIGNED_HEADERS:
        if not (value := named.get(name)):
            raise UnsignedError(f"header {name} is missing")
        try:
            found[name] = value.decode("ascii")
        except UnicodeDecodeError:
            raise UnsignedError(f"header {name} is not ASCII") from None
        pattern, expected = _EXPECTED.get(name, ("", ""))
        if pattern and not re.fullmatch(pattern, found[name]):
            raise UnsignedError(f"header {name}: {expected}")
    context = (named.get("traceparent") or b"").decode(errors="replace")
    return found | ({"traceparent": context} if re.fullmatch(TRACEPARENT_PATTERN, context) else {})
