"""What the doctor says of one thing."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing, how it is, and what to do about it.

    Attributes:
        area: what is looked at, as in `topics`.
        subject: which one, as in `needs.v1`.
        do: what an operator should do; empty where all is well.
    """

    area: str
    subject: str
    state: State
    says: str
    do: str = ""


def ok(area: str, subject: str, says: str) -> Finding:
    """Return that all is well."""
    return Finding(area, subject, State.OK, says)


def warning(area: str, subject: str, says: str, do: str) -> Finding:
    """Return what should be seen to, though everything works."""
    return Finding(area, subject, State.WARNING, says, do)


def problem(area: str, subject: str, says: str, do: str) -> Finding:
    """Return what keeps something from working, or soon will."""
    return Finding(area, subject, State.PROBLEM, says, do)


Findings = Iterator[Finding]
