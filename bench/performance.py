"""Where the time goes: the figures of a run of the whole system, and a profile of the matcher's own work, as a page.

`python -m bench.performance --flow FILE --out docs/performance.md [--members 6000] [--needs 600]` reads what
`bench.flow` wrote, and profiles here, in one process and without broker and database, what the matcher does with as
many members and needs of the same kind. Profiling makes each call slower: the shares are to be believed, not the
seconds.
"""

import cProfile
import json
import pstats
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bench._corpus import Rows, documents
from bench._engine_texts import Writer
from bench.flow import AT, CLUSTER, COMPANIES, GOALS, laboratory, need_of
from schemas.cloudevents import Envelope
from schemas.members import Admission, MemberKind, MemberPublished
from schemas.needs import NeedPublished
from services.matcher.domain.arrivals import find_pairs, take_in
from services.matcher.domain.directory import Directory
from services.matcher.domain.holding import Holding
from services.matcher.domain.pairing import Bar, Pairing
from services.matcher.domain.suggestion import Scribe
from services.matcher.index import Analyser, OfferIndex
from services.matcher.index.compile import compile_missing
from services.matcher.settings import MatcherSettings

STEPS: Final[Sequence[tuple[str, str, str]]] = (
    ("take_in", "arrivals.py", "note what the events say"),
    ("read", "fields.py", "read texts: words, stems, languages"),
    ("numbers", "vocabulary.py", "give words their numbers, find those that resemble them"),
    ("prepare", "preparing.py", "turn requests into numbers"),
    ("put", "collection.py", "put documents and requests into the index"),
    ("facing", "requests.py", "find the requests that a member may answer"),
    ("search", "offers.py", "search the best members for a request"),
    ("write", "suggestion.py", "explain, and write the suggestion"),
)
"""Functions whose time is told, with those that they call: name, file, what it is. `numbers` is not within `read`."""

BATCH: Final = {"members": 200, "needs": 5}

PAGE = """# Performance

How fast the whole is, and where its time goes. Written by

    {command}

## From post to inbox

`python -m bench.flow --members {members} --rate {rate:g}` on {machine}: a real Apache Kafka, a real mongod, the three
services and who posts, all on that machine. Goals are for two cores.

| measured | value | goal |
|---|---|---|
{figures}

{arrived} of {posted} needs arrived; the times are theirs. The processes together spend {together:.0f} ms of processor
time on a need at this rate, what they spend when nothing comes included:

| process | ms of processor per need |
|---|---|
{spent}

## Where the matcher's time goes

A profile of the matcher alone: {profiled:,} members with an asset each, of which every one is also a standing request,
in batches of {of_members}; then {needs:,} needs in batches of {of_needs}. Parts of the time, each step with all that it
calls:

| step | members | needs |
|---|---|---|
{profile}

Three texts of a member are read: its asset, what it asks at all times, its name. Many of their words are new in this
made-up corpus, and each new word is stemmed, numbered and compared with its like, once.
"""


def main(
    flow: Annotated[Path, typer.Option(help="What `bench.flow` wrote.")],
    out: Annotated[Path, typer.Option(help="The page.")],
    members: Annotated[int, typer.Option(min=BATCH["members"], help="Members that are profiled.")] = 6_000,
    needs: Annotated[int, typer.Option(min=BATCH["needs"], help="Needs that are profiled.")] = 600,
) -> None:
    """Profile the matcher, and write the page."""
    run = json.loads(flow.read_text())
    compile_missing()
    work = Work(documents(members))
    profiles = [profile(step) for step in (lambda: work.census(members), lambda: work.post(needs))]
    spent: dict[str, float] = run["cpu_ms_per_need"]
    hardware = run["machine"]
    page = PAGE.format(
        command=f"python -m bench.performance --flow {flow} --out {out} --members {members} --needs {needs}",
        members=run["members"],
        rate=run["rate"],
        machine=f"{hardware['cores']} cores ({hardware['cpu']}), {hardware['memory_gib']:.0f} GiB",
        figures="\n".join(_figures(run)),
        together=sum(spent.values()),
        arrived=run["arrived"],
        posted=run["posted"],
        spent="\n".join(f"| {name} | {each:.1f} |" for name, each in spent.items()),
        profiled=members,
        of_members=BATCH["members"],
        needs=needs,
        of_needs=BATCH["needs"],
        profile="\n".join(f"| {what} | {profiles[0][what]:.0%} | {profiles[1][what]:.0%} |" for _, _, what in STEPS),
    )
    out.write_text(page)
    typer.echo(f"Wrote {out}.", err=True)


class Work:
    """A matcher without broker and database, that answers for everybody."""

    def __init__(self, rows: Rows) -> None:
        defaults = {name: field.default for name, field in MatcherSettings.model_fields.items()}
        bar = Bar(
            score=defaults["bar"],
            posted=defaults["suggestions_per_request"],
            standing=defaults["suggestions_per_standing_request"],
        )
        self._rows, self._writer = rows, Writer()
        self._directory = Directory()
        self._pairing = Pairing(index=OfferIndex(Analyser()), bar=bar, ranked=lambda: None)
        self._pairing.holding = Holding(frozenset({0}), 1)
        self._now = datetime.now(UTC)

    def census(self, count: int) -> None:
        """Take so many laboratories."""
        self._take((laboratory(self._rows, self._writer, number) for number in range(count)), BATCH["members"])

    def post(self, count: int) -> None:
        """Take the companies, and so many of their needs."""
        companies = (
            MemberPublished(
                cluster=CLUSTER,
                member_id=f"co-{number}",
                name="Entreprise",
                kind=MemberKind.COMPANY,
                admission=Admission.ADMITTED,
                rev=1,
                published_at=AT,
            )
            for number in range(COMPANIES)
        )
        self._take(companies, BATCH["members"])
        profiles = (need_of(self._rows, self._writer, number) for number in range(count))
        posted = (
            NeedPublished(cluster=CLUSTER, need_id=f"n-{number}", rev=1, published_at=AT, **dict(profile))
            for number, profile in enumerate(profiles)
        )
        self._take(posted, BATCH["needs"])

    def _take(self, events: Iterator[MemberPublished] | Iterator[NeedPublished], of: int) -> None:
        while batch := list(islice(events, of)):
            envelopes = [Envelope(event.key, event, 1, str(event.key), AT) for event in batch]
            touched = take_in(envelopes, self._directory)
            pairs = find_pairs(touched, self._directory, self._pairing, self._now)
            scribe = Scribe(self._directory, self._pairing, self._now, touched.causes)
            for pair in pairs.values():
                scribe.write(pair)


def profile(work: Callable[[], None]) -> dict[str, float]:
    """Return which part of its time each step has."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    stats: Any = pstats.Stats(profiler)
    within = {(name, Path(file).name): cumulative for (file, _, name), (*_, cumulative, _) in stats.stats.items()}
    within.setdefault(("write", "suggestion.py"), 0.0)  # of members alone nothing is told
    whole = sum(within[step] for step in (("take_in", "arrivals.py"), ("find_pairs", "arrivals.py")))
    whole += within["write", "suggestion.py"]
    return {what: within[name, file] / whole for name, file, what in STEPS}


def _figures(run: dict[str, Any]) -> Iterator[str]:
    names = {
        "post_to_acknowledged_p50_ms": "post to acknowledged, half of the needs, ms",
        "post_to_inbox_p50_ms": "post to inbox, half of the needs, ms",
        "post_to_inbox_p99_ms": "post to inbox, 99 of 100, ms",
        "drained_per_second": "members of a backlog a second",
        "floor_per_second": "the same records copied by the bare client, a second",
        "of_the_floor": "part of that floor",
        "ready_seconds": "restart to ready, s",
        "matcher_mib": "memory of the matcher, MiB",
    }
    for name, what in names.items():
        value = f"{run[name]:,.0f}" if run[name] >= 10 else f"{run[name]:.2g}"
        yield f"| {what} | {value} | {f'{GOALS[name]:,g}' if name in GOALS else ''} |"


if __name__ == "__main__":
    typer.run(main)
