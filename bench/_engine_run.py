"""A whole measurement, from nothing to a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench._engine_goals import SCALE
from bench._engine_machine import machine
from bench._engine_report import Result
from bench._engine_scale import scale
from bench._engine_speed import speed


def run(
    sizes: Sequence[int], *, requests: int, rounds: int, load_seconds: float, tell: Callable[[str], None]
) -> Result:
    """Measure all engines at every size, and the rest at the size of its goals, or the largest below it."""
    offers = min(SCALE, max(sizes))
    described: dict[str, Any] = machine()
    return Result(
        machine=described,
        settings={
            "sizes": list(sizes),
            "requests": requests,
            "rounds": rounds,
            "load_seconds": load_seconds,
            "offers": offers,
        },
        scale=scale(offers, requests, rounds, load_seconds, tell),
        sizes=[speed(size, requests, rounds, tell) for size in sorted(sizes)],
    )
