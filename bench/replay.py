"""Replays real organisations and needs through the whole system, and accounts for every one of them.

`python -m bench.replay --data DIR` starts broker, database, mail catcher and the three services, publishes the folder's
organisations without alerts, posts its needs with alerts, waits until nothing waits any more, and compares what was
acknowledged with what is on the log, what was suggested with what reached a real mailbox and a real webhook, and what
was suggested with the folder's judgements. `bench/_data.py` says what a folder holds.

Two numbers to read with care: latencies count from the posting of a need, so at full speed they are mostly the time in
a queue (`--rate` posts slower); and an ambassador is sent one message at a time by each channel, so one ambassador
(`--cities 1`) takes deliveries one after the other.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench._data import DataError
from bench._story import Plan, replay
from services.console.embedded.process import PartError
from services.runtime.settings import PREFIX

TIMEOUT_SECONDS = 900.0

# What the longest line takes, for a pipe, which tells no width.
TABLE_COLUMNS = 100


def main(
    data: Annotated[Path, typer.Option(help="Folder with docs, queries, qrels and perhaps past_projects.")],
    kafka: Annotated[
        str | None, typer.Option(help="Use this broker, host:port; best one of its own. Otherwise: one in memory.")
    ] = None,
    mongo: Annotated[
        str | None, typer.Option(help="Use this MongoDB, in databases that are removed in the end. Otherwise: its own.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything that was found here.")] = None,
    run_file: Annotated[
        Path | None, typer.Option("--run", help="Write what was suggested here: query, doc and score, a line each.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Post so many needs, the first ones.")] = None,
    cities: Annotated[
        int, typer.Option(min=1, help="Seat the organisations in so many innovation cities, one ambassador each.")
    ] = 1,
    suggestions: Annotated[
        int, typer.Option(min=0, help="Members suggested for a need at most; 0: as the matcher has it by itself.")
    ] = 10,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the services, as in BAR=0.3; may be repeated.")
    ] = None,
    muted: Annotated[
        bool, typer.Option("--muted", help="Post needs without alerts as an import does, the last one with.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Needs posted per second. Otherwise: as fast as they are taken.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Longest replay, seconds.")] = TIMEOUT_SECONDS,
    keep: Annotated[Path | None, typer.Option(help="Keep logs, mails and databases, in this folder.")] = None,
) -> None:
    """Replay real organisations and needs through the whole system, and account for every one of them.

    Status 1: something was lost, told twice or set aside, or time was up. Status 2: it could not be run.
    """
    say = Console(stderr=True, highlight=False)
    with tempfile.TemporaryDirectory(prefix="maillage-replay-") as passing:
        plan = Plan(
            data=data,
            kafka=kafka,
            mongo=mongo,
            limit=limit,
            cities=cities,
            suggestions=suggestions or None,
            settings=dict(_setting(one) for one in settings or ()),
            muted=muted,
            rate=rate,
            timeout=timeout,
            folder=(keep or Path(passing)).absolute(),
            keep=keep is not None,
        )
        try:
            result = asyncio.run(replay(plan, say))
        except (PartError, DataError) as error:
            say.print(f"[red]{error}[/red]", soft_wrap=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    wrong = result.wrong()
    if json_file is not None:
        json_file.write_text(json.dumps(result.as_json(), ensure_ascii=False, indent=2) + "\n")
    if run_file is not None:
        run_file.write_text("".join(result.run_lines()))
    Console(highlight=False, width=None if sys.stdout.isatty() else TABLE_COLUMNS).print(result.table())
    for problem in wrong:
        say.print(f"[red]{problem}[/red]", soft_wrap=True, markup=True)
    say.print("Nothing was lost, told twice or set aside." if not wrong else f"{len(wrong)} finding(s).")
    if wrong:
        raise typer.Exit(1)


def _setting(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"--set {given}: expected NAME=VALUE")
    return PREFIX + name.removeprefix(PREFIX), value


if __name__ == "__main__":
    typer.run(main)
