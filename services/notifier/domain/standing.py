"""Where a suggestion stands in its ambassadors' hands, and what each may still do."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from schemas.feedback import Act
from services.notifier.domain.acts import Given
from services.notifier.domain.introduction import Introduction, introduction

_OF_AMBASSADORS: Final = {Act.TAKEN, Act.NOT_RELEVANT, Act.PASSED, Act.INTRODUCED}
"""Acts that say where a suggestion stands for who did them. Answers and outcomes are of the introduction."""

_PUT_ASIDE: Final = {Act.NOT_RELEVANT, Act.PASSED}


class Standing(StrEnum):
    """Where a suggestion stands for one ambassador."""

    OPEN = "open"
    MINE = "mine"
    ANOTHERS = "anothers"
    INTRODUCED = "introduced"
    CLOSED = "closed"
    DISMISSED = "dismissed"
    PASSED = "passed"
    LAPSED = "lapsed"


def taken_by(acts: Sequence[Given], revision: int) -> Given | None:
    """Return the act by which somebody has the suggestion in hand, the earliest; none when nobody has.

    Whoever took a suggestion keeps it when a new revision arrives, unless they put it aside afterwards.
    """
    mine = (act for act in acts if act.act in (Act.TAKEN, Act.INTRODUCED))
    return next((act for act in mine if _last(acts, act.ambassador, revision) == act), None)


def standing(acts: Sequence[Given], *, ambassador: str, revision: int, lapsed: bool) -> Standing:
    """Return where the suggestion stands for `ambassador`. Putting aside holds for the revision it was said of.

    What was introduced goes its way though the request lapses meanwhile.
    """
    mine = _last(acts, ambassador, revision)
    introduced = introduction(acts)
    if introduced is not None and (mine is None or mine.act not in _PUT_ASIDE):
        return Standing.INTRODUCED if introduced.is_open else Standing.CLOSED
    if lapsed:
        return Standing.LAPSED
    if mine is not None and mine.act in _PUT_ASIDE:
        return Standing.DISMISSED if mine.act is Act.NOT_RELEVANT else Standing.PASSED
    if mine is not None:
        return Standing.MINE
    return Standing.OPEN if taken_by(acts, revision) is None else Standing.ANOTHERS


def open_acts(where: Standing, introduced: Introduction | None = None) -> frozenset[Act]:
    """Return what an ambassador may do next. One at a time takes; anybody may say that it is beside the point."""
    match where:
        case Standing.OPEN:
            return frozenset({Act.TAKEN, Act.INTRODUCED, Act.PASSED, Act.NOT_RELEVANT})
        case Standing.MINE:
            return frozenset({Act.INTRODUCED, Act.PASSED, Act.NOT_RELEVANT})
        case Standing.ANOTHERS:
            return frozenset({Act.NOT_RELEVANT})
        case Standing.INTRODUCED | Standing.CLOSED:
            return frozenset({Act.OUTCOME}) if introduced is not None and introduced.met else frozenset()
        case Standing.DISMISSED | Standing.PASSED | Standing.LAPSED:
            return frozenset()


def _last(acts: Sequence[Given], ambassador: str, revision: int) -> Given | None:
    theirs = [act for act in acts if act.ambassador == ambassador and act.act in _OF_AMBASSADORS]
    if not theirs or (theirs[-1].act in _PUT_ASIDE and theirs[-1].revision != revision):
        return None
    return theirs[-1]
