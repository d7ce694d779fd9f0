"""The only module that knows motor.

Its handles have the shape of PyMongo's own asynchronous API, motor's successor, and are typed as such: the services
compile against the successor today, and changing over is a change of this file.
"""

import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, cast
from uuid import UUID

from bson.binary import Binary
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

Document: TypeAlias = dict[str, Any]
Collection: TypeAlias = AsyncCollection[Document]
Database: TypeAlias = AsyncDatabase[Document]
Session: TypeAlias = AsyncClientSession
StoreError = PyMongoError

T = TypeVar("T")

# Long enough to ride out the election of a new primary, short enough that a request in hand gets its 503.
_SELECT_SERVER_MS = 4_000

# Waiting for a change takes a thread of motor's, and the end of the process waits for the thread.
_AWAIT_CHANGE_MS = 500

_SRV: Final = "mongodb+srv://"

DUPLICATE_KEY: Final = 11000
"""MongoDB's code for a document that is there already."""

# MongoDB's codes for a login that it does not know and for a right that the login lacks.
_UNKNOWN_LOGIN: Final = (18, 8000)
_NO_RIGHT: Final = 13


def in_the_clear(url: str) -> str | None:
    """Return the first host to which a connection string sends a login without TLS; none if there is no such host.

    A server on this machine's loopback is none: nobody can listen there.

    Raises:
        ValueError: it is no connection string. Does not quote it.
    """
    try:
        # What stands for a name in the DNS has the same form otherwise, and TLS by default.
        parsed = parse_uri(f"mongodb://{url.removeprefix(_SRV)}" if url.startswith(_SRV) else url)
    except (PyMongoError, ValueError):
        raise ValueError(
            "expected mongodb://[user:password@]host[:port][/][?options], special characters of a password as %XX"
        ) from None
    if not parsed["username"] or parsed["options"].get("tls", url.startswith(_SRV)):
        return None
    return next((host for host, _ in parsed["nodelist"] if not _is_local(host)), None)


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith(".sock"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def connecting(*, password: str | None, ca: Path | None) -> dict[str, Any]:
    """Return what a client of MongoDB has to be given beside a connection string, for those that are there."""
    login = {} if password is None else {"password": password}
    return login if ca is None else {**login, "tls": True, "tlsCAFile": str(ca)}


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system that a database is on."""

    size_bytes: int
    free_bytes: int


class Store:
    """One service's database."""

    def __init__(self, *, url: str, database: str, password: str | None = None, ca: Path | None = None) -> None:
        """Args:
        password: of the user that `url` names; none: the one in it, if any.
        ca: servers are reached by TLS, and their certificates are signed by one of its authorities.
        """
        given = connecting(password=password, ca=ca)
        # A write is confirmed when a majority holds it in the journal: an acknowledgement must survive a crash.
        self._client: Any = AsyncIOMotorClient(
            url,
            **given,
            tz_aware=True,
            uuidRepresentation="standard",
            serverSelectionTimeoutMS=_SELECT_SERVER_MS,
            connectTimeoutMS=_SELECT_SERVER_MS,
            socketTimeoutMS=20_000,
            w="majority",
            journal=True,
        )
        self.database = cast("Database", self._client[database])
        self._session: Any = None

    async def time(self) -> datetime:
        """Return the time of the server that takes writes.

        Raises:
            StoreError: it does not answer.
        """
        answer = await self.database.command("hello")
        return cast("datetime", answer["localTime"]).replace(tzinfo=UTC)

    async def ping(self) -> None:
        """Return when the database answers.

        Raises:
            StoreError: it does not.
        """
        await self.database.command("ping")

    async def disk(self) -> "Disk | None":
        """Return how full the file system of the database is, as the server says; none before anything is stored.

        Raises:
            StoreError: it does not answer, or not to us.
        """
        said = await self.database.command("dbStats")
        size, used = int(said["fsTotalSize"]), int(said["fsUsedSize"])
        return Disk(size_bytes=size, free_bytes=size - used) if size else None

    async def session_id(self) -> UUID:
        """Return the id of the session in which all transactions of this process are."""
        if self._session is None:
            self._session = await self._client.start_session()
        return cast("UUID", self._session.session_id["id"].as_uuid())

    async def transaction(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Return what `work` returns, once all that it wrote with the session is stored; or store nothing of it.

        One at a time. `work` is done again when another transaction was in its way.

        Raises:
            StoreError: the database is away, or takes no transactions: it must be a replica set, if only of one.
        """
        await self.session_id()
        return cast("T", await self._session.with_transaction(work))

    async def end_session(self, session: UUID) -> None:
        """Have what another process left undone in its transaction be undone at once, not after a minute."""
        if session != await self.session_id():
            await self.database.client.admin.command("killSessions", [{"id": Binary.from_uuid(session)}])

    def refusal(self, error: BaseException) -> str | None:
        """Return what an operator has to correct when the database does not let us in; none for other errors."""
        database = self.database.name
        if isinstance(error, OperationFailure) and error.code in _UNKNOWN_LOGIN:
            return "MongoDB: the login is not known, or not by this password. Correct MAILLAGE_MONGO"
        if isinstance(error, OperationFailure) and error.code == _NO_RIGHT:
            return f"MongoDB: the login lacks readWrite on {database}. Grant it, or correct MAILLAGE_MONGO"
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return (
                "MongoDB: we do not trust the server's certificate. Name the authority that signed it by "
                "MAILLAGE_MONGO_CA, and the server as its certificate does by MAILLAGE_MONGO"
            )
        return None

    def close(self) -> None:
        """Release the connections."""
        self._client.close()


@asynccontextmanager
async def changes(
    database: Database, pipeline: Sequence[Document], *, after: Document | None
) -> AsyncIterator[AsyncChangeStream[Document]]:
    """Follow what changes in a database, each change with the document as it is then (`fullDocument`).

    Args:
        database: must be of a replica set, if only of one.
        pipeline: what is done with each change.
        after: the `resume_token` of an earlier stream, to miss nothing in between; none: from now on.

    Raises:
        StoreError: it does not answer, or does not know any more what came after `after`.
    """
    stream: Any = database.watch(
        list(pipeline), full_document="updateLookup", resume_after=after, max_await_time_ms=_AWAIT_CHANGE_MS
    )
    async with stream:  # with the successor, `watch` is to be awaited
        yield cast("AsyncChangeStream[Document]", stream)
