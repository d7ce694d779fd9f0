"""The only module that knows motor.

Its handles have the shape of PyMongo's own asynchronous API, motor's successor, and are typed as such: the services
compile against the successor today, and changing over is a change of this file.
"""

from typing import Any, TypeAlias, cast

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

Document: TypeAlias = dict[str, Any]
Collection: TypeAlias = AsyncCollection[Document]
Database: TypeAlias = AsyncDatabase[Document]
StoreError = PyMongoError

# Long enough to ride out the election of a new primary, short enough that a request in hand gets its 503.
_SELECT_SERVER_MS = 4_000


class Store:
    """One service's database."""

    def __init__(self, *, url: str, database: str, password: str | None = None) -> None:
        """`password` is of the user that `url` names; none: the one in it, if any."""
        given: dict[str, Any] = {} if password is None else {"password": password}
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

    async def ping(self) -> None:
        """Return when the database answers.

        Raises:
            StoreError: it does not.
        """
        await self.database.command("ping")

    def close(self) -> None:
        """Release the connections."""
        self._client.close()
