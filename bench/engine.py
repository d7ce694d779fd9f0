"""Measures the matching engine side by side with its peers, and says which goals it reaches.

`python -m bench.engine --sizes 10000,100000,1000000 --json FILE` builds the same synthetic corpus for this engine,
tantivy, bm25s, sparse_dot_topn and scikit-learn, and asks them for the ten best of the same requests, with one thread
each. The rest (inserts, the reverse match, searches under load and among few members, text to pairings) is measured at
100,000 offers, or at the largest size if that is smaller. What a start takes, `bench.cold_start` measures.

Numbers are good on a quiet machine only: the JSON keeps its load, and every single duration.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

# What the widest table takes, for a pipe, which tells no width.
TABLE_COLUMNS = 140


def main(
    sizes: Annotated[str, typer.Option(help="Numbers of documents, with commas between.")] = "10000,100000,1000000",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything that was measured here.")] = None,
    requests: Annotated[int, typer.Option(min=2, help="Requests that every engine is asked.")] = 300,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the fastest counts for each request.")] = 7,
    load_seconds: Annotated[float, typer.Option(min=0.1, help="How long inserts flow while requests come.")] = 20.0,
    require: Annotated[bool, typer.Option("--require", help="Exit with status 1 if a goal is missed.")] = False,
) -> None:
    """Measure the matching engine side by side with its peers, and say which goals it reaches.

    Status 1: answers were wrong, or, with --require, a goal was missed.
    """
    _measure(_sizes(sizes), json_file, requests, rounds, load_seconds, require)


def _measure(
    sizes: list[int], json_file: Path | None, requests: int, rounds: int, load_seconds: float, require: bool
) -> None:
    from bench._engine_machine import ONE_THREAD

    os.environ |= ONE_THREAD
    from bench._engine_run import run  # not before: numpy and numba read the number of threads when they are loaded

    say = Console(stderr=True, highlight=False)
    with say.status("starting") as status:
        result = run(sizes, requests=requests, rounds=rounds, load_seconds=load_seconds, tell=status.update)
    if json_file is not None:
        json_file.write_text(json.dumps(result.as_json(), ensure_ascii=False, indent=1) + "\n")
    show = Console(highlight=False, width=None if sys.stdout.isatty() else TABLE_COLUMNS)
    for table in result.tables():
        show.print(table)
    wrong = result.wrong()
    for problem in wrong:
        say.print(f"[red]{problem}[/red]", soft_wrap=True)
    goals = result.goals()
    missed = [goal for goal in goals if not goal.met]
    say.print(f"{len(goals) - len(missed)} of {len(goals)} goals reached.")
    if wrong or (require and missed):
        raise typer.Exit(1)


def _sizes(given: str) -> list[int]:
    try:
        sizes = [int(size) for size in given.replace("_", "").split(",")]
    except ValueError:
        raise typer.BadParameter(f"--sizes {given}: expected numbers with commas between") from None
    if min(sizes) < 100:
        raise typer.BadParameter("--sizes: at least 100 documents")
    return sizes


if __name__ == "__main__":
    typer.run(main)
