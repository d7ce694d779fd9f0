"""How contenders are timed against each other: interleaved, by the best of several rounds, on the requests in common.

The machine has moods: a clock that changes, neighbours, a cache that another engine has filled. So all engines are
asked in turn within one process, round after round, and what counts for a request is its fastest round. A slow engine
is asked only the first few of the requests, and a ratio is taken over the requests that both have answered.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MICRO = 1e6
ROUND_SECONDS = 6.0
"""What one round of one engine may take; one that would need longer is asked fewer requests, and in fewer rounds."""
FEWEST_REQUESTS = 8
SLOW_ROUNDS = 3


@dataclass(kw_only=True)
class Contender:
    """One engine with the corpus in it, ready to be asked.

    Attributes:
        ask: answers the request of that number; or None if `ask_all` is given.
        ask_all: answers the first so many requests in one call.
        answer: the documents that it finds for the request of that number, best first; not timed.
        exact: the scores of all documents by the engine's own formula, computed slowly; None if there is no such
            computation.
        build_seconds: what it took to build, from counted terms in memory.
        size_bytes: its index structures.
        notes: what a reader of the numbers should know, such as the number of segments.
    """

    name: str
    ask: Callable[[int], object] | None = None
    ask_all: Callable[[int], object] | None = None
    answer: Callable[[int], Sequence[int]]
    exact: Callable[[int], Floats] | None = None
    build_seconds: float
    size_bytes: int
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Latency:
    """A set of durations in microseconds."""

    count: int
    mean: float
    p50: float
    p99: float
    longest: float


def latency(seconds: Floats | Sequence[float]) -> Latency:
    """Return mean, median, 99th percentile (the observed one: nearest rank) and maximum of durations in seconds."""
    values = np.sort(np.asarray(seconds, np.float64)) * MICRO
    if not len(values):
        return Latency(count=0, mean=math.nan, p50=math.nan, p99=math.nan, longest=math.nan)
    return Latency(
        count=len(values),
        mean=float(values.mean()),
        p50=_nearest_rank(values, 0.50),
        p99=_nearest_rank(values, 0.99),
        longest=float(values[-1]),
    )


def ratio(other: Floats, ours: Floats) -> float:
    """Return how many times as long the other one takes, over the requests that both have answered.

    Args:
        other, ours: seconds of request 0, 1, ...; the shorter array tells which requests are in common.
    """
    common = min(len(other), len(ours))
    return float(other[:common].sum() / ours[:common].sum())


def interleaved(
    contenders: Iterable[Contender], requests: int, rounds: int, tell: Callable[[str], None] = lambda _: None
) -> dict[str, Floats]:
    """Return for each contender the seconds of each request that it was asked, the fastest of its rounds.

    One that answers all in one call has one number for all requests: its share of the fastest call.
    """
    entered = [(contender, *_asked(contender, requests, rounds)) for contender in contenders]
    best = {contender.name: np.full(asked, np.inf) for contender, asked, _ in entered}
    gc.collect()
    gc.freeze()  # what the engines hold is no garbage: looking through it would be charged to whoever runs
    try:
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            for contender, asked, last in entered:
                if number < last:
                    seconds = best[contender.name]
                    np.minimum(seconds, _round(contender, asked), out=seconds)
    finally:
        gc.unfreeze()
    return best


def _asked(contender: Contender, requests: int, rounds: int) -> tuple[int, int]:
    """Return how many requests a contender is asked in a round, and in how many rounds."""
    _round(contender, 1)  # compiles, and reads what is read once
    pilot = min(requests, FEWEST_REQUESTS)
    each = float(_round(contender, pilot).mean())
    if each * requests <= ROUND_SECONDS:
        return requests, rounds
    return min(requests, max(FEWEST_REQUESTS, int(ROUND_SECONDS / each))), min(rounds, SLOW_ROUNDS)


def _round(contender: Contender, asked: int) -> Floats:
    """Ask the first requests once and return the seconds of each."""
    clock = time.perf_counter
    if contender.ask_all is not None:
        start = clock()
        contender.ask_all(asked)
        return np.full(asked, (clock() - start) / asked)
    assert contender.ask is not None
    seconds = np.empty(asked)
    for number in range(asked):
        start = clock()
        contender.ask(number)
        seconds[number] = clock() - start
    return seconds


def _nearest_rank(ordered: Floats, share: float) -> float:
    return float(ordered[max(0, math.ceil(share * len(ordered)) - 1)])
