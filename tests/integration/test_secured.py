"""An Apache Kafka that asks who is there and lets each do the least, and a MongoDB behind TLS and a login."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError
from aiosmtpd.smtp import SMTP
from pydantic import SecretStr
from typer.testing import CliRunner

from schemas.submissions import sign
from schemas.topics import (
    AMBASSADORS,
    CONTACTS,
    FEEDBACK,
    MEMBERS,
    NEEDS,
    SUBMISSION_RESULTS,
    SUBMISSIONS,
    SUGGESTIONS,
    Topic,
)
from services.console.embedded.mail import Mailbox, read_mails
from services.console.embedded.process import ChildProcess, free_port
from services.console.main import cli
from services.ingest.settings import IngestSettings
from services.runtime.clock import utc_now
from services.runtime.errors import BrokerUnavailableError
from services.runtime.microservice import REFUSED_STATUS, Microservice
from tests.parts import kafka as real
from tests.parts.secured import ADMIN, PASSWORD, Authority, Secured, SecuredMongod

pytestmark = pytest.mark.kafka

SECONDS = 60.0
SERVICES = ("ingest", "matcher", "notifier")
MEMBER = "souss-sis"
SUBMITTER = "ferme-sis"
OPERATOR_KEY = "operator-key-of-the-tests"

ASSET = {"asset_id": "a", "title": "Capteurs d’humidité du sol", "text": "Sonde autonome et passerelle LoRa en verger."}
CITY = {"name": "Cité", "kind": "innovation_city", "admission": "admitted", "city": "cite"}
LAB = {"name": "Labo", "kind": "laboratory", "admission": "admitted", "city": "cite", "assets": [ASSET]}
FIRM = {"name": "Ferme", "kind": "company", "admission": "admitted"}
PERSON = {"name": "Amina", "city": "cite", "email": "amina@example.org"}
NEED = {"member_id": "ferme", "title": "Sondes d’humidité du sol", "text": "Des sondes reliées en LoRa."}


@dataclass(frozen=True)
class World:
    """Broker and database, and who may do what there."""

    folder: Path
    authority: Authority
    other: Authority
    secured: Secured
    kafka: real.RealKafka
    mongod: SecuredMongod

    def environment(self, user: str, *, login: str | None = None, **changed: str) -> dict[str, str]:
        """The settings of whoever is `user` at the broker, and `login` at the database; some of them changed."""
        settings = {
            "KAFKA": self.kafka.bootstrap,
            "KAFKA_SECURITY": "sasl_tls",
            "KAFKA_CA": str(self.authority.file),
            "KAFKA_USER": user,
            "KAFKA_PASSWORD": PASSWORD,
            "MONGO": self.mongod.url(login or user),
            "MONGO_CA": str(self.authority.file),
            "HOST": "127.0.0.1",
            "PORT": "0",
            "LOG_FORMAT": "json",
            "OPERATOR_KEY": OPERATOR_KEY,
            "SECRET": "inbox-secret-of-the-tests-0123456789",
            "PUBLIC_URL": "http://maillage.test",
            "MAIL_FROM": "maillage@example.org",
            "QUIET_HOURS": "00:00-00:00",
            "LETTERS_PER_DAY": "1000",
        }
        return {f"MAILLAGE_{name}": value for name, value in (settings | changed).items()}

    async def maillage(self, *arguments: str, user: str = ADMIN) -> str:
        """What the command says as `user`; fails unless it ends well."""
        status, said = await self.command(*arguments, user=user)
        assert status == 0, said
        return said

    async def command(self, *arguments: str, user: str) -> tuple[int, str]:
        """How the command ends as `user`, and all that it says."""
        ended = await asyncio.to_thread(CliRunner().invoke, cli, arguments, env=self.environment(user))
        return ended.exit_code, ended.output


async def run(module: str, *arguments: str, env: Mapping[str, str]) -> tuple[int, str]:
    """How a program ended, and all that it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        env={**os.environ, **env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        process.send_signal(signal.SIGTERM)
        said, _ = await process.communicate()
        pytest.fail(f"{module} did not end: {said.decode()}")
    return process.returncode or 0, said.decode()


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    if missing := real.available():
        if os.environ.get("MAILLAGE_TEST_ALL"):
            pytest.fail(missing)
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder / "certificates")
    users = [*(f"maillage-{role}" for role in (*SERVICES, "operator")), MEMBER, SUBMITTER, "nobody"]
    secured = Secured(authority, dict.fromkeys(users, PASSWORD))
    kafka = real.RealKafka(folder / "kafka", secured=secured)
    mongod = SecuredMongod(folder / "mongod", authority)
    async with contextlib.AsyncExitStack() as stack:
        await kafka.start()
        stack.push_async_callback(kafka.stop)
        await mongod.start({f"maillage-{service}": f"maillage_{service}" for service in SERVICES})
        stack.push_async_callback(mongod.stop)
        world = World(folder, authority, Authority(folder / "other"), secured, kafka, mongod)
        await world.maillage("acl", "grant", "--member", MEMBER, "--submitter", SUBMITTER)
        await world.maillage("topics", world.kafka.bootstrap, "--partitions", "3", user="maillage-operator")
        yield world


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def started(line: str) -> str | None:
    return line if '"event": "started"' in line else None


async def test_with_the_least_rights_a_need_reaches_its_ambassador(world: World, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(lambda: SMTP(Mailbox(tmp_path), hostname="localhost", loop=loop), "127.0.0.1", 0)
    port, mail = free_port(), smtp.sockets[0].getsockname()[1]
    changed = {"ingest": {"PORT": str(port)}, "notifier": {"SMTP": f"127.0.0.1:{mail}"}}
    children = [
        ChildProcess(
            service,
            [sys.executable, "-m", f"services.{service}"],
            log=tmp_path / f"{service}.log",
            env=world.environment(f"maillage-{service}", **changed.get(service, {})),
            ready=started,
            ready_within=SECONDS,
        )
        for service in SERVICES
    ]
    member = AIOKafkaProducer(**world.secured.connection(world.kafka.bootstrap, MEMBER).client())
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(smtp.close)
        for child in children:
            stack.push_async_callback(child.stop)
        await asyncio.gather(*(child.start() for child in children))
        api = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                headers=bearer(OPERATOR_KEY),
                timeout=30,
            )
        )
        entities: dict[str, dict[str, Any]] = {
            "members/cite": CITY,
            "members/labo": LAB,
            "members/ferme": FIRM,
            "ambassadors/amina": PERSON,
            "needs/n1": NEED,
        }
        for path, body in entities.items():
            answer = await api.put(f"/v1/clusters/c/{path}", json=body)
            assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        # An organisation's own producer is heard by the key that signs.
        key = (await api.post("/v1/keys", json={"cluster": "c", "member_id": "ferme"})).json()["key"]
        body = json.dumps({"need_id": "n2", **NEED, "status": "withdrawn"}).encode()
        signed = sign(key, body, submission_id="one", at=utc_now())
        submitter = AIOKafkaProducer(**world.secured.connection(world.kafka.bootstrap, SUBMITTER).client())
        await submitter.start()
        stack.push_async_callback(submitter.stop)
        headers = [(name, value.encode()) for name, value in signed.items()]
        await submitter.send_and_wait(SUBMISSIONS.name, body, headers=headers)
        async with asyncio.timeout(SECONDS):
            while (answer := await api.get("/v1/submissions/one", headers=bearer(key))).status_code == 404:
                await asyncio.sleep(0.1)
        assert answer.json()["status"] == httpx.codes.ACCEPTED, answer.text
        # A member's own client writes what nobody can read: the matcher may set it aside.
        await member.start()
        stack.push_async_callback(member.stop)
        await member.send_and_wait(MEMBERS.name, b"no event", key=b"c/poison")
        async with asyncio.timeout(SECONDS):
            while not read_mails(tmp_path):
                await asyncio.sleep(0.1)
            while "ce_specversion is missing" not in await world.maillage("dlq", "list", user="maillage-operator"):
                await asyncio.sleep(0.1)
    (told,) = read_mails(tmp_path)
    assert told.recipients == ("amina@example.org",)
    for child in children:
        said = child.log.read_text()
        assert PASSWORD not in said
        assert key not in said
        assert "Traceback" not in said, said


@pytest.mark.parametrize(
    ("service", "changed", "clear"),
    [
        (
            "matcher",
            {"KAFKA_USER": "maillage-notifier"},
            "user maillage-notifier may not read feedback.v1, write feedback.v1.dlq, read members.v1, "
            "write members.v1.dlq, read needs.v1, write needs.v1.dlq, write suggestions.v1, "
            "read group maillage-matcher. Grant it by `maillage acl grant`, or correct MAILLAGE_KAFKA_USER",
        ),
        ("ingest", {"KAFKA_USER": "maillage-matcher"}, "user maillage-matcher may not write ambassadors.v1, write con"),
        ("notifier", {"KAFKA_PASSWORD": "wrong"}, "user maillage-notifier is not known, or not by this password."),
        ("notifier", {"KAFKA_MECHANISM": "PLAIN"}, "no login by PLAIN on this port."),
        ("ingest", {"KAFKA_CA": "OTHER"}, "we do not trust its certificate (unable to get local issuer certificate)"),
        ("ingest", {"MONGO": "WRONG"}, "MongoDB: the login is not known, or not by this password. Correct MAILLAGE_"),
        ("ingest", {"MONGO_CA": "OTHER"}, "MongoDB: we do not trust the server's certificate."),
        ("matcher", {"DATABASE": "maillage_ingest"}, "MongoDB: the login lacks readWrite on maillage_ingest."),
    ],
)
async def test_who_is_turned_down_ends_with_one_clear_line(
    world: World, service: str, changed: dict[str, str], clear: str
) -> None:
    values = {"OTHER": str(world.other.file), "WRONG": world.mongod.url(f"maillage-{service}", "wrong")}
    changes = {name: values.get(value, value) for name, value in changed.items()}
    status, said = await run(f"services.{service}", env=world.environment(f"maillage-{service}", **changes))
    assert status == REFUSED_STATUS, said
    assert "Traceback" not in said
    assert PASSWORD not in said
    worse = [line for line in map(json.loads, said.splitlines()) if line["level"] != "info"]
    assert [line["event"] for line in worse] == ["ending"], said
    assert clear in worse[0]["reason"]


@pytest.mark.parametrize(
    ("user", "its"), [(MEMBER, (MEMBERS, NEEDS)), (SUBMITTER, (SUBMISSIONS,))], ids=["trusted", "submitter"]
)
async def test_a_client_of_a_members_own_may_write_its_topics_and_nothing_else(
    world: World, user: str, its: tuple[Topic, ...]
) -> None:
    client = world.secured.connection(world.kafka.bootstrap, user).client()
    others = {MEMBERS, NEEDS, AMBASSADORS, CONTACTS, SUGGESTIONS, FEEDBACK, SUBMISSIONS, SUBMISSION_RESULTS} - {*its}
    async with AIOKafkaProducer(**client, enable_idempotence=True) as producer:
        for topic in its:
            await producer.send_and_wait(topic.name, b"{}", key=b"c/m")
        for topic in others:
            with pytest.raises(TopicAuthorizationFailedError):
                await producer.send_and_wait(topic.name, b"{}", key=b"c/m")
    async with AIOKafkaConsumer(**client, auto_offset_reset="earliest") as consumer:
        consumer.subscribe([its[0].name])
        with pytest.raises(TopicAuthorizationFailedError):
            await consumer.getone()


async def test_rights_that_are_taken_from_a_running_service_end_it(world: World) -> None:
    user = "maillage-ingest"
    frame = Microservice(
        "ingest",
        IngestSettings(
            kafka=world.kafka.bootstrap,
            kafka_security="sasl_tls",
            kafka_ca=world.authority.file,
            kafka_user=user,
            kafka_password=SecretStr(PASSWORD),
            mongo=SecretStr(world.mongod.url(user)),
            mongo_ca=world.authority.file,
        ),
    )
    await frame.start()
    try:
        await frame.check_log()
        assert frame._status == 0
        await world.maillage("acl", "revoke", user)
        async with asyncio.timeout(SECONDS):
            while frame._status == 0:
                await frame.check_log()
        assert frame._status == REFUSED_STATUS

        # Sooner, if it has something to say.
        frame._status = 0
        with pytest.raises(BrokerUnavailableError, match=f"does not let us write {NEEDS.name}"):
            await frame.publisher.send(NEEDS.name, b"c/n", b"{}", {})
        await frame._watch()
        assert frame._status == REFUSED_STATUS
    finally:
        await frame.stop()
        await world.maillage("acl", "grant")


async def test_rights_are_granted_once_seen_and_taken(world: World) -> None:
    user = f"lab-{uuid.uuid4().hex}"
    first = await world.maillage("acl", "grant", "--member", user)
    again = await world.maillage("acl", "grant", "--member", user)
    assert f"{user}: 2 granted, 0 were there" in first
    assert f"{user}: 0 granted, 2 were there" in again
    assert "maillage-matcher: 0 granted, 8 were there" in again

    # The same user as a service: what it needs as a member is not among what that needs.
    more = await world.maillage("acl", "grant", "--user", f"notifier={user}")
    assert f"{user}: 9 granted, 0 were there\n  has more than it needs: write topic members.v1" in more
    exact = await world.maillage("acl", "grant", "--user", f"notifier={user}", "--exact")
    assert "  taken: write topic members.v1\n  taken: write topic needs.v1\n" in exact
    _, _, its = (await world.maillage("acl", "list")).partition(f"User:{user}\n")
    assert [line.strip() for line in its.partition("User:")[0].splitlines()] == [
        "read topic ambassadors.v1",
        "write topic ambassadors.v1.dlq",
        "read topic contacts.v1",
        "write topic contacts.v1.dlq",
        "write topic feedback.v1",
        "write topic notifications.v1",
        "read topic suggestions.v1",
        "write topic suggestions.v1.dlq",
        "read group maillage-notifier",
    ]

    assert f"User:{user}: 9 taken" in await world.maillage("acl", "revoke", user)
    assert user not in await world.maillage("acl", "list")


@pytest.mark.parametrize(
    ("arguments", "clear"),
    [
        (["acl", "list"], "user nobody may not see or change rights."),
        (["topics", "BROKER"], "user nobody may not create "),
        (
            ["dlq", "list", "--topic", "members.v1"],
            "user nobody may not read ambassadors.v1.dlq, read cont",
        ),
    ],
)
async def test_the_command_says_in_one_line_that_it_may_not(world: World, arguments: list[str], clear: str) -> None:
    named = [world.kafka.bootstrap if word == "BROKER" else word for word in arguments]
    status, said = await world.command(*named, user="nobody")
    assert (status, clear in said, len(said.strip().splitlines())) == (1, True, 1), said
