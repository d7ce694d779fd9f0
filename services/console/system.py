"""The whole system on one machine: the parts it stands on, then the three services as processes of their own.

The services run exactly as deployed; only their addresses come from here.
"""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from aiokafka.errors import KafkaError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from services.console.embedded.mongod import Mongod
from services.console.embedded.process import LOOPBACK, ChildProcess, PartError, free_port, ready_json
from services.console.embedded.supervisor import Backoff, PartEvent, Supervisor
from services.runtime.broker import PARTITIONS, create_topics
from services.runtime.errors import MaillageError
from services.runtime.settings import PREFIX, KafkaSettings, load

SERVICES = ("ingest", "matcher", "notifier")

# A first start compiles bytecode and, beside a full test run on two cores, waits for its turn.
READY_SECONDS = 60.0

# Where a person expects the API; the inbox is on the next one.
DEFAULT_PORT = 8400

OUTWARD = {
    *("HOST", "PUBLIC_URL", "PORTAL_URL", "SMTP", "MAIL_FROM", "ALLOW_PRIVATE_WEBHOOKS"),
    *("QUIET_HOURS", "LETTERS_PER_DAY"),
}
"""Settings by which the system meets the world: what the environment says of them is kept."""

PROTECTING_KAFKA = ("KAFKA_USER", "KAFKA_PASSWORD", "KAFKA_CA", "KAFKA_CERTIFICATE")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a person asked for on the command line.

    Attributes:
        data: folder of everything that outlives a stop.
        port: of the API; the inbox gets the next one. 0: any free ports.
        kafka: address of a broker to use; none: one in memory is brought along.
        mongo: connection string of a MongoDB to use; none: one is brought along, its data in `data`.
        databases: what the name of each service's database begins with.
        extra: further settings of the services, by full variable name.
    """

    data: Path
    port: int = DEFAULT_PORT
    kafka: str | None = None
    mongo: str | None = None
    databases: str = "maillage"
    extra: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class System:
    """A running system's addresses. `operator_key` opens everything: it is for the person at this machine."""

    api: str
    inbox: str
    matcher: str
    kafka: str
    mongo: str
    smtp: str
    maildir: str
    operator_key: str
    inbox_secret: str
    data: str

    def public(self) -> dict[str, str]:
        """What `--json` prints: all but the secret that signs inbox addresses."""
        return {name: value for name, value in asdict(self).items() if name != "inbox_secret"}


@asynccontextmanager
async def running(
    wanted: Wanted, tell: Callable[[PartEvent], None], *, backoff: Backoff | None = None
) -> AsyncIterator[tuple[System, Supervisor]]:
    """Start everything in order, yield once all three services are ready, stop everything in reverse order.

    Raises:
        PartError: a part could not start; the ones before it are stopped again.
    """
    wanted.data.mkdir(parents=True, exist_ok=True)
    async with Supervisor(tell, backoff=backoff) as supervisor:
        kafka = wanted.kafka or await supervisor.start(_broker(wanted.data), restart=False)
        if wanted.kafka:
            try:
                await create_topics(load(KafkaSettings, kafka=kafka).connection, partitions=PARTITIONS)
            except MaillageError as error:
                raise PartError(str(error)) from None
            except KafkaError as error:
                raise PartError(f"broker {kafka}: {error}") from None
        mongo = wanted.mongo or f"mongodb://{await supervisor.start(Mongod(wanted.data / 'mongo'))}"
        maildir = wanted.data / "mail"
        smtp_port = free_port()
        smtp = await supervisor.start(_module("mail", wanted.data, ready_json("smtp"), _mail_args(maildir, smtp_port)))
        ports = _ports(wanted.port)
        system = System(
            api=f"http://{LOOPBACK}:{ports['ingest']}",
            matcher=f"http://{LOOPBACK}:{ports['matcher']}",
            inbox=f"http://{LOOPBACK}:{ports['notifier']}",
            kafka=kafka,
            mongo=mongo,
            smtp=smtp,
            maildir=str(maildir),
            operator_key=_kept_secret(wanted.data / "operator.key", "mk_operator_"),
            inbox_secret=_kept_secret(wanted.data / "inbox.secret", ""),
            data=str(wanted.data),
        )
        await asyncio.gather(*(supervisor.start(_service(name, ports[name], wanted, system)) for name in SERVICES))
        await _until_ready([system.api, system.matcher, system.inbox])
        yield system, supervisor


def _broker(data: Path) -> ChildProcess:
    return _module(
        "kafka", data, ready_json("bootstrap"), ["services.console.embedded.broker", "--data", str(data / "kafka")]
    )


def _mail_args(maildir: Path, port: int) -> list[str]:
    return ["services.console.embedded.mail", "--maildir", str(maildir), "--port", str(port)]


def _module(
    name: str,
    data: Path,
    ready: Callable[[str], str | None],
    argv: list[str],
    env: Mapping[str, str] | None = None,
) -> ChildProcess:
    return ChildProcess(
        name,
        [sys.executable, "-m", *argv],
        log=data / "logs" / f"{name}.log",
        env=env,
        ready=ready,
        ready_within=READY_SECONDS,
        stop_within=25.0,
    )


def _service(name: str, port: int, wanted: Wanted, system: System) -> ChildProcess:
    settings = {
        "KAFKA": system.kafka,
        "MONGO": system.mongo,
        "DATABASE": f"{wanted.databases}_{name}",
        "INSTANCE": name,
        "HOST": LOOPBACK,
        "PORT": str(port),
        "OPERATOR_KEY": system.operator_key,
        "SECRET": system.inbox_secret,
        "MATCHER_URL": system.matcher,
        "PREVIEW_KEY": _kept_secret(wanted.data / "preview.key", ""),
        "PORTAL_URL": system.api,
        "PORTAL_SECRET": _kept_secret(wanted.data / "portal.secret", ""),
        "PUBLIC_URL": system.inbox,
        "SMTP": system.smtp,
        "MAIL_FROM": "maillage@example.org",
        # A trial's receivers are on this machine; with servers of one's own, nobody may have us call private addresses.
        "ALLOW_PRIVATE_WEBHOOKS": str(wanted.kafka is None).lower(),
        # A trial is looked at when it is run, at night too.
        "QUIET_HOURS": "00:00-00:00",
        "LETTERS_PER_DAY": "1000",
        "SNAPSHOT": str(wanted.data / "snapshot"),
        # The ready line is read from the log, so it must be there in this form, whatever else is asked for.
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "debug" if os.environ.get(f"{PREFIX}LOG_LEVEL") == "debug" else "info",
    }
    for key in OUTWARD & {name.removeprefix(PREFIX) for name in os.environ}:
        del settings[key]  # what the operator says wins
    # What is said of protection is said of servers of one's own.
    settings |= {} if wanted.kafka else dict.fromkeys(PROTECTING_KAFKA, "") | {"KAFKA_SECURITY": "plaintext"}
    settings |= {} if wanted.mongo else {"MONGO_CA": ""}
    env = {PREFIX + key: value for key, value in settings.items()} | dict(wanted.extra or {})
    return _module(name, wanted.data, _started, [f"services.{name}"], env)


def _started(line: str) -> str | None:
    return line if '"event": "started"' in line else None


def _ports(first: int) -> dict[str, int]:
    if first == 0:
        return {name: free_port() for name in SERVICES}
    return {"ingest": first, "notifier": first + 1, "matcher": first + 2}


def _kept_secret(path: Path, prefix: str) -> str:
    """A secret made at the first start and kept, readable by its owner alone."""
    if not path.exists():
        # Whole or not at all: nothing would replace an empty secret that a crash left.
        whole = path.with_name(f"{path.name}.new")
        whole.unlink(missing_ok=True)
        whole.touch(mode=0o600)
        whole.write_text(prefix + secrets.token_urlsafe(32))
        whole.replace(path)
    return path.read_text().strip()


async def _until_ready(addresses: list[str]) -> None:
    async with httpx.AsyncClient(timeout=15) as client:
        for address in addresses:
            try:
                await _ready(client, address)
            except httpx.HTTPError as error:
                raise PartError(f"{address}/readyz: not ready within {READY_SECONDS:g} s ({error})") from None


@retry(
    retry=retry_if_exception_type(httpx.HTTPError),
    wait=wait_fixed(0.1),
    stop=stop_after_delay(READY_SECONDS),
    reraise=True,
)
async def _ready(client: httpx.AsyncClient, address: str) -> None:
    (await client.get(f"{address}/readyz")).raise_for_status()
