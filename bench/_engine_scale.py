"""What is measured at one number of offers: changes, the reverse match, searches under load, a cold start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench._corpus import Rows, documents, requests
from bench._engine_cold import STARTS, Start, start
from bench._engine_ours import Ours, warm_up
from bench._engine_production import Production, production
from bench._engine_timing import Contender, Floats, Latency, interleaved, latency
from bench._engine_updates import Load, ours_visible, tantivy_visible_both, under_load

K = 10
FRESH_SEED = 777
INSERTS = 1_000
COMMITS = 120
"""Inserts that tantivy commits one by one: each takes milliseconds."""

INSERTS_PER_SECOND = 1_000.0


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What was measured at one number of offers, or of open requests.

    Attributes:
        visible: ours, of an insert until the next search finds it.
        commit, commit_disk: tantivy's, in memory and on disk: add, commit and reload.
        reverse: of one member against as many open requests.
        load: inserts and requests together.
        cold: new processes that find everything compiled; `fresh`: one that finds nothing compiled. Empty and none if
            the engine writes no snapshots.
        production: from text to pairings.
        raw: seconds behind the summaries.
    """

    offers: int
    visible: Latency
    commit: Latency
    commit_disk: Latency
    reverse: Latency
    load: Load
    cold: Sequence[Start]
    fresh: Start | None
    production: Production
    raw: Mapping[str, Sequence[float]]

    @property
    def visible_ratio(self) -> float:
        """Return how many times as long a tantivy commit in memory takes as an insert of ours, by their means."""
        return self.commit.mean / self.visible.mean

    @property
    def cold_seconds(self) -> float | None:
        """Return the median start, none if there was none."""
        return float(np.median([each.total for each in self.cold])) if self.cold else None


def scale(offers: int, asked: int, rounds: int, load_seconds: float, tell: Callable[[str], None]) -> Scale:
    """Measure everything that has one number of offers."""
    rows = documents(offers)
    queries, _ = requests(rows, asked)
    raw: dict[str, Sequence[float]] = {}

    tell("inserts of ours")
    warm_up(rows)
    ours = Ours.build(rows)
    fresh = documents(INSERTS, seed=FRESH_SEED)
    visible = ours_visible(ours, fresh, offers)
    tell("commits of tantivy")
    commit, commit_disk = tantivy_visible_both(rows, fresh.head(COMMITS), offers)
    raw |= {"visible": visible.tolist(), "commit": commit.tolist(), "commit_disk": commit_disk.tolist()}

    tell(f"{INSERTS_PER_SECOND:,.0f} inserts a second for {load_seconds:.0f} s")
    ours = Ours.build(rows)
    coming = documents(int(load_seconds * INSERTS_PER_SECOND) or 1, seed=FRESH_SEED)
    load, during = under_load(
        ours, queries, coming, offers, inserts_per_second=INSERTS_PER_SECOND, seconds=load_seconds
    )
    raw |= {f"load_{name}": seconds.tolist() for name, seconds in during.items()}

    tell("cold starts")
    cold, nothing_compiled = _cold_starts(rows, queries)

    tell("reverse match")
    reverse = _reverse(requests(rows, offers, seed=FRESH_SEED)[0], fresh.head(min(asked, len(fresh))), rounds)
    raw["reverse"] = reverse.tolist()

    from_text, seconds = production(offers, asked, rounds, tell)
    raw |= {f"production_{name}": values for name, values in seconds.items()}
    return Scale(
        offers=offers,
        visible=latency(visible),
        commit=latency(commit),
        commit_disk=latency(commit_disk),
        reverse=latency(reverse),
        load=load,
        cold=cold,
        fresh=nothing_compiled,
        production=from_text,
        raw=raw,
    )


def _reverse(open_requests: Rows, members: Rows, rounds: int) -> Floats:
    """Return the seconds that each member's ten best requests take, with the requests indexed as documents are."""
    stored = Ours.build(open_requests)
    offered = [members.row(number) for number in range(len(members))]
    matching = Contender(
        name="reverse",
        ask=lambda number: stored.search(*offered[number], K),
        answer=lambda number: stored.search(*offered[number], K)[0],
        build_seconds=stored.build_seconds,
        size_bytes=stored.size_bytes,
    )
    return interleaved([matching], len(members), rounds)[matching.name]


def _cold_starts(rows: Rows, queries: Rows) -> tuple[list[Start], Start | None]:
    """Return starts that find everything compiled, and one that finds nothing compiled."""
    with TemporaryDirectory(prefix="maillage-snapshot-") as folder:
        snapshot, request = Path(folder) / "snapshot", Path(folder) / "request.npy"
        if not Ours.build(rows).save(snapshot):
            return [], None
        np.save(request, np.stack(queries.row(0)))
        # The first finds compiled whatever a process before it has compiled, perhaps for other arguments.
        start(snapshot, request)
        return [start(snapshot, request) for _ in range(STARTS)], start(snapshot, request, compiled=False)
