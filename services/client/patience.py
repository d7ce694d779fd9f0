"""How long, and how often, somebody is asked who is away."""

from tenacity import RetryCallState, retry_if_exception_type, stop_after_delay, wait_random_exponential
from tenacity.retry import retry_base
from tenacity.stop import stop_base

from .answers import AwayError

AWAY: retry_base = retry_if_exception_type(AwayError)

_BACKOFF = wait_random_exponential(multiplier=0.2, max=15)


def patience(seconds: float) -> stop_base:
    """Return when to give up."""
    return stop_after_delay(seconds)


def pause(state: RetryCallState) -> float:
    """Return how long to wait: as long as was asked for, and some chance on top, for all were told the same."""
    error = state.outcome.exception() if state.outcome else None
    return (error.after if isinstance(error, AwayError) else 0.0) + float(_BACKOFF(state))
