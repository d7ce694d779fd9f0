"""`maillage doctor` on deployments that are broken in one way each: it names it, and says what to do."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from pydantic import SecretStr
from pymongo import AsyncMongoClient

from services.console.doctor.findings import Finding, State
from services.console.embedded.mongod import Mongod
from services.console.embedded.process import free_port
from services.runtime.broker import create_topics
from services.runtime.connection import Connection
from services.runtime.microservice import Microservice
from services.runtime.settings import RuntimeSettings
from tests.parts import kafka as real
from tests.parts.secured import PASSWORD, Authority, SecuredMongod

OURS = ("maillage_ingest", "maillage_matcher", "maillage_notifier")


async def doctor(*arguments: str, **environment: str) -> tuple[int, list[Finding]]:
    """Status and findings of the command in a process of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAILLAGE_")} | environment
    argv = [sys.executable, "-m", "services.console.main", "doctor", "--json", *arguments]
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=env
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode in (0, 1), err.decode()
    said: dict[str, Any] = json.loads(out)
    found = [Finding(**{**one, "state": State(one["state"])}) for one in said["findings"]]
    assert said["problem"] == sum(one.state is State.PROBLEM for one in found)
    return process.returncode, found


def problems(found: list[Finding]) -> list[Finding]:
    named = [one for one in found if one.state is State.PROBLEM]
    assert all(one.do for one in named)
    return named


@pytest.fixture(scope="module")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[real.RealKafka]:
    """A broker of our own, with everything as it should be; whoever breaks it mends it."""
    if missing := real.available():
        if os.environ.get("MAILLAGE_TEST_ALL"):
            pytest.fail(missing)
        pytest.skip(missing)
    node = real.RealKafka(Path(tmp_path_factory.mktemp("kafka")))
    await node.start()
    await create_topics(Connection(node.bootstrap), partitions=3)
    yield node
    await node.stop()


@pytest.fixture
async def databases(mongo_url: str) -> str:
    """A MongoDB in which each service has stored something."""
    async with AsyncMongoClient[dict[str, Any]](mongo_url) as client:
        for name in OURS:
            await client[name]["runtime"].update_one({"_id": "x"}, {"$set": {}}, upsert=True)
    return mongo_url


@asynccontextmanager
async def administrator(node: real.RealKafka) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=node.bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@pytest.mark.kafka
async def test_a_deployment_that_is_well_has_no_problem(kafka: real.RealKafka, databases: str) -> None:
    frame = Microservice("well", RuntimeSettings(kafka=kafka.bootstrap, mongo=SecretStr(databases), port=free_port()))
    serving = asyncio.create_task(serve(frame))
    address = f"http://127.0.0.1:{frame.settings.port}"
    try:
        status, found = await doctor("--kafka", kafka.bootstrap, "--mongo", databases, "--service", f"well={address}")
    finally:
        frame._server.should_exit = True  # type: ignore[union-attr]
        await serving
    assert (status, problems(found)) == (0, [])
    looked_at = {"settings", "addresses", "permissions", "topics", "lag", "disk", "dead letters", "clock", "services"}
    assert {one.area for one in found} == looked_at


async def serve(frame: Microservice) -> None:
    with pytest.raises(SystemExit):
        await asyncio.to_thread(frame.run)


@pytest.mark.kafka
async def test_a_wrong_password_is_named(kafka: real.RealKafka, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    mongod = SecuredMongod(tmp_path / "mongod", authority)
    await mongod.start({"maillage_matcher": "maillage_matcher", "poor": "other"})
    asked = ("--kafka", kafka.bootstrap, "--as", "matcher")
    trust = {"MAILLAGE_MONGO_CA": str(authority.file)}
    try:
        _, right = await doctor(*asked, **trust, MAILLAGE_MONGO=mongod.url("maillage_matcher"))
        status, wrong = await doctor(*asked, **trust, MAILLAGE_MONGO=mongod.url("maillage_matcher", "wrong"))
        _, poor = await doctor(*asked, **trust, MAILLAGE_MONGO=mongod.url("poor"))
        _, stranger = await doctor(*asked, MAILLAGE_MONGO=mongod.url("maillage_matcher"))
    finally:
        await mongod.stop()
    assert problems(right) == []
    [named] = problems(wrong)
    assert (status, named.area, named.subject) == (1, "permissions", "MongoDB")
    assert "password" in named.says
    assert "MAILLAGE_MONGO" in named.do
    assert PASSWORD not in str(wrong)
    [lacking] = problems(poor)
    assert (lacking.area, lacking.subject) == ("permissions", "MongoDB: maillage_matcher")
    assert "insert" in lacking.says
    [distrusted] = problems(stranger)
    assert "certificate" in distrusted.says


@pytest.mark.kafka
async def test_missing_and_narrow_topics_are_named(kafka: real.RealKafka, databases: str, tmp_path: Path) -> None:
    node = real.RealKafka(tmp_path / "kafka")
    await node.start()
    try:
        _, none = await doctor("--kafka", node.bootstrap, "--mongo", databases)
        await create_topics(Connection(node.bootstrap), partitions=3)
        async with administrator(node) as admin:
            await admin.delete_topics(["feedback.v1"])
            await admin.create_partitions({"needs.v1": NewPartitions(4)})
        status, found = await doctor("--kafka", node.bootstrap, "--mongo", databases)
        _, wider = await doctor("--kafka", node.bootstrap, "--mongo", databases, "--partitions", "4")
    finally:
        await node.stop()
    [all_missing] = problems(none)
    assert "members.v1, needs.v1" in all_missing.subject
    missing, narrow = problems(found)
    assert (status, missing.area, missing.subject, missing.says) == (1, "topics", "feedback.v1", "missing")
    assert "maillage topics" in missing.do
    assert (narrow.subject, narrow.says) == ("needs.v1", "has 4 partitions, where 3 are expected")
    assert "needs.v1" not in {one.subject for one in problems(wider)}
    assert "--partitions 4" in next(one.do for one in problems(wider) if one.subject == "members.v1")


@contextmanager
def small_file_system(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own in memory."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        if os.environ.get("MAILLAGE_TEST_ALL"):
            pytest.fail(f"no file system can be mounted: {mounted.stderr}")
        pytest.skip(f"no file system can be mounted: {mounted.stderr}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.kafka
async def test_full_disks_are_named(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "small", 700) as folder:
        node, mongod = real.RealKafka(folder / "kafka"), Mongod(folder / "mongo")
        await asyncio.gather(node.start(), mongod.start())
        try:
            await create_topics(Connection(node.bootstrap), partitions=1)
            async with AsyncMongoClient[dict[str, Any]](mongod.uri) as client:
                await client["maillage_matcher"]["runtime"].insert_one({})
            (folder / "filler").write_bytes(b"\0" * (350 << 20))
            status, found = await doctor("--kafka", node.bootstrap, "--mongo", mongod.uri)
        finally:
            await asyncio.gather(node.stop(), mongod.stop())
    assert status == 1
    assert {one.area for one in problems(found)} == {"disk"}
    broker, database = problems(found)
    assert broker.subject.startswith("broker 1, ")
    assert database.subject == "MongoDB"
    assert "of 700 MiB are free" in database.says


@asynccontextmanager
async def by_tls(certificate: Path) -> AsyncIterator[str]:
    """A server that shakes hands with this certificate; its host and port."""
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.kafka
async def test_an_expired_certificate_is_named(kafka: real.RealKafka, databases: str, tmp_path: Path) -> None:
    authority, now = Authority(tmp_path), datetime.now(UTC)
    asked = ("--kafka", kafka.bootstrap, "--mongo", databases, "--ca", str(authority.file))

    async def judged(name: str, until: datetime, url: str = "https://maillage.example.org") -> Finding:
        async with by_tls(authority.certificate(name, "maillage.example.org", until=until)) as address:
            _, found = await doctor(*asked, "--public-url", url, "--via", address)
        [one] = [one for one in found if "public address" in one.subject]
        return one

    expired = await judged("expired", now - timedelta(days=2))
    assert (expired.state, expired.area) == (State.PROBLEM, "certificates")
    assert "expired" in expired.says
    assert "maillage.example.org" in expired.subject
    assert "Renew" in expired.do
    assert (await judged("today", now + timedelta(days=2))).state is State.PROBLEM
    assert (await judged("soon", now + timedelta(days=10))).state is State.WARNING
    assert (await judged("well", now + timedelta(days=60))).state is State.OK
    other = await judged("other", now + timedelta(days=60), "https://inbox.example.org")
    assert (other.state, "Hostname mismatch" in other.says) == (State.PROBLEM, True)


@pytest.mark.kafka
async def test_lag_that_nobody_reads_and_dead_letters_are_named(kafka: real.RealKafka, databases: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    await producer.send_and_wait("needs.v1", b"{}", key=b"c/n")
    headers = {
        "dead_letter_service": "matcher",
        "dead_letter_group": "maillage-matcher",
        "dead_letter_reason": "because",
        "dead_letter_topic": "needs.v1",
        "dead_letter_partition": "0",
        "dead_letter_offset": "0",
        "dead_letter_first_seen": "2026-01-01T00:00:00+00:00",
    }
    await producer.send_and_wait(
        "needs.v1.dlq", b"x", key=b"needs.v1/0/0", headers=[(name, value.encode()) for name, value in headers.items()]
    )
    await producer.stop()
    _, found = await doctor("--kafka", kafka.bootstrap, "--mongo", databases)
    [lag] = [one for one in problems(found) if one.area == "lag"]
    assert (lag.subject, lag.says) == ("maillage-matcher", "nobody reads, and 1 records wait (needs.v1 1)")
    [letters] = [one for one in found if one.area == "dead letters"]
    assert (letters.state, letters.subject, letters.says) == (State.WARNING, "needs.v1", "1 open")
    assert "maillage dlq list --topic needs.v1" in letters.do


async def test_who_does_not_answer_is_named_and_nobody_else_suffers(mongo_url: str, tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    status, found = await doctor(
        *("--kafka", nowhere, "--mongo", f"mongodb://{nowhere}"),
        *("--service", f"ingest=http://{nowhere}", "--public-url", f"https://{nowhere}"),
        MAILLAGE_SECRET="short",
        MAILLAGE_INBOX_SECRET="x",
    )
    assert status == 1
    assert {(one.area, one.subject.split(",")[0]) for one in problems(found)} == {
        ("addresses", "Kafka"),
        ("addresses", "MongoDB"),
        ("addresses", "public address"),
        ("services", "ingest"),
        ("settings", "MAILLAGE_SECRET"),
        ("settings", "MAILLAGE_PUBLIC_URL"),
        ("settings", "MAILLAGE_MAIL_FROM"),
        ("secrets", "MAILLAGE_SECRET"),
    }
    assert all(nowhere in one.subject + one.says for one in problems(found) if one.area in ("addresses", "services"))
    assert [one.subject for one in found if one.state is State.WARNING] == ["MAILLAGE_INBOX_SECRET"]
