"""What came of the faults, for the terminal and as a page."""

import os
import platform
import subprocess
from pathlib import Path

from tests.faults.run import COMPANIES, Outcome

PAGE = """# Faults survived

What Maillage goes through without losing or doubling anything, measured on real processes: an Apache Kafka, a mongod, a
mail server, receivers of webhooks, and the three services as they are deployed. Written by

    {command}

on {machine}, at {commit}{dirty}.

In each run people publish {companies} companies' needs, change and erase some, while the fault happens; what is left at
the end is compared with a run of the same seed in which nothing happened. In every row these hold:

- **Acknowledged ⊆ stored.** Each request that was answered with 202 is on the log and in the matcher; last `rev` wins.
- **Suggestions as undisturbed**: the same pairs, with the same scores and revisions.
- **Told once.** Each message reached its receiver under its one id, and no other did. A receiver may get a copy *under
  the same id* when a process is cut off between sending and noting it: the copies are counted.
- **Erased is gone.** People erase themselves, a need, and an ambassador during every fault: none of their words is
  afterwards in any database, in the last record of any key, in an inbox, or in a service's output.
- **No dead letter** but for what cannot be read.
- **Recovery** within the bound: seconds from the end of the fault until every service is ready and nothing waits
  anywhere, the backlog of the fault included.

| fault | how | done | asked again | copies | recovery, s | bound, s | verdict |
|---|---|---|---|---|---|---|---|
{rows}

*Asked again*: requests answered with 503 or not at all, each repeated by its client until it was acknowledged.
{problems}
"""


def line(outcome: Outcome) -> str:
    """One fault in one line; its problems below it."""
    recovery = "never quiet" if outcome.recovery is None else f"quiet after {outcome.recovery:.1f} s"
    head = (
        f"{_verdict(outcome):6} {outcome.fault.name}: {_done(outcome)}; {recovery} (bound {outcome.fault.bound:g} s);"
        f" {outcome.requests} acknowledged ({outcome.asked_again} asked again), {outcome.suggestions} suggestions,"
        f" {outcome.messages} messages ({outcome.copies} came again under their id); {outcome.seconds:.0f} s"
    )
    return "\n".join([head, *(f"       - {problem}" for problem in outcome.problems)])


def write(path: Path, outcomes: list[Outcome], *, arguments: str, short: bool) -> None:
    """Write the page."""
    problems = [f"- {one.fault.name}: {problem}" for one in outcomes for problem in one.problems]
    page = PAGE.format(
        command=f"python -m tests.faults {arguments}",
        machine=_machine(),
        commit=_git("rev-parse", "--short", "HEAD") or "an unknown commit",
        dirty=" with changes" if _git("status", "--porcelain", "--untracked-files=no") else "",
        companies=COMPANIES["short" if short else "full"],
        rows="\n".join(map(_row, outcomes)),
        problems="\n".join(["", "Not as it must be:", "", *problems]) if problems else "",
    )
    path.write_text(page.rstrip() + "\n")


def _row(outcome: Outcome) -> str:
    recovery = "never" if outcome.recovery is None else f"{outcome.recovery:.1f}"
    cells = (
        outcome.fault.name,
        outcome.fault.how,
        _done(outcome),
        outcome.asked_again,
        f"{outcome.copies} of {outcome.messages}",
        recovery,
        f"{outcome.fault.bound:g}",
        _verdict(outcome),
    )
    return f"| {' | '.join(map(str, cells))} |"


def _verdict(outcome: Outcome) -> str:
    return "held" if outcome.passed else "BROKEN"


def _done(outcome: Outcome) -> str:
    return "; ".join(f"{what} × {count:,}" for what, count in sorted(outcome.done.items()))


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}, Python {platform.python_version()}"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()
