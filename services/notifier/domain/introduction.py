"""The life of an introduction: what is written to whom and when, what each side said, what came of it.

All of it follows from the acts on a suggestion, so whoever computes it, after whatever crash, finds the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from schemas.feedback import Act, Result, Side
from schemas.suggestions import Party, SuggestionMade
from services.notifier.domain.acts import Given

REMINDED_AFTER: Final = (timedelta(days=3), timedelta(days=7))
"""When a side that has not answered is asked again: twice, and then no more."""

CLOSED_AFTER: Final = timedelta(days=14)
"""When silence is taken for an answer, from the first letter on: an introduction takes two weeks of exchanges."""

GIVEN_UP_AFTER: Final = timedelta(days=28)
"""When a side that no letter has reached is taken for silent, too."""

LINKS_END_AFTER: Final = timedelta(days=180)
"""How long both sides may read their pages: contacts are not for keeping there."""

OUTCOME_ASKED_AFTER: Final = timedelta(days=30)
"""When the ambassador is asked what came of it, after both sides have accepted."""

_ANSWERS: Final = {Act.ACCEPTED, Act.DECLINED}

OF_INTRODUCTIONS: Final = {Act.INTRODUCED, Act.ACCEPTED, Act.DECLINED, Act.OUTCOME}
"""The acts that tell of an introduction."""


class Answer(StrEnum):
    """What a side has said. `unanswered`: nothing, until it was too late."""

    AWAITED = "awaited"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    UNANSWERED = "unanswered"


class Phase(StrEnum):
    """How far an introduction is."""

    ASKED = "asked"
    MET = "met"
    NOT_MET = "not_met"
    ENDED = "ended"


class Purpose(StrEnum):
    """What a letter about an introduction is for."""

    ASK = "ask"
    REMIND = "remind"
    MET = "met"
    NOT_MET = "not_met"
    OUTCOME = "outcome"


@dataclass(frozen=True, slots=True)
class Introduction:
    """What has become of an introduction.

    Attributes:
        by: key of the ambassador who made it.
        rev: of the act by which it was made; `revision`: of the suggestion then.
        at: when it was made.
        answers: what each side has said.
        accepted_by: who accepted for a side, as `Given.person`.
        answered_at: when the last side said something; none while an answer is awaited.
        result: what came of the meeting, as the ambassador last said.
    """

    by: str
    rev: int
    revision: int
    at: datetime
    answers: Mapping[Side, Answer]
    accepted_by: Mapping[Side, str]
    answered_at: datetime | None
    result: Result | None

    @property
    def phase(self) -> Phase:
        """How far it is."""
        said = set(self.answers.values())
        if said & {Answer.DECLINED, Answer.UNANSWERED}:
            return Phase.NOT_MET
        if Answer.AWAITED in said:
            return Phase.ASKED
        return Phase.MET if self.result is None else Phase.ENDED

    @property
    def met(self) -> bool:
        """Whether both sides have accepted: then each is told how to reach the other."""
        return self.phase in (Phase.MET, Phase.ENDED)

    @property
    def is_open(self) -> bool:
        """Whether somebody is still to say something of it."""
        return self.phase in (Phase.ASKED, Phase.MET)


@dataclass(frozen=True, slots=True)
class Post:
    """A letter that is due. `side` is whom it is to; none: the ambassador. `number` counts reminders, from 1."""

    purpose: Purpose
    side: Side | None = None
    number: int = 0


def introduction(acts: Sequence[Given]) -> Introduction | None:
    """Return the introduction that acts on a suggestion tell of; none was made: None. There is one at most."""
    made = next((given for given in acts if given.act is Act.INTRODUCED), None)
    if made is None:
        return None
    answers = dict.fromkeys(Side, Answer.AWAITED)
    accepted_by: dict[Side, str] = {}
    said = [given for given in acts if given.act in _ANSWERS]
    for given in said:
        if given.side is not None:
            answers[given.side] = Answer.UNANSWERED if given.silent else Answer(given.act.value)
            if given.person is not None:
                accepted_by[given.side] = given.person
    results = [given.result for given in acts if given.act is Act.OUTCOME]
    return Introduction(
        by=made.ambassador,
        rev=made.rev,
        revision=made.revision,
        at=made.at,
        answers=answers,
        accepted_by=accepted_by,
        answered_at=said[-1].at if Answer.AWAITED not in answers.values() else None,
        result=results[-1] if results else None,
    )


def party_of(suggestion: SuggestionMade, side: Side) -> Party:
    """Return the member on a side."""
    return (suggestion.request if side is Side.REQUESTING else suggestion.offer).party


def other(side: Side) -> Side:
    """Return the side that faces this one."""
    return Side.OFFERING if side is Side.REQUESTING else Side.REQUESTING


def open_answers(of: Introduction, side: Side) -> frozenset[Act]:
    """Return what a side may say: once, and as long as it matters."""
    if of.phase is Phase.ASKED and of.answers[side] is Answer.AWAITED:
        return frozenset({Act.ACCEPTED, Act.DECLINED})
    return frozenset()


def silent(of: Introduction, written_at: Mapping[Side, datetime], now: datetime) -> tuple[Side, ...]:
    """Return the sides that have not answered in time.

    Args:
        of: the introduction.
        written_at: when the first letter to a side was delivered; a side that none has reached is not in it.
        now: the moment.
    """
    if Answer.DECLINED in of.answers.values():
        return ()
    ends = {side: written_at[side] + CLOSED_AFTER if side in written_at else of.at + GIVEN_UP_AFTER for side in Side}
    return tuple(side for side, said in of.answers.items() if said is Answer.AWAITED and now >= ends[side])


def due_posts(of: Introduction, now: datetime) -> tuple[Post, ...]:
    """Return the letters that are due, sent or not; of reminders the last: one says what two would."""
    match of.phase:
        case Phase.ASKED:
            reminders = sum(now >= of.at + wait for wait in REMINDED_AFTER)
            asked = [Post(Purpose.ASK, side) for side in Side]
            awaited = [side for side, said in of.answers.items() if said is Answer.AWAITED and reminders]
            return (*asked, *(Post(Purpose.REMIND, side, reminders) for side in awaited))
        case Phase.NOT_MET:
            return tuple(Post(Purpose.NOT_MET, side) for side, said in of.answers.items() if said is Answer.ACCEPTED)
        case Phase.MET | Phase.ENDED:
            met = tuple(Post(Purpose.MET, side) for side in Side)
            return (*met, Post(Purpose.OUTCOME)) if stands(of, Post(Purpose.OUTCOME), now) else met


def stands(of: Introduction, post: Post, now: datetime) -> bool:
    """Return whether a letter that was due is still worth sending: not to somebody who has answered, say."""
    match post.purpose:
        case Purpose.ASK:
            return post.side is not None and bool(open_answers(of, post.side))
        case Purpose.REMIND:
            return post.side is not None and bool(open_answers(of, post.side)) and post in due_posts(of, now)
        case Purpose.MET:
            return of.met
        case Purpose.NOT_MET:
            return of.phase is Phase.NOT_MET
        case Purpose.OUTCOME:
            return of.phase is Phase.MET and of.answered_at is not None and now >= of.answered_at + OUTCOME_ASKED_AFTER


def next_step(of: Introduction, written_at: Mapping[Side, datetime], now: datetime) -> datetime | None:
    """Return when something will be due that is not yet; none: nothing will, unless somebody acts. Args as `silent`."""
    if of.phase is Phase.ASKED:
        waits = [*REMINDED_AFTER, GIVEN_UP_AFTER]
        times = [*(of.at + wait for wait in waits), *(at + CLOSED_AFTER for at in written_at.values())]
        # A letter that has not gone out yet will be found to have by then.
        times.append(of.at + CLOSED_AFTER)
    elif of.phase is Phase.MET and of.answered_at is not None:
        times = [of.answered_at + OUTCOME_ASKED_AFTER]
    else:
        times = []
    return min((time for time in times if time > now), default=None)
