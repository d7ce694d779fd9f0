"""Backup and restore of a deployed system: the databases as of one moment, what only the log holds, and the secrets."""

import asyncio
from collections.abc import Callable
from typing import BinaryIO

from services.console.deployed import databases, unowned
from services.console.deployed.archive import Manifest, Reader, Writer
from services.console.deployed.settings import ToolSettings
from services.runtime.clock import utc_now

Say = Callable[[str], None]


class NotEmptyError(Exception):
    """A backup is restored into an empty system, and this is none; the message says what is there."""


class DifferentError(Exception):
    """The databases are not what the backup holds; the message says where."""


def back_up(settings: ToolSettings, target: BinaryIO, *, say: Say) -> Manifest:
    """Write a backup; return what is in it. The services may go on meanwhile.

    The log is read after the databases: so an event is there or in them, or in both.

    Raises:
        PyMongoError, KafkaError, OSError, TimeoutError: a server is away, or the databases took too long.
    """
    made_at = utc_now().isoformat(timespec="seconds")
    writer = Writer(target)
    for name, value in _secrets(settings).items():
        writer.add_secret(name, value)
    with _databases(settings) as client, databases.snapshot(client) as moment:
        for folder in moment.folders():
            say(f"Reading {folder}...")
            writer.add_series(folder, moment.documents(folder), "bson")
    say("Reading what only the log holds...")
    for topic, lines in asyncio.run(unowned.read(settings.connection)).items():
        writer.add_series(f"log/{topic}", lines, "jsonl")
    return writer.finish(made_at=made_at)


def restore(settings: ToolSettings, source: BinaryIO, *, say: Say) -> Manifest:
    """Bring a backup into an empty system whose services do not run yet; return what it holds.

    The services find another log at their start, and publish on it what they own.

    Raises:
        NotEmptyError: before anything is written.
        ArchiveError, DifferentError: the backup is damaged; empty the system before another is tried.
        PyMongoError, KafkaError, OSError, TimeoutError: a server is away, or refuses.
    """
    reader = Reader(source)
    with _databases(settings) as client:
        _check_empty(settings, client)
        for part in reader.parts():
            say(f"Restoring {part.folder}...")
            if part.folder.startswith("databases/"):
                databases.insert(client, part.folder, part.content)
            else:
                topic = part.folder.removeprefix("log/")
                asyncio.run(unowned.put_back(settings.connection, topic, part.content))
        _compare(client, reader.manifest, say)
    return reader.manifest


def verify(source: BinaryIO, *, against: ToolSettings | None, say: Say) -> Manifest:
    """Read a backup whole, and compare it with the databases if wanted; return what it holds.

    Raises:
        ArchiveError: it is damaged.
        DifferentError: the databases are not the same, as is to be expected once services run.
    """
    reader = Reader(source)
    for part in reader.parts():
        say(f"Reading {part.folder}...")
    if against is not None:
        with _databases(against) as client:
            _compare(client, reader.manifest, say)
    return reader.manifest


def _databases(settings: ToolSettings) -> databases.Connection:
    password = settings.mongo_password.get_secret_value() if settings.mongo_password else None
    return databases.connect(settings.mongo.get_secret_value(), password, settings.mongo_ca)


def _secrets(settings: ToolSettings) -> dict[str, str]:
    """What an operator would have to give again, by the name of its file; passwords of the parts are made anew."""
    secrets = {"operator_key": settings.operator_key, "inbox_secret": settings.secret}
    if settings.smtp_password is not None:
        secrets["smtp_password"] = settings.smtp_password
    return {name: value.get_secret_value() for name, value in secrets.items()}


def _check_empty(settings: ToolSettings, client: databases.Client) -> None:
    with databases.snapshot(client) as moment:
        if folders := moment.folders():
            raise NotEmptyError(f"there is {folders[0]}")
    if topics := asyncio.run(unowned.written(settings.connection)):
        raise NotEmptyError(f"the log has records of {topics[0]}")


def _compare(client: databases.Client, manifest: Manifest, say: Say) -> None:
    with databases.snapshot(client) as moment:
        wanted = {folder for folder in manifest.series if folder.startswith("databases/")}
        # A collection without a document is not restored, and is not missed.
        there = {folder for folder in moment.folders() if folder in wanted or moment.series(folder).items}
        for folder in sorted(wanted | there):
            say(f"Comparing {folder}...")
            expected = manifest.series.get(folder)
            found = moment.series(folder)
            if expected != found:
                raise DifferentError(
                    f"{folder}: {expected.items if expected else 0} documents in the backup,"
                    f" {found.items} in the database, and they are not the same"
                )
