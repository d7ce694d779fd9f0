"""The services' databases as a backup sees them: all of them, as of one moment."""

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from bson import decode_file_iter
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.client_session import ClientSession

from services.console.deployed.archive import Measure, Series
from services.runtime.store import connecting

SERVICES: Final = ("ingest", "matcher", "notifier")

Client: TypeAlias = MongoClient[RawBSONDocument]
Connection: TypeAlias = AbstractContextManager[Client]

# Documents as the bytes that they are: in the same order of fields, which some of them are known by.
_RAW: Final = CodecOptions(document_class=RawBSONDocument)

_BATCH: Final = 1_000


def database_of(service: str) -> str:
    """Return the name of a service's database, which is its user's name too."""
    return f"maillage_{service}"


@contextmanager
def connect(url: str, password: str | None, ca: Path | None) -> Iterator[Client]:
    """Connect to the server of the databases.

    Raises:
        PyMongoError: it is away, or refuses.
    """
    given = connecting(password=password, ca=ca)
    with MongoClient(url, **given, document_class=RawBSONDocument, w="majority", journal=True) as client:
        client.admin.command("ping")
        yield client


class Snapshot:
    """All databases as of one moment, however long the reading takes: none is ahead of another.

    The services may go on meanwhile. The server keeps that moment for `minSnapshotHistoryWindowInSeconds`.
    """

    def __init__(self, client: Client, session: ClientSession) -> None:
        self._client = client
        self._session = session

    def folders(self) -> list[str]:
        """Return `databases/<service>/<collection>` of all that there is."""
        return [
            f"databases/{service}/{name}"
            for service in SERVICES
            for name in sorted(self._client[database_of(service)].list_collection_names())
            if not name.startswith("system.")
        ]

    def documents(self, folder: str) -> Iterator[bytes]:
        """Yield the documents of a folder in the order of their `_id`.

        Raises:
            PyMongoError: the server is away, or has forgotten the moment.
        """
        _, service, name = folder.split("/")
        collection = self._client[database_of(service)].get_collection(name, codec_options=_RAW)
        for document in collection.find(session=self._session, batch_size=_BATCH).sort("_id"):
            yield bytes(document.raw)

    def series(self, folder: str) -> Series:
        """Return how much there is of a folder."""
        measure = Measure()
        for _ in measure.passing(self.documents(folder)):
            pass
        return measure.series


@contextmanager
def snapshot(client: Client) -> Iterator[Snapshot]:
    """Take a snapshot; the moment is that of the first read."""
    with client.start_session(snapshot=True) as session:
        yield Snapshot(client, session)


def insert(client: Client, folder: str, content: bytes) -> None:
    """Put the documents of a part where they were.

    Raises:
        PyMongoError: the server is away, or something with that `_id` is there.
    """
    _, service, name = folder.split("/")
    documents = list(decode_file_iter(io.BytesIO(content), codec_options=_RAW))
    client[database_of(service)][name].insert_many(documents, ordered=False)
