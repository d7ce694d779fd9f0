"""What one replica carries, and what breaks first: a model fitted to what was measured, written as a page.

`python -m bench.capacity --flow FILE... --engine FILE --out docs/capacity.md` reads what `bench.flow` wrote at several
sizes, and `bench.engine`. Straight lines are fitted by least squares of relative errors, so that small sizes count as
much as large ones.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
BUSY = 0.5
"""Part of a core that is given to work at all times: the rest is for bursts, and for whoever starts again."""

PAGE = """# Capacity

What one replica carries, how cost grows, and what breaks first. Written by

    {command}

from what `bench.flow` measured at {flow_sizes} members and `bench.engine` at {engine_sizes} documents, on {machine}.
Broker, database, services and who posts shared that machine: with cores of their own they are faster. Beyond the
largest size measured the figures are what a straight line says, not what was seen.

## What a need costs

Processor time for each need, posted at {rate:g} a second among {largest:,} members, each with an offer and a standing
request of its own:

| process | ms per need | needs a second on a core that is {busy:.0%} busy |
|---|---|---|
{spent}

At this rate each need is a batch of its own; under load batches share the round trips to database and broker, and a
need costs less. From post to inbox: half within {p50:,.0f} ms, 99 of 100 within {p99:,.0f} ms.

Ingest and notifier replicate without coordination: twice the replicas carry twice the needs. Matchers share the needs,
so that goes for them too; but **each matcher reads every member and keeps all offers in memory**: neither memory nor
the reading of members shrinks with replicas. MongoDB and the broker are shared by all.

## How it grows

A matcher with so many members, one offer and one standing request each:

| members | memory, GiB | one search, ms | start from a snapshot, s | first reading of the log | what hurts first |
|---|---|---|---|---|---|
{rows}

- Memory: {memory.fixed:,.0f} MiB and {memory.per_thousand:,.1f} MiB per thousand members{memory_off}.
- One search over all offers: {search.fixed_us:,.0f} us and {search.per_thousand_us:,.2f} us per
  thousand{search_off}; in plain words. Members whom a request may not face cost next to nothing.
- Start of the whole system: {start.fixed:,.1f} s and {start.per_thousand_ms:,.0f} ms per thousand members{start_off}.
- Reading members for the first time, or after the snapshot was lost: {drained:,.0f} a second on one core among
  {largest:,} members, {of_floor:.1%} of what the bare client copies in the same run. The table goes on at that rate,
  which is too good for more: each new member is faced with all requests there are.

## What breaks first

1. **Memory**, as each replica has all offers: at {members_16:,} members a matcher needs 16 GiB, at {members_64:,} it
   needs 64. Beyond, offers would have to be divided among replicas too, and the best of each merged: that is not built.
2. **The first reading**: keep the snapshot (`MAILLAGE_SNAPSHOT`, a folder of its own for each replica) on a disk that
   stays; see [operating.md](operating.md). A replica that lost it is of no use until it has read all.
3. **MongoDB** ({mongod:.0%} of what a need costs), which replicas do not divide: give it a machine of its own when
   `maillage_handling_seconds` grows while processors are idle.
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line: a fixed part, and a part for each member. `off`: the largest relative error at a point."""

    fixed: float
    slope: float
    off: float

    @classmethod
    def through(cls, points: Mapping[int, float]) -> "Line":
        """Fit a line to values by size; both parts are at least 0."""
        sizes, values = np.array(list(points), float), np.array(list(points.values()), float)
        factors = np.vstack([1 / values, sizes / values]).T
        fixed, slope = np.linalg.lstsq(factors, np.ones(len(values)), rcond=None)[0]
        if fixed < 0:
            fixed, slope = 0.0, float(np.sum(sizes / values) / np.sum((sizes / values) ** 2))
        slope = max(0.0, float(slope))
        off = np.max(np.abs((fixed + slope * sizes) / values - 1))
        return cls(float(fixed), slope, float(off))

    def at(self, size: float) -> float:
        """Return the value at a size."""
        return self.fixed + self.slope * size

    def size_of(self, value: float) -> int:
        """Return the size at which it has a value, in two digits; the line must rise to it."""
        size = (value - self.fixed) / self.slope
        digit = 10 ** (int(np.log10(size)) - 1)
        return int(size // digit * digit)

    @property
    def per_thousand(self) -> float:
        """The part for each thousand."""
        return 1000 * self.slope

    @property
    def fixed_us(self) -> float:
        """The fixed part of seconds, in microseconds."""
        return 1e6 * self.fixed

    @property
    def per_thousand_us(self) -> float:
        """The part for each thousand of seconds, in microseconds."""
        return 1e6 * self.per_thousand

    @property
    def per_thousand_ms(self) -> float:
        """The part for each thousand of seconds, in milliseconds."""
        return 1e3 * self.per_thousand


def main(
    flow: Annotated[list[Path], typer.Option(help="What `bench.flow` wrote; several sizes.")],
    engine: Annotated[Path, typer.Option(help="What `bench.engine` wrote.")],
    out: Annotated[Path, typer.Option(help="The page.")],
) -> None:
    """Fit the model, and write the page."""
    runs = sorted((json.loads(path.read_text()) for path in flow), key=lambda run: run["members"])
    if len({run["members"] for run in runs}) < 3:
        raise typer.BadParameter("three sizes at least, or the line fits whatever was measured", param_hint="--flow")
    files = " ".join(f"--flow {path}" for path in flow)
    command = f"python -m bench.capacity {files} --engine {engine} --out {out}"
    out.write_text(page(runs, json.loads(engine.read_text()), command))
    typer.echo(f"Wrote {out}.", err=True)


def page(runs: Sequence[dict[str, Any]], engine: Mapping[str, Any], command: str) -> str:
    """Return the page, from runs in order of their sizes."""
    memory = Line.through({run["members"]: run["matcher_mib"] for run in runs})
    start = Line.through({run["members"]: run["ready_seconds"] for run in runs})
    search = Line.through({size["documents"]: _ours(size) for size in engine["sizes"]})
    last = runs[-1]
    spent = last["cpu_ms_per_need"]
    hardware = last["machine"]
    return PAGE.format(
        command=command,
        flow_sizes=_listed(run["members"] for run in runs),
        engine_sizes=_listed(size["documents"] for size in engine["sizes"]),
        machine=f"{hardware['cores']} cores ({hardware['cpu']}), {hardware['memory_gib']:.0f} GiB",
        rate=last["rate"],
        largest=last["members"],
        busy=BUSY,
        spent="\n".join(
            f"| {name} | {each:.1f} | {'' if name == 'who posts' else f'{1000 * BUSY / each:,.0f}'} |"
            for name, each in spent.items()
        ),
        p50=last["post_to_inbox_p50_ms"],
        p99=last["post_to_inbox_p99_ms"],
        rows="\n".join(_row(size, memory, search, start, last["drained_per_second"]) for size in SIZES),
        memory=memory,
        memory_off=_off(memory),
        search=search,
        search_off=_off(search),
        start=start,
        start_off=_off(start),
        drained=last["drained_per_second"],
        of_floor=last["of_the_floor"],
        mongod=spent["mongod"] / sum(spent.values()),
        members_16=memory.size_of(16 * 1024),
        members_64=memory.size_of(64 * 1024),
    )


def _ours(size: Mapping[str, Any]) -> float:
    """Return the seconds of a search, from what `bench.engine` found at one size."""
    return next(float(row["latency"]["mean"]) for row in size["rows"] if row["name"] == "ours") / 1e6


def _row(size: int, memory: Line, search: Line, start: Line, drained: float) -> str:
    gib, reading = memory.at(size) / 1024, size / drained
    worst = "memory" if gib > 16 else "the first reading" if reading > 3600 else "none"
    figures = (f"{gib:,.1f}", f"{1e3 * search.at(size):,.2f}", f"{start.at(size):,.0f}", _duration(reading), worst)
    return f"| {size:,} | {' | '.join(figures)} |"


def _duration(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds / 60:,.0f} min"
    return f"{seconds / 3600:,.1f} h"


def _off(line: Line) -> str:
    return f" (the line is off by {line.off:.0%} at most where it was measured)"


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(f"{number:,}" for number in numbers)


if __name__ == "__main__":
    typer.run(main)
