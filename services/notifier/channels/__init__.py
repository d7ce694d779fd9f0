"""Ways to tell somebody: one port, an adapter each. The inbox needs none: what is stored is in it.

Letters about introductions go by e-mail alone: it is all that is known of a member's contact.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from schemas.ambassadors import AmbassadorPublished
from schemas.contacts import ContactPublished
from schemas.feedback import Side
from schemas.suggestions import SuggestionMade
from services.notifier.domain.introduction import Purpose
from services.notifier.domain.preferences import Person
from services.notifier.domain.reaching import Fault, Matter, Off, Way
from services.runtime.errors import PermanentError, TransientError


@dataclass(frozen=True, slots=True)
class Colleague:
    """Somebody else who is told of the same suggestion: name and city, never a contact. `ambassador` is their key."""

    ambassador: str
    name: str
    city_name: str
    leads: bool


@dataclass(frozen=True, slots=True)
class Item:
    """One suggestion in a message.

    Attributes:
        row: the id of its delivery: that of the message itself, if it is alone in it.
        leads: whether the reader is the one to act.
        stands_in: whether the reader is told because nobody else did anything; `passed_by`: passed it on to them.
        told_at: when the reader was told of it already, should this be a reminder.
        link: private address of this suggestion in the reader's inbox.
    """

    row: UUID
    suggestion: SuggestionMade
    leads: bool
    colleagues: tuple[Colleague, ...]
    link: str
    stands_in: bool = False
    passed_by: Colleague | None = None
    told_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What one person is told by one channel.

    Attributes:
        notification_id: the same at every try: what a receiver recognises a repetition by.
        to: the reader, with how to reach them as of now.
        items: what it tells, the best first; one at least. Only letters tell several.
        link: private address of all that it tells, in the reader's inbox.
        unsubscribe: address at which the reader ends e-mails like this one; it opens nothing else.
        preferences: private address at which the reader sets when they come.
        now: the moment of this try.
    """

    notification_id: UUID
    to: AmbassadorPublished
    items: tuple[Item, ...]
    link: str
    unsubscribe: str
    preferences: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Introducer:
    """In whose name an introduction is made: name and city, and where answers go, if anywhere."""

    name: str
    city_name: str
    email: str | None


@dataclass(frozen=True, slots=True)
class Invitation:
    """A letter about an introduction, to the contact of one side, or to the ambassador who made it.

    Attributes:
        notification_id: as of a `Message`.
        to: the reader, with how to reach them as of now.
        side: whose contact the reader is; none: the ambassador.
        introduced_at: when the introduction was made.
        contact: of the other side, once both have accepted.
        link: private address at which the reader answers.
        now: the moment of this try.
    """

    notification_id: UUID
    to: ContactPublished | AmbassadorPublished
    purpose: Purpose
    side: Side | None
    suggestion: SuggestionMade
    introducer: Introducer
    introduced_at: datetime
    contact: ContactPublished | None
    link: str
    now: datetime


@dataclass(frozen=True, slots=True)
class WayIn:
    """A letter with a link that opens a session, to somebody who has just asked for it.

    Attributes:
        notification_id: as of a `Message`.
        link: address that opens the session, once.
        minutes: how long the link is good, from when it was asked for.
        now: the moment of this try.
    """

    notification_id: UUID
    to: Person
    link: str
    minutes: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Unreached:
    """An ambassador whom a way does not reach. `inbox_alone`: nor does any other but the inbox."""

    name: str
    way: Way
    off: Off
    inbox_alone: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """What tells of no suggestion: a test message, or a warning to a desk.

    Attributes:
        notification_id: as of a `Message`.
        to: the reader, with how to reach them as of now.
        unreached: of a warning, whom it is about.
        at: when the test was asked for, or since when somebody is not reached.
        link: private address of the page on which the reader can do something about it.
        now: the moment of this try.
    """

    notification_id: UUID
    to: AmbassadorPublished
    matter: Matter
    unreached: Unreached | None
    at: datetime
    link: str
    now: datetime


Outgoing = Message | Invitation | WayIn | Notice
"""Whatever is sent to somebody."""


class RefusedError(PermanentError):
    """The receiver's side will never take this message. The reason carries no address and no name.

    Attributes:
        gone: it said so of the receiver, not of the message: it will take no other either.
        fault: whose fault it is: ours, should it not have been asked at all.
    """

    def __init__(self, reason: str, *, gone: bool = False, fault: Fault = Fault.THEIRS) -> None:
        super().__init__(reason)
        self.gone = gone
        self.fault = fault


class UnreachableError(TransientError):
    """The receiver's side did not take it now. The reason carries no address and no name.

    Attributes:
        retry_after: what the receiver's side asked for, if it did.
        fault: whose fault it is, as far as is known.
    """

    def __init__(self, reason: str, *, retry_after: timedelta | None = None, fault: Fault = Fault.UNKNOWN) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.fault = fault


class Channel(Protocol):
    """One way to tell somebody."""

    async def deliver(self, message: Outgoing) -> None:
        """Return once the receiver's side has taken the message.

        Raises:
            RefusedError: it never will.
            UnreachableError: it may take it later.
        """

    async def close(self) -> None:
        """Let go of what is kept open between messages. The next message opens it anew."""
