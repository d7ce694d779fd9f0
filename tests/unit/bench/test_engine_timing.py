"""The arithmetic behind the bench's numbers."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from bench._engine_goals import at_least, at_most, ratio_goals
from bench._engine_report import number
from bench._engine_timing import Contender, interleaved, latency, ratio
from bench._peers import BM25S, TANTIVY
from bench.curve import curves, duration


def test_percentiles_are_observed_values() -> None:
    found = latency([n / 1e6 for n in range(1, 201)])
    assert (found.count, found.p50, found.p99, found.longest) == pytest.approx((200, 100, 198, 200))
    assert found.mean == pytest.approx(100.5)


def test_one_duration_is_all_its_percentiles() -> None:
    found = latency([0.002])
    assert (found.p50, found.p99, found.longest, found.mean) == pytest.approx((2000, 2000, 2000, 2000))


def test_a_ratio_counts_the_common_requests_only() -> None:
    ours = np.array([1.0, 3.0, 100.0])
    assert ratio(np.array([4.0, 8.0]), ours) == 3.0
    assert ratio(ours, ours) == 1.0


def contender(name: str, ask: Callable[[int], object]) -> Contender:
    return Contender(name=name, ask=ask, answer=lambda _: [], build_seconds=0, size_bytes=0)


def test_the_fastest_round_counts_and_engines_take_turns() -> None:
    asked: list[tuple[str, int]] = []
    slow_first: dict[int, int] = {}

    def moody(request: int) -> None:
        asked.append(("moody", request))
        slow_first[request] = slow_first.get(request, 0) + 1
        # Two calls go before the measurement; the first measured one is slow.
        time.sleep(0.2 if slow_first[request] <= 3 else 0)

    found = interleaved([contender("moody", moody), contender("steady", lambda n: asked.append(("steady", n)))], 3, 3)
    assert set(found) == {"moody", "steady"}
    assert (found["moody"] < 0.2).all()
    rounds = [name for name, request in asked if request == 2]
    assert rounds[-6:] == ["moody", "steady"] * 3


def test_a_slow_engine_is_asked_fewer_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench._engine_timing.ROUND_SECONDS", 0.02)
    found = interleaved([contender("slow", lambda _: time.sleep(0.001)), contender("fast", lambda _: None)], 100, 1)
    assert 8 <= len(found["slow"]) < 30
    assert len(found["fast"]) == 100


def test_a_request_of_a_batch_is_its_share_of_the_call() -> None:
    batch = Contender(
        name="batch", ask_all=lambda n: time.sleep(0.001 * n), answer=lambda _: [], build_seconds=0, size_bytes=0
    )
    found = interleaved([batch], 10, 2)["batch"]
    assert len(found) == 10
    assert len(set(found)) == 1
    assert 0.001 <= found[0] < 0.01


def test_goals_are_met_at_their_bound_and_never_without_a_measurement() -> None:
    assert at_most("a", 5, "s", 5).met
    assert not at_most("a", 5, "s", 5.1).met
    assert at_least("a", 5, "s", 5).met
    assert not at_least("a", 5, "s", 4.9).met
    assert not at_least("a", 5, "s", None).met
    assert not at_most("a", 5, "s", None).met


def test_ratio_goals_are_those_of_the_size() -> None:
    goals = {goal.name: goal for goal in ratio_goals(100_000, {TANTIVY: 3.4, BM25S: 1.4})}
    assert len(goals) == 4
    assert goals[f"{TANTIVY}, 100,000 documents"].met
    assert not goals[f"{BM25S}, 100,000 documents"].met
    assert ratio_goals(12_345, {TANTIVY: 100.0}) == []


def test_curves_are_read_by_engine_and_size() -> None:
    def size(documents: int, mean: float) -> dict[str, object]:
        return {"documents": documents, "rows": [{"name": "ours", "latency": {"mean": mean}}]}

    assert curves({"sizes": [size(1000, 50.0), size(100, 5.0)]}) == {"ours": [(100, 5.0), (1000, 50.0)]}


def test_numbers_are_told_in_three_digits_and_durations_in_their_unit() -> None:
    assert [number(value) for value in (0.123, 12.34, 1234.5, float("nan"))] == ["0.12", "12.3", "1,234", "–"]
    assert [duration(value) for value in (10, 1_000, 100_000, 1_000_000)] == ["10 µs", "1 ms", "100 ms", "1 s"]
