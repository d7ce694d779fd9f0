"""Faults of the machine: a full disk, a wrong clock."""

import asyncio
import contextlib
import errno
from pathlib import Path

from tests.faults.run import Run
from tests.faults.stack import SERVICES

_CHUNK = bytes(2**20)


async def fill_disk_of_mongod(run: Run) -> None:
    """Fill the file system of mongod, and make room again."""
    await _fill(run, "mongod")


async def fill_disk_of_broker(run: Run) -> None:
    """Fill the file system of the broker, and make room again."""
    await _fill(run, "kafka")


async def _fill(run: Run, part: str) -> None:
    ballast = run.stack.folder / part / "ballast"
    kept = run.stack.mongo_kept if part == "mongod" else run.stack.kafka_kept
    for _ in run.times(1, 3):
        await run.moment(1, 2)
        deadline = asyncio.get_running_loop().time() + (6 if run.short else 20)
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.to_thread(_take_all_room, ballast)  # again and again: the part makes room now and then
            await asyncio.sleep(0.2)
        ballast.unlink()
        run.done[f"disk of {part} full"] += 1
        if kept is not None:
            run.done[f"{part} ended"] = len(kept.endings)
            await kept.ready.wait()


def _take_all_room(file: Path) -> None:
    with contextlib.suppress(OSError), file.open("ab", buffering=0) as ballast:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    ballast.write(_CHUNK[:size])
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


async def set_clocks(run: Run) -> None:
    """Set the clock of each service an hour ahead, right again, an hour back, right again."""
    for service in SERVICES:
        for offset, name in (("+3600", "ahead"), ("-3600", "back")):
            await run.moment(0.2, 1)
            _set(run.stack.clock(service), offset)
            await asyncio.sleep(3 if run.short else 15)
            _set(run.stack.clock(service), "+0")
            run.done[f"clock of {service} 1 h {name}"] += 1


def _set(clock: Path, offset: str) -> None:
    # Whole or not at all: it may be read at any moment.
    whole = clock.with_suffix(".new")
    whole.write_text(f"{offset}\n")
    whole.replace(clock)
