"""What has become of a suggestion for each of its ambassadors."""

import pytest

from schemas.feedback import Act, NotRelevantReason
from services.notifier.domain.standing import Given, Standing, open_acts, standing, taken_by
from tests.unit.notifier.samples import NOW

ACTS = {"t": Act.TAKEN, "n": Act.NOT_RELEVANT}


def history(*acts: str) -> list[Given]:
    """`a1t`: the ambassador a, on revision 1, took it."""
    return [
        Given(rev, int(a[1]), a[0], ACTS[a[2]], NotRelevantReason.OTHER if a[2] == "n" else None, NOW)
        for rev, a in enumerate(acts, start=1)
    ]


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
        (Standing.OPEN, {Act.TAKEN, Act.NOT_RELEVANT}),
        (Standing.MINE, {Act.NOT_RELEVANT}),
        (Standing.ANOTHERS, {Act.NOT_RELEVANT}),
        (Standing.DISMISSED, set()),
        (Standing.LAPSED, set()),
    ],
)
def test_what_may_be_done(where: Standing, acts: set[Act]) -> None:
    assert open_acts(where) == acts
