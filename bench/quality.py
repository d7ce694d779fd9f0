"""Measures how well the production engine finds the right members, on folders of public data.

`--data DIR --out RUN` ranks the queries of one folder; `--all ROOT` compares the engine with baselines over all sets of
a folder of folders; `--ablation` leaves out one ingredient at a time; `--bar` says what each bar for telling brings.
`bench/_data.py` says what a folder holds. Nothing that the engine does depends on the folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench._ablation import NOTE, VARIANTS
from bench._bar import Asked, asked, bar_sheets
from bench._baselines import NAMES, baselines
from bench._data import DataError, load
from bench._quality import quality
from bench._quality_engine import (
    ENGINE,
    PRODUCTION,
    Engine,
    Variant,
    check_variants,
    production_bar,
    production_places,
    ranking,
    warm_up,
)
from bench._quality_figures import Ranker, ablation_sheet, best_baseline, figures_sheet, split_sheet, values_of
from bench._quality_sets import JudgedSet, judged_sets, texts
from bench._quality_sheet import Sheet, replace_block
from services.matcher.index import Analyser

# What the widest line takes, for a pipe, which tells no width.
TABLE_COLUMNS = 180

Tick = Callable[[], None]


def main(
    data: Annotated[Path | None, typer.Option(help="Rank the queries of this folder.")] = None,
    out: Annotated[Path | None, typer.Option(help="With --data: write query, doc and score here, a line each.")] = None,
    all_sets: Annotated[Path | None, typer.Option("--all", help="Measure every set of this folder of folders.")] = None,
    ablation: Annotated[
        bool, typer.Option("--ablation", help="With --all: leave out each ingredient in turn.")
    ] = False,
    bar: Annotated[bool, typer.Option("--bar", help="With --all: what each bar for telling brings.")] = False,
    write: Annotated[
        Path | None, typer.Option(help="With --all: replace the table in this page, between its two marker comments.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="With --bar: draw the curve here, .svg or .png.")] = None,
) -> None:
    """Measure how well the production engine finds the right members. Status 2: it could not be measured."""
    say = Console(stderr=True, highlight=False)
    if (data is None) == (all_sets is None):
        raise typer.BadParameter("expected either --data or --all")
    if (data is None) != (out is None):
        raise typer.BadParameter("--data and --out go together")
    if data is not None and (ablation or bar or write):
        raise typer.BadParameter("--ablation, --bar and --write go with --all")
    if ablation and bar:
        raise typer.BadParameter("expected one of --ablation and --bar")
    if picture is not None and not bar:
        raise typer.BadParameter("--picture goes with --bar")
    try:
        if data is not None and out is not None:
            print(rank_folder(data, out, say))
        elif all_sets is not None:
            _measure(all_sets, say, ablation=ablation, bar=bar, write=write, picture=picture)
    except DataError as error:
        say.print(f"[red]{error}[/red]", soft_wrap=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def rank_folder(data: Path, out: Path, say: Console) -> str:
    """Rank the queries of a folder, write the run, and return what was done in a line.

    Raises:
        DataError: the folder is not in the expected form, or the run cannot be written.
    """
    folder = load(data, judgements_needed=False)
    warm_up()
    with _progress(say, folder.name, len(folder.members) + len(folder.needs)) as tick:
        engine = Engine(folder, tick=tick)
        found = ranking(engine, folder.needs, tick)
    try:
        with out.open("w", encoding="utf-8") as file:
            file.writelines(run_lines(found))
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror})") from None
    speed = 1000 * engine.query_seconds / max(1, len(folder.needs))
    done = f"{folder.name}: {len(found)} queries ranked by {ENGINE}, {speed:.2f} ms each, in {out}"
    if not folder.relevant:
        return f"{done}; no judgements, so no figure"
    reached = quality(found, folder.relevant)
    return f"{done}; nDCG@10 {reached.ndcg:.4f} over {reached.judged} judged queries"


def run_lines(found: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yield query, doc and score of each rank, as programs that score rankings read them."""
    for query, scores in found.items():
        yield from (f"{query}\t{doc}\t{score!r}\n" for doc, score in scores.items())


def _measure(root: Path, say: Console, *, ablation: bool, bar: bool, write: Path | None, picture: Path | None) -> None:
    sets = judged_sets(root)
    if ablation:
        check_variants(VARIANTS)
    warm_up()
    if bar:
        block, sheets = "bar", _bar(sets, say, picture)
    elif ablation:
        block, sheets = "ablation", [_ablation(sets, say)]
    else:
        block, sheets = "table", _table(sets, say)
    body = "\n".join(sheet.markdown() for sheet in sheets)
    if ablation:
        print(body)
    else:
        console = Console(highlight=False, width=None if sys.stdout.isatty() else TABLE_COLUMNS)
        for sheet in sheets:
            console.print(sheet.table())
    if write is not None:
        replace_block(write, block, body)
        say.print(f"{write}: the block `{block}` is replaced.")


def _table(sets: Sequence[JudgedSet], say: Console) -> list[Sheet]:
    analyser = Analyser()
    others: dict[str, dict[str, dict[str, float]]] = {letter: {} for letter in NAMES}
    for judged in sets:
        with _progress(say, f"{judged.name}, baselines", 1) as tick:
            for letter, ranked in baselines(texts(judged, analyser)).items():
                if ranked is not None:
                    others[letter][judged.name] = values_of(ranked, judged)
            tick()
    compared = [Ranker(label=NAMES[letter], values=values) for letter, values in others.items() if values]
    production = _ranker(sets, say)
    rankers = [production, best_baseline(compared, [judged.name for judged in sets]), *compared]
    time = (
        f"Production takes {production.milliseconds:.2f} ms a query on one thread, analysis included, mean of the sets."
    )
    notes = [time, f"Production ranks as with `--data`. {NAMES['P']} and voting need past projects; E is C elsewhere."]
    sheets = [figures_sheet(rankers, sets, title="Production and baselines: nDCG@10", notes=notes)]
    split = split_sheet([production, *compared], sets)
    return sheets if split is None else [*sheets, split]


def _ablation(sets: Sequence[JudgedSet], say: Console) -> Sheet:
    rankers = [_ranker(sets, say)]
    rankers += [_ranker(sets, say, variant) for variant in VARIANTS]
    return ablation_sheet(rankers, sets, title="Each ingredient left out: nDCG@10", notes=[NOTE])


def _bar(sets: Sequence[JudgedSet], say: Console, picture: Path | None) -> list[Sheet]:
    requests: dict[str, list[Asked]] = {}
    for judged in sets:
        folder = judged.folder
        with _progress(say, judged.name, len(folder.members) + len(folder.needs)) as tick:
            requests[judged.name] = asked(folder, Engine(folder, tick=tick), tick)
    if picture is not None:
        # Here, because the picture's library takes a second to load and is not needed otherwise.
        from bench._bar_picture import draw

        draw(requests, production_bar(), picture)
        say.print(f"{picture} is drawn.")
    return bar_sheets(requests, production_bar(), production_places())


def _ranker(sets: Sequence[JudgedSet], say: Console, variant: Variant = PRODUCTION) -> Ranker:
    values: dict[str, dict[str, float]] = {}
    milliseconds = []
    for judged in sets:
        folder = judged.folder
        with _progress(say, f"{judged.name}, {variant.label}", len(folder.members) + len(folder.needs)) as tick:
            engine = Engine(folder, variant=variant, tick=tick)
            values[judged.name] = values_of(ranking(engine, folder.needs, tick), judged)
        milliseconds.append(1000 * engine.query_seconds / len(folder.needs))
    return Ranker(label=variant.label, values=values, milliseconds=sum(milliseconds) / len(milliseconds))


@contextmanager
def _progress(say: Console, what: str, total: int) -> Iterator[Tick]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=say, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


if __name__ == "__main__":
    typer.run(main)
