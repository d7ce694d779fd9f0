"""The entities that ingest owns, each with the states it went through and the event that tells a state."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import Field

from schemas.ambassadors import AmbassadorPublished
from schemas.base import Event, Key, Slug
from schemas.contacts import ContactPublished
from schemas.members import MemberKey, MemberPublished
from schemas.needs import NeedProfile, NeedPublished, NeedStatus
from schemas.topics import AMBASSADORS, CONTACTS, MEMBERS, NEEDS, Topic

Value = dict[str, Any]
"""What somebody published, as JSON: the fields of a profile."""


class NeedBody(NeedProfile):
    """A need as it is sent and shown."""

    status: NeedStatus = NeedStatus.OPEN


class NeedPosted(NeedBody):
    """A need that may name itself."""

    need_id: Slug | None = Field(default=None, description="Chosen by the sender; made up where absent")


@dataclass(frozen=True, slots=True)
class State:
    """One state of one entity.

    Attributes:
        rev: counts the states, from 1.
        at: event time, UTC.
        value: what is published; none: erased.
        alerts: whether anybody is to be alerted of what this state brings.
    """

    rev: int
    at: datetime
    value: Value | None
    alerts: bool = True


@dataclass(frozen=True, slots=True)
class Pending:
    """A state on its way to the log. It will get there, whatever becomes of the process that stored it.

    Attributes:
        claim: the idempotent request that asked for it, if any; told its answer before the state is confirmed.
        traceparent: trace context of the request that asked for it.
    """

    state: State
    claim: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """An entity as the store holds it: the state that is on the log (none: never was), and the one on its way."""

    current: State | None = None
    pending: Pending | None = None

    @property
    def rev(self) -> int:
        """The newest rev that is confirmed to be on the log; 0: none."""
        return self.current.rev if self.current else 0

    @property
    def value(self) -> Value | None:
        """What is published now; none: nothing, not yet or not any more."""
        return self.current.value if self.current else None


NOTHING: Final = Stored()

_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a list is asked for: so many, after an id."""

    after: str
    limit: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what is published, in the order of its ids, and after which id the rest comes; none: there is no more."""

    states: Sequence[tuple[Key, State]]
    after: str | None


@dataclass(frozen=True, slots=True)
class Note:
    """Something that whoever published should know; it was published all the same."""

    field: str
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What was asked for is on the log, as `rev`; or would be, in a dry run."""

    rev: int
    notes: tuple[Note, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a member is there.

    Attributes:
        kind: its `MemberKind` as published; none: it is not published.
        arriving: a profile of it is on its way to the log.
        leaving: its erasure is on its way to the log.
    """

    kind: str | None
    arriving: bool
    leaving: bool


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of entity: where it is stored, which topic tells of it, and in which event.

    Attributes:
        owned: each belongs to a member, and goes when that goes.
    """

    name: str
    topic: Topic
    event: type[Event]
    owned: bool = False

    def told(self, key: Key, state: State) -> Event | None:
        """Return the event of a state; none: the record without a body that erases `key`."""
        if state.value is None:
            return None
        about = {"rev": state.rev, "published_at": state.at, "alerts": state.alerts}
        return self.event.model_validate({**state.value, **key.model_dump(), **about})

    def owner(self, key: Key, value: Value) -> MemberKey | None:
        """Return the member that an entity belongs to; none where it is nobody's."""
        if not self.owned:
            return None
        named = {**value, **key.model_dump()}
        return MemberKey(cluster=named["cluster"], member_id=named["member_id"])


MEMBER: Final = Kind("members", MEMBERS, MemberPublished)
NEED: Final = Kind("needs", NEEDS, NeedPublished, owned=True)
AMBASSADOR: Final = Kind("ambassadors", AMBASSADORS, AmbassadorPublished)
CONTACT: Final = Kind("contacts", CONTACTS, ContactPublished, owned=True)

# Ambassadors and contacts first: whom to tell is known before there is anything to tell.
KINDS: Final = (AMBASSADOR, CONTACT, MEMBER, NEED)

KIND_BY_NAME: Final = {kind.name: kind for kind in KINDS}


def alike(need: Value) -> str:
    """Return what needs share that say the same: their words, whatever the spacing, case and punctuation."""
    return " ".join(_WORD.findall(f"{need['title']} {need['text']}".casefold()))
