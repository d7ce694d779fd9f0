"""`maillage smoke`, `backup`, `restore` and `verify`: for whoever runs a deployed system."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import httpx
import typer
from aiokafka.errors import KafkaError
from pymongo.errors import PyMongoError
from rich.console import Console

from services.console.deployed.archive import ArchiveError, Manifest
from services.console.deployed.backup import DifferentError, NotEmptyError, back_up, restore, verify
from services.console.deployed.settings import ToolSettings
from services.console.deployed.smoke import Door, SmokeError, smoke
from services.runtime.errors import MaillageError
from services.runtime.settings import load

# What is said goes to standard error; standard output is for what a program may read.
_say = Console(stderr=True, highlight=False)


def smoke_command(
    via: Annotated[
        str | None, typer.Option(help="Meet the proxy at this host:port, under its public name.", envvar="MAILLAGE_VIA")
    ] = None,
    caught_at: Annotated[
        str | None, typer.Option(help="Also look for the mail, at this address of a mail catcher (MailDev).")
    ] = None,
) -> None:
    """Post a need as anybody would, see its ambassador told, and erase it all again. May be run at any time."""
    settings = load(ToolSettings)
    door = Door(public=str(settings.public_url), proxy=via)
    try:
        asyncio.run(smoke(settings, door, caught_at=caught_at, say=_print))
    except (SmokeError, httpx.HTTPError) as error:
        _fail(f"It does not work: {error or type(error).__name__}")
    _print("It works.")


def backup_command() -> None:
    """Write a backup of everything to standard output. The services may go on meanwhile."""
    settings = load(ToolSettings)
    if sys.stdout.isatty():
        _fail("A backup goes to a file or a program: maillage backup > FILE")
    with _working() as say:
        manifest = back_up(settings, sys.stdout.buffer, say=say)
    _print(f"Backed up, as of {manifest.made_at}: {_contents(manifest)}.")


def restore_command() -> None:
    """Read a backup from standard input into an empty system whose services do not run yet."""
    settings = load(ToolSettings)
    with _working() as say:
        manifest = restore(settings, sys.stdin.buffer, say=say)
    _print(f"Restored, and the same as the backup of {manifest.made_at}: {_contents(manifest)}.")


def verify_command(
    databases: Annotated[
        bool, typer.Option("--databases", help="Compare it with the databases too; the services must not run.")
    ] = False,
) -> None:
    """Read a backup from standard input, and say whether it is whole."""
    settings = load(ToolSettings) if databases else None
    with _working() as say:
        manifest = verify(sys.stdin.buffer, against=settings, say=say)
    _print(f"The backup of {manifest.made_at} is whole: {_contents(manifest)}.")
    if databases:
        _print("The databases hold the same.")


@contextmanager
def _working() -> Iterator[Callable[[str], None]]:
    """Yield what shows progress; end the process with one clear line when something does not succeed."""
    try:
        with _say.status("...") as status:
            yield status.update
    except NotEmptyError as error:
        _fail(f"A backup is restored into an empty system, and in this one {error}. Nothing was changed.")
    except ArchiveError as error:
        _fail(f"The backup cannot be used: {error}.")
    except DifferentError as error:
        _fail(f"The databases are not what the backup holds. {error}.")
    except MaillageError as error:
        _fail(str(error))
    except (PyMongoError, KafkaError, OSError, TimeoutError) as error:
        _fail(f"{type(error).__name__}: {error}")


def _contents(manifest: Manifest) -> str:
    documents, records = (
        sum(series.items for folder, series in manifest.series.items() if folder.startswith(kind))
        for kind in ("databases/", "log/")
    )
    return f"{documents:,} documents, and {records:,} records that only the log holds"


def _fail(line: str) -> NoReturn:
    _say.print(line, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1) from None


def _print(line: str) -> None:
    _say.print(line, markup=False, soft_wrap=True)
