"""What has become of a suggestion for each of its ambassadors."""

import pytest

from schemas.feedback import Act, NotRelevantReason, Result, Side
from services.notifier.domain.acts import Given
from services.notifier.domain.introduction import introduction
from services.notifier.domain.standing import Standing, open_acts, standing, taken_by
from tests.unit.notifier.samples import NOW

ACTS = {"t": Act.TAKEN, "n": Act.NOT_RELEVANT, "i": Act.INTRODUCED, "y": Act.ACCEPTED, "d": Act.DECLINED}
ACTS |= {"p": Act.PASSED, "s": Act.DECLINED, "o": Act.OUTCOME}
SIDES = {"r": Side.REQUESTING, "f": Side.OFFERING}


def history(*acts: str) -> list[Given]:
    """`a1t`: the ambassador a, on revision 1, took it; `a1yr`: of what a introduced, the requesting side accepted."""
    return [
        Given(
            rev, int(a[1]), a[0], ACTS[a[2]], NotRelevantReason.OTHER if a[2] == "n" else None, NOW,
            side=SIDES[a[3]] if len(a) > 3 else None, result=Result.MEETING if a[2] == "o" else None,
            silent=a[2] == "s",
        )
        for rev, a in enumerate(acts, start=1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("acts", "revision", "lapsed", "a", "b", "taker"),
    [
        ([], 1, False, Standing.OPEN, Standing.OPEN, None),
        (["a1t"], 1, False, Standing.MINE, Standing.ANOTHERS, "a"),
        (["a1n"], 1, False, Standing.DISMISSED, Standing.OPEN, None),
        (["a1t", "a1n"], 1, False, Standing.DISMISSED, Standing.OPEN, None),
        (["a1t", "a1n", "b1t"], 1, False, Standing.DISMISSED, Standing.MINE, "b"),
        (["a1t", "b1n"], 1, False, Standing.MINE, Standing.DISMISSED, "a"),
        (["a1t"], 2, False, Standing.MINE, Standing.ANOTHERS, "a"),
        (["a1n"], 2, False, Standing.OPEN, Standing.OPEN, None),
        (["a1t", "a1n"], 2, False, Standing.OPEN, Standing.OPEN, None),
        (["a1t"], 1, True, Standing.LAPSED, Standing.LAPSED, "a"),
        (["a1p"], 1, False, Standing.PASSED, Standing.OPEN, None),
        (["a1t", "a1p"], 1, False, Standing.PASSED, Standing.OPEN, None),
        (["a1p", "b1t"], 1, False, Standing.PASSED, Standing.MINE, "b"),
        (["a1p"], 2, False, Standing.OPEN, Standing.OPEN, None),
        (["a1i"], 1, False, Standing.INTRODUCED, Standing.INTRODUCED, "a"),
        (["a1t", "a1i"], 1, False, Standing.INTRODUCED, Standing.INTRODUCED, "a"),
        (["a1i"], 2, True, Standing.INTRODUCED, Standing.INTRODUCED, "a"),
        (["b1n", "a1i"], 1, False, Standing.INTRODUCED, Standing.DISMISSED, "a"),
        (["b1n", "a1i"], 2, False, Standing.INTRODUCED, Standing.INTRODUCED, "a"),
        (["a1i", "a1yr"], 1, False, Standing.INTRODUCED, Standing.INTRODUCED, "a"),
        (["a1i", "a1yr", "a1yf"], 1, False, Standing.INTRODUCED, Standing.INTRODUCED, "a"),
        (["a1i", "a1yr", "a1yf", "b1o"], 1, False, Standing.CLOSED, Standing.CLOSED, "a"),
        (["a1i", "a1dr"], 1, False, Standing.CLOSED, Standing.CLOSED, "a"),
        (["a1i", "a1yr", "a1sf"], 1, False, Standing.CLOSED, Standing.CLOSED, "a"),
    ],
)
def test_where_it_stands(
    acts: list[str], revision: int, lapsed: bool, a: Standing, b: Standing, taker: str | None
) -> None:
    given = history(*acts)
    taken = taken_by(given, revision)
    assert standing(given, ambassador="a", revision=revision, lapsed=lapsed) is a
    assert standing(given, ambassador="b", revision=revision, lapsed=lapsed) is b
    assert (taken.ambassador if taken else None) == taker


@pytest.mark.parametrize(
    ("where", "acts"),
    [
        (Standing.OPEN, {Act.TAKEN, Act.INTRODUCED, Act.PASSED, Act.NOT_RELEVANT}),
        (Standing.MINE, {Act.INTRODUCED, Act.PASSED, Act.NOT_RELEVANT}),
        (Standing.ANOTHERS, {Act.NOT_RELEVANT}),
        (Standing.INTRODUCED, set()),
        (Standing.CLOSED, set()),
        (Standing.DISMISSED, set()),
        (Standing.PASSED, set()),
        (Standing.LAPSED, set()),
    ],
)
def test_what_may_be_done(where: Standing, acts: set[Act]) -> None:
    assert open_acts(where) == acts


@pytest.mark.parametrize(
    ("acts", "may"),
    [
        (["a1i", "a1yr"], set()),
        (["a1i", "a1yr", "a1yf"], {Act.OUTCOME}),
        (["a1i", "a1yr", "a1yf", "a1o"], {Act.OUTCOME}),
        (["a1i", "a1dr"], set()),
    ],
)
def test_an_outcome_may_be_told_once_both_have_accepted_and_told_again(acts: list[str], may: set[Act]) -> None:
    given = history(*acts)
    where = standing(given, ambassador="a", revision=1, lapsed=False)
    assert open_acts(where, introduction(given)) == may
