"""The only module that knows motor.

Its handles have the shape of PyMongo's own asynchronous API, motor's successor, and are typed as such: the services
compile against the successor today, and changing over is a change of this file.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar, cast
from uuid import UUID

from bson.binary import Binary
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

Document: TypeAlias = dict[str, Any]
Collection: TypeAlias = AsyncCollection[Document]
Database: TypeAlias = AsyncDatabase[Document]
Session: TypeAlias = AsyncClientSession
StoreError = PyMongoError

T = TypeVar("T")

# Long enough to ride out the election of a new primary, short enough that a request in hand gets its 503.
_SELECT_SERVER_MS = 4_000


class Store:
    """One service's database."""

    def __init__(self, *, url: str, database: str) -> None:
        # A write is confirmed when a majority holds it in the journal: an acknowledgement must survive a crash.
        self._client: Any = AsyncIOMotorClient(
            url,
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

    async def ping(self) -> None:
        """Return when the database answers.

        Raises:
            StoreError: it does not.
        """
        await self.database.command("ping")

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

    def close(self) -> None:
        """Release the connections."""
        self._client.close()
