"""What a preview costs the matcher: `python -m bench.preview [--times N]`.

Takes the members and needs of the demonstration, once and with as many copies as give more members, and previews each
of its needs in turn, in one thread, as a matcher does between two batches. Without network and database: what is
measured is how long a batch may have to wait for one preview.
"""

from datetime import UTC, datetime
from statistics import median, quantiles
from time import perf_counter
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from schemas.members import MemberPublished
from schemas.needs import Direction, NeedPublished
from services.console import story
from services.matcher.domain.arrivals import bring
from services.matcher.domain.directory import Directory
from services.matcher.domain.holding import Holding
from services.matcher.domain.pairing import Bar, Pairing
from services.matcher.domain.previewing import preview
from services.matcher.index import Analyser, OfferIndex
from services.matcher.settings import MatcherSettings

COPIES: Final = (1, 10, 100)
"""Of the demonstration's members: a cluster as it is, a large one, and far more than there are."""

MILLISECONDS: Final = 1_000


def main(
    times: Annotated[int, typer.Option(min=1, help="Previews of each need.")] = 20,
) -> None:
    """Measure, and print a table."""
    console, table = Console(), Table("members", "offers", "median, ms", "95 %, ms", "most, ms")
    now = datetime.now(UTC)
    needs = [_need(row, now) for row in story.needs(now)]
    asked = [need for need in needs if need.direction is Direction.REQUEST]
    for copies in COPIES:
        directory, pairing = _world(copies, needs, now)
        for need in asked:  # machine code is read, and words are analysed, once
            preview(need, directory, pairing, now)
        took = [
            _took(need, directory, pairing, now)
            for _ in track(range(times), f"{copies} x the demonstration", console=console, transient=True)
            for need in asked
        ]
        figures = (median(took), quantiles(took, n=20)[-1], max(took))
        table.add_row(f"{len(directory.members):,}", f"{len(pairing):,}", *(f"{figure:.2f}" for figure in figures))
    console.print(table)


def _took(need: NeedPublished, directory: Directory, pairing: Pairing, now: datetime) -> float:
    began = perf_counter()
    preview(need, directory, pairing, now)
    return (perf_counter() - began) * MILLISECONDS


def _world(copies: int, needs: list[NeedPublished], now: datetime) -> tuple[Directory, Pairing]:
    settings = MatcherSettings()
    bar = Bar(settings.bar, settings.suggestions_per_request, settings.suggestions_per_standing_request)
    directory, pairing = Directory(), Pairing(index=OfferIndex(Analyser()), bar=bar, holding=Holding(frozenset({0})))
    for copy in range(copies):
        for row in story.members():
            suffix = f"-{copy}" if copy else ""
            member_id, city = row["member_id"] + suffix, row.get("city")
            about: dict[str, Any] = {"member_id": member_id, "city": city, "rev": 1, "published_at": now}
            directory.publish_member(MemberPublished(**(row | about)))
    for need in needs:
        directory.publish_need(need)
    directory.refresh_conventions()
    bring(sorted(directory.owners()), directory, pairing, now)
    return directory, pairing


def _need(row: dict[str, Any], now: datetime) -> NeedPublished:
    return NeedPublished(**(row | {"rev": 1, "published_at": now}))


if __name__ == "__main__":
    typer.run(main)
