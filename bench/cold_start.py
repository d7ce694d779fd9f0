"""How long a new process takes until it has answered its first request, with a snapshot of the index and without.

`python -m bench.cold_start --offers 100000 [--json FILE]` writes synthetic offers, ten a member, indexes them in a
process of its own and saves the index; then it starts new processes, one after the other, and measures from the moment
when each was asked for to the moment when its answer is here. It fails if the median is not below the goal.

What an installation does once is done before: machine code and Python's bytecode are compiled (without the latter, the
imports alone take two seconds more).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench._engine_machine import ONE_THREAD, machine

GOAL_SECONDS = 2.0
OFFERS_PER_MEMBER = 10
GROUPS = 200
"""Kinds of members that are eligible for the same requests: a few clusters, countries and kinds."""

ASKED = (
    ("", "Nous cherchons un partenaire pour la mesure des tensions dans les sols, avec des capteurs qui durent."),
    ("Capteurs hydrogène membrane", ""),
)
"""The second has no function word: its language is told by the model, which is read only then."""

STEPS = ("imported", "opened", "first", "later 1")
SHOWN = {"imported": "imports", "opened": "index", "first": "first answer", "later 1": "one that needs the model"}

Start = dict[str, float]


def main(
    offers: Annotated[int, typer.Option(min=1, help="Offers in the index.")] = 100_000,
    starts: Annotated[int, typer.Option(min=1, help="New processes of each kind.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where to write the numbers.")] = None,
) -> None:
    """Measure how long a new process takes until it has answered its first request."""
    say = Console(stderr=True, highlight=False)
    with TemporaryDirectory(prefix="maillage-cold-") as folder:
        if "PYTHONPYCACHEPREFIX" not in os.environ:
            os.environ["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "bytecode")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        texts, saved = Path(folder) / "offers.jsonl", Path(folder) / "snapshot"
        say.print(f"Writing {offers:,} offers...")
        _write(offers, texts)
        subprocess.run([sys.executable, "-m", "services.matcher.index.compile"], check=True, stdout=subprocess.DEVNULL)
        say.print("Starting without a snapshot...")
        without = start("texts", texts)
        say.print("Saving...")
        saving = _save(texts, saved)
        size = sum(path.stat().st_size for path in saved.rglob("*") if path.is_file())
        rows: dict[str, list[Start]] = {"with a snapshot": [], "with a snapshot, files not in memory": []}
        for number in range(starts):
            say.print(f"Starting with it, {number + 1} of {starts}...")
            rows["with a snapshot"].append(start("snapshot", saved))
            _forget(saved)
            rows["with a snapshot, files not in memory"].append(start("snapshot", saved))
        rows["without"] = [without]
    typical = median(row["first"] for row in rows["with a snapshot"])
    Console().print(_table(rows))
    say.print(
        f"{size / 2**20:.0f} MiB on disk; the index was busy for {saving['take']:.2f} s to be saved,"
        f" writing took {saving['write']:.2f} s. Goal: {GOAL_SECONDS} s; median: {typical:.2f} s."
    )
    if json_file is not None:
        result = {"machine": machine(), "offers": offers, "bytes": size, "saving": saving, "starts": rows}
        json_file.write_text(json.dumps(result, indent=1) + "\n")
    if typical >= GOAL_SECONDS:
        raise typer.Exit(1)


def start(how: str, path: Path) -> Start:
    """Start a process; return when each of its steps was done, in seconds since it was asked for, and its peak memory.

    What the steps took is as the process saw them; the interpreter's own start comes before all.
    """
    command = [sys.executable, "-m", "bench._cold_process", how, str(path), json.dumps(ASKED)]
    done: Start = {}
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD) as process:
        assert process.stdout is not None
        for line in process.stdout:
            arrived = time.perf_counter() - began
            said = json.loads(line)
            name, _, value = said["step"].partition("peak ")
            done[name or "peak MiB"] = float(value) if value else arrived
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return done


def _write(offers: int, path: Path) -> None:
    from bench._corpus import documents
    from bench._engine_texts import Writer

    rows, writer = documents(offers), Writer()
    with path.open("w") as file:
        for number in range(offers):
            text = writer.write(rows, number)
            member = number // OFFERS_PER_MEMBER
            name = writer.name() if number % OFFERS_PER_MEMBER == 0 else ""
            line = [f"cluster/{member}/{number}", f"cluster/{member}", str(member % GROUPS), name]
            file.write(json.dumps([*line, text.title, text.text]) + "\n")


def _save(texts: Path, saved: Path) -> dict[str, float]:
    from bench._cold_process import read
    from services.matcher.index import snapshot

    index = read(texts)
    clock = time.perf_counter
    began = clock()
    image = snapshot.take(index)
    taken = clock()
    image.write(saved)
    return {"take": taken - began, "write": clock() - taken}


def _forget(folder: Path) -> None:
    """Have the system read the files from the disk again, where it can be told to."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _table(rows: dict[str, list[Start]]) -> Table:
    table = Table(title="Seconds since the process was asked for: median (slowest)")
    table.add_column("start")
    for step in STEPS:
        table.add_column(SHOWN[step], justify="right")
    table.add_column("peak MiB", justify="right")
    for name, found in rows.items():
        cells = [f"{median(r[s] for r in found):.2f} ({max(r[s] for r in found):.2f})" for s in STEPS]
        table.add_row(name, *cells, f"{median(row['peak MiB'] for row in found):.0f}")
    return table


if __name__ == "__main__":
    typer.run(main)
