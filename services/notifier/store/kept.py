"""A suggestion as it lies in the database, and how it is asked for in the state that was read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from schemas.ambassadors import AmbassadorKey
from schemas.feedback import Act, NotRelevantReason, Result, Side
from schemas.suggestions import LapseReason, SuggestionMade
from services.notifier.domain.acts import ERASED, Given
from services.notifier.domain.introduction import OF_INTRODUCTIONS, introduction
from services.notifier.domain.standing import Standing, standing, taken_by
from services.runtime.store import Document

WORDS: Final = (
    "body", "traceparent", "made_at", "clusters", "told", "acts", "lapsed", "revision", "taken", "dismissed",
    "unannounced", "introduced", "step_at", "told_at", "opened", "first_told_at",
    "posted_at", "undo_until", "words", "sides", "deadline",
)  # fmt: skip
"""What an erasure takes away."""

UNDER_WAY: Final = "under_way"
ENDED: Final = "ended"
"""How far an introduction is, for the views of an inbox."""


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody who is told of a suggestion, and by which channels.

    Attributes:
        stands_in: told because those who were told first did nothing, or passed it on.
        passed_by: who passed it on to them.
    """

    ambassador: str
    leads: bool
    channels: tuple[str, ...]
    stands_in: bool = False
    passed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A suggestion as stored.

    Attributes:
        made: none when erased, or lapsed before it was ever read.
        lapsed: why it does not stand any more.
        told: none while nobody is decided on.
        told_at: when that was decided; none: an earlier version did.
        traceparent: W3C trace context of the event that told it.
        acts_given: acts counted so far; more than `acts` where those of an erased person are gone, or one was undone.
        undo_until: until then the last act may be undone, and nobody but who is told of the suggestion knows of it;
            none: all are final.
    """

    suggestion_id: UUID
    rev: int
    erased: bool
    revision: int
    made: SuggestionMade | None
    lapsed: LapseReason | None
    told: tuple[Told, ...] | None
    acts: tuple[Given, ...]
    acts_given: int
    told_at: datetime | None = None
    traceparent: str | None = None
    undo_until: datetime | None = None


def as_told(kept: Kept) -> Document:
    """Ask for a suggestion in the state that was read, told to the same people."""
    told = None if kept.told is None else [told_document(one) for one in kept.told]
    return {"_id": kept.suggestion_id, "rev": kept.rev, "told": told}


def as_read(kept: Kept) -> Document:
    """Ask for it with the same acts as well: writing them whole must not bring back those of somebody erased since.

    By what counts them: what else an act holds depends on the version that stored it.
    """
    revs = {"$ifNull": ["$acts.rev", []]}
    same = {"$eq": [revs, [given.rev for given in kept.acts]]}
    return as_told(kept) | {"acts_given": kept.acts_given or None, "$expr": same}


def acts_fields(acts: Sequence[Given], revision: int, *, undo_until: datetime | None = None) -> Document:
    """The acts, with what the views of an inbox ask for, and when there is something to look at.

    That is when the last of them is final: until `undo_until` nothing follows from it.
    """
    people = sorted({given.ambassador for given in acts})
    introduced = introduction(acts)
    where = {person: standing(acts, ambassador=person, revision=revision, lapsed=False) for person in people}
    return {
        "acts": [_act_document(given) for given in acts],
        "taken": taken_by(acts, revision) is not None,
        "dismissed": [person for person in people if where[person] in (Standing.DISMISSED, Standing.PASSED)],
        "introduced": None if introduced is None else UNDER_WAY if introduced.is_open else ENDED,
        "undo_until": undo_until,
    } | ({"step_at": undo_until or acts[-1].at} if acts else {})


def without(acts: Sequence[Given], ambassador: str) -> list[Given]:
    """Return acts without those of a person; of those that tell of an introduction, without the person."""
    nobody = str(AmbassadorKey.decode(ambassador.encode()).model_copy(update={"ambassador_id": ERASED}))
    kept = [given for given in acts if given.ambassador != ambassador or given.act in OF_INTRODUCTIONS]
    return [replace(given, ambassador=nobody) if given.ambassador == ambassador else given for given in kept]


def told_document(told: Told) -> Document:
    """Return how it is stored that somebody is told."""
    always = {"ambassador": told.ambassador, "leads": told.leads, "channels": list(told.channels)}
    stands_in = {"stands_in": True} if told.stands_in else {}
    return always | stands_in | ({"passed_by": told.passed_by} if told.passed_by else {})


def _act_document(given: Given) -> Document:
    return {
        "rev": given.rev,
        "revision": given.revision,
        "ambassador": given.ambassador,
        "act": given.act.value,
        "reason": given.reason.value if given.reason else None,
        "at": given.at,
    } | {name: value for name, value in _of_introductions(given).items() if value}


def _of_introductions(given: Given) -> Document:
    return {"side": given.side, "result": given.result, "silent": given.silent, "person": given.person}


def read(found: Mapping[str, Any]) -> Kept:
    """Return a suggestion as it was stored."""
    body, lapsed = found.get("body"), found.get("lapsed")
    return Kept(
        suggestion_id=found["_id"],
        rev=found["rev"],
        erased=bool(found.get("erased")),
        revision=found.get("revision", 0),
        made=SuggestionMade.model_validate_json(body) if body else None,
        lapsed=LapseReason(lapsed) if lapsed else None,
        told=read_told(found),
        acts=tuple(read_act(act) for act in found.get("acts", ())),
        acts_given=found.get("acts_given") or 0,
        told_at=found.get("told_at"),
        traceparent=found.get("traceparent"),
        # An earlier version tells of an act at once: then there is nothing to undo.
        undo_until=found.get("undo_until") if found.get("unannounced") else None,
    )


def read_told(found: Mapping[str, Any]) -> tuple[Told, ...] | None:
    """Return who is told, as it was stored; none while nobody is decided on."""
    told = found.get("told")
    if told is None:
        return None
    return tuple(
        Told(
            one["ambassador"],
            one["leads"],
            tuple(one["channels"]),
            one.get("stands_in", False),
            one.get("passed_by"),
        )
        for one in told
    )


def read_act(found: Mapping[str, Any]) -> Given:
    """Return an act as kept."""
    return Given(
        rev=found["rev"],
        revision=found["revision"],
        ambassador=found["ambassador"],
        act=Act(found["act"]),
        reason=NotRelevantReason(found["reason"]) if found["reason"] else None,
        at=found["at"],
        side=Side(found["side"]) if found.get("side") else None,
        result=Result(found["result"]) if found.get("result") else None,
        silent=found.get("silent", False),
        person=found.get("person"),
    )
