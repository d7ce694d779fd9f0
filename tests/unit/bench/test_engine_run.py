"""A whole measurement, tiny: what it finds is consistent, whatever the machine."""

import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from rich.console import Console

from bench._corpus import documents, requests
from bench._engine_ours import OURS, Ours, exact_scores
from bench._engine_report import Result
from bench._engine_run import run
from bench.curve import curves, draw


@pytest.fixture(scope="module")
def result() -> Result:
    return run([300], requests=10, rounds=1, load_seconds=0.5, tell=lambda _: None)


def test_our_scores_are_those_that_a_slow_computation_gives() -> None:
    rows = documents(2_000)
    asked, _ = requests(rows, 20)
    ours = Ours.build(rows)
    for number in range(20):
        exact = exact_scores(rows, *asked.row(number))
        members, scores = ours.search(*asked.row(number), 10)
        assert list(scores) == pytest.approx(sorted(exact, reverse=True)[:10], rel=1e-5)
        assert list(exact[members]) == pytest.approx(list(scores), rel=1e-5)


def test_every_engine_answers_every_request_rightly_and_in_some_time(result: Result) -> None:
    [size] = result.sizes
    assert len(size.rows) == 7
    assert size.ratios[OURS] == 1
    assert result.wrong() == []
    for row in size.rows:
        assert row.asked == len(row.seconds) == 10
        assert 0 < row.latency.p50 <= row.latency.p99 <= row.latency.longest
        assert row.ratio > 0
        assert row.bytes_per_document > 0
        assert row.planted == 1


def test_what_has_one_size_is_measured_too(result: Result) -> None:
    scale = result.scale
    assert scale.offers == 300
    assert scale.load.inserts == 500
    assert scale.load.query.count == 100
    assert scale.commit.mean > 0
    assert scale.restricted_error < 1e-4
    assert scale.restricted.count == scale.everybody.count == 10
    assert scale.reverse.count == scale.reverse_best.count == 10
    assert scale.production.found == 10
    assert scale.production.best.mean <= scale.production.first.mean


def test_goals_belong_to_their_sizes(result: Result) -> None:
    assert result.goals() == []


def test_the_result_is_json_and_tables_and_a_curve(result: Result, tmp_path: Path) -> None:
    written = json.loads(json.dumps(result.as_json()))
    assert written["machine"]["packages"]["numpy"]
    assert len(written["sizes"][0]["rows"][0]["seconds"]) == 10
    console = Console(width=160, record=True, file=(tmp_path / "out").open("w"))
    for table in result.tables():
        console.print(table)
    assert "linear_kernel and a sort" in console.export_text()
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    draw(curves(written), first)
    draw(curves(written), second)
    assert first.read_bytes() == second.read_bytes()
    assert "tantivy" in "".join(Xml.parse(first).getroot().itertext())  # noqa: S314 - our own file
