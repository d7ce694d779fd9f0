"""`notifications.v1`: what was delivered, or could not be, to be audited. Names nobody and carries no address."""

from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from schemas.base import Count, Event, Key, Slug, UtcDatetime
from schemas.feedback import Side


class Channel(StrEnum):
    """A way to reach somebody."""

    INBOX = "inbox"
    EMAIL = "email"
    WEBHOOK = "webhook"


class NotificationKey(Key):
    """`notification_id`."""

    notification_id: UUID


class _Notification(Event):
    notification_id: UUID
    suggestion_id: UUID
    revision: Count
    cluster: Slug
    ambassador_id: Slug
    side: Annotated[Side | None, Field(description="The member told, of an introduction; none: the ambassador")] = None
    channel: Channel
    chat: Annotated[
        bool, Field(description="A chat service told it, at the pace of e-mails and not by one: `channel` is `email`")
    ] = False
    attempts: Annotated[Count, Field(description="Tries made, the last one included")]

    @property
    def key(self) -> NotificationKey:
        """The record key of this event."""
        return NotificationKey(notification_id=self.notification_id)


class NotificationDelivered(_Notification):
    """The receiver's side took the message."""

    event_type: ClassVar[str] = "maillage.notification.delivered.v1"

    delivered_at: UtcDatetime


class NotificationFailed(_Notification):
    """The message could not be delivered and will not be tried again, or came back after it had been (`rev` 2)."""

    event_type: ClassVar[str] = "maillage.notification.failed.v1"

    failed_at: UtcDatetime
    reason: Annotated[str, Field(max_length=500, description="For an operator; without addresses or names")]
