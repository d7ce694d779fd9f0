"""What a bar brings, counted by hand on a few requests."""

from pathlib import Path

import pytest

from bench._bar import (
    Asked,
    Outcome,
    bar_sheets,
    halves_by_length,
    macro_outcome,
    outcome,
    round_step,
    thresholds,
)
from bench._bar_picture import draw
from bench._quality_engine import Told

REQUESTS = [
    Asked(words=3, grades={"a": 1.0}, told=[Told("a", 0.9), Told("b", 0.5)]),
    Asked(words=5, grades={"c": 1.0}, told=[Told("d", 0.4), Told("c", 0.3)]),
    Asked(words=50, grades={"e": 1.0}, told=[]),
    Asked(words=60, grades={"f": 1.0}, told=[Told("g", 0.2)]),
] * 10


def test_without_a_bar_all_with_evidence_are_told() -> None:
    found = outcome(REQUESTS, 0.0)
    assert (found.answered, found.told) == (0.75, 1.25)
    assert found.precision == pytest.approx(2 / 5)
    assert found.first == pytest.approx(1 / 3)
    # Relevant in the first place, in the second, nowhere, nowhere.
    assert found.ndcg == pytest.approx((1 + 0.63093) / 4, abs=1e-5)


def test_a_bar_is_reached_by_an_equal_score() -> None:
    assert outcome(REQUESTS, 0.4).told == 0.75
    assert outcome(REQUESTS, 0.41).told == 0.5


def test_where_nobody_is_told_nothing_is_right_or_wrong() -> None:
    assert outcome(REQUESTS, 2.0) == Outcome(answered=0.0, told=0.0, precision=None, first=None, ndcg=0.0)


def test_of_a_few_answers_no_share_is_told() -> None:
    found = outcome(REQUESTS[:4], 0.0)
    assert (found.answered, found.precision, found.first) == (0.75, None, None)


def test_sets_in_which_nobody_is_told_do_not_count_in_the_mean_precision() -> None:
    silent = outcome(REQUESTS, 2.0)
    speaking = outcome(REQUESTS, 0.0)
    found = macro_outcome([silent, speaking, speaking])
    assert found.precision == speaking.precision
    assert found.answered == pytest.approx(speaking.answered * 2 / 3)


def test_where_half_of_the_sets_are_silent_there_is_no_mean_precision() -> None:
    assert macro_outcome([outcome(REQUESTS, 2.0), outcome(REQUESTS, 0.0)]).precision is None


def test_requests_are_split_at_the_median_length() -> None:
    short, long = halves_by_length(REQUESTS)
    assert {one.words for one in short} == {3, 5}
    assert {one.words for one in long} == {50, 60}


@pytest.mark.parametrize(
    ("rough", "expected"), [(0.013, 0.02), (0.05, 0.05), (0.051, 0.1), (1.0, 1.0), (70, 100), (0, 1.0)]
)
def test_steps_are_round(rough: float, expected: float) -> None:
    assert round_step(rough) == pytest.approx(expected)


def test_bars_go_from_nothing_to_nearly_all_silent() -> None:
    bars = thresholds([REQUESTS])
    assert bars == [pytest.approx(number * 0.05) for number in range(19)]


def test_the_row_of_production_is_in_every_table() -> None:
    first, by_set, lengths, by_length = bar_sheets({"tiny": REQUESTS}, production=0.33, places=5)
    for sheet in (first, by_set, lengths):
        assert sheet.strong is not None
        assert sheet.rows[sheet.strong][0] == "0.33, production"
    assert any("lower bound" in note for note in first.notes)
    assert by_set.rows[0] == ["0", "75 / 40 %"]
    assert by_length.rows == [["tiny", "27.5", "100 %", "1.50", "33 %", "50 %", "0 %", "0.00", "–", "–"]]


def test_the_picture_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        draw({"tiny": REQUESTS}, 0.33, tmp_path / "images" / name)
    first, second = ((tmp_path / "images" / name).read_text() for name in ("one.svg", "two.svg"))
    assert first == second
    assert "bar of production, 0.33" in first
