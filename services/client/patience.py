"""How long, and how often, somebody is asked who is away."""

import math

from tenacity import RetryCallState, retry_if_exception_type, wait_random_exponential
from tenacity.retry import retry_base

from .answers import AwayError, MisuseError

AWAY: retry_base = retry_if_exception_type(AwayError)

_BACKOFF = wait_random_exponential(multiplier=0.2, max=15)


class Patience:
    """So many seconds, and not one longer.

    Raises:
        MisuseError: it is no number of seconds.
    """

    def __init__(self, seconds: float) -> None:
        if math.isnan(seconds) or seconds < 0:
            raise MisuseError(f"{seconds} is no number of seconds to be patient for.")
        self._seconds = seconds

    def ended(self, state: RetryCallState) -> bool:
        """Whether to give up: it is over, or would be before we were to come back."""
        return self._left(state) <= 0 or _asked(state) > self._left(state)

    def pause(self, state: RetryCallState) -> float:
        """Return how long to wait: as long as was asked for, and some chance on top, for all were told the same."""
        return max(0.0, min(_asked(state) + float(_BACKOFF(state)), self._left(state)))

    def _left(self, state: RetryCallState) -> float:
        return self._seconds - (state.seconds_since_start or 0.0)


def once(_: RetryCallState) -> bool:
    """Give up at once."""
    return True


def _asked(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.after if isinstance(error, AwayError) else 0.0
