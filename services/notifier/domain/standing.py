"""What has become of a suggestion in its ambassadors' hands, and what each may still do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from schemas.feedback import Act, NotRelevantReason


@dataclass(frozen=True, slots=True)
class Given:
    """One act on a suggestion: whose, on which revision, when. `rev` counts the acts on the suggestion, from 1."""

    rev: int
    revision: int
    ambassador: str
    act: Act
    reason: NotRelevantReason | None
    at: datetime


class Standing(StrEnum):
    """Where a suggestion stands for one ambassador."""

    OPEN = "open"
    MINE = "mine"
    ANOTHERS = "anothers"
    DISMISSED = "dismissed"
    LAPSED = "lapsed"


def taken_by(acts: Sequence[Given], revision: int) -> Given | None:
    """Return the act by which somebody has the suggestion in hand, the earliest; none when nobody has.

    Whoever took a suggestion keeps it when a new revision arrives, unless they put it aside afterwards.
    """
    return next((act for act in acts if act.act is Act.TAKEN and _last(acts, act.ambassador, revision) == act), None)


def standing(acts: Sequence[Given], *, ambassador: str, revision: int, lapsed: bool) -> Standing:
    """Return where the suggestion stands for `ambassador`. Putting aside holds for the revision it was said of."""
    if lapsed:
        return Standing.LAPSED
    mine = _last(acts, ambassador, revision)
    if mine is not None and mine.act is Act.NOT_RELEVANT:
        return Standing.DISMISSED
    if mine is not None:
        return Standing.MINE
    return Standing.OPEN if taken_by(acts, revision) is None else Standing.ANOTHERS


def open_acts(where: Standing) -> frozenset[Act]:
    """Return what an ambassador may do next. One at a time takes; anybody may say that it is beside the point."""
    match where:
        case Standing.OPEN:
            return frozenset({Act.TAKEN, Act.NOT_RELEVANT})
        case Standing.MINE | Standing.ANOTHERS:
            return frozenset({Act.NOT_RELEVANT})
        case Standing.DISMISSED | Standing.LAPSED:
            return frozenset()


def _last(acts: Sequence[Given], ambassador: str, revision: int) -> Given | None:
    theirs = [act for act in acts if act.ambassador == ambassador]
    if not theirs or (theirs[-1].act is Act.NOT_RELEVANT and theirs[-1].revision != revision):
        return None
    return theirs[-1]
