"""The real processes that a run is made of: Kafka, mongod, mail server and the three services, with proxies between."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from services.console.embedded.mongod import Mongod
from services.console.embedded.process import LOOPBACK, ChildProcess, PartError, ReadyLine, free_port, ready_json
from services.runtime.broker import PARTITIONS, create_topics
from services.runtime.connection import Connection
from services.runtime.settings import PREFIX
from tests.faults.proxy import Proxy
from tests.faults.receiver import Receivers, receivers
from tests.parts.kafka import RealKafka, RealKafkaCluster
from tests.parts.mongo import ReplicaSet

SERVICES = ("ingest", "matcher", "notifier")
OPERATOR_KEY = "mk_operator_of_the_fault_runs"
INBOX_SECRET = "inbox-secret-of-the-fault-runs-0123456789"

# A service that is started while what it needs is away waits for it; no fault lasts as long.
READY_WITHIN = 300.0

PAUSE_BEFORE_RESTART = 0.05  # seconds; a supervisor's back-off would only make a run of many faults longer


class Part(Protocol):
    """What is kept running."""

    name: str

    @property
    def pid(self) -> int | None: ...
    async def start(self) -> str: ...
    async def wait(self) -> int: ...
    async def stop(self) -> None: ...
    async def kill(self) -> None: ...


class Kept:
    """A process that is started again whenever it ends, as a supervisor does.

    Attributes:
        endings: the status of each end (negative: the signal).
        ready: set while it runs and has said so.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self.endings: list[int] = []
        self.ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it and keep it from then on."""
        await self.part.start()
        self.ready.set()
        self._task = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            self.endings.append(await self.part.wait())
            self.ready.clear()
            while not self.ready.is_set():
                await asyncio.sleep(PAUSE_BEFORE_RESTART)
                with contextlib.suppress(PartError):
                    await self.part.start()
                    self.ready.set()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal. It must run."""
        if self.part.pid is None:
            raise PartError(f"{self.part.name} does not run")
        os.kill(self.part.pid, number)

    async def kill(self) -> None:
        """Kill it, and return once that is noticed: it is about to be started again."""
        await self._end_by(signal.SIGKILL)

    async def terminate(self) -> None:
        """Ask it to end, and return once it has."""
        await self._end_by(signal.SIGTERM)

    async def _end_by(self, number: signal.Signals) -> None:
        before = len(self.endings)
        self.send(number)
        while len(self.endings) == before:
            await asyncio.sleep(0.01)

    async def leave(self, *, in_order: bool = True) -> None:
        """End it for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.ready.clear()
        await (self.part.stop() if in_order else self.part.kill())


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a stack is made of.

    Attributes:
        brokers: one Kafka node, or three.
        mongods: one mongod, or a replica set of three.
        replicas: of each service, at the start.
        proxied: put a proxy between each pair.
        disks: size in MB of a file system of its own, for `kafka`, `mongod` or both.
        clocks: run the services under libfaketime.
        hooks: ambassadors who have a webhook.
        settings: further settings of all services, without their prefix.
    """

    brokers: int = 1
    mongods: int = 1
    replicas: int = 1
    proxied: bool = False
    disks: Mapping[str, int] = field(default_factory=dict)
    clocks: bool = False
    hooks: tuple[str, ...] = ("a", "b")
    settings: Mapping[str, str] = field(default_factory=dict)


class Stack:
    """A running system, and the handles by which faults take hold of it.

    Attributes:
        services: the replicas that run, by name: `ingest`, `ingest-2`, ...
        addresses: where each replica listens.
        proxies: between two parts, by their names: `("matcher", "kafka")`.
    """

    def __init__(self, shape: Shape, folder: Path, found: Receivers) -> None:
        self.shape = shape
        self.folder = folder
        self.receivers = found
        self.services: dict[str, Kept] = {}
        self.addresses: dict[str, str] = {}
        self.proxies: dict[tuple[str, str], Proxy] = {}
        self.kafka: RealKafka | RealKafkaCluster
        self.mongo: Mongod | ReplicaSet
        self.kafka_kept: Kept | None = None
        self.mongo_kept: Kept | None = None
        self.mail: Kept
        self._sleep: Path
        self.smtp = f"{LOOPBACK}:{free_port()}"

    @property
    def bootstrap(self) -> str:
        """Address of the Kafka itself, for whoever looks on."""
        return self.kafka.bootstrap

    @property
    def maildir(self) -> Path:
        """Where mails to ambassadors end up."""
        return self.folder / "mail"

    def hooks(self) -> dict[str, str]:
        """The address that each ambassador with a webhook gives."""
        proxy = self.proxies.get(("notifier", "receivers"))
        url = f"http://{proxy.address}" if proxy else self.receivers.url
        return {name: f"{url}/{name}" for name in self.shape.hooks}

    def api(self) -> list[str]:
        """Addresses of the running replicas of ingest, as clients see them."""
        if ("client", "ingest") in self.proxies:
            return [f"http://{self.proxies['client', 'ingest'].address}"]
        return [self.addresses[name] for name in self.services if name.startswith("ingest")]

    def clock(self, service: str) -> Path:
        """The file that says how a service's clock goes."""
        return self.folder / f"clock-{service}"

    async def join(self, service: str, number: int = 1) -> Kept:
        """Start one more replica of a service."""
        name = service if number == 1 else f"{service}-{number}"
        port = free_port()
        self.addresses[name] = f"http://{LOOPBACK}:{port}"
        kept = Kept(self._service(service, name, port))
        await kept.start()
        self.services[name] = kept
        return kept

    async def leave(self, name: str, *, in_order: bool = True) -> None:
        """End a replica for good."""
        await self.services.pop(name).leave(in_order=in_order)

    def _service(self, service: str, name: str, port: int) -> ChildProcess:
        kafka, mongo = self.proxies.get((service, "kafka")), self.proxies.get((service, "mongod"))
        smtp = self.proxies.get(("notifier", "mail"))
        settings = {
            "KAFKA": kafka.address if kafka else self.bootstrap,
            # Directly: the set would tell its own address, and the client would go there, past the proxy.
            "MONGO": f"mongodb://{mongo.address}/?directConnection=true" if mongo else self.mongo.uri,
            "DATABASE": f"maillage_{service}",
            "INSTANCE": name,
            "HOST": LOOPBACK,
            "PORT": str(port),
            "OPERATOR_KEY": OPERATOR_KEY,
            "SECRET": INBOX_SECRET,
            "PUBLIC_URL": self.addresses.get("notifier", f"http://{LOOPBACK}:1"),
            "SMTP": smtp.address if smtp else self.smtp,
            "MAIL_FROM": "maillage@example.org",
            "QUIET_HOURS": "00:00-00:00",
            "LETTERS_PER_DAY": "1000",
            "ALLOW_PRIVATE_WEBHOOKS": "true",  # our receivers are on this machine
            "SNAPSHOT": str(self.folder / f"snapshot-{name}"),
            "SUGGESTIONS_PER_REQUEST": "2",
            "TELLINGS_PER_WEEK": "0",  # a week's worth comes in minutes, and each is looked for
            "LOG_FORMAT": "json",
            **self.shape.settings,
        }
        env = {PREFIX + key: value for key, value in settings.items()}
        if self.shape.clocks:
            env |= _fake_clock(self.clock(service), self._sleep)
        return module(name, [f"services.{service}"], self.folder, ready=started, env=env)

    async def _open(self, stack: AsyncExitStack) -> None:
        for service in SERVICES if self.shape.proxied else ():
            for part in ("kafka", "mongod"):
                self.proxies[service, part] = await stack.enter_async_context(Proxy(frames=part == "kafka"))
        await self._open_kafka(stack)
        await self._open_mongo(stack)
        mail_port = self.smtp.rpartition(":")[2]
        mail = ["services.console.embedded.mail", "--maildir", str(self.maildir), "--port", mail_port]
        self.mail = Kept(module("mail", mail, self.folder, ready=ready_json("smtp")))
        stack.push_async_callback(self.mail.leave, in_order=False)
        await self.mail.start()
        if self.shape.proxied:
            self.proxies["notifier", "mail"] = await stack.enter_async_context(Proxy(self.smtp))
            there = self.receivers.url.removeprefix("http://")
            self.proxies["notifier", "receivers"] = await stack.enter_async_context(Proxy(there))
        if self.shape.clocks:
            self._sleep = await _build_sleep(self.folder)
        await create_topics(Connection(self.bootstrap), partitions=PARTITIONS)
        stack.push_async_callback(self._end_services)
        numbers = range(1, self.shape.replicas + 1)
        await asyncio.gather(*(self.join(service, number) for service in SERVICES for number in numbers))
        if self.shape.proxied:
            proxy = Proxy(self.addresses["ingest"].removeprefix("http://"))
            self.proxies["client", "ingest"] = await stack.enter_async_context(proxy)

    async def _end_services(self) -> None:
        await asyncio.gather(*(kept.leave() for kept in self.services.values()))

    async def _open_kafka(self, stack: AsyncExitStack) -> None:
        folder = await self._disk("kafka", stack)
        if self.shape.brokers > 1:
            self.kafka = RealKafkaCluster(folder)
            stack.push_async_callback(self.kafka.stop)
            await self.kafka.start()
            return
        doors = {service.upper(): p.address for (service, part), p in self.proxies.items() if part == "kafka"}
        self.kafka = RealKafka(folder, doors=doors)
        for service in doors:
            self.proxies[service.lower(), "kafka"].target = self.kafka.listening[service]
        self.kafka_kept = Kept(self.kafka)
        stack.push_async_callback(self.kafka_kept.leave, in_order=False)
        await self.kafka_kept.start()

    async def _open_mongo(self, stack: AsyncExitStack) -> None:
        folder = await self._disk("mongod", stack)
        if self.shape.mongods > 1:
            self.mongo = ReplicaSet(folder)
            stack.push_async_callback(self.mongo.stop)
            await self.mongo.start()
            return
        self.mongo = Mongod(folder)
        for (_, part), proxy in self.proxies.items():
            if part == "mongod":
                proxy.target = self.mongo.address
        self.mongo_kept = Kept(self.mongo)
        stack.push_async_callback(self.mongo_kept.leave, in_order=False)
        await self.mongo_kept.start()

    async def _disk(self, part: str, stack: AsyncExitStack) -> Path:
        """The folder of a part; on a small file system of its own if its shape says so."""
        folder = self.folder / part
        folder.mkdir()
        if size := self.shape.disks.get(part):
            await run("mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(folder))
            stack.push_async_callback(run, "umount", "--lazy", str(folder))
        return folder


@asynccontextmanager
async def running(shape: Shape, folder: Path) -> AsyncIterator[Stack]:
    """Start a system in a folder, yield it once its services have started, end every process of it.

    Raises:
        PartError: something could not start, or this machine lacks what the shape asks for.
    """
    async with receivers() as found, AsyncExitStack() as stack:
        system = Stack(shape, folder, found)
        await system._open(stack)
        yield system


async def run(*command: str) -> None:
    """Run a program to its end. Raises PartError when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise PartError(f"{' '.join(command)}: {output.decode(errors='replace').strip()}")


FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")

SLEEP = Path(__file__).with_name("sleep.c")


async def _build_sleep(folder: Path) -> Path:
    """Compile what libfaketime needs to run a Python; return the library."""
    library = folder / "sleep.so"
    await run(_compiler(), "-shared", "-fPIC", "-O2", "-o", str(library), str(SLEEP))
    return library


def _compiler() -> str:
    if not FAKETIME.exists() or not (compiler := shutil.which("cc")):
        raise PartError("clocks are set by libfaketime and a C compiler; on Debian: apt-get install faketime gcc")
    return compiler


def _fake_clock(file: Path, sleep: Path) -> dict[str, str]:
    if not file.exists():
        file.write_text("+0\n")
    return {
        "LD_PRELOAD": f"{sleep}:{FAKETIME}",
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",  # seconds until a change of the file is seen
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # a clock that is set leaves this one alone
    }


def module(
    name: str, argv: list[str], folder: Path, *, ready: ReadyLine, env: Mapping[str, str] | None = None
) -> ChildProcess:
    return ChildProcess(
        name,
        [sys.executable, "-m", *argv],
        log=folder / "logs" / f"{name}.log",
        env=env,
        ready=ready,
        ready_within=READY_WITHIN,
        stop_within=25.0,
    )


def started(line: str) -> str | None:
    return line if '"event": "started"' in line else None
