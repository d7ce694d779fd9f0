"""One row for each message to one person by one channel, under an id derived from what it is: told once, not twice.

A row with a `purpose` is a letter about an introduction, to one of its sides or to who made it; one with an `errand`
is a letter of the service itself; one with a `matter` is about whether somebody is reached at all; any other tells
somebody of a suggestion.

Rows name ambassadors by their keys and carry no words of a suggestion and no address; both are looked up when sending.
A row is its own outbox entry: `unannounced` until its end is confirmed on the log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from schemas.feedback import Side
from schemas.ids import derived_id
from schemas.notifications import Channel
from services.notifier.domain.entrance import Errand
from services.notifier.domain.introduction import Post, Purpose
from services.notifier.domain.reaching import Fault, Matter, Way
from services.runtime.store import Document


class State(StrEnum):
    """Where a delivery stands: held for a letter, then in one with others or by itself. The last two end it.

    Letters about introductions wait in a state of their own, those of the service itself in another, what is told by
    chat in a third, and what is about reaching somebody in a fourth: an earlier version of us would send them to
    somebody else, or not know what they are.
    """

    TO_SERVE = "to_serve"
    TO_INVITE = "to_invite"
    TO_CHAT = "to_chat"
    TO_NOTIFY = "to_notify"
    HELD = "held"
    IN_LETTER = "in_letter"
    WAITING = "waiting"
    CANCELLED = "cancelled"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Row:
    """One delivery: of one suggestion, or of a letter about several, which have rows of their own.

    Attributes:
        suggestion_id: none of a letter about several, or about none.
        revision: 0 of a letter about several, or about none.
        ambassador: who is told, or in whose name a letter is written.
        purpose: of a letter about an introduction.
        errand: of a letter of the service itself.
        side: of the introduction, whom the letter is to; none: the ambassador.
        receiver: who gets a letter with a purpose or an errand: one at a time is sent to each.
        number: of a reminder, from 1; 0: it is none.
        beside: the e-mail beside which a chat message says the same; none: it is no such message.
        by_chat: whether a chat service has told it, or is to.
        due: when a held one is to be in a letter at the latest; none: at once.
        day: on which day of its reader it counts for their letters; none: it is not sent yet.
        score: the higher, the sooner it is told.
        deadline: of the request.
        posted_at: when what brought the suggestion about was published; none: nothing was.
        traceparent: W3C trace context of the suggestion; none: it is not traced.
        attempts: tries made, the one in hand included.
        lease: who has it in hand; whoever lost the lease changes nothing any more.
        ended_at: when it was delivered or failed.
        reason: for an operator, of a failed one, or the last of one that is tried again.
        matter: of what is about reaching somebody.
        concerns: of a warning, whom; `concerns_way`: the way that does not reach them.
        address: a digest of where it went, of one to an ambassador that ended.
        gone: whether the receiver's side said that nobody is there.
        fault: whose fault it is that it failed.
        bounced_at: when it came back after it had been delivered.
    """

    notification_id: UUID
    suggestion_id: UUID | None
    revision: int
    ambassador: str
    channel: Channel
    made_at: datetime
    purpose: Purpose | None = None
    side: Side | None = None
    receiver: str | None = None
    number: int = 0
    errand: Errand | None = None
    beside: UUID | None = None
    by_chat: bool = False
    due: datetime | None = None
    day: str | None = None
    score: float = 0.0
    deadline: datetime | None = None
    posted_at: datetime | None = None
    traceparent: str | None = None
    state: State = State.WAITING
    attempts: int = 0
    lease: UUID | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    matter: Matter | None = None
    concerns: str | None = None
    concerns_way: Way | None = None
    address: str | None = None
    gone: bool = False
    fault: Fault = Fault.THEIRS
    bounced_at: datetime | None = None

    @property
    def to(self) -> str:
        """Who gets it: one at a time is sent to each."""
        return self.receiver or self.ambassador

    @property
    def way(self) -> Way:
        """How it is sent."""
        return Way.CHAT if self.by_chat else Way(self.channel.value)

    @property
    def about(self) -> Mapping[str, str | int]:
        """What a trace may say of it."""
        said: dict[str, str | int] = {
            "maillage.notification.id": str(self.notification_id),
            "maillage.attempt": self.attempts,
        }
        if self.purpose is not None:
            said["maillage.purpose"] = self.purpose.value
        if self.errand is not None:
            said["maillage.purpose"] = self.errand.value
        if self.matter is not None:
            said["maillage.purpose"] = self.matter.value
        if self.suggestion_id is not None:
            said["maillage.suggestion.id"] = str(self.suggestion_id)
            said["maillage.suggestion.revision"] = self.revision
        return said


@dataclass(frozen=True, slots=True)
class Sent:
    """A row that the receiver's side took.

    Attributes:
        told: of a letter, the rows that were in it.
        address: a digest of where it went, of one to an ambassador.
    """

    row: Row
    told: Sequence[UUID]
    at: datetime
    address: str | None = None

    @property
    def end(self) -> Document:
        """What is noted of it, and of all that it told."""
        noted: Document = {"state": State.DELIVERED.value, "ended_at": self.at, "lease": None}
        noted["by_chat"] = self.row.by_chat
        return noted | ({"address": self.address} if self.address else {})


def notification_id(suggestion_id: UUID, revision: int, ambassador: str, channel: Channel, number: int = 0) -> UUID:
    """Return the id of telling one person one revision by one channel; `number` counts from 1 what tells it again."""
    again = [str(number)] if number else []
    return derived_id("notification", str(suggestion_id), str(revision), ambassador, channel.value, *again)


def post_id(suggestion_id: UUID, rev: int, post: Post, person: str) -> UUID:
    """Return the id of a letter to one person about the introduction that was made by the act `rev`."""
    side = post.side.value if post.side else ""
    parts = (str(suggestion_id), str(rev), post.purpose.value, side, str(post.number), person)
    return derived_id("introduction", *parts)


def test_id(ambassador: str, way: Way, asked_at: datetime) -> UUID:
    """Return the id of the test message that somebody asked for, one way at a time."""
    return derived_id("test message", ambassador, way.value, asked_at.isoformat())


def warning_id(desk: str, concerns: str, way: Way, since: datetime, again: Way | None = None) -> UUID:
    """Return the id of telling one desk, once, that a way to somebody is off since then.

    `again`: how it is told once more, because it did not reach the desk the first time.
    """
    return derived_id("warning", desk, concerns, way.value, since.isoformat(), *([again.value] if again else []))


def document(row: Row, now: datetime) -> Document:
    """Return a row as it is first stored."""
    stored = row.channel is Channel.INBOX
    written: Document = {
        "_id": row.notification_id,
        "suggestion_id": row.suggestion_id,
        "revision": row.revision,
        "ambassador": row.ambassador,
        "channel": row.channel.value,
        "made_at": row.made_at,
        "posted_at": row.posted_at,
        "traceparent": row.traceparent,
        "state": (State.DELIVERED if stored else row.state).value,
        "due": row.due or now,
        "score": row.score,
        "deadline": row.deadline,
        "lease": None,
        "attempts": 1 if stored else 0,
        "ended_at": now if stored else None,
        "reason": None,
        "unannounced": stored,
        "purpose": row.purpose.value if row.purpose else None,
        "errand": row.errand.value if row.errand else None,
        "side": row.side.value if row.side else None,
        "receiver": row.receiver,
        "number": row.number,
        "beside": row.beside,
        "by_chat": row.by_chat,
    }
    sometimes = {
        "day": row.day,
        "matter": row.matter.value if row.matter else None,
        "concerns": row.concerns,
        "concerns_way": row.concerns_way.value if row.concerns_way else None,
    }
    return written | {name: value for name, value in sometimes.items() if value is not None}


def way_of(found: Mapping[str, Any]) -> Way:
    """Return how a stored row is, or was, sent."""
    return Way.CHAT if found.get("by_chat") else Way(found["channel"])


def read(found: Mapping[str, Any]) -> Row:
    """Return a row as it was stored."""
    return Row(
        notification_id=found["_id"],
        suggestion_id=found["suggestion_id"],
        revision=found["revision"],
        ambassador=found["ambassador"],
        channel=Channel(found["channel"]),
        made_at=found["made_at"],
        # Earlier versions wrote none of these.
        purpose=Purpose(found["purpose"]) if found.get("purpose") else None,
        side=Side(found["side"]) if found.get("side") else None,
        receiver=found.get("receiver"),
        number=found.get("number", 0),
        errand=Errand(found["errand"]) if found.get("errand") else None,
        beside=found.get("beside"),
        by_chat=found.get("by_chat", False),
        due=found.get("due"),
        day=found.get("day"),
        score=found.get("score", 0.0),
        deadline=found.get("deadline"),
        posted_at=found.get("posted_at"),
        traceparent=found.get("traceparent"),
        state=State(found["state"]),
        attempts=found["attempts"],
        lease=found["lease"],
        ended_at=found["ended_at"],
        reason=found["reason"],
        matter=Matter(found["matter"]) if found.get("matter") else None,
        concerns=found.get("concerns"),
        concerns_way=Way(found["concerns_way"]) if found.get("concerns_way") else None,
        address=found.get("address"),
        gone=found.get("gone", False),
        fault=Fault(found.get("fault", Fault.THEIRS.value)),
        bounced_at=found.get("bounced_at"),
    )
