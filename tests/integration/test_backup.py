"""A backup is one moment of all databases, and restores to the same; what only the log holds comes back too."""

import asyncio
import io
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from pydantic import AnyHttpUrl, SecretStr
from pymongo import MongoClient

from services.console.deployed.archive import ArchiveError
from services.console.deployed.backup import DifferentError, NotEmptyError, back_up, restore, verify
from services.console.deployed.settings import ToolSettings
from services.console.embedded.broker import MemoryBroker
from services.console.embedded.mongod import find_mongod
from services.console.embedded.process import LOOPBACK, free_port
from services.runtime.letters import settling_headers

NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)


@contextmanager
def replica_set(folder: Path) -> Iterator[str]:
    """A mongod as it is deployed: the one member of a replica set, which keeps moments to read from."""
    folder.mkdir()
    port = free_port()
    with subprocess.Popen(
        [find_mongod(folder), "--dbpath", folder, "--port", str(port), "--replSet", "maillage", "--nounixsocket"],
        stdout=subprocess.DEVNULL,
    ) as mongod:
        address = f"{LOOPBACK}:{port}"
        try:
            with MongoClient[dict[str, Any]](address, directConnection=True) as client:
                members = [{"_id": 0, "host": address}]
                client.admin.command("replSetInitiate", {"_id": "maillage", "members": members})
            url = f"mongodb://{address}/?replicaSet=maillage"
            with MongoClient[dict[str, Any]](url) as client:
                client.admin.command("ping")  # waits for a primary
            yield url
        finally:
            mongod.terminate()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Two servers, each used by one test at a time."""
    folder = tmp_path_factory.mktemp("backup")
    with replica_set(folder / "original") as original, replica_set(folder / "empty") as empty:
        yield original, empty


@pytest.fixture
def mongos(servers: tuple[str, str]) -> tuple[str, str]:
    """The two servers, empty."""
    for url in servers:
        with MongoClient[dict[str, Any]](url) as client:
            for service in ("ingest", "matcher", "notifier"):
                client.drop_database(f"maillage_{service}")
    return servers


@pytest.fixture
def brokers() -> Iterator[tuple[str, str]]:
    original, empty = MemoryBroker(), MemoryBroker()
    yield original.bootstrap, empty.bootstrap
    del original, empty


def settings(mongo: str, kafka: str) -> ToolSettings:
    return ToolSettings(
        mongo=SecretStr(mongo),
        kafka=kafka,
        operator_key=SecretStr("the-operators-key-of-a-test"),
        secret=SecretStr("signs-the-addresses-of-a-test-0123456789"),
        public_url=AnyHttpUrl("https://maillage.test"),
    )


def backup_of(mongo: str, kafka: str) -> io.BytesIO:
    target = io.BytesIO()
    back_up(settings(mongo, kafka), target, say=lambda _: None)
    return io.BytesIO(target.getvalue())


def quietly(_: str) -> None:
    """Progress is for people."""


def fill(mongo: str) -> None:
    with MongoClient[dict[str, Any]](mongo, uuidRepresentation="standard") as client:
        client.maillage_ingest.members.insert_many(
            [{"_id": f"souss/{n}", "z": n, "a": {"é": [1.5, None, NOW]}, "text": "x" * 3_000} for n in range(3_000)]
        )
        client.maillage_matcher.suggestions.insert_one({"_id": uuid4(), "rev": 1, "told": True})
        client.maillage_notifier.deliveries.insert_one({"_id": uuid4(), "state": "sent", "raw": b"\x00\xff"})
        client.maillage_notifier.create_collection("empty")


def contents(mongo: str) -> list[list[tuple[str, Any]]]:
    with MongoClient[dict[str, Any]](mongo, uuidRepresentation="standard") as client:
        return [
            list(document.items())
            for service in ("ingest", "matcher", "notifier")
            for name in sorted(client[f"maillage_{service}"].list_collection_names())
            for document in client[f"maillage_{service}"][name].find().sort("_id")
        ]


def test_it_restores_to_the_same_and_only_into_an_empty_system(
    mongos: tuple[str, str], brokers: tuple[str, str]
) -> None:
    fill(mongos[0])
    archive = backup_of(mongos[0], brokers[0])
    restore(settings(mongos[1], brokers[1]), archive, say=quietly)
    assert contents(mongos[1]) == contents(mongos[0])

    archive.seek(0)
    with pytest.raises(NotEmptyError, match="databases/ingest/members"):
        restore(settings(mongos[1], brokers[1]), archive, say=quietly)


def test_a_difference_is_named(mongos: tuple[str, str], brokers: tuple[str, str]) -> None:
    fill(mongos[0])
    archive = backup_of(mongos[0], brokers[0])
    verify(archive, against=settings(mongos[0], brokers[0]), say=quietly)
    with MongoClient[dict[str, Any]](mongos[0]) as client:
        client.maillage_ingest.members.update_one({"_id": "souss/7"}, {"$set": {"z": 8}})
    archive.seek(0)
    with pytest.raises(DifferentError, match="databases/ingest/members"):
        verify(archive, against=settings(mongos[0], brokers[0]), say=quietly)


def test_what_was_written_since_is_a_difference(mongos: tuple[str, str], brokers: tuple[str, str]) -> None:
    archive = backup_of(mongos[0], brokers[0])
    fill(mongos[0])
    with pytest.raises(DifferentError, match="0 documents in the backup"):
        verify(archive, against=settings(mongos[0], brokers[0]), say=quietly)


def test_it_is_one_moment_of_all_databases(mongos: tuple[str, str], brokers: tuple[str, str]) -> None:
    """Who writes to one database and then to the next is never seen to have written to the next alone."""
    fill(mongos[0])
    enough = threading.Event()
    written = threading.Event()

    def write() -> None:
        with MongoClient[dict[str, Any]](mongos[0]) as client:
            number = 0
            while not enough.is_set():
                number += 1
                # In the order in which they are read: a reader that follows would see the second ahead of the first.
                client.maillage_ingest.claims.insert_one({"_id": number})
                client.maillage_notifier.claims.insert_one({"_id": number})
                if number == 20:
                    written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert written.wait(30)
        archive = backup_of(mongos[0], brokers[0])
    finally:
        enough.set()
        writer.join()
    series = verify(archive, against=None, say=quietly).series
    first, second = (series[f"databases/{service}/claims"].items for service in ("ingest", "notifier"))
    assert first >= 20
    assert first - 1 <= second <= first


@pytest.mark.parametrize("damage", ["cut", "flipped", "no end", "a part is missing", "a path of its own"])
def test_a_damaged_one_is_refused(mongos: tuple[str, str], brokers: tuple[str, str], damage: str) -> None:
    fill(mongos[0])
    whole = backup_of(mongos[0], brokers[0]).getvalue()
    if damage == "cut":
        damaged = bytearray(whole[: len(whole) // 2])
    elif damage == "flipped":
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 0xFF
    else:
        damaged = bytearray(_packed_again(whole, damage))
    with pytest.raises(ArchiveError):
        verify(io.BytesIO(damaged), against=None, say=quietly)


def _packed_again(whole: bytes, damage: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(whole)) as before, tarfile.open(fileobj=target, mode="w:gz") as after:
        for entry in before:
            if damage == "no end" and entry.name == "manifest.json":
                continue
            if damage == "a part is missing" and entry.name == "databases/ingest/members/000001.bson":
                continue
            if damage == "a path of its own" and entry.name.endswith("000001.bson"):
                entry.name = "databases/../../etc/000001.bson"
            after.addfile(entry, before.extractfile(entry))
    return target.getvalue()


async def test_what_only_the_log_holds_comes_back_as_it_was(mongos: tuple[str, str], brokers: tuple[str, str]) -> None:
    foreign, ours = [("ce_source", b"//sis.example"), ("ce_id", b"7")], [("ce_source", b"/maillage/ingest")]
    producer = AIOKafkaProducer(bootstrap_servers=brokers[0])
    await producer.start()

    async def send(topic: str, key: str, value: bytes | None, headers: list[tuple[str, bytes]]) -> str:
        sent = await producer.send_and_wait(
            topic, value, key=key.encode(), headers=headers, timestamp_ms=1_700_000_000_000
        )
        return f"{topic}/{sent.partition}/{sent.offset}"

    async def set_aside(place: str) -> None:
        topic, partition, offset = place.split("/")
        about = {"topic": topic, "partition": partition, "offset": offset, "service": "matcher", "group": "m"}
        about |= {"reason": "because", "first_seen": NOW.isoformat()}
        headers = [(f"dead_letter_{name}", value.encode()) for name, value in about.items()]
        await send(f"{topic}.dlq", place, b"bad", headers)

    await send("needs.v1", "souss/n", b"{1}", foreign)
    await send("needs.v1", "souss/ours", b"{}", ours)
    await send("needs.v1", "souss/n", None, foreign)
    await set_aside(await send("needs.v1", "souss/open", b"bad", foreign))
    dropped = await send("needs.v1", "souss/dropped", b"bad", foreign)
    await set_aside(dropped)
    await send("needs.v1.dlq", dropped, None, settling_headers("dropped", NOW))
    await producer.stop()

    archive = await asyncio.to_thread(backup_of, mongos[0], brokers[0])
    await asyncio.to_thread(restore, settings(mongos[1], brokers[1]), archive, say=quietly)

    consumer = AIOKafkaConsumer("needs.v1", bootstrap_servers=brokers[1], auto_offset_reset="earliest")
    await consumer.start()
    records = [await consumer.getone() for _ in range(3)]
    assert not await consumer.getmany(timeout_ms=500)
    await consumer.stop()
    assert sorted((r.key, r.value or b"", tuple(r.headers)) for r in records) == [
        (b"souss/n", b"", tuple(foreign)),
        (b"souss/n", b"{1}", tuple(foreign)),
        (b"souss/open", b"bad", tuple(foreign)),
    ]
    assert [r.value for r in records if r.key == b"souss/n"] == [b"{1}", None]  # in their order
    assert {r.timestamp for r in records} == {1_700_000_000_000}
