"""What came of the faults, for the terminal and as a page."""

import os
import platform
import re
import subprocess
from pathlib import Path

from tests.faults.run import COMPANIES, Outcome
from tests.faults.table import FAULTS

PAGE = """# Faults survived

What Maillage goes through without losing or doubling anything, measured on real processes: an Apache Kafka, a mongod, a
mail server, receivers of webhooks, and the three services as they are deployed. Written by

    python -m tests.faults {scale}--seed {seed} --report {path}

on {machine}.
With `--only NAME` a fault is run again alone, and the other rows stay: each says at which commit it was run.

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

| fault | how | done | asked again | copies | recovery, s | bound, s | verdict | at |
|---|---|---|---|---|---|---|---|---|
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


def write(path: Path, outcomes: list[Outcome], *, seed: int, short: bool) -> None:
    """Write the page; what it says of faults that were not run now stays."""
    commit = _git("rev-parse", "--short", "HEAD") or "an unknown commit"
    commit += " with changes" if _git("status", "--porcelain", "--untracked-files=no") else ""
    commit += (f", seed {seed}" if seed != 1 else "") + (", short" if short else "")
    rows, problems = _written(path) if path.exists() else ({}, {})
    for one in outcomes:
        rows[one.fault.name] = _row(one, commit)
        problems[one.fault.name] = [f"- {one.fault.name}: {problem}" for problem in one.problems]
    said = [line for fault in FAULTS for line in problems.get(fault.name, ())]
    page = PAGE.format(
        scale="--scale short " if short else "",
        seed=seed,
        path=path,
        machine=_machine(),
        companies=COMPANIES["short" if short else "full"],
        rows="\n".join(rows[fault.name] for fault in FAULTS if fault.name in rows),
        problems="\n".join(["", "Not as it must be:", "", *said]) if said else "",
    )
    path.write_text(page.rstrip() + "\n")


def _written(path: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the rows and the problems of a page, by fault."""
    rows: dict[str, str] = {}
    problems: dict[str, list[str]] = {}
    names = {fault.name for fault in FAULTS}
    for written in path.read_text().splitlines():
        if (row := re.match(r"\| ([a-z-]+) \|", written)) and row[1] in names:
            rows[row[1]] = written
        elif (problem := re.match(r"- ([a-z-]+): ", written)) and problem[1] in names:
            problems.setdefault(problem[1], []).append(written)
    return rows, problems


def _row(outcome: Outcome, commit: str) -> str:
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
        commit,
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
