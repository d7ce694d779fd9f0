"""Ways to tell somebody: one port, an adapter each. The inbox needs none: what is stored is in it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from schemas.ambassadors import AmbassadorPublished
from schemas.suggestions import SuggestionMade
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
        link: private address of this suggestion in the reader's inbox.
    """

    row: UUID
    suggestion: SuggestionMade
    leads: bool
    colleagues: tuple[Colleague, ...]
    link: str


@dataclass(frozen=True, slots=True)
class Message:
    """What one person is told by one channel.

    Attributes:
        notification_id: the same at every try: what a receiver recognises a repetition by.
        to: the reader, with how to reach them as of now.
        items: what it tells, the best first; one at least. Only letters tell several.
        link: private address of all that it tells, in the reader's inbox.
        now: the moment of this try.
    """

    notification_id: UUID
    to: AmbassadorPublished
    items: tuple[Item, ...]
    link: str
    now: datetime


class RefusedError(PermanentError):
    """The receiver's side will never take this message. The reason carries no address and no name."""


class UnreachableError(TransientError):
    """The receiver's side did not take it now. The reason carries no address and no name.

    Attributes:
        retry_after: what the receiver's side asked for, if it did.
    """

    def __init__(self, reason: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Channel(Protocol):
    """One way to tell somebody."""

    async def deliver(self, message: Message) -> None:
        """Return once the receiver's side has taken the message.

        Raises:
            RefusedError: it never will.
            UnreachableError: it may take it later.
        """
