"""`maillage doctor`, the command."""

import asyncio
import json
import logging
import os
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer
from pydantic import ValidationError
from pymongo.uri_parser import parse_uri
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.console.access import RIGHTS
from services.console.doctor import certificates, kafka, kafka_judging, mongo, services, settings
from services.console.doctor.findings import Finding, State, problem
from services.console.letter_log import open_letter_log
from services.runtime.clock import utc_now
from services.runtime.connection import Connection
from services.runtime.errors import MaillageError
from services.runtime.outcome import describe
from services.runtime.settings import RuntimeSettings
from services.runtime.store import Store, StoreError

# What is said goes to standard error; standard output is for what is found.
_say = Console(stderr=True, highlight=False)

_COLOURS: Final = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "red"}

# The whole of one question, with those that follow from it.
_PATIENCE_SECONDS: Final = 60.0


class Role(StrEnum):
    """Whose settings these are: decides which rights they must have."""

    OPERATOR = "operator"
    INGEST = "ingest"
    MATCHER = "matcher"
    NOTIFIER = "notifier"


@dataclass(frozen=True, slots=True)
class Patient:
    """What is to be looked at.

    Attributes:
        addresses: of services, by name.
        endpoints: further places whose certificates are looked at.
        ca: PEM file of the authorities that those are trusted by; none: those of the system.
        partitions: that each event topic should have; none: as many as most have.
    """

    settings: RuntimeSettings
    role: Role
    addresses: Sequence[tuple[str, str]]
    endpoints: Sequence[certificates.Endpoint]
    ca: Path | None
    partitions: int | None

    @property
    def url(self) -> str:
        """Connection string of the database."""
        return self.settings.mongo.get_secret_value()

    def opens(self, database: str) -> Store:
        """Open a database by its name."""
        password = self.settings.mongo_password
        return Store(
            url=self.url,
            database=database,
            password=password.get_secret_value() if password else None,
            ca=self.settings.mongo_ca,
        )


def doctor_command(
    kafka_address: Annotated[
        str | None, typer.Option("--kafka", help="Broker, host:port. Default: MAILLAGE_KAFKA.")
    ] = None,
    mongo_url: Annotated[
        str | None, typer.Option("--mongo", help="MongoDB, mongodb://... Default: MAILLAGE_MONGO.")
    ] = None,
    role: Annotated[Role, typer.Option("--as", help="Whose login this is: it must have their rights.")] = Role.OPERATOR,
    service: Annotated[
        list[str] | None,
        typer.Option(
            help="A service to ask, NAME=http://HOST:PORT. Repeat it. Default: MAILLAGE_SERVICES, space separated."
        ),
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(help="Where people reach the inbox.", envvar="MAILLAGE_PUBLIC_URL")
    ] = None,
    via: Annotated[
        str | None, typer.Option(help="Go to the public address by this HOST:PORT.", envvar="MAILLAGE_VIA")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="PEM file of authorities to trust at the public address.", envvar="MAILLAGE_CA")
    ] = None,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Partitions that event topics should have. Default: as most have.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show also what is well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Look at a deployment, and say what is wrong and what to do. Changes nothing. Status 1: there are problems."""
    for library in ("aiokafka", "pymongo"):
        logging.getLogger(library).setLevel(logging.CRITICAL)  # what they would say is found, and said in words
    try:
        addresses = [services.named(one) for one in service or os.environ.get("MAILLAGE_SERVICES", "").split()]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--service") from None
    found = list(settings.check())
    given: dict[str, Any] = {"kafka": kafka_address, "mongo": mongo_url}
    try:
        read = settings.read(RuntimeSettings, **{name: value for name, value in given.items() if value is not None})
    except ValidationError:
        found += [
            problem(
                "settings", "environment", "nothing else can be looked at with these", "Correct them, then ask again."
            )
        ]
    else:
        patient = Patient(read, role, addresses, list(_endpoints(public_url, via)), ca, partitions)
        with _say.status("Looking..."):
            found += asyncio.run(look(patient))
    _tell(found, everything=everything, as_json=as_json)
    raise typer.Exit(1 if any(one.state is State.PROBLEM for one in found) else 0)


async def look(patient: Patient) -> list[Finding]:
    """Ask everybody at the same time; return what is to be said, in the order of the questions."""
    read = patient.settings
    questions: list[tuple[str, Callable[[], Awaitable[list[Finding]]]]] = [
        ("Kafka", lambda: _kafka(read.connection, patient)),
        ("MongoDB", lambda: _mongo(patient)),
        *((name, lambda name=name, url=url: _service(name, url)) for name, url in patient.addresses),
        *((str(one), lambda one=one: _certificate(one, patient.ca)) for one in patient.endpoints),
    ]
    answers = await asyncio.gather(*(_patiently(subject, question) for subject, question in questions))
    return [finding for answer in answers for finding in answer]


async def _patiently(subject: str, question: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await question()
    except MaillageError as error:
        what, _, do = str(error).partition(". ")
        return [problem("addresses", subject, what, f"{do}." if do else "Start it, or correct its address.")]
    except Exception as error:  # whatever it is, the others must still be told of
        return [
            problem("addresses", subject, f"broke off: {describe(error)}", "Ask again; if it repeats, look at its log.")
        ]


async def _kafka(connection: Connection, patient: Patient) -> list[Finding]:
    # A service's own login may not read the matcher's database.
    knows = patient.role in (Role.OPERATOR, Role.MATCHER)
    places = await mongo.ask_places(patient.opens, _matchers(patient)) if knows else None
    facts = await kafka.ask(connection, RIGHTS[patient.role], {"matcher": places})
    found = list(kafka_judging.judge(facts, partitions=patient.partitions))
    if patient.role is Role.OPERATOR:  # services may not read them
        found += await _patiently("dead letters", lambda: _letters(connection))
    return found


async def _letters(connection: Connection) -> list[Finding]:
    async with open_letter_log(connection, clock=utc_now) as log:
        shelf = await log.shelf()
    open_ = (letter.topic for letter in shelf.letters.values() if letter.settled is None)
    return list(kafka_judging.judge_letters(Counter(open_)))


async def _mongo(patient: Patient) -> list[Finding]:
    databases = _databases(patient)
    try:
        facts = await mongo.ask(patient.opens, databases, utc_now)
    except StoreError as error:
        hosts = ",".join(f"{host}:{port}" for host, port in parse_uri(patient.url)["nodelist"])
        return [mongo.judge_away(hosts, error, patient.opens(databases[0]).refusal(error))]
    return list(mongo.judge(facts))


def _matchers(patient: Patient) -> str:
    return next(name for name in _databases(patient) if patient.role is Role.MATCHER or name.endswith("matcher"))


def _databases(patient: Patient) -> list[str]:
    if patient.settings.database and patient.role is not Role.OPERATOR:
        return [patient.settings.database]
    return [f"maillage_{name}" for name in settings.SERVICES if patient.role in (Role.OPERATOR, name)]


async def _service(name: str, url: str) -> list[Finding]:
    return list(services.judge(await services.ask(name, url, utc_now)))


async def _certificate(endpoint: certificates.Endpoint, ca: Path | None) -> list[Finding]:
    presented = await certificates.ask(endpoint, ssl.create_default_context(cafile=ca))
    return list(certificates.judge(endpoint, presented, utc_now()))


def _endpoints(public_url: str | None, via: str | None) -> Iterator[certificates.Endpoint]:
    url = urlsplit(public_url or "")
    if url.scheme == "https" and url.hostname:
        host, _, port = (via or f"{url.hostname}:{url.port or 443}").rpartition(":")
        yield certificates.Endpoint("public address", host, int(port), url.hostname)


def _tell(found: Sequence[Finding], *, everything: bool, as_json: bool) -> None:
    counts = {state: sum(one.state is state for one in found) for state in State}
    if as_json:
        print(
            json.dumps(
                {**{f"{state}": count for state, count in counts.items()}, "findings": [asdict(one) for one in found]}
            )
        )
        return
    shown = [one for one in found if everything or one.state is not State.OK]
    table = Table("", "what", "is", box=None, pad_edge=False, show_header=False)
    for one in sorted(shown, key=lambda one: list(State).index(one.state), reverse=True):
        says = escape(one.says) + (f"\n[dim]{escape(one.do)}[/dim]" if one.do else "")
        table.add_row(f"[{_COLOURS[one.state]}]{one.state}[/]", escape(f"{one.area}: {one.subject}"), says)
    if shown:
        Console(highlight=False).print(table)
    _say.print(
        f"{counts[State.PROBLEM]} problems, {counts[State.WARNING]} warnings; {counts[State.OK]} things are well"
        + ("." if everything else ", --all shows them.")
    )
