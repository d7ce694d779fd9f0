"""The `maillage` command."""

import asyncio
import io
import json
import signal
import sys
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from rich.console import Console

from services.console.access import access_commands
from services.console.dead_letters import dead_letter_commands
from services.console.deployed.commands import backup_command, restore_command, smoke_command, verify_command
from services.console.doctor.command import doctor_command
from services.console.embedded.process import PartError
from services.console.embedded.supervisor import PartDied, PartEvent, PartGivenUp, PartRestarted, Supervisor
from services.console.importing import import_command
from services.console.publishing import contact_commands, key_commands, member_commands, need_commands
from services.console.system import DEFAULT_PORT, System, Wanted, running
from services.runtime.broker import PARTITIONS, create_topics, update_topics
from services.runtime.errors import MaillageError
from services.runtime.settings import KafkaSettings, load

cli = typer.Typer(
    name="maillage",
    help="Bring together what members of a cluster need and what they bring.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
cli.command("import")(import_command)
cli.command("smoke")(smoke_command)
cli.command("backup")(backup_command)
cli.command("restore")(restore_command)
cli.command("verify")(verify_command)
cli.add_typer(dead_letter_commands)
cli.add_typer(access_commands)
for published in (member_commands, contact_commands, need_commands, key_commands):
    cli.add_typer(published)
cli.command("doctor")(doctor_command)


class Language(StrEnum):
    """Languages in which the story has a need to post live."""

    FR = "fr"
    AR = "ar"


# What is said goes to standard error; standard output is for what a program may read.
say = Console(stderr=True, highlight=False)

STARTING = "Starting broker, database, mail catcher and the three services..."

DataDir = Annotated[Path, typer.Option("--data-dir", help="Folder for everything that outlives a stop.")]
Port = Annotated[int, typer.Option(help="Port of the API; the inbox gets the next. 0: any free ports.")]
Kafka = Annotated[str | None, typer.Option(help="Use this broker, host:port, instead of one in memory.")]
Mongo = Annotated[str | None, typer.Option(help="Use this MongoDB, mongodb://..., instead of bringing one along.")]


@cli.command()
def up(
    data_dir: DataDir = Path(".maillage"),
    port: Port = DEFAULT_PORT,
    kafka: Kafka = None,
    mongo: Mongo = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON with all addresses when ready.")] = False,
) -> None:
    """Run the whole system on this machine until Ctrl-C."""
    _run(_up(Wanted(data=data_dir.absolute(), port=port, kafka=kafka, mongo=mongo), as_json=as_json))


@cli.command()
def demo(
    data_dir: Annotated[Path | None, typer.Option(help="Keep the demonstration's data here.")] = None,
    port: Annotated[int, typer.Option(help="Port of the API. 0: any free ports.")] = 0,
    kafka: Kafka = None,
    mongo: Mongo = None,
    once: Annotated[bool, typer.Option("--once", help="End after the first delivery.")] = False,
    language: Annotated[Language, typer.Option(help="Language of the need posted live.")] = Language.FR,
) -> None:
    """Show a fictional cluster at work: post a need, watch it reach the right ambassadors."""
    with tempfile.TemporaryDirectory(prefix="maillage-demo-") as folder:
        data = data_dir.absolute() if data_dir else Path(folder)
        wanted = Wanted(data=data, port=port, kafka=kafka, mongo=mongo)
        _run(_demo(wanted, once=once, language=language))


@cli.command()
def topics(
    kafka: Annotated[str, typer.Argument(help="Broker, host:port.", envvar="MAILLAGE_KAFKA")],
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each event topic.")] = PARTITIONS,
    replication: Annotated[
        int | None, typer.Option(help="Copies of each partition; default: 3, or one for each broker if fewer.")
    ] = None,
) -> None:
    """Create the topics that are missing, and bring the others up to date. May be run again at any time."""
    connection = load(KafkaSettings, kafka=kafka).connection
    try:
        created = asyncio.run(create_topics(connection, partitions=partitions, replication=replication))
        updated = asyncio.run(update_topics(connection))
    except MaillageError as error:
        say.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except KafkaError as error:
        say.print(f"broker {kafka}: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    say.print(f"Created {', '.join(created)}." if created else "All topics were there.")
    if updated:
        say.print(f"Brought up to date: {', '.join(updated)}.")


async def _up(wanted: Wanted, *, as_json: bool) -> None:
    async with AsyncExitStack() as stack:
        with say.status(STARTING):
            system, supervisor = await stack.enter_async_context(running(wanted, _tell))
        if as_json:
            print(json.dumps(system.public()), flush=True)
        else:
            _show(system)
        await _until_ended(supervisor)
        stack.enter_context(say.status("Stopping in order..."))
    say.print("Stopped.")


async def _demo(wanted: Wanted, *, once: bool, language: Language) -> None:
    from services.console import demo as demonstration  # needs the extra `embedded`, which a deployed image lacks

    say.print("[bold]Maillage[/bold]: a need, its partner, and the ambassador who introduces them.")
    async with AsyncExitStack() as stack:
        with say.status(STARTING):
            system, supervisor = await stack.enter_async_context(running(wanted, _tell))
        await demonstration.play(system, say, language=language.value)
        if not once:
            say.print("\nThe system stays up. Ctrl-C ends it.")
            await _until_ended(supervisor)
        stack.enter_context(say.status("Stopping in order..."))


async def _until_ended(supervisor: Supervisor) -> None:
    """Return on SIGINT or SIGTERM.

    Raises:
        PartError: a part stays down.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    waits = [asyncio.create_task(asked.wait()), asyncio.create_task(supervisor.given_up())]
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        if isinstance(event := task.result(), PartGivenUp):
            raise PartError(f"{event.part} stays down: it {event.why}")


def _run(job: Coroutine[None, None, None]) -> None:
    try:
        asyncio.run(job)
    except PartError as error:
        say.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _tell(event: PartEvent) -> None:
    match event:
        case PartDied():
            say.print(f"{event.part} {event.why}; starting it again in {event.again_in:.1f} s")
        case PartRestarted():
            say.print(f"{event.part} is back")
        case PartGivenUp():
            say.print(f"[red]{event.part} {event.why}[/red]")


def _show(system: System) -> None:
    say.print(f"""
[bold]Maillage is up.[/bold]
  API            {system.api}/docs
  Inbox          {system.inbox}
  Operator key   {system.operator_key}
  Kafka          {system.kafka}
  MongoDB        {system.mongo}
  Mail           {system.maildir}/new
  Logs           {system.data}/logs

Ctrl-C ends it; what it knows is kept in {system.data}.""")


def main() -> None:
    """Entry point."""
    # Texts have letters of three languages and more, and a key is told once: no code page is in their way.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    cli()


if __name__ == "__main__":
    main()
