"""Rankers beside one another over all sets: one row each, nDCG@10 with its two halves, and the macro average."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench._baselines import Ranking
from bench._quality import ndcgs
from bench._quality_sets import QUOTING_RULE, Figure, JudgedSet, figure, macro, splits
from bench._quality_sheet import Sheet

ABSENT: Final = "–"

MACRO: Final = "macro average"

HALVES_NOTE: Final = (
    "nDCG@10 over the judged queries of a set, in brackets its two halves by the lowest bit of the CRC-32 of the "
    "query's id; the macro average is the mean of the sets."
)

Values = Mapping[str, Mapping[str, float]]
"""Set → query → nDCG@10."""


@dataclass(frozen=True, kw_only=True)
class Ranker:
    """What one ranker reached: a value for each judged query of each set that it ranks.

    `milliseconds` is the time of a query, analysis included, as a mean of the sets' means; none where it was not taken.
    """

    label: str
    values: Values
    milliseconds: float | None = None

    def figure(self, name: str) -> Figure | None:
        """Return the figure of a set."""
        return figure(self.values[name]) if name in self.values else None

    def macro(self, names: Sequence[str]) -> Figure | None:
        """Return the mean over sets; none unless it ranks all of them."""
        figures = [self.figure(name) for name in names]
        known = [one for one in figures if one is not None]
        return macro(known) if len(known) == len(figures) else None


def values_of(ranking: Ranking, judged: JudgedSet) -> dict[str, float]:
    """Return nDCG@10 of each judged query."""
    return ndcgs(ranking, judged.folder.relevant)


def figures_sheet(rankers: Sequence[Ranker], sets: Sequence[JudgedSet], *, title: str, notes: Sequence[str]) -> Sheet:
    """Return rankers as rows and sets as columns; the first ranker is the production engine."""
    names = [judged.name for judged in sets]
    rows = [
        [ranker.label, *(cell(ranker.figure(name)) for name in names), cell(ranker.macro(names), digits=4)]
        for ranker in rankers
    ]
    counts = ", ".join(f"{judged.name} {len(judged.folder.relevant):,}" for judged in sets)
    return Sheet(
        title=title,
        columns=["", *names, MACRO],
        rows=rows,
        notes=[HALVES_NOTE, f"Judged queries: {counts}.", *notes],
        strong=0,
    )


def ablation_sheet(rankers: Sequence[Ranker], sets: Sequence[JudgedSet], *, title: str, notes: Sequence[str]) -> Sheet:
    """Return the same with what each variant loses against the first ranker, and the time that a query takes."""
    sheet = figures_sheet(rankers, sets, title=title, notes=notes)
    names = [judged.name for judged in sets]
    whole = rankers[0].macro(names)
    extended = []
    for ranker, row in zip(rankers, sheet.rows, strict=True):
        reached = ranker.macro(names)
        change = "" if ranker is rankers[0] or whole is None or reached is None else f"{reached.all - whole.all:+.4f}"
        time = ABSENT if ranker.milliseconds is None else f"{ranker.milliseconds:.2f}"
        extended.append([*row, change, time])
    return Sheet(
        title=sheet.title,
        columns=[*sheet.columns, "change", "ms a query"],
        rows=extended,
        notes=sheet.notes,
        strong=0,
    )


def best_baseline(rankers: Sequence[Ranker], names: Sequence[str]) -> Ranker:
    """Return, as one ranker, the best of some on each set: whole rankings, never the better one of each query."""
    values: dict[str, Mapping[str, float]] = {}
    for name in names:
        figures = [(found.all, ranker) for ranker in rankers if (found := ranker.figure(name)) is not None]
        values[name] = max(figures, key=lambda pair: pair[0])[1].values[name]
    return Ranker(label="the best of these, set by set", values=values)


def split_sheet(rankers: Sequence[Ranker], sets: Sequence[JudgedSet]) -> Sheet | None:
    """Return the figures of the requests that quote a relevant name and of those that do not; none without either."""
    parts = [(judged, label, holds) for judged in sets for label, holds in splits(judged).items()]
    if not parts:
        return None
    rows = [
        [ranker.label, *(cell(_part(ranker, judged.name, holds)) for judged, _, holds in parts)] for ranker in rankers
    ]
    counted = [f"{judged.name}: {label} ({sum(map(holds, judged.folder.relevant))})" for judged, label, holds in parts]
    return Sheet(
        title="Requests that quote a partner's name, and those that do not: nDCG@10",
        columns=["", *counted],
        rows=rows,
        notes=[QUOTING_RULE, "In brackets behind the part: its requests; behind the figure: its two halves."],
        strong=0,
    )


def cell(found: Figure | None, *, digits: int = 3) -> str:
    """Write a figure as `.412 (.398 / .425)`."""
    if found is None:
        return ABSENT
    first, second = found.halves
    return f"{share(found.all, digits)} ({share(first, digits)} / {share(second, digits)})"


def share(value: float, digits: int = 3) -> str:
    """Write a number from 0 to 1 without the zero that says nothing: `.412`."""
    return f"{value:.{digits}f}".removeprefix("0")


def _part(ranker: Ranker, name: str, holds: Callable[[str], bool]) -> Figure | None:
    if name not in ranker.values:
        return None
    return figure({query: value for query, value in ranker.values[name].items() if holds(query)})
