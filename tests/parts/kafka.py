"""A real Apache Kafka for tests, benches and fault runs: one KRaft node on loopback. Needs a JDK, and Maven once.

`python -m tests.parts.kafka --dir DIR` runs one, prints {"bootstrap": "127.0.0.1:PORT"} when it answers, and stops at
SIGTERM or SIGINT. DIR keeps its records and its port for the next run.
"""

import argparse
import asyncio
import base64
import json
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

from services.console.embedded.process import LOOPBACK, ChildProcess, PartError, free_port, say_status
from services.runtime.connection import Connection
from services.runtime.errors import MaillageError
from tests.parts.secured import Secured

VERSION = "4.1.0"

# The log goes to the process's own output, so that a node that does not start can say why.
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>maillage</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
    <dependency>
      <!-- The console producer; what it needs of others is there. -->
      <groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{VERSION}</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
    </dependency>
  </dependencies>
</project>
"""

JVM = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]  # starts soon and small; speed is not its purpose
LOG_LEVEL = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"

ANSWERS_WITHIN = 60.0  # seconds; 3 on an idle machine
LOOK_EVERY = 0.05  # seconds

TOPICS_WITHIN = 30.0  # seconds

SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",  # a misspelt topic is an error
    "message.max.bytes": str(5 * 2**20),
    "group.initial.rebalance.delay.ms": "0",  # a test's only member need not wait for others
    # There is no second node to copy to.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    # 50 each by default, made when the first group comes and reopened at each start.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
}

# One of three may be lost, and what the other two confirmed survives it.
COPIES = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
}

BROKER, CONTROLLER = "PLAINTEXT", "CONTROLLER"

# Of a secured one: for clients, and for its own way to itself.
CLIENTS, INTERNAL = "CLIENTS", "INTERNAL"
"""Names of the listeners that every node has."""


def library_folder() -> Path:
    """Where the jars are kept from one run to the next."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "maillage" / f"kafka-{VERSION}-tools"


def console_producer() -> list[str]:
    """The command of the console producer that comes with Kafka, `kafka-console-producer.sh` of a distribution."""
    return ["java", *JVM, LOG_LEVEL, "-cp", f"{library_folder()}/*", "org.apache.kafka.tools.ConsoleProducer"]


def available() -> str | None:
    """What is missing to run a real Kafka here, in one line; None when nothing is."""
    if shutil.which("java") is None:
        return "no real Kafka: there is no `java` on the PATH (17 or newer)"
    if not library_folder().exists() and shutil.which("mvn") is None:
        return "no real Kafka: there is no `mvn` on the PATH to fetch its jars with"
    return None


async def install() -> Path:
    """Fetches the jars unless they are there, and returns their folder.

    They are put together aside and moved in one step: the folder is complete or absent, also when several processes do
    this at the same time.

    Raises:
        PartError: something is missing on this machine, or Maven failed.
    """
    if missing := available():
        raise PartError(missing)
    libraries = library_folder()
    if libraries.exists():
        return libraries
    libraries.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=libraries.parent, prefix="incomplete-") as aside:
        pom, jars = Path(aside) / "pom.xml", Path(aside) / "jars"
        pom.write_text(POM)
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
        await _run("mvn", "--batch-mode", "--quiet", "--file", str(pom), *goal)
        try:
            jars.rename(libraries)
        except OSError:
            if not libraries.exists():  # otherwise another process was first
                raise
    return libraries


async def _run(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise PartError(f"{argv[0]} {say_status(process.returncode)}: {output.decode(errors='replace')[-2000:]}")


class RealKafka:
    """One Kafka node, broker and controller, on a folder that keeps its records from one start to the next.

    The folder also keeps the ports, so that clients find it again after a restart.

    Args:
        folder: its settings, records and log (`kafka.log`).
        settings: broker settings on top of `SETTINGS`; read at each start.
        secured: how it knows its clients; none: it lets anybody do anything.
        doors: further listeners by name, in capitals, with the address that each tells its clients to come back to:
            that of a proxy, which then sees all that they say.
        node: its number, where there are several (`RealKafkaCluster`).

    Attributes:
        bootstrap: its address, `host:port`.
        connection: how to connect as somebody who may do anything.
        listening: the address of every listener by name.
        voters: all controllers of its cluster, as the property `controller.quorum.voters` has them.
        cluster_id: what its first start formats the folder for.
    """

    name = "kafka"

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        secured: Secured | None = None,
        doors: Mapping[str, str] | None = None,
        node: int = 1,
    ) -> None:
        self._folder = folder.absolute()
        self._properties = self._folder / "server.properties"
        self._settings = dict(settings or {})
        self._secured = secured
        self._doors = dict(doors or {})
        self._node = node
        self._clients = BROKER if secured is None else CLIENTS
        self.listening = self._addresses()
        self.bootstrap = self.listening[self._clients]
        self.connection = secured.connection(self.bootstrap) if secured else Connection(self.bootstrap)
        self.voters = f"{node}@{self.listening[CONTROLLER]}"
        self.cluster_id = new_cluster_id()
        self._child = ChildProcess(self.name, [], log=self._folder / "kafka.log", stop_within=30.0)

    @property
    def pid(self) -> int | None:
        """Its process id; None before the first start."""
        return self._child.pid

    async def start(self) -> str:
        """Starts it, waits until it answers, and returns its address.

        Raises:
            PartError: something is missing on this machine, it ended, or it did not answer in time; it is then gone.
        """
        java = ["java", *JVM, LOG_LEVEL, "-cp", f"{await install()}/*"]
        self._write_settings()
        if not (self._folder / "data" / "meta.properties").exists():
            # An id that starts with a dash would be read as an option.
            logins = self._secured.logins() if self._secured else []
            cluster = f"--cluster-id={self.cluster_id}"
            tool = ["kafka.tools.StorageTool", "format", cluster, "-c", str(self._properties)]
            await _run(*java, *tool, *logins)
        self._child.argv = [*java, "kafka.Kafka", str(self._properties)]
        await self._child.start()
        try:
            await self._until_it_answers()
        except BaseException:
            await self._child.kill()
            raise
        return self.bootstrap

    async def wait(self) -> int:
        """Waits until it ends, and returns its exit status."""
        return await self._child.wait()

    async def stop(self) -> None:
        """Stops it in order; kills it after a deadline."""
        await self._child.stop()

    async def kill(self) -> None:
        """Ends it at once, as a crash would.

        The next start then takes 9 s longer: the node is taken for its own duplicate until its session has expired
        (`broker.session.timeout.ms`).
        """
        await self._child.kill()

    async def restart(self) -> str:
        """Stops it in order if it runs, and starts it again on the same folder and port."""
        await self.stop()
        return await self.start()

    def _addresses(self) -> dict[str, str]:
        """Of every listener: as at the last start, or else on free ports."""
        if self._properties.exists():
            lines = [line.partition("=") for line in self._properties.read_text().splitlines()]
            kept = {key: value for key, _, value in lines}["listeners"].split(",")
            return dict(listener.split("://") for listener in kept)
        own = (BROKER,) if self._secured is None else (CLIENTS, INTERNAL)
        return {name: f"{LOOPBACK}:{free_port()}" for name in (*own, CONTROLLER, *self._doors)}

    def _write_settings(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        told = {name: address for name, address in self.listening.items() if name != CONTROLLER} | self._doors
        addresses = {
            "node.id": str(self._node),
            "listeners": ",".join(f"{name}://{address}" for name, address in self.listening.items()),
            "advertised.listeners": ",".join(f"{name}://{address}" for name, address in told.items()),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in self.listening),
            "controller.quorum.voters": self.voters,
            "log.dirs": str(self._folder / "data"),
        }
        secured = self._secured.settings() if self._secured else {}
        lines = [f"{key}={value}\n" for key, value in {**SETTINGS, **self._settings, **addresses, **secured}.items()]
        self._properties.write_text("".join(lines))

    async def _until_it_answers(self) -> None:
        deadline = time.monotonic() + ANSWERS_WITHIN
        host, port = self.bootstrap.split(":")
        while True:
            try:
                # First the bare port: aiokafka would log an error at each attempt.
                _, writer = await asyncio.open_connection(host, int(port))
                writer.close()
                async with self.connection.open():
                    pass
            except (OSError, MaillageError):
                if not self._child.running:
                    status = await self._child.wait()
                    message = f"kafka {say_status(status)} before it answered (log: {self._child.log})"
                    raise PartError(message, status) from None
                if time.monotonic() > deadline:
                    message = f"kafka did not answer after {ANSWERS_WITHIN:g} s (log: {self._child.log})"
                    raise PartError(message) from None
                await asyncio.sleep(LOOK_EVERY)
            else:
                return


class RealKafkaCluster:
    """Three nodes that keep three copies of everything; see `RealKafka` for the meaning of `settings`.

    Attributes:
        nodes: each may be killed and started by itself.
        bootstrap: the addresses of all.
    """

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None) -> None:
        own = {**COPIES, **(settings or {})}
        self.nodes = [RealKafka(folder / f"kafka-{node}", settings=own, node=node) for node in (1, 2, 3)]
        voters, cluster_id = ",".join(node.voters for node in self.nodes), new_cluster_id()
        for node in self.nodes:
            node.voters, node.cluster_id = voters, cluster_id
        self.bootstrap = ",".join(node.bootstrap for node in self.nodes)

    async def start(self) -> str:
        """Starts all of them, and returns their addresses. Raises as `RealKafka.start` does."""
        await asyncio.gather(*(node.start() for node in self.nodes))
        return self.bootstrap

    async def stop(self) -> None:
        """Ends all of them at once: stopped in turn, each would wait for a leader that is gone."""
        await asyncio.gather(*(node.kill() for node in self.nodes))


def new_cluster_id() -> str:
    """A new one, in the form that Kafka wants."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


@asynccontextmanager
async def _admin(bootstrap: str, within: float) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=int(within * 1000))
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def create_topics(bootstrap: str, topics: Iterable[tuple[str, int, Mapping[str, str]]]) -> None:
    """Creates topics, each given as name, number of partitions and settings, and waits until they can be written to.

    Raises:
        KafkaError: the broker refused one, for instance because it exists.
        TimeoutError: they had no leader after 30 s.
    """
    wanted = [NewTopic(name, partitions, 1, topic_configs=dict(config)) for name, partitions, config in topics]
    async with _admin(bootstrap, TOPICS_WITHIN) as admin, asyncio.timeout(TOPICS_WITHIN):
        for name, code, *reason in (await admin.create_topics(wanted)).topic_errors:
            if code:
                raise for_code(code)(f"{name}: {reason}")
        while True:
            found = await admin.describe_topics([topic.name for topic in wanted])
            counts = {topic["topic"]: sum(one["leader"] >= 0 for one in topic["partitions"]) for topic in found}
            if all(counts[topic.name] == topic.num_partitions for topic in wanted):
                return
            await asyncio.sleep(LOOK_EVERY)


async def run(folder: Path) -> None:
    """Runs one until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    kafka = RealKafka(folder)
    print(json.dumps({"bootstrap": await kafka.start()}), flush=True)
    waits = [asyncio.create_task(asked.wait()), asyncio.create_task(kafka.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    if not asked.is_set():
        raise PartError(f"kafka {say_status(await kafka.wait())}")
    await kafka.stop()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Run one Apache Kafka node on loopback.")
    parser.add_argument("--dir", type=Path, required=True, help="folder that keeps its records and its port")
    try:
        asyncio.run(run(parser.parse_args().dir))
    except PartError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
