"""`bench.quality` on tiny folders, and the arithmetic behind its tables."""

import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from bench._data import DataError
from bench._quality import ndcgs
from bench._quality_figures import Ranker, ablation_sheet, best_baseline, cell, figures_sheet, split_sheet
from bench._quality_sets import Figure, JudgedSet, figure, half_of, judged_set, judged_sets, macro, quotes, splits
from bench._quality_sheet import Sheet, replace_block
from bench.quality import main, rank_folder, run_lines

DOCS = [
    {
        "id": "lab 1",
        "text": "Institut X. Filtration de l'eau par membrane.",
        "lang": "fr",
        "extra": {"name": "Institut X"},
    },
    {"id": "lab2", "text": "Panneaux solaires souples pour les toits.", "lang": "fr", "extra": {"name": "Solaria"}},
    {"id": "lab3", "text": "Robots for warehouses and harbours.", "lang": "en", "extra": {"name": "Roboport"}},
]
QUERIES = [
    {"id": "q1", "text": "Une membrane pour la filtration de notre eau.", "lang": "fr"},
    {"id": "q2", "text": "Des panneaux solaires posés avec Solaria.", "lang": "fr"},
    {"id": "q3", "text": "Zygomorphic xylophones.", "lang": "en"},
]
QRELS = [("q1", "lab 1", 1), ("q2", "lab2", 1), ("q3", "lab3", 1)]
PROJECTS = [
    {"id": "p1", "text": "Filtration de l'eau.", "docs": ["lab3"]},
    {"id": "p2", "text": "Filtration de l'eau par membrane.", "docs": ["lab3"]},
]

LINE = re.compile(r"^[^\t\n]+\t[^\t\n]+\t[0-9.e+-]+\n$")


@pytest.fixture
def silent() -> Console:
    return Console(quiet=True)


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_folder_is_ranked_written_and_measured(tmp_path: Path, silent: Console, *, gzipped: bool) -> None:
    data = _folder(tmp_path / "tiny", gzipped=gzipped, qrels=QRELS)
    told = rank_folder(data, tmp_path / "run.tsv", silent)
    run = _run(tmp_path / "run.tsv")
    assert next(iter(run["q1"])) == "lab 1"
    assert next(iter(run["q2"])) == "lab2"
    # q1 and q2 are answered in the first place, q3 is not answered.
    assert "nDCG@10 0.6667 over 3 judged queries" in told


def test_a_folder_without_judgements_is_ranked_all_the_same(tmp_path: Path, silent: Console) -> None:
    told = rank_folder(_folder(tmp_path / "tiny"), tmp_path / "run.tsv", silent)
    assert _run(tmp_path / "run.tsv")["q1"]
    assert "nDCG" not in told
    assert "3 queries" in told


def test_past_projects_speak_for_a_member(tmp_path: Path, silent: Console) -> None:
    rank_folder(_folder(tmp_path / "tiny", projects=PROJECTS), tmp_path / "run.tsv", silent)
    assert "lab3" in _run(tmp_path / "run.tsv")["q1"]


def test_a_run_has_a_line_for_each_rank_best_first(tmp_path: Path, silent: Console) -> None:
    rank_folder(_folder(tmp_path / "tiny", projects=PROJECTS), tmp_path / "run.tsv", silent)
    lines = (tmp_path / "run.tsv").read_text().splitlines(keepends=True)
    assert lines
    assert all(LINE.match(line) for line in lines)
    for scores in _run(tmp_path / "run.tsv").values():
        assert list(scores.values()) == sorted(scores.values(), reverse=True)
        assert min(scores.values()) > 0


def test_scores_keep_their_digits_in_a_run() -> None:
    [line] = run_lines({"q": {"d": 1 / 3}})
    assert float(line.split("\t")[2]) == 1 / 3


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "docs.jsonl").unlink(), "no docs.jsonl"),
        (lambda folder: (folder / "docs.jsonl").write_text("{"), "line 1: not JSON"),
        (lambda folder: (folder / "queries.jsonl").write_text("[]\n"), "line 1: not an object"),
        (lambda folder: (folder / "queries.jsonl").write_text('{"id": "q"}\n'), "not in the expected form"),
        (lambda folder: (folder / "qrels.tsv").write_text("query\tdoc\tgrade\nq1 lab2 1\n"), "line 2: expected"),
        (lambda folder: _append(folder / "docs.jsonl", DOCS[0]), "the id lab 1 is there more than once"),
    ],
)
def test_a_bad_folder_gives_one_clear_line(tmp_path: Path, spoil: Any, said: str) -> None:
    data = _folder(tmp_path / "tiny", qrels=QRELS)
    spoil(data)
    result = _command("--data", data, "--out", tmp_path / "run.tsv")
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_a_root_without_sets_gives_one_clear_line(tmp_path: Path) -> None:
    result = _command("--all", tmp_path)
    assert result.exit_code == 2
    assert "no folder in it has a qrels.tsv" in result.output


@pytest.mark.parametrize(
    "given", [[], ["--data", "x"], ["--data", "x", "--all", "y"], ["--all", "y", "--picture", "z.svg"]]
)
def test_options_that_do_not_go_together_are_refused(given: list[str]) -> None:
    assert _command(*given).exit_code == 2


def test_the_table_names_production_and_each_baseline(tmp_path: Path) -> None:
    _folder(tmp_path / "root" / "one", qrels=QRELS, projects=PROJECTS)
    _folder(tmp_path / "root" / "two", qrels=QRELS, gzipped=True)
    _folder(tmp_path / "root" / "unjudged")
    page = tmp_path / "page.md"
    page.write_text("Before\n<!-- bench.quality table -->\nold\n<!-- end of bench.quality table -->\nAfter\n")
    result = _command("--all", tmp_path / "root", "--write", page)
    assert result.exit_code == 0, result.output
    written = page.read_text()
    for label in ("production", "A: ", "B: ", "C: ", "E: ", "P: ", "one", "two", "macro average"):
        assert label in written
    assert "unjudged" not in written
    assert "old" not in written
    assert written.startswith("Before\n")
    assert written.endswith("\nAfter\n")


# Halves and means


def test_the_half_of_a_query_never_changes() -> None:
    # Published check values of CRC-32: CBF43926, E8B7BE43 and 414FA339.
    assert [half_of(query) for query in ("123456789", "a", "The quick brown fox jumps over the lazy dog")] == [0, 1, 1]


def test_a_figure_is_the_mean_and_those_of_the_halves() -> None:
    fox = "The quick brown fox jumps over the lazy dog"
    assert figure({"123456789": 0.8, "a": 0.0, fox: 0.1}) == Figure(pytest.approx(0.3), (0.8, 0.05))


def test_each_set_counts_the_same_in_the_macro_average() -> None:
    assert macro([Figure(0.2, (0.1, 0.3)), Figure(0.4, (0.3, 0.5))]) == Figure(
        pytest.approx(0.3), (pytest.approx(0.2), pytest.approx(0.4))
    )


def test_a_query_without_an_answer_counts_zero() -> None:
    assert ndcgs({"q1": {"a": 2.0}}, {"q1": {"a": 1}, "q2": {"b": 1}}) == {"q1": 1.0, "q2": 0.0}


def test_a_figure_is_written_without_the_leading_zero() -> None:
    assert cell(Figure(0.4124, (0.4, 0.425))) == ".412 (.400 / .425)"
    assert cell(Figure(1.0, (1.0, 1.0))) == "1.000 (1.000 / 1.000)"
    assert cell(None) == "–"


# Requests that quote a name


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("Avec l’INSTITUT de physique-chimie.", "Institut de Physique Chimie", True),
        ("Élaboré avec Edukéra, à Neuilly", "EDUKERA", True),
        ("Des solariums partout", "Solaria", False),
        ("with the CEA", "CEA", False),  # three letters
        ("anything", "", False),
    ],
)
def test_a_name_is_quoted_word_for_word(text: str, name: str, *, expected: bool) -> None:
    assert quotes(text, name) is expected


def test_only_names_of_relevant_organisations_count(tmp_path: Path) -> None:
    assert judged_set(_folder(tmp_path / "right", qrels=QRELS)).quoting == {"q2"}
    assert judged_set(_folder(tmp_path / "wrong", qrels=[("q2", "lab3", 1)])).quoting == frozenset()


def test_a_set_is_split_where_both_parts_are_large_enough(tmp_path: Path) -> None:
    assert splits(judged_set(_folder(tmp_path / "small", qrels=QRELS))) == {}
    quoting = [{"id": f"q{n}", "text": f"Panneaux {n} avec Solaria" if n < 10 else f"Panneaux {n}"} for n in range(25)]
    judged = judged_set(_folder(tmp_path / "large", queries=quoting, qrels=[(f"q{n}", "lab2", 1) for n in range(25)]))
    parts = splits(judged)
    assert [sum(map(holds, judged.folder.relevant)) for holds in parts.values()] == [10, 15]
    ranker = Ranker(label="x", values={"large": {f"q{n}": float(n < 10) for n in range(25)}})
    sheet = split_sheet([ranker], [judged])
    assert sheet is not None
    assert [row[:6] for row in sheet.rows[0][1:]] == ["1.000 ", ".000 ("]


# Tables


def test_a_ranker_that_skips_a_set_has_no_macro_average(tmp_path: Path) -> None:
    sets = _two_sets(tmp_path)
    partial = Ranker(label="partial", values={"one": {"q1": 1.0}})
    sheet = figures_sheet([partial], sets, title="", notes=[])
    assert sheet.rows[0][2:] == ["–", "–"]


def test_the_best_baseline_is_chosen_set_by_set(tmp_path: Path) -> None:
    first = Ranker(label="first", values={"one": {"q1": 1.0}, "two": {"q1": 0.0}})
    second = Ranker(label="second", values={"one": {"q1": 0.5}, "two": {"q1": 0.5}})
    best = best_baseline([first, second], [judged.name for judged in _two_sets(tmp_path)])
    found = best.macro(["one", "two"])
    assert found is not None
    assert found.all == 0.75


def test_an_ablation_tells_what_each_variant_loses_and_costs(tmp_path: Path) -> None:
    whole = Ranker(label="whole", values={"one": {"q1": 1.0}, "two": {"q1": 0.5}}, milliseconds=0.5)
    less = Ranker(label="less", values={"one": {"q1": 0.5}, "two": {"q1": 0.5}}, milliseconds=0.25)
    sheet = ablation_sheet([whole, less], _two_sets(tmp_path), title="", notes=[])
    assert [row[-2:] for row in sheet.rows] == [["", "0.50"], ["-0.2500", "0.25"]]


def test_a_sheet_is_a_markdown_table() -> None:
    sheet = Sheet(title="T", columns=["", "a"], rows=[["x", "1"], ["y", "2"]], notes=["N"], strong=1)
    expected = ["**T**", "", "|  | a |", "| --- | ---: |", "| x | 1 |", "| **y** | **2** |", "", "N"]
    assert sheet.markdown().splitlines() == expected


@pytest.mark.parametrize(
    "text",
    [
        "nothing",
        "<!-- bench.quality t --> no end",
        "<!-- end of bench.quality t --> <!-- bench.quality t -->",
        "<!-- bench.quality t --> <!-- bench.quality t --> <!-- end of bench.quality t -->",
        "<!-- bench.quality t --> <!-- end of bench.quality t -->" * 2,
    ],
)
def test_a_page_without_its_two_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(DataError, match="expected once, in this order"):
        replace_block(page, "t", "new")
    assert page.read_text() == text


def test_writing_a_block_again_changes_nothing(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- bench.quality t -->\n<!-- end of bench.quality t -->\nb\n")
    replace_block(page, "t", "body\n")
    once = page.read_text()
    replace_block(page, "t", "body\n")
    assert page.read_text() == once
    assert "\n\nbody\n\n" in once


def _two_sets(tmp_path: Path) -> list[JudgedSet]:
    for name in ("one", "two"):
        _folder(tmp_path / name, qrels=QRELS)
    return judged_sets(tmp_path)


def _command(*given: object) -> Any:
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, [str(one) for one in given])


def _folder(
    folder: Path,
    *,
    gzipped: bool = False,
    queries: Sequence[dict[str, Any]] = QUERIES,
    qrels: Sequence[tuple[str, str, int]] = (),
    projects: Sequence[dict[str, Any]] = (),
) -> Path:
    folder.mkdir(parents=True)
    files = {"docs.jsonl": _lines(DOCS), "queries.jsonl": _lines(queries)}
    if projects:
        files["past_projects.jsonl"] = _lines(projects)
    if qrels:
        files["qrels.tsv"] = "query\tdoc\tgrade\n" + "".join(f"{q}\t{doc}\t{grade}\n" for q, doc, grade in qrels)
    for name, text in files.items():
        if gzipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text)
    return folder


def _lines(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _append(file: Path, row: dict[str, Any]) -> None:
    file.write_text(file.read_text() + json.dumps(row) + "\n")


def _run(file: Path) -> dict[str, dict[str, float]]:
    run: dict[str, dict[str, float]] = {}
    for line in file.read_text().splitlines():
        query, doc, score = line.split("\t")
        run.setdefault(query, {})[doc] = float(score)
    return run
