"""The curve of the bar as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

from bench._bar import Asked, Outcome, macro_outcome, outcome, thresholds

SIZE_INCHES: Final = (10.0, 5.0)

FINENESS: Final = 5
"""Points of the curve for each threshold of the table."""


def draw(sets: Mapping[str, Sequence[Asked]], production: float, file: Path) -> None:
    """Draw what is right among those told against the share of requests answered, and both against the bar."""
    rough = thresholds(list(sets.values()))
    bars = [
        start + (end - start) * part / FINENESS for start, end in pairwise(rough) for part in range(FINENESS)
    ] or rough
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    curve, course = figure.subplots(1, 2)
    outcomes = {name: [outcome(requests, bar) for bar in bars] for name, requests in sets.items()}
    means = [macro_outcome([of_set[number] for of_set in outcomes.values()]) for number in range(len(bars))]
    here = macro_outcome([outcome(requests, production) for requests in sets.values()])
    for name, found in outcomes.items():
        curve.plot(*_points(found), linewidth=1, alpha=0.8, label=name)
    curve.plot(*_points(means), color="black", linewidth=2.5, label="mean of the sets")
    if here.precision is not None:
        label = f"bar of production, {production:g}"
        curve.plot([here.answered], [here.precision], "o", color="black", markersize=8, label=label)
    curve.set(xlabel="share of requests that get somebody", ylabel="share of the told judged right (lower bound)")
    curve.set(xlim=(0, 1), ylim=(0, 1))
    figure.legend(*curve.get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=5)
    course.plot(bars, [one.answered for one in means], label="requests that get somebody")
    known = [(bar, one) for bar, one in zip(bars, means, strict=True) if one.precision is not None]
    course.plot([bar for bar, _ in known], [one.precision for _, one in known], label="told and right (lower bound)")
    course.plot([bar for bar, _ in known], [one.first for _, one in known], label="best told is right (lower bound)")
    course.axvline(production, color="black", linestyle=":", label=f"bar of production, {production:g}")
    course.set(xlabel="bar", ylabel="mean of the sets", ylim=(0, 1))
    course.legend(fontsize=8)
    for axes in (curve, course):
        axes.grid(alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    # The same picture for the same figures: no date, and ids that do not change.
    with mpl.rc_context({"svg.hashsalt": "bar", "svg.fonttype": "none"}):
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def _points(outcomes: Sequence[Outcome]) -> tuple[list[float], list[float]]:
    known = [(one.answered, one.precision) for one in outcomes if one.precision is not None]
    return [answered for answered, _ in known], [precision for _, precision in known]
