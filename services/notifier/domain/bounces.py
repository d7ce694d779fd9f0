"""What an e-mail that came back says (RFC 3464): whether it was not delivered, and whether nobody is there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, message_from_string
from email.message import Message
from typing import Final

from services.notifier.domain.reaching import address_gone

_STATUS: Final = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_SAYS_NOTHING: Final = ".0.0"

_REPORTS: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
"""The part that programs read. Its second form (RFC 6533) is about addresses beyond ASCII."""


@dataclass(frozen=True, slots=True)
class Bounce:
    """An e-mail was not delivered. `status`: its enhanced code (RFC 3463), or empty; `gone`: nobody is there."""

    status: str
    gone: bool


def bounce_in(raw: bytes) -> Bounce | None:
    """Return what a message says of one that was not delivered; none if it says nothing of the kind.

    Only a report as the standard has it counts: an automatic answer, a report of a delay, or a person who forwards a
    report says nothing. That nobody is there takes an enhanced code: the three digits alone may be about the text.
    """
    mail = message_from_bytes(raw)
    if mail.get_content_type() != "multipart/report" or not mail.is_multipart():
        return None
    bounces = [
        _bounce(said)
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
            if part.get_content_type() != "message/delivery-status" and isinstance(rest := group.get_payload(), str):
                # The library knows the first form alone: of the other it takes what follows for the body of a message.
                yield from (message_from_string(fields) for fields in re.split(r"\r?\n\r?\n", rest))


def _bounce(said: "Message[str, str]") -> Bounce:
    codes = [found[1] for name in ("Status", "Diagnostic-Code") if (found := _STATUS.search(str(said.get(name, ""))))]
    status = next((code for code in codes if not code.endswith(_SAYS_NOTHING)), codes[0] if codes else "")
    return Bounce(status, gone=bool(codes) and codes[0].startswith("5") and address_gone(0, status))
