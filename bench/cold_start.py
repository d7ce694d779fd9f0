"""How long a new matcher takes until it has paired its first event, with a snapshot of its index and without.

`python -m bench.cold_start --offers 100000 [--json FILE]` fills a real MongoDB with synthetic members, ten offers each,
a third of which have posted a need (the others ask at all times what their offers are about), and starts matchers on
it, one after the other. The first one has no snapshot, and a second one writes one. Each is a new process of the
service's own code, composed as it is deployed: settings, machine code, store, snapshot, and all that comes before the
first event is read from the log; then it is given a need, and is done when what follows from it is stored. There is no
broker: joining a group of consumers is not measured. Measured is from the moment when a process was asked for to the
moment when it said that a step was done. It fails if the median is not below the goal.

What an installation does once is done before: machine code and Python's bytecode are compiled (without the latter, the
imports alone take two seconds more).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from bench._engine_machine import ONE_THREAD, machine

GOAL_SECONDS = 2.0
OFFERS_PER_MEMBER = 10
POSTING = 3
"""Of so many members one has posted a need."""

CLUSTERS = 6
DATABASE = "cold_start"
BATCH = 500

STEPS = ("imported", "store", "index", "ready", "paired")
SHOWN = {
    "imported": "imports",
    "store": "store read, after s",
    "index": "index opened, after s",
    "ready": "ready",
    "paired": "first pairing",
}
AT = datetime(2026, 3, 1, 8, tzinfo=UTC)

Start = dict[str, float]


def main(
    offers: Annotated[int, typer.Option(min=1, help="Offers in the index.")] = 100_000,
    starts: Annotated[int, typer.Option(min=1, help="New processes of each kind.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where to write the numbers.")] = None,
) -> None:
    """Measure how long a new matcher takes until it has paired its first event."""
    say = Console(stderr=True, highlight=False)
    subprocess.run([sys.executable, "-m", "services.matcher.index.compile"], check=True, stdout=subprocess.DEVNULL)
    with TemporaryDirectory(prefix="maillage-cold-") as folder:
        if "PYTHONPYCACHEPREFIX" not in os.environ:
            os.environ["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "bytecode")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        rows, size = asyncio.run(_measure(Path(folder), offers, starts, say))
    typical = median(row["paired"] for row in rows["with a snapshot"])
    Console().print(_table(rows))
    say.print(f"{size / 2**20:.0f} MiB on disk. Goal: {GOAL_SECONDS} s; median: {typical:.2f} s.")
    if json_file is not None:
        result = {"machine": machine(), "offers": offers, "bytes": size, "starts": rows}
        json_file.write_text(json.dumps(result, indent=1) + "\n")
    if typical >= GOAL_SECONDS:
        raise typer.Exit(1)


async def _measure(folder: Path, offers: int, starts: int, say: Console) -> tuple[dict[str, list[Start]], int]:
    from services.console.embedded.mongod import Mongod

    mongod, saved = Mongod(folder / "mongo"), folder / "snapshot"
    await mongod.start()
    try:
        say.print(f"Writing {offers:,} offers...")
        need = await _fill(mongod.uri, offers)
        say.print("Starting without a snapshot...")
        rows = {"without": [_start(mongod.uri, "", need)]}
        say.print("Starting to write one...")
        _start(mongod.uri, str(saved), "")
        size = sum(path.stat().st_size for path in saved.rglob("*") if path.is_file())
        rows |= {"with a snapshot": [], "with a snapshot, its files not in memory": []}
        for number in range(starts):
            say.print(f"Starting with it, {number + 1} of {starts}...")
            rows["with a snapshot"].append(_start(mongod.uri, str(saved), need))
            _forget(saved)
            rows["with a snapshot, its files not in memory"].append(_start(mongod.uri, str(saved), need))
    finally:
        await mongod.stop()
    return rows, size


def _start(mongo: str, saved: str, need: str) -> Start:
    """Start a process; return when each of its steps was done, in seconds since it was asked for, and its peak memory.

    Reading the store and opening the index are told from the moment when they began, as the process saw them.
    """
    command = [sys.executable, "-m", "bench._cold_process", mongo, DATABASE, saved, need]
    done: Start = {}
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | ONE_THREAD
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            arrived = time.perf_counter() - began
            if not line.startswith("{"):
                sys.stderr.write(line)  # of an error
                continue
            said = json.loads(line)
            if said.get("event") == "restored":
                done |= {"store": said["store_seconds"], "index": said["index_seconds"], "differed": said["differed"]}
            name, _, value = said.get("step", "").partition("peak ")
            if name or value:
                done[name or "peak MiB"] = float(value) if value else arrived
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    if need:
        _take_back(mongo, json.loads(need))
    return done


def _take_back(mongo: str, need: dict[str, str]) -> None:
    """Have the store as it was before the need was paired: each start is to do the same."""
    key = f"{need['cluster']}/{need['need_id']}"
    with MongoClient[dict[str, object]](mongo) as client:
        client[DATABASE]["needs"].delete_one({"_id": key})
        client[DATABASE]["suggestions"].delete_many({"ask": f"need:{key}"})


async def _fill(mongo: str, offers: int) -> str:
    """Store members and needs as the matcher stores them; return one more need, in JSON."""
    from bench._corpus import documents
    from bench._engine_texts import Writer
    from schemas.members import Admission, Asset, MemberKind, MemberPublished
    from schemas.needs import Direction, NeedPublished
    from services.matcher.domain.directory import Directory
    from services.matcher.store import Changes, MatcherStore
    from services.runtime.store import Store

    rows, writer = documents(offers), Writer()
    store = Store(url=mongo, database=DATABASE)
    matchers, directory = MatcherStore(store), Directory()
    kinds, members, needs = list(MemberKind)[:6], list[str](), dict[str, str]()
    last = offers // OFFERS_PER_MEMBER
    for number in range(last + 1):
        cluster, texts = f"c{number % CLUSTERS}", range(OFFERS_PER_MEMBER * number, OFFERS_PER_MEMBER * (number + 1))
        written = [writer.write(rows, each % offers) for each in texts]
        if number % POSTING == 0 or number == last:
            said = writer.write(rows, number * 7 % offers)
            need = NeedPublished(
                cluster=cluster, need_id=f"n{number}", member_id=f"m{number % last}", title=said.title, text=said.text,
                direction=Direction.OFFER if number % (10 * POSTING) == 0 else Direction.REQUEST,
                language=said.language, rev=1, published_at=AT,
            )  # fmt: skip
        if number == last:
            break
        member = MemberPublished(
            cluster=cluster, member_id=f"m{number}", name=writer.name(), kind=kinds[number // CLUSTERS % len(kinds)],
            admission=Admission.ADMITTED, country=("MA", "FR", "SN")[number % 7 % 3], rev=1, published_at=AT,
            assets=tuple(
                Asset(asset_id=f"a{place}", title=each.title, text=each.text, language=each.language)
                for place, each in enumerate(written)
            ),
        )  # fmt: skip
        directory.publish_member(member)
        members.append(str(member.key))
        if number % POSTING == 0:
            directory.publish_need(need)
            needs[str(need.key)] = str(need.owner)
        if len(members) == BATCH or number == last - 1:
            await matchers.commit(directory, Changes(members=members, needs=needs))
            members, needs = [], dict[str, str]()
    store.close()
    owner = f"m{(last - 1) // CLUSTERS * CLUSTERS}"
    return need.model_copy(
        update={"cluster": "c0", "member_id": owner, "direction": Direction.REQUEST}
    ).model_dump_json()


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
