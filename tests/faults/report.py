"""What came of the faults, for the terminal and as a page."""

from pathlib import Path

from tests.faults.run import Outcome


def line(outcome: Outcome) -> str:
    """One fault in one line; its problems below it."""
    recovery = "never quiet" if outcome.recovery is None else f"quiet after {outcome.recovery:.1f} s"
    verdict = "held" if outcome.passed else "BROKEN"
    done = ", ".join(f"{what} x{count}" for what, count in sorted(outcome.done.items()))
    head = (
        f"{verdict:6} {outcome.fault.name}: {done or '-'}; {recovery} (bound {outcome.fault.bound:g} s);"
        f" {outcome.requests} acknowledged ({outcome.asked_again} asked again), {outcome.suggestions} suggestions,"
        f" {outcome.messages} messages ({outcome.copies} came again under their id); {outcome.seconds:.0f} s"
    )
    return "\n".join([head, *(f"       - {problem}" for problem in outcome.problems)])


def write(path: Path, outcomes: list[Outcome], *, command: str, seed: int) -> None:
    """Write the page."""
