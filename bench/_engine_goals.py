"""What the engine is to reach, and whether it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench._peers import BM25S, LINEAR_KERNEL, TANTIVY, TOPN_BATCH

RATIOS: Mapping[str, Mapping[int, float]] = {
    TANTIVY: {10_000: 7.0, 100_000: 3.3, 1_000_000: 3.0},
    BM25S: {10_000: 2.0, 100_000: 1.5, 1_000_000: 2.2},
    TOPN_BATCH: {10_000: 3.5, 100_000: 5.0, 1_000_000: 9.0},
    LINEAR_KERNEL: {10_000: 200.0, 100_000: 450.0, 1_000_000: 650.0},
}
"""How many times as long each peer is to take for a request, at each number of documents."""

SCALE = 100_000
"""Offers, and open requests, at which the goals that are no ratio of requests are set."""

VISIBLE_RATIO = 80.0
"""How many times as long a tantivy commit is to take as an insert that the next search sees."""
RESTRICTED_RATIO = 1.0
"""How many times as long a search among all members is to take as one among 1 % of them."""
REVERSE_US = 200.0
PRODUCTION_US = 2_000.0
EXPLAIN_US = 1_000.0
BYTES_PER_DOCUMENT = 400.0
LOADED_P99_US = 5_000.0
PAUSE_US = 5_000.0


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A goal beside what was measured.

    Attributes:
        sense: whether the number is to be at least or at most the goal.
        measured: none: it could not be measured.
    """

    name: str
    sense: Literal["≥", "≤"]
    goal: float
    unit: str
    measured: float | None

    @property
    def met(self) -> bool:
        """Whether the goal is reached; never without a measurement."""
        if self.measured is None:
            return False
        return self.measured >= self.goal if self.sense == "≥" else self.measured <= self.goal


def ratio_goals(size: int, ratios: Mapping[str, float]) -> list[Goal]:
    """Return the goals of one size, from the ratio of each peer against ours; none for a size without goals."""
    return [
        Goal(name=f"{peer}, {size:,} documents", sense="≥", goal=at[size], unit="×", measured=ratios.get(peer))
        for peer, at in RATIOS.items()
        if size in at
    ]


def at_most(name: str, goal: float, unit: str, measured: float | None) -> Goal:
    """Return a goal that is an upper bound."""
    return Goal(name=name, sense="≤", goal=goal, unit=unit, measured=measured)


def at_least(name: str, goal: float, unit: str, measured: float | None) -> Goal:
    """Return a goal that is a lower bound."""
    return Goal(name=name, sense="≥", goal=goal, unit=unit, measured=measured)
