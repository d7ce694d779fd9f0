"""The parts that `maillage up` brings along: each starts, answers, keeps or loses what it should, and stops."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError
from pymongo import AsyncMongoClient

from services.console.embedded import mongod as mongod_module
from services.console.embedded.broker import start_remembered
from services.console.embedded.mail import read_mails
from services.console.embedded.mongod import Mongod, find_mongod
from services.console.embedded.process import ChildProcess, PartError, free_port, ready_json
from services.console.embedded.supervisor import (
    Backoff,
    PartDied,
    PartEvent,
    PartGivenUp,
    PartRestarted,
    Supervisor,
)
from tests.parts import kafka as kafka_module
from tests.parts.kafka import RealKafka, create_topics

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, or needs a signal that only Linux has")
real_kafka = pytest.mark.skipif(kafka_module.available() is not None, reason=str(kafka_module.available()))

QUICK = Backoff(first=0.05, longest=0.1, tries=2)


async def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "not so in time"
        await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether the process runs; a dead one that its new parent has not collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def listeners(port: int) -> list[str]:
    """The IPv4 addresses, as hexadecimal digits, on which something listens on a port."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    local = [words[1].split(":") for words in sockets if words[3] == "0A"]
    return [address for address, number in local if int(number, 16) == port]


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def python(code: str, tmp_path: Path, *, ready_within: float = 10.0, stop_within: float = 10.0) -> ChildProcess:
    return ChildProcess(
        "child",
        [sys.executable, "-c", code],
        log=tmp_path / "child.log",
        ready=ready_json("at"),
        ready_within=ready_within,
        stop_within=stop_within,
    )


READY = 'print(\'{"at": "here"}\', flush=True)\n'
SLEEPS = "import time\n" + READY + "time.sleep(60)\n"


Start = Callable[[ChildProcess], Awaitable[str]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts parts, and stops at the end those that a test left running."""
    children = []

    async def start_one(child: ChildProcess) -> str:
        children.append(child)
        return await child.start()

    yield start_one
    for child in children:
        await child.stop()


def module(name: str, tmp_path: Path, key: str, *options: str) -> ChildProcess:
    argv = [sys.executable, "-m", f"services.console.embedded.{name}", *options]
    return ChildProcess(name, argv, log=tmp_path / f"{name}.log", ready=ready_json(key))


# Child processes


async def test_a_child_tells_its_address_and_stops_when_asked(tmp_path: Path) -> None:
    child = python("print('some log')\n" + SLEEPS, tmp_path)
    assert await child.start() == "here"
    assert child.running
    await child.stop()
    assert await child.wait() == -signal.SIGTERM
    assert "some log" in child.log.read_text()


async def test_the_ready_line_of_an_earlier_run_does_not_count(tmp_path: Path) -> None:
    child = python(SLEEPS, tmp_path)
    await child.start()
    await child.stop()
    child.argv = [sys.executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(PartError, match="status 3") as raised:
        await child.start()
    assert raised.value.status == 3


async def test_a_child_that_is_never_ready_is_ended_at_the_deadline(tmp_path: Path) -> None:
    child = python("import time; time.sleep(60)", tmp_path, ready_within=0.3)
    with pytest.raises(PartError, match="not ready"):
        await child.start()
    assert not child.running


async def test_a_command_that_does_not_exist_is_told(tmp_path: Path) -> None:
    child = ChildProcess("nothing", ["/no/such/command"], log=tmp_path / "log", ready=ready_json("at"))
    with pytest.raises(PartError, match="before it was ready"):
        await child.start()
    assert "cannot run /no/such/command" in child.log.read_text()


@linux
async def test_a_child_that_will_not_stop_is_killed_with_what_it_started(tmp_path: Path) -> None:
    stubborn = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        'print(\'{"at": "%d"}\' % other.pid, flush=True)\n'
        "time.sleep(60)\n"
    )
    child = python(stubborn, tmp_path, stop_within=0.3)
    grandchild = int(await child.start())
    await child.stop()
    assert await child.wait() == -signal.SIGKILL
    await until(lambda: not alive(grandchild))


async def test_a_child_has_a_session_of_its_own(tmp_path: Path) -> None:
    child = python(SLEEPS, tmp_path)
    await child.start()
    assert child.pid is not None
    assert os.getsid(child.pid) == child.pid
    await child.stop()


@linux
async def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from services.console.embedded.mongod import Mongod\n"
        "from services.console.embedded.process import ChildProcess\n"
        "async def main():\n"
        f"    folder = Path({str(tmp_path)!r})\n"
        "    sleeper = ChildProcess('sleeper', [sys.executable, '-c', 'import time; time.sleep(60)'], "
        "log=folder / 'sleeper.log')\n"
        "    mongod = Mongod(folder / 'mongod')\n"
        "    await sleeper.start()\n"
        "    await mongod.start()\n"
        '    print(\'{"at": "%d %d"}\' % (sleeper.pid, mongod.pid), flush=True)\n'
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    child = python(parent, tmp_path)
    pids = [int(pid) for pid in (await child.start()).split()]
    assert all(alive(pid) for pid in pids)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    await until(lambda: not any(alive(pid) for pid in pids))


# Supervision


async def test_a_part_that_dies_is_restarted_and_told(tmp_path: Path) -> None:
    events: list[PartEvent] = []
    child = python(SLEEPS, tmp_path)
    async with Supervisor(events.append, backoff=QUICK) as supervisor:
        await supervisor.start(child)
        first = child.pid
        await child.kill()
        await until(lambda: len(events) == 2)
        assert child.pid != first
        assert child.running
    died, restarted = events
    assert isinstance(died, PartDied)
    assert died.why == "was ended by SIGKILL"
    assert restarted == PartRestarted(part="child", address="here")
    assert not child.running


async def test_a_part_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    events: list[PartEvent] = []
    child = python(READY, tmp_path)
    async with Supervisor(events.append, backoff=QUICK) as supervisor:
        await supervisor.start(child)
        given_up = await asyncio.wait_for(supervisor.given_up(), 10)
    assert given_up == PartGivenUp(part="child", why="ended with status 0")
    assert [type(event) for event in events] == [PartDied, PartRestarted, PartDied, PartRestarted, PartGivenUp]


async def test_a_part_that_cannot_be_restarted_is_tried_again_and_then_given_up(tmp_path: Path) -> None:
    events: list[PartEvent] = []
    child = python(SLEEPS, tmp_path)
    async with Supervisor(events.append, backoff=QUICK) as supervisor:
        await supervisor.start(child)
        child.argv = [sys.executable, "-c", "raise SystemExit(3)"]
        await child.kill()
        await asyncio.wait_for(supervisor.given_up(), 10)
    assert [type(event) for event in events] == [PartDied, PartDied, PartGivenUp]
    for event in events[1:]:  # each follows on the part's name: "child could not start again: ..."
        assert not isinstance(event, PartRestarted)
        assert event.why.startswith("could not start again: ")
        assert "status 3" in event.why


async def test_a_part_not_to_be_restarted_is_given_up_at_once(tmp_path: Path) -> None:
    events: list[PartEvent] = []
    child = python(SLEEPS, tmp_path)
    async with Supervisor(events.append, backoff=QUICK) as supervisor:
        await supervisor.start(child, restart=False)
        await child.kill()
        await asyncio.wait_for(supervisor.given_up(), 10)
    assert events == [PartGivenUp(part="child", why="was ended by SIGKILL")]


async def test_parts_stop_in_reverse_order(tmp_path: Path) -> None:
    stopped: list[str] = []

    class Noted(ChildProcess):
        async def stop(self) -> None:
            stopped.append(self.name)
            await super().stop()

    async with Supervisor(lambda _: None) as supervisor:
        for name in ("first", "second"):
            code = [sys.executable, "-c", SLEEPS]
            await supervisor.start(Noted(name, code, log=tmp_path / name, ready=ready_json("at")))
    assert stopped == ["second", "first"]


def test_restarts_wait_longer_and_longer_up_to_a_limit() -> None:
    backoff = Backoff(first=1.0, longest=10.0)
    assert [backoff.delay(deaths, 0.0) for deaths in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert backoff.delay(5, 0.999) == pytest.approx(5.0, rel=0.01)


# The broker in memory


async def test_the_broker_carries_records_and_forgets_them(tmp_path: Path, start: Start) -> None:
    for _ in range(2):
        broker = module("broker", tmp_path, "bootstrap")
        bootstrap = await start(broker)
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
            sent = await producer.send_and_wait("members.v1", b"value", key=b"key", headers=[("ce_id", b"1")])
        assert sent.offset == 0  # the second time too: it is another log
        partition = TopicPartition("members.v1", sent.partition)
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
            consumer.assign([partition])
            record = await asyncio.wait_for(consumer.getone(), 10)
        assert (record.key, record.value, record.headers) == (b"key", b"value", (("ce_id", b"1"),))
        await broker.stop()
        assert await broker.wait() == 0


async def cluster_id(bootstrap: str) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()


async def test_every_start_of_the_broker_is_another_cluster(tmp_path: Path) -> None:
    seen = set()
    for _ in range(4):
        broker = module("broker", tmp_path, "bootstrap", "--data", str(tmp_path / "broker"))
        if setarch := shutil.which("setarch"):  # without address randomisation ids would repeat
            broker.argv = [setarch, "--addr-no-randomize", *broker.argv]
        seen.add(await cluster_id(await broker.start()))
        await broker.stop()
    assert len(seen) == 4


def test_cluster_ids_are_remembered_across_starts(tmp_path: Path) -> None:
    given = [start_remembered(tmp_path / "broker").cluster_id for _ in range(3)]
    assert (tmp_path / "broker" / "cluster-ids").read_text().split() == given
    assert len(set(given)) == 3


# The database


async def test_the_database_keeps_what_was_journaled_through_a_stop_and_a_crash(tmp_path: Path) -> None:
    mongod = Mongod(tmp_path)
    numbers: list[int] = []
    for end in (mongod.stop, mongod.kill, mongod.stop):
        assert await mongod.start() == mongod.address
        async with AsyncMongoClient[dict[str, int]](mongod.uri, w="majority", journal=True) as client:
            await client.maillage.runs.insert_one({"_id": len(numbers)})
            numbers = [found["_id"] async for found in client.maillage.runs.find().sort("_id")]
        await end()
    assert numbers == [0, 1, 2]
    assert await mongod.wait() == 0


@linux
async def test_the_database_listens_on_loopback_only_and_leaves_no_socket_file(tmp_path: Path) -> None:
    mongod = Mongod(tmp_path)
    await mongod.start()
    port = int(mongod.address.rsplit(":", 1)[1])
    assert listeners(port) == ["0100007F"]
    assert f"mongodb-{port}.sock" not in os.listdir(tempfile.gettempdir())
    await mongod.stop()


async def test_a_new_database_is_small(tmp_path: Path) -> None:
    mongod = Mongod(tmp_path)
    await mongod.start()
    await mongod.stop()
    assert size(tmp_path) < 30e6


async def test_a_second_database_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    first = Mongod(tmp_path)
    await first.start()
    with pytest.raises(PartError, match="in use"):
        await Mongod(tmp_path).start()
    await first.stop()


async def test_a_taken_port_is_told(tmp_path: Path) -> None:
    first = Mongod(tmp_path / "first")
    await first.start()
    with pytest.raises(PartError, match="is taken"):
        await Mongod(tmp_path / "second", port=int(first.address.rsplit(":", 1)[1])).start()
    await first.stop()


def test_a_binary_that_must_not_be_changed_is_copied(tmp_path: Path) -> None:
    original = tmp_path / "mongod"
    original.write_text("#!/bin/sh\necho 6\n")
    copy = mongod_module.runnable_copy(original, tmp_path / "data" / "bin" / "mongod")
    assert os.access(copy, os.X_OK)
    assert copy.read_text() == original.read_text()
    assert os.access(find_mongod(tmp_path), os.X_OK)


# Mail


async def test_mail_is_stored_whole_and_survives_a_restart(tmp_path: Path, start: Start) -> None:
    maildir = tmp_path / "mail"
    assert read_mails(maildir) == []
    port = free_port()
    for subject in ("Une mise en relation à Bengérir", "second"):
        mail = module("mail", tmp_path, "smtp", "--maildir", str(maildir), "--port", str(port))
        assert await start(mail) == f"127.0.0.1:{port}"
        message = EmailMessage()
        message["From"] = "Maillage <maillage@example.org>"
        message["To"] = "amb@example.org"
        message["Subject"] = subject
        message["Message-ID"] = f"<{subject[:3].strip()}@example.org>"
        message.set_content("Bonjour,\nvoilà : pourquoi.\n.\n")
        await aiosmtplib.send(
            message, hostname="127.0.0.1", port=port, recipients=["amb@example.org", "bcc@example.org"]
        )
        await mail.stop()
        assert await mail.wait() == 0
    first, second = read_mails(maildir)
    assert first.subject == "Une mise en relation à Bengérir"
    assert (first.sender, first.to) == ("Maillage <maillage@example.org>", "amb@example.org")
    assert first.recipients == ("amb@example.org", "bcc@example.org")
    assert first.message_id == "<Une@example.org>"
    assert first.text.splitlines() == ["Bonjour,", "voilà : pourquoi.", "."]
    assert second.subject == "second"
    assert list((maildir / "tmp").iterdir()) == []


async def test_mail_that_cannot_be_stored_is_refused_for_now(tmp_path: Path, start: Start) -> None:
    maildir = tmp_path / "mail"
    address = await start(module("mail", tmp_path, "smtp", "--maildir", str(maildir)))
    (maildir / "tmp").rmdir()
    message = EmailMessage()
    message["From"] = message["To"] = "someone@example.org"
    with pytest.raises(aiosmtplib.SMTPDataError) as raised:
        await aiosmtplib.send(message, hostname="127.0.0.1", port=int(address.rsplit(":", 1)[1]))
    assert raised.value.code == 451
    assert read_mails(maildir) == []


# A real Kafka


async def produce(bootstrap: str, topic: str, *values: bytes, within: float = 20.0) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, request_timeout_ms=int(within * 1000)
    ) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=b"key")


async def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """The next records of the topic that the group has not committed."""
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id="readers", auto_offset_reset="earliest", enable_auto_commit=False
    ) as consumer:
        values = [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in range(count)]
        await consumer.commit()
        return values


@pytest.mark.kafka
@real_kafka
async def test_a_real_kafka_keeps_records_offsets_and_identity_through_a_stop_and_a_crash(tmp_path: Path) -> None:
    settings = {"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500"}  # soon back after a crash
    kafka = RealKafka(tmp_path, settings=settings)
    bootstrap = await kafka.start()
    try:
        identity = await cluster_id(bootstrap)
        await create_topics(bootstrap, [("members.v1", 3, {"cleanup.policy": "compact"}), ("feedback.v1", 1, {})])
        await produce(bootstrap, "members.v1", b"1", b"2")
        assert await consume(bootstrap, "members.v1", 1) == [b"1"]
        assert await kafka.restart() == bootstrap
        await produce(bootstrap, "members.v1", b"3")
        await kafka.kill()
        again = RealKafka(tmp_path, settings=settings)  # as another process would, on the same folder
        assert again.bootstrap == bootstrap
        kafka = again
        await kafka.start()
        assert await cluster_id(bootstrap) == identity
        assert await consume(bootstrap, "members.v1", 2) == [b"2", b"3"]
        with pytest.raises(TopicAlreadyExistsError):
            await create_topics(bootstrap, [("feedback.v1", 1, {})])
        with pytest.raises(UnknownTopicOrPartitionError):
            await produce(bootstrap, "misspelt", b"lost", within=1.0)
    finally:
        await kafka.stop()


@pytest.mark.kafka
@real_kafka
async def test_a_real_kafka_that_cannot_start_says_so(tmp_path: Path) -> None:
    with pytest.raises(PartError, match=r"num\.io\.threads"):
        await RealKafka(tmp_path / "settings", settings={"num.io.threads": "none"}).start()
    kafka = RealKafka(tmp_path / "port")
    taken = socket.create_server(("127.0.0.1", int(kafka.bootstrap.split(":")[1])))
    with taken, pytest.raises(PartError, match="before it answered"):
        await kafka.start()
    assert "already in use" in (tmp_path / "port" / "kafka.log").read_text()


@pytest.mark.kafka
@real_kafka
async def test_a_real_kafka_runs_from_the_command_line(tmp_path: Path, start: Start) -> None:
    argv = [sys.executable, "-m", "tests.parts.kafka", "--dir", str(tmp_path / "kafka")]
    command = ChildProcess("kafka", argv, log=tmp_path / "log", ready=ready_json("bootstrap"), ready_within=120)
    bootstrap = await start(command)
    assert await cluster_id(bootstrap)
    await command.stop()
    assert await command.wait() == 0


@pytest.mark.kafka
async def test_jars_are_complete_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, script in {
        "java": "exit 0",
        "mvn": 'for a; do case "$a" in -DoutputDirectory=*) mkdir "${a#*=}"; esac; done; exit 1',
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    with pytest.raises(PartError, match="mvn ended with status 1"):
        await kafka_module.install()
    assert list((tmp_path / "cache" / "maillage").iterdir()) == []
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kafka_module.available() == "no real Kafka: there is no `java` on the PATH (17 or newer)"
