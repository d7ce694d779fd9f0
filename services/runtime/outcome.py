"""What became of a message: a closed union, decided by the class of the error alone and acted on in one place."""

import traceback
from dataclasses import dataclass

from services.runtime.errors import MaillageError, PermanentError


@dataclass(frozen=True, slots=True)
class Done:
    """Handled; its offset may be committed."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Something else failed. Wait, then handle the same message again; never go past it."""

    reason: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The message itself cannot be handled, ever. Set it aside with the reason and go on."""

    reason: str


Outcome = Done | Retry | DeadLetter


def outcome_of(error: Exception) -> Outcome:
    """Return what an error raised by a handler means for its message."""
    if isinstance(error, PermanentError):
        return DeadLetter(str(error))
    return Retry(describe(error))


def describe(error: BaseException) -> str:
    """Return an error as one line for a log.

    Foreign errors are named with the line that raised them, without their message: a database or a validator may quote
    somebody's data in it.
    """
    if isinstance(error, MaillageError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
