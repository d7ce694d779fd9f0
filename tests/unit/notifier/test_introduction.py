"""The life of an introduction: every letter and step that is due, at any moment, whatever was answered."""

from datetime import datetime, timedelta

import pytest

from schemas.feedback import Act, Result, Side
from services.notifier.domain.acts import Given
from services.notifier.domain.introduction import (
    CLOSED_AFTER,
    GIVEN_UP_AFTER,
    OUTCOME_ASKED_AFTER,
    Answer,
    Introduction,
    Phase,
    Post,
    Purpose,
    due_posts,
    introduction,
    next_step,
    open_answers,
    silent,
    stands,
)
from tests.unit.notifier.samples import NOW

Told = tuple[float, str, Side | Result | None]
ASKING, OFFERING = Side.REQUESTING, Side.OFFERING
FIRST = {("ask", ASKING, 0), ("ask", OFFERING, 0)}
MET = {("met", ASKING, 0), ("met", OFFERING, 0)}


def history(*acts: Told) -> list[Given]:
    """Acts with the day on which each was done, after the introduction."""
    made = Given(1, 1, "souss/amina", Act.INTRODUCED, None, NOW)
    later = [
        Given(
            rev, 1, "souss/amina", Act.DECLINED if act == SILENT else Act(act), None, NOW + timedelta(days=day),
            side=what if isinstance(what, Side) else None, result=what if isinstance(what, Result) else None,
            silent=act == SILENT,
        )
        for rev, (day, act, what) in enumerate(acts, start=2)
    ]  # fmt: skip
    return [made, *later]


def written(day: float = 0.0) -> dict[Side, datetime]:
    """The first letters, delivered to both on a day."""
    return dict.fromkeys(Side, NOW + timedelta(days=day))


def told(*acts: Told) -> Introduction:
    found = introduction(history(*acts))
    assert found is not None
    return found


YES, NO = Act.ACCEPTED, Act.DECLINED
SILENT = "silent"
BOTH = ((1.0, YES, ASKING), (2.0, YES, OFFERING))


@pytest.mark.parametrize(
    ("acts", "day", "posts", "next_day"),
    [
        # Nobody answers: asked, reminded on the third and the seventh day, looked at on the fourteenth.
        ((), 0, FIRST, 3),
        ((), 2.9, FIRST, 3),
        ((), 3, FIRST | {("remind", ASKING, 1), ("remind", OFFERING, 1)}, 7),
        ((), 7, FIRST | {("remind", ASKING, 2), ("remind", OFFERING, 2)}, 14),
        # Whoever was away for ten days sends one reminder, not two.
        ((), 10, FIRST | {("remind", ASKING, 2), ("remind", OFFERING, 2)}, 14),
        # One answers: the other alone is reminded.
        (((1.0, YES, ASKING),), 3, FIRST | {("remind", OFFERING, 1)}, 7),
        # Both accept: each is told how to reach the other; a month later the ambassador is asked.
        (BOTH, 2, MET, 32),
        (BOTH, 31.9, MET, 32),
        (BOTH, 32, MET | {("outcome", None, 0)}, None),
        ((*BOTH, (9.0, Act.OUTCOME, Result.MEETING)), 40, MET, None),
        # One declines: who had accepted is told, who had not is left in peace.
        (((1.0, NO, ASKING),), 3, set(), None),
        (((1.0, YES, OFFERING), (2.0, NO, ASKING)), 3, {("not_met", OFFERING, 0)}, None),
        (((1.0, YES, OFFERING), (14.0, SILENT, ASKING)), 14, {("not_met", OFFERING, 0)}, None),
        (((14.0, SILENT, ASKING), (14.0, SILENT, OFFERING)), 14, set(), None),
    ],
)
def test_what_is_due(
    acts: tuple[Told, ...],
    day: float,
    posts: set[tuple[str, Side | None, int]],
    next_day: float | None,
) -> None:
    of, now = told(*acts), NOW + timedelta(days=day)
    assert {(post.purpose.value, post.side, post.number) for post in due_posts(of, now)} == posts
    assert next_step(of, written(), now) == (None if next_day is None else NOW + timedelta(days=next_day))


@pytest.mark.parametrize(
    ("acts", "answers", "phase", "result"),
    [
        ((), (Answer.AWAITED, Answer.AWAITED), Phase.ASKED, None),
        (((1.0, YES, ASKING),), (Answer.ACCEPTED, Answer.AWAITED), Phase.ASKED, None),
        (BOTH, (Answer.ACCEPTED, Answer.ACCEPTED), Phase.MET, None),
        (((1.0, NO, OFFERING),), (Answer.AWAITED, Answer.DECLINED), Phase.NOT_MET, None),
        (((14.0, SILENT, OFFERING),), (Answer.AWAITED, Answer.UNANSWERED), Phase.NOT_MET, None),
        (
            (*BOTH, (9.0, Act.OUTCOME, Result.MEETING), (60.0, Act.OUTCOME, Result.CONTRACT)),
            (Answer.ACCEPTED, Answer.ACCEPTED),
            Phase.ENDED,
            Result.CONTRACT,
        ),
    ],
)
def test_how_far_it_is(
    acts: tuple[Told, ...],
    answers: tuple[Answer, Answer],
    phase: Phase,
    result: Result | None,
) -> None:
    of = told(*acts)
    assert ((of.answers[ASKING], of.answers[OFFERING]), of.phase, of.result) == (answers, phase, result)


def test_without_the_act_there_is_none() -> None:
    assert introduction([Given(1, 1, "souss/amina", Act.TAKEN, None, NOW)]) is None


@pytest.mark.parametrize(
    ("acts", "asking", "offering"),
    [
        ((), True, True),
        (((1.0, YES, ASKING),), False, True),
        (((1.0, NO, ASKING),), False, False),
        (BOTH, False, False),
        (((14.0, SILENT, ASKING),), False, False),
    ],
)
def test_a_side_answers_once_and_while_it_matters(acts: tuple[Told, ...], asking: bool, offering: bool) -> None:
    both = frozenset({YES, NO})
    assert (open_answers(told(*acts), ASKING) == both, open_answers(told(*acts), OFFERING) == both) == (
        asking,
        offering,
    )


def test_silence_is_an_answer_two_weeks_after_the_first_letter_and_not_before() -> None:
    of, end = told((1.0, YES, ASKING)), NOW + CLOSED_AFTER
    assert silent(of, written(), end - timedelta(seconds=1)) == ()
    assert silent(of, written(), end) == (OFFERING,)
    assert silent(of, written(1), end) == ()
    assert silent(of, written(1), end + timedelta(days=1)) == (OFFERING,)
    assert next_step(of, written(1), end) == end + timedelta(days=1)
    assert silent(told(*BOTH), written(), end) == ()
    assert silent(told((1.0, NO, ASKING)), written(), end) == ()
    assert silent(told((14.0, SILENT, ASKING)), written(), end) == (OFFERING,)


def test_a_side_that_no_letter_reaches_is_given_up_later() -> None:
    of = told((1.0, YES, ASKING))
    assert silent(of, {}, NOW + CLOSED_AFTER) == ()
    assert next_step(of, {}, NOW + CLOSED_AFTER) == NOW + GIVEN_UP_AFTER
    assert silent(of, {}, NOW + GIVEN_UP_AFTER) == (OFFERING,)


@pytest.mark.parametrize(
    ("post", "acts", "day", "so"),
    [
        (Post(Purpose.ASK, ASKING), (), 0, True),
        (Post(Purpose.ASK, ASKING), ((0.1, YES, ASKING),), 1, False),
        (Post(Purpose.ASK, ASKING), ((0.1, NO, OFFERING),), 1, False),
        (Post(Purpose.REMIND, ASKING, 1), (), 3, True),
        (Post(Purpose.REMIND, ASKING, 1), (), 7, False),
        (Post(Purpose.REMIND, ASKING, 2), (), 7, True),
        (Post(Purpose.REMIND, ASKING, 1), ((3.0, YES, ASKING),), 3, False),
        (Post(Purpose.MET, ASKING), BOTH, 2, True),
        (Post(Purpose.MET, ASKING), (*BOTH, (9.0, Act.OUTCOME, Result.NOTHING)), 9, True),
        (Post(Purpose.OUTCOME), BOTH, 33, True),
        (Post(Purpose.OUTCOME), (*BOTH, (9.0, Act.OUTCOME, Result.NOTHING)), 33, False),
        (Post(Purpose.NOT_MET, ASKING), ((1.0, YES, ASKING), (2.0, NO, OFFERING)), 2, True),
    ],
)
def test_a_letter_that_lies_for_a_while_is_sent_only_if_it_still_makes_sense(
    post: Post, acts: tuple[Told, ...], day: float, so: bool
) -> None:
    assert stands(told(*acts), post, NOW + timedelta(days=day)) is so


def test_the_month_counts_from_the_last_answer() -> None:
    assert next_step(told(*BOTH), written(), NOW + timedelta(days=2)) == NOW + timedelta(days=2) + OUTCOME_ASKED_AFTER
