"""What an e-mail that came back says (RFC 3464): whether it was not delivered, and whether nobody is there."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from typing import Final

from services.notifier.domain.reaching import ENHANCED, address_gone

_SAYS_NOTHING: Final = ".0.0"

_REPORTS: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
"""The part that programs read. Its second form (RFC 6533) is about addresses beyond ASCII."""

_READ: Final = 64 * 1024
"""Bytes of a report that are read. What programs read comes first; what follows is the e-mail that was sent."""

_PARTS_IN_PARTS: Final = 20
"""Mentions of what may have parts in it. A report has a handful; the library's time grows with depth times length."""

_HAS_PARTS: Final = re.compile(rb"boundary|message/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Bounce:
    """An e-mail was not delivered. `status`: its enhanced code (RFC 3463), or empty; `gone`: nobody is there."""

    status: str
    gone: bool


def bounce_in(raw: bytes, sent_to: Callable[[str], bool]) -> Bounce | None:
    """Return what a message says of one that was not delivered; none if it says nothing of the kind.

    Only a report as the standard has it counts: an automatic answer, a report of a delay, or a person who forwards a
    report says nothing. That nobody is there takes an enhanced code, and that it is said of whom the e-mail was sent
    to: of somebody to whom they have had it passed on, it says nothing of them.

    Args:
        raw: the message as it came.
        sent_to: whether the e-mail was sent to an address.
    """
    raw = raw[:_READ]
    if len(_HAS_PARTS.findall(raw)) > _PARTS_IN_PARTS:
        return None
    mail = message_from_bytes(raw)
    if mail.get_content_type() != "multipart/report" or not mail.is_multipart():
        return None
    bounces = [
        _bounce(said, sent_to)
        for part in mail.get_payload()
        if isinstance(part, Message) and part.get_content_type() in _REPORTS
        for said in _groups(part)
        if str(said.get("Action", "")).partition("(")[0].strip().lower() == "failed"
    ]
    return next((bounce for bounce in bounces if bounce.gone), bounces[0] if bounces else None)


def _groups(part: "Message[str, str]") -> Iterator["Message[str, str]"]:
    """Yield the groups of fields in a report: of the message first, then of each recipient."""
    for group in part.get_payload() if part.is_multipart() else ():
        if isinstance(group, Message):
            yield group
            rest = group.get_payload(decode=True)  # the bytes: as text, what is beyond ASCII would be lost
            if part.get_content_type() != "message/delivery-status" and isinstance(rest, bytes):
                # The library knows the first form alone: of the other it takes what follows for the body of a message.
                yield from (message_from_bytes(fields) for fields in re.split(rb"\r?\n\r?\n", rest))


def _bounce(said: "Message[str, str]", sent_to: Callable[[str], bool]) -> Bounce:
    codes = [found[0] for name in ("Status", "Diagnostic-Code") if (found := ENHANCED.search(str(said.get(name, ""))))]
    status = next((code for code in codes if not code.endswith(_SAYS_NOTHING)), codes[0] if codes else "")
    gone = bool(codes) and codes[0].startswith("5") and address_gone(status)
    return Bounce(status, gone=gone and sent_to(_recipient(said)))


def _recipient(said: "Message[str, str]") -> str:
    """Return whom a group is about: as the sender named them, else as the server that gave up did."""
    # Raw: what is beyond ASCII has been taken for bytes of an unknown character set.
    fields = {name.lower(): str(value) for name, value in said.raw_items()}
    named = fields.get("original-recipient") or fields.get("final-recipient") or ""
    named = named.encode(errors="surrogateescape").decode(errors="replace")
    return named.partition(";")[2].strip().strip("<>")
