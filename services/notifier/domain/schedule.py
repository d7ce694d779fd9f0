"""When a delivery that did not succeed is tried again."""

from datetime import timedelta
from typing import Final

FIRST: Final = timedelta(seconds=5)
"""Longest wait after the first try: most hitches are shorter."""

FACTOR: Final = 3
"""Growth of the longest wait, so that a receiver that is away for hours is asked a few times, not hundreds."""

LONGEST: Final = timedelta(hours=12)
"""A receiver that comes back after a long absence is asked twice a day at least."""

MAX_ATTEMPTS: Final = 16
"""Tries before a delivery has failed: 3.6 days at most, 1.8 on average. A weekend without its mail server passes."""


def wait_after(attempts: int, chance: float, at_least: timedelta | None = None) -> timedelta | None:
    """Return how long to wait before the next try; none when there is to be no other.

    Exponential back-off with full jitter: uniform between zero and a growing, capped limit, so that what failed
    together does not come back together.

    Args:
        attempts: tries made so far, from 1.
        chance: a draw from [0, 1).
        at_least: what the receiver itself asked for (`Retry-After`); obeyed up to `LONGEST`.
    """
    if attempts >= MAX_ATTEMPTS:
        return None
    longest = min(LONGEST.total_seconds(), FIRST.total_seconds() * FACTOR ** (attempts - 1))
    drawn = timedelta(seconds=chance * longest)
    return max(drawn, min(at_least or timedelta(), LONGEST))
