"""What is measured at one number of offers: changes, the reverse match, searches under load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench._corpus import Rows, documents, requests
from bench._engine_exact import worst_error
from bench._engine_ours import Ours, exact_scores, group_of, warm_up
from bench._engine_production import Production, production
from bench._engine_timing import Contender, Floats, Latency, interleaved, latency
from bench._engine_updates import Load, ours_visible, tantivy_visible_both, under_load

K = 10
FRESH_SEED = 777
INSERTS = 1_000
COMMITS = 120
"""Inserts that tantivy commits one by one: each takes milliseconds."""

INSERTS_PER_SECOND = 1_000.0

GROUPS = 100
"""A search restricted to one of so many groups is restricted to 1 % of the members."""

CHECKED = 20
"""Restricted searches whose answers are checked."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What was measured at one number of offers, or of open requests.

    Attributes:
        visible: ours, of an insert until the next search finds it.
        commit, commit_disk: tantivy's, in memory and on disk: add, commit and reload.
        everybody: a search among all members, who are in as many groups as for `restricted`.
        restricted: the same search among the members of one group, 1 % of all.
        restricted_error: farthest that a checked restricted answer is from the best by a slow computation, relative to
            the best score; infinite if one has fewer than it could.
        reverse: of one member against as many open requests: those that give it a least score, as production asks for
            them; the least is so high that about ten do.
        reverse_best: the ten best of them instead.
        load: inserts and requests together.
        production: from text to pairings.
        raw: seconds behind the summaries.
    """

    offers: int
    visible: Latency
    commit: Latency
    commit_disk: Latency
    everybody: Latency
    restricted: Latency
    restricted_error: float
    reverse: Latency
    reverse_best: Latency
    load: Load
    production: Production
    raw: Mapping[str, Sequence[float]]

    @property
    def visible_ratio(self) -> float:
        """Return how many times as long a tantivy commit in memory takes as an insert of ours, by their means."""
        return self.commit.mean / self.visible.mean

    @property
    def restricted_ratio(self) -> float:
        """Return how many times as long a search among all takes as one among 1 % of the members."""
        return self.everybody.mean / self.restricted.mean


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

    tell("searches among 1 % of the members")
    everybody, restricted, restricted_error = _restricted(rows, queries, rounds)
    raw |= {"everybody": everybody.tolist(), "restricted": restricted.tolist()}

    tell("reverse match")
    open_requests = requests(rows, offers, seed=FRESH_SEED)[0]
    reverse, reverse_best = _reverse(open_requests, Ours.build(rows), fresh.head(min(asked, len(fresh))), rounds)
    raw |= {"reverse": reverse.tolist(), "reverse_best": reverse_best.tolist()}

    from_text, seconds = production(offers, asked, rounds, tell)
    raw |= {f"production_{name}": values for name, values in seconds.items()}
    return Scale(
        offers=offers,
        visible=latency(visible),
        commit=latency(commit),
        commit_disk=latency(commit_disk),
        everybody=latency(everybody),
        restricted=latency(restricted),
        restricted_error=restricted_error,
        reverse=latency(reverse),
        reverse_best=latency(reverse_best),
        load=load,
        production=from_text,
        raw=raw,
    )


def _restricted(rows: Rows, queries: Rows, rounds: int) -> tuple[Floats, Floats, float]:
    """Return the seconds of searches among all members and among one group, and the error of the latter."""
    groups = min(GROUPS, len(rows))
    ours, asked = Ours.build(rows, groups), [queries.row(number) for number in range(len(queries))]
    allowed = np.zeros(groups, np.uint8)
    allowed[groups // 2] = 1
    outside = group_of(len(rows), groups) != groups // 2
    error = 0.0
    for terms, counts in asked[:CHECKED]:
        exact = exact_scores(rows, terms, counts)
        exact[outside] = 0
        error = max(error, worst_error(exact, ours.search_among(terms, counts, K, allowed), K))

    def contender(name: str, *among: npt.NDArray[np.uint8]) -> Contender:
        return Contender(
            name=name,
            ask=lambda number: ours.search_among(*asked[number], K, *among),
            answer=lambda number: ours.search_among(*asked[number], K, *among),
            build_seconds=ours.build_seconds,
            size_bytes=ours.size_bytes,
        )

    seconds = interleaved([contender("everybody"), contender("restricted", allowed)], len(asked), rounds)
    return seconds["everybody"], seconds["restricted"], error


def _reverse(open_requests: Rows, offers: Ours, members: Rows, rounds: int) -> tuple[Floats, Floats]:
    """Return the seconds that each member's requests take, with the requests indexed as documents are.

    First those that give it at least as much as the tenth best gives to a member in the middle, then the ten best.
    """
    stored = Ours.build(open_requests)
    offered = [members.row(number) for number in range(len(members))]
    tenth = [np.sort(stored.facing(offers, *offer, 0.0)[1])[-K:][0] for offer in offered[:CHECKED]]
    least = float(np.median(tenth))
    above = Contender(
        name="above",
        ask=lambda number: stored.facing(offers, *offered[number], least),
        answer=lambda number: stored.facing(offers, *offered[number], least)[0].tolist(),
        build_seconds=stored.build_seconds,
        size_bytes=stored.size_bytes,
    )
    best = Contender(
        name="best",
        ask=lambda number: stored.search(*offered[number], K),
        answer=lambda number: stored.search(*offered[number], K)[0],
        build_seconds=stored.build_seconds,
        size_bytes=stored.size_bytes,
    )
    seconds = interleaved([above, best], len(members), rounds)
    return seconds["above"], seconds["best"]
