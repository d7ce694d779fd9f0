"""`maillage acl`: rights on the broker, for its administrator."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Annotated, Final, TypeVar

import typer
from aiokafka.errors import KafkaError
from rich.console import Console

from schemas.topics import READS
from services.console.acls import Acls, Entry, principal_of
from services.runtime.errors import MaillageError
from services.runtime.rights import (
    LISTENER_RIGHTS,
    MEMBER_RIGHTS,
    OPERATOR_RIGHTS,
    SUBMITTER_RIGHTS,
    Rights,
    rights_of,
)
from services.runtime.settings import KafkaSettings, load

access_commands = typer.Typer(
    name="acl",
    help="Rights on the broker, for its administrator: MAILLAGE_KAFKA_USER is one.",
    no_args_is_help=True,
)

_say = Console(stderr=True, highlight=False)

RIGHTS: Final[dict[str, Rights]] = {**{name: rights_of(name) for name in READS}, "operator": OPERATOR_RIGHTS}
"""What each of us needs, by who it is: a service, or whoever runs the commands of `maillage`."""

Kafka = Annotated[str, typer.Option(help="Broker, host:port.", envvar="MAILLAGE_KAFKA")]

_T = TypeVar("_T")


def _named(text: str) -> tuple[str, str]:
    role, _, user = text.partition("=")
    if role in RIGHTS and user:
        return role, user
    raise typer.BadParameter(f"expected ROLE=USER, ROLE one of {', '.join(RIGHTS)}")


@access_commands.command()
def grant(
    kafka: Kafka = "127.0.0.1:9092",
    user: Annotated[
        list[str] | None,
        typer.Option(help="Another user than maillage-ROLE for one of us, as ROLE=USER. May be repeated."),
    ] = None,
    member: Annotated[
        list[str] | None,
        typer.Option(help="Also this user, trusted to write events with every key. May be repeated."),
    ] = None,
    submitter: Annotated[
        list[str] | None,
        typer.Option(help="Also this user, an organisation's own producer: it may submit. May be repeated."),
    ] = None,
    listener: Annotated[
        list[str] | None,
        typer.Option(help="Also this user: it may read what every organisation was answered. May be repeated."),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Take away what these users have beyond it.")] = False,
) -> None:
    """Give services, operator and members the least rights that they need. May be run again at any time."""
    users = {role: f"maillage-{role}" for role in RIGHTS} | dict(_named(text) for text in user or ())
    wanted = {users[role]: rights for role, rights in RIGHTS.items()}
    for others, rights in ((member, MEMBER_RIGHTS), (submitter, SUBMITTER_RIGHTS), (listener, LISTENER_RIGHTS)):
        for other in others or ():
            wanted[other] = wanted.get(other, frozenset()) | rights

    async def work(acls: Acls) -> None:
        for name, rights in wanted.items():
            granted = await acls.grant(name, rights)
            if exact:
                await acls.take(granted.more)
            _tell(f"{name}: {len(granted.added)} granted, {granted.there} were there")
            for entry in granted.more:
                _tell(f"  {'taken' if exact else 'has more than it needs'}: {entry}")

    _run(kafka, work)


@access_commands.command("list")
def list_command(kafka: Kafka = "127.0.0.1:9092") -> None:
    """List who may do what."""
    entries = _run(kafka, lambda acls: acls.entries())
    for principal, group in groupby(entries, key=lambda entry: entry.principal):
        print(principal)
        for entry in group:
            print(f"  {entry}")


@access_commands.command()
def revoke(
    users: Annotated[list[str], typer.Argument(help="Users that may do nothing any more.", metavar="USER...")],
    kafka: Kafka = "127.0.0.1:9092",
) -> None:
    """Take all rights from users, as from a member organisation that left. Then remove their logins as well."""

    async def work(acls: Acls) -> None:
        for name in users:
            entries: list[Entry] = await acls.entries(name)
            await acls.take(entries)
            _tell(f"{principal_of(name)}: {len(entries)} taken")

    _run(kafka, work)


def _run(kafka: str, work: Callable[[Acls], Awaitable[_T]]) -> _T:
    """Do `work` on a broker; an error is one line and status 1."""
    connection = load(KafkaSettings, kafka=kafka).connection

    async def job() -> _T:
        async with connection.open() as link:
            return await work(Acls(link, connection))

    try:
        with _say.status(f"Asking {kafka}..."):
            return asyncio.run(job())
    except (MaillageError, KafkaError) as error:
        _tell(str(error), style="red")
        raise typer.Exit(1) from None


def _tell(text: str, *, style: str = "") -> None:
    _say.print(text, style=style, markup=False, soft_wrap=True)
