"""The topology: every topic with its key, the events it carries, and what a broker must know to keep it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.ambassadors import AmbassadorKey, AmbassadorPublished
from schemas.base import Event, Key
from schemas.contacts import ContactPublished
from schemas.feedback import FeedbackGiven, FeedbackKey
from schemas.members import MemberKey, MemberPublished
from schemas.needs import NeedKey, NeedPublished
from schemas.notifications import NotificationDelivered, NotificationFailed, NotificationKey
from schemas.submissions import SubmissionAnswered
from schemas.suggestions import SuggestionKey, SuggestionLapsed, SuggestionMade

DAYS_KEPT: Final = 400
"""How long a topic that keeps every event keeps it, unless it says otherwise."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the flow.

    Attributes:
        name: as the broker knows it, version included.
        summary: one line for readers of the contract.
        key: model of the record key.
        events: models of the bodies, told apart by their `event_type`; none: what is sent there is no event yet.
        compacted: the broker keeps the newest record of each key, and a record without a body erases the key.
        days: how long each record is kept where it is not compacted.
    """

    name: str
    summary: str
    key: type[Key]
    events: tuple[type[Event], ...]
    compacted: bool
    days: int = DAYS_KEPT

    @property
    def dead_letters(self) -> str:
        """Name of the topic that takes what could not be read or handled."""
        return f"{self.name}.dlq"

    @property
    def erased_type(self) -> str:
        """CloudEvents type of the record without a body that erases a key: `maillage.member.erased.v1`."""
        return self.events[0].event_type.rsplit(".", 2)[0] + ".erased.v1"


MEMBERS = Topic("members.v1", "Organisations and what they bring", MemberKey, (MemberPublished,), compacted=True)
NEEDS = Topic("needs.v1", "What members ask for or offer", NeedKey, (NeedPublished,), compacted=True)
AMBASSADORS = Topic(
    "ambassadors.v1", "Who relays, and how to reach them", AmbassadorKey, (AmbassadorPublished,), compacted=True
)
CONTACTS = Topic(
    "contacts.v1", "Who answers for a member when it is introduced", MemberKey, (ContactPublished,), compacted=True
)
SUGGESTIONS = Topic(
    "suggestions.v1", "Pairings worth telling", SuggestionKey, (SuggestionMade, SuggestionLapsed), compacted=True
)
FEEDBACK = Topic("feedback.v1", "What was done with suggestions", FeedbackKey, (FeedbackGiven,), compacted=False)
NOTIFICATIONS = Topic(
    "notifications.v1",
    "What was delivered, to be audited",
    NotificationKey,
    (NotificationDelivered, NotificationFailed),
    compacted=False,
)
SUBMISSIONS = Topic(
    "submissions.v1",
    "What organisations' own producers send, each record signed by its sender",
    MemberKey,
    (),
    compacted=False,
    # What was taken lives on where it was published; what was erased there must not linger here.
    days=7,
)
SUBMISSION_RESULTS = Topic(
    "submission-results.v1", "What came of each submission", MemberKey, (SubmissionAnswered,), compacted=False, days=7
)

TOPICS = (
    MEMBERS,
    NEEDS,
    AMBASSADORS,
    CONTACTS,
    SUGGESTIONS,
    FEEDBACK,
    NOTIFICATIONS,
    SUBMISSIONS,
    SUBMISSION_RESULTS,
)

WRITES: Final[Mapping[str, tuple[Topic, ...]]] = {
    "ingest": (MEMBERS, NEEDS, AMBASSADORS, CONTACTS, SUBMISSION_RESULTS),
    "matcher": (SUGGESTIONS,),
    "notifier": (FEEDBACK, NOTIFICATIONS),
}
"""Which topics each service writes. `submissions.v1` is written by organisations alone; clients that are trusted with
every key may write `members.v1` and `needs.v1` themselves."""

READS: Final[Mapping[str, tuple[Topic, ...]]] = {
    "ingest": (SUBMISSIONS,),
    "matcher": (MEMBERS, NEEDS, FEEDBACK),
    "notifier": (AMBASSADORS, CONTACTS, SUGGESTIONS),
}
"""Which topics each service reads; what it cannot read goes onto their dead-letter topics."""

MAX_EVENT_BYTES = 1_000_000
"""Largest body accepted: below the broker's usual limit of 1 MiB a record, with room for headers."""
