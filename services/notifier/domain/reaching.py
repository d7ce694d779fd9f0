"""Whether somebody can be reached by a channel: from how deliveries ended, never from the words of a reason."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from schemas.ambassadors import AmbassadorPublished

FAILURES_IN_A_ROW: Final = 5
"""Deliveries by webhook or chat that fail one after another until it is off: each was tried for days, or refused."""

FAILING_FOR: Final = timedelta(days=1)
"""Between the first and the last of these at least: what one bad hour does to many messages is not for ever."""

TESTED_EVERY: Final = timedelta(minutes=10)
"""Between two test messages by one channel: time to mend something, and too few to bother anybody with."""

ENHANCED: Final = re.compile(r"(?<![\w./])[245]\.\d{1,3}\.\d{1,3}(?!\w|\.\d)")
"""An enhanced code in the words of a mail server (RFC 3463), and no part of an address of a machine."""

_GONE: Final = re.compile(r"5\.(1\.(1|2|3|4|6|10)|2\.1)")
"""Enhanced codes that speak of the recipient's address or of a mailbox that was closed (RFC 3463, RFC 7505). Not among
them: 5.1.7 and 5.1.8, which are about the sender, 5.1.0, which servers say of the sender too, 5.2.2, a full mailbox,
and 5.7, a policy."""


class Way(StrEnum):
    """A way to send: each has hands of its own. A chat message is a letter sent another way."""

    EMAIL = "email"
    WEBHOOK = "webhook"
    CHAT = "chat"


class Reason(StrEnum):
    """Why a way was turned off: refused for the recipient, bounced later, gone (410), or failing for long."""

    REFUSED = "refused"
    BOUNCED = "bounced"
    GONE = "gone"
    FAILING = "failing"


class Fault(StrEnum):
    """On whose side a delivery failed: the receiver's, which said so; ours; or nobody answered, and it is not known."""

    THEIRS = "theirs"
    OURS = "ours"
    UNKNOWN = "unknown"


class Matter(StrEnum):
    """What a message is about that tells of no suggestion: a test, or a warning to a desk that a way is off."""

    TEST = "test"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Off:
    """A way that is turned off: since when, and why."""

    since: datetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class Reach:
    """How somebody is reached one way. `address` is a digest of where it leads to; `off`: none while it works."""

    address: str
    off: Off | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """How a delivery failed. `gone`: the other side says that nobody is there; `bounced`: after it had been taken."""

    at: datetime
    gone: bool = False
    bounced: bool = False


def address_gone(enhanced: str | None) -> bool:
    """Return whether a mail server's answer to a recipient says that there is no such mailbox, now and later.

    Args:
        enhanced: as `5.1.1` (RFC 3463); none: there is none. The three digits of SMTP say too little: 550 and 553 are
            also what a server says to everybody of whom it thinks ill, or for whom it does not pass anything on.
    """
    return enhanced is not None and _GONE.fullmatch(enhanced) is not None


def turned_off(way: Way, last: Failure, in_a_row: Sequence[datetime]) -> Off | None:
    """Return since when and why a way is off, now that a delivery by it has failed; none: it is not.

    Args:
        way: how it was sent. Of a chat service it is known only that it did not take a message, never why.
        last: how it failed.
        in_a_row: when deliveries to the same address failed since one succeeded, this one included; none of them was
            our fault.
    """
    if last.gone:
        reason = Reason.GONE if way is not Way.EMAIL else Reason.BOUNCED if last.bounced else Reason.REFUSED
        return Off(last.at, reason)
    lasting = len(in_a_row) >= FAILURES_IN_A_ROW and max(in_a_row) - min(in_a_row) >= FAILING_FOR
    if way is not Way.EMAIL and lasting:  # an e-mail is refused for what is in it, too
        return Off(last.at, Reason.FAILING)
    return None


def addresses(person: AmbassadorPublished) -> Mapping[Way, str]:
    """Return where each way to somebody leads to, with the secret that it takes: with another, it may work."""
    found: dict[Way, str] = {}
    if person.email is not None:
        found[Way.EMAIL] = person.email
    if person.webhook is not None:
        found[Way.WEBHOOK] = f"{person.webhook.url}\n{person.webhook.secret}"
    if person.chat:
        found[Way.CHAT] = "\n".join(person.chat)
    return found
