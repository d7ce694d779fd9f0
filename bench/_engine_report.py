"""What a measurement found: as tables for people, as JSON, and as goals met or missed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from bench import _engine_goals as goals
from bench._engine_goals import RATIOS, Goal, at_least, at_most, ratio_goals
from bench._engine_ours import OURS
from bench._engine_scale import Scale
from bench._engine_speed import TOLERANCE, Row, Size
from bench._engine_timing import Latency


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything that was measured, and on what.

    Attributes:
        settings: how it was measured.
    """

    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    sizes: Sequence[Size]
    scale: Scale

    def goals(self) -> list[Goal]:
        """Return every goal that has a measurement here; those of other sizes are left out."""
        found = [goal for size in self.sizes for goal in ratio_goals(size.documents, size.ratios)]
        found += [
            at_most(
                f"memory, {size.documents:,} documents", goals.BYTES_PER_DOCUMENT, "B/document", row.bytes_per_document
            )
            for size in self.sizes
            if size.documents == goals.SCALE
            for row in size.rows
            if row.name == OURS
        ]
        if self.scale.offers == goals.SCALE:
            found += _scale_goals(self.scale)
        return found

    def wrong(self) -> list[str]:
        """Return what makes the numbers worthless: answers that are not what the engine's own formula says."""
        found = [f"{name} at {size.documents:,} documents: wrong answers" for size in self.sizes for name in size.wrong]
        if self.scale.restricted_error > TOLERANCE:
            found.append(f"restricted searches at {self.scale.offers:,} offers: wrong answers")
        return found

    def as_json(self) -> dict[str, Any]:
        """Return everything, raw numbers included."""
        return {
            "machine": self.machine,
            "settings": self.settings,
            "sizes": [asdict(size) for size in self.sizes],
            "scale": asdict(self.scale),
            "goals": [asdict(goal) | {"met": goal.met} for goal in self.goals()],
            "wrong": self.wrong(),
        }

    def tables(self) -> Iterator[Table]:
        """Yield the tables."""
        for size in self.sizes:
            yield _size_table(size)
        yield _scale_table(self.scale)
        yield _goal_table(self.goals())


def _scale_goals(scale: Scale) -> list[Goal]:
    at = f"{scale.offers:,}"
    return [
        at_least(f"tantivy commit over an insert, {at} offers", goals.VISIBLE_RATIO, "×", scale.visible_ratio),
        at_least("search among all over 1 % of the members", goals.RESTRICTED_RATIO, "×", scale.restricted_ratio),
        at_most(f"one member against {at} requests", goals.REVERSE_US, "µs", scale.reverse.mean),
        at_most(f"text to pairings, {at} offers", goals.PRODUCTION_US, "µs", scale.production.best.mean),
        at_most(f"explaining a top ten, {at} offers", goals.EXPLAIN_US, "µs", scale.production.explain.mean),
        at_most("query p99 under inserts", goals.LOADED_P99_US, "µs", scale.load.query.p99),
        at_most("longest pause of an insert", goals.PAUSE_US, "µs", scale.load.insert.longest),
        at_most("longest query under inserts", goals.PAUSE_US, "µs", scale.load.query.longest),
    ]


def _size_table(size: Size) -> Table:
    table = Table(
        title=f"{size.documents:,} documents, ten best, microseconds a request "
        f"({size.terms_per_request:.0f} terms, {size.postings_per_request:,.0f} postings)",
        title_justify="left",
        caption="× ours: on the requests in common, asked in the same way (one by one, or in one call). "
        f"Exact: by the engine's own formula, to {TOLERANCE:g}. In common: with the documents that ours finds.",
        caption_justify="left",
    )
    table.add_column("engine")
    for name in (
        "mean",
        "p50",
        "p99",
        "× ours",
        "goal ≥",
        "asked",
        "build s",
        "B/doc",
        "exact",
        "in common",
        "planted",
    ):
        table.add_column(name, justify="right")
    for row in size.rows:
        table.add_row(*_size_cells(row, RATIOS.get(row.name, {}).get(size.documents)))
    return table


def _size_cells(row: Row, goal: float | None) -> Iterator[str]:
    yield row.name
    yield number(row.latency.mean)
    # Of one call there are no percentiles.
    yield "" if row.batch else number(row.latency.p50)
    yield "" if row.batch else number(row.latency.p99)
    yield number(row.ratio)
    yield (
        ""
        if goal is None
        else f"{number(goal)} [green]ok[/green]"
        if row.ratio >= goal
        else f"{number(goal)} [red]missed[/red]"
    )
    yield str(row.asked)
    yield f"{row.build_seconds:.2f}"
    yield number(row.bytes_per_document)
    yield "" if row.error is None else "yes" if row.error <= TOLERANCE else f"[red]off by {row.error:.1e}[/red]"
    yield f"{row.common:.0%}"
    yield f"{row.planted:.0%}"


def _scale_table(scale: Scale) -> Table:
    table = Table(
        title=f"{scale.offers:,} offers, microseconds where nothing else is said",
        title_justify="left",
        caption="Under load: 1,000 inserts a second, requests counted from the moment they came.",
        caption_justify="left",
    )
    table.add_column("what")
    for name in ("mean", "p50", "p99", "longest", "count"):
        table.add_column(name, justify="right")
    production = scale.production
    rows: list[tuple[str, Latency]] = [
        ("insert until a search finds it, ours", scale.visible),
        ("add, commit and reload, tantivy in memory", scale.commit),
        ("add, commit and reload, tantivy on disk", scale.commit_disk),
        (f"one member against {scale.offers:,} open requests, those above a score", scale.reverse),
        ("   the ten best of them", scale.reverse_best),
        ("search among all members, of 100 groups", scale.everybody),
        ("search among 1 % of the members, one group", scale.restricted),
        ("under load: request until answered", scale.load.query),
        ("under load: the search itself", scale.load.search),
        ("under load: insert", scale.load.insert),
        (f"production ({production.engine}): text to pairings", production.best),
        ("   of it: analysis", production.analysis),
        ("   of it: search", production.search),
        ("   when the request comes first", production.first),
        ("   to explain its pairings", production.explain),
    ]
    for name, each in rows:
        table.add_row(
            name, number(each.mean), number(each.p50), number(each.p99), number(each.longest), f"{each.count:,}"
        )
    table.add_section()
    table.add_row("under load: inserts done more than a second late", "", "", "", "", f"{scale.load.late:,}")
    table.add_row("production: putting all offers, seconds", f"{production.build_seconds:.2f}", "", "", "", "1")
    return table


def _goal_table(reached: Sequence[Goal]) -> Table:
    table = Table(title="Goals", title_justify="left")
    table.add_column("what")
    for name in ("goal", "measured", ""):
        table.add_column(name, justify="right")
    for goal in reached:
        table.add_row(
            goal.name,
            f"{goal.sense} {number(goal.goal)} {goal.unit}",
            "–" if goal.measured is None else f"{number(goal.measured)} {goal.unit}",
            "[green]ok[/green]" if goal.met else "[red]missed[/red]",
        )
    if not reached:
        table.add_row("none are set for these sizes", "", "", "")
    return table


def number(value: float) -> str:
    """Return a number in three digits, or whole if it has more."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
