"""How fast the whole system is on a real Kafka and a real mongod: from post to inbox, a backlog, a restart.

`python -m bench.flow --members 100000 [--rate 100] [--seconds 30] [--json FILE]`

1. Writes as many laboratories with one asset each onto `members.v1`, and reads and writes them once more with nothing
   but aiokafka: the floor.
2. Starts the services, and counts how fast the matcher drains that backlog (the index grows with each, and each is
   faced with every open request).
3. Posts needs through the API at a steady rate, and sees each come into the ambassador's inbox: the database of the
   notifier tells of a row when a majority has it. Counted from when a post was due, so that one that waits for its
   turn counts as slow.
4. Stops everything in order, starts the matcher again, and waits until it is ready and nothing waits.

All of it, broker, database, services and who posts, shares the machine. Goals that are missed are said; only a need
that never arrives is an error.
"""

import asyncio
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import httpx
import typer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from pymongo import AsyncMongoClient
from rich.console import Console
from rich.table import Table
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from bench._corpus import Rows, documents
from bench._engine_machine import machine
from bench._engine_texts import Writer
from bench._publishing import Posts, Publishing
from schemas import cloudevents
from schemas.ambassadors import AmbassadorProfile
from schemas.members import Admission, Asset, MemberKind, MemberProfile, MemberPublished
from schemas.needs import NeedProfile
from schemas.topics import MEMBERS
from services.console.embedded.supervisor import PartEvent
from services.console.system import System, Wanted, running
from services.runtime.broker import PARTITIONS, create_topics
from services.runtime.connection import Connection
from services.runtime.settings import PREFIX
from tests.parts.kafka import RealKafka
from tests.parts.kafka import create_topics as create_topic

CLUSTER = "flow"
COMPANIES = 50
AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
WORDS_OF_A_NEED = 25
"""Taken from the text of an asset, so that there is an answer."""

QUIET_SECONDS = 1800.0
GOALS = {"drained_per_second": 5_000.0, "post_to_inbox_p99_ms": 50.0, "ready_seconds": 10.0, "of_the_floor": 0.5}


@dataclass
class Result:
    """What was measured; seconds unless the name says else.

    Attributes:
        matcher_mib: resident memory of the matcher that has read all and paired the needs.
        cpu_ms_per_need: processor time of each process, and of who posts, while needs come, for each need.
    """

    members: int
    rate: float
    floor_per_second: float = 0.0
    drained_per_second: float = 0.0
    of_the_floor: float = 0.0
    posted: int = 0
    arrived: int = 0
    post_to_inbox_p50_ms: float = 0.0
    post_to_inbox_p99_ms: float = 0.0
    post_to_inbox_longest_ms: float = 0.0
    post_to_acknowledged_p50_ms: float = 0.0
    ready_seconds: float = 0.0
    matcher_mib: float = 0.0
    cpu_ms_per_need: dict[str, float] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=machine)


def main(
    members: Annotated[int, typer.Option(min=100, help="Laboratories, with one offer each.")] = 100_000,
    rate: Annotated[float, typer.Option(min=1, help="Needs posted per second.")] = 100.0,
    seconds: Annotated[float, typer.Option(min=1, help="How long needs are posted.")] = 30.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where to write the numbers.")] = None,
) -> None:
    """Measure the whole system: a backlog, the way from post to inbox, a restart."""
    say = Console(stderr=True, highlight=False)
    with TemporaryDirectory(prefix="maillage-flow-") as folder:
        result = asyncio.run(_measure(Path(folder), Result(members, rate), seconds, say))
    Console().print(_table(result))
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(result), indent=1) + "\n")
    if result.arrived < result.posted:
        raise typer.Exit(1)


async def _measure(folder: Path, result: Result, seconds: float, say: Console) -> Result:
    kafka, rows, writer = RealKafka(folder / "kafka"), documents(result.members), Writer()
    await kafka.start()
    try:
        await create_topics(Connection(kafka.bootstrap), partitions=PARTITIONS, replication=1)
        say.print(f"Writing {result.members:,} members...")
        await _write_backlog(kafka.bootstrap, rows, writer)
        result.floor_per_second = result.members / await _copy(kafka.bootstrap, result.members)
        unlimited = {f"{PREFIX}TELLINGS_PER_WEEK": "0"}  # each need is waited for
        wanted = Wanted(data=folder / "data", port=0, kafka=kafka.bootstrap, extra=unlimited)
        say.print("Draining them...")
        async with running(wanted, _quietly) as (system, _):
            result.drained_per_second = result.members / await _drained(system, result.members)
            result.of_the_floor = result.drained_per_second / result.floor_per_second
            say.print("Posting needs...")
            await _post(system, rows, writer, seconds, result, kafka.pid)
            result.matcher_mib = (await _sample(system.matcher))["process_resident_memory_bytes"] / 2**20
        say.print("Starting again...")
        began = time.monotonic()
        async with running(wanted, _quietly) as (system, _):
            await _until_quiet(system.matcher)
            result.ready_seconds = time.monotonic() - began
    finally:
        await kafka.stop()
    return result


def _quietly(_: PartEvent) -> None:
    """Say nothing of parts that start and stop."""


def laboratory(rows: Rows, writer: Writer, number: int) -> MemberPublished:
    """Return a member with one asset, which is its standing request too."""
    text = writer.write(rows, number)
    return MemberPublished(
        cluster=CLUSTER,
        member_id=f"lab-{number}",
        name=writer.name(),
        kind=MemberKind.LABORATORY,
        admission=Admission.ADMITTED,
        rev=1,
        published_at=AT,
        alerts=False,
        assets=(Asset(asset_id="a", title=text.title, text=text.text, language=text.language),),
    )


def need_of(rows: Rows, writer: Writer, number: int) -> NeedProfile:
    """Return a need of one of the companies, in words of a laboratory's asset."""
    text = writer.write(rows, number * 7 % len(rows))
    words = " ".join(text.text.split()[:WORDS_OF_A_NEED])
    return NeedProfile(member_id=f"co-{number % COMPANIES}", title=text.title, text=words, language=text.language)


async def _write_backlog(kafka: str, rows: Rows, writer: Writer) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, linger_ms=5)
    await producer.start()
    for number in range(len(rows)):
        member = laboratory(rows, writer, number)
        record = cloudevents.write(MEMBERS, member.key, member, rev=1, source="/bench", occurred_at=AT)
        headers = [(name, value.encode()) for name, value in record.headers.items()]
        await producer.send(MEMBERS.name, record.body, key=record.key, headers=headers)
    await producer.stop()


async def _copy(kafka: str, count: int) -> float:
    """Return how long it takes to read all of them and write them to another topic, with the client alone."""
    await create_topic(kafka, [("copy", PARTITIONS, {"max.message.bytes": "3000000"})])
    consumer = AIOKafkaConsumer(MEMBERS.name, bootstrap_servers=kafka, auto_offset_reset="earliest")
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, linger_ms=5)
    await consumer.start()
    await producer.start()
    began, copied = time.monotonic(), 0
    while copied < count:
        for records in (await consumer.getmany(timeout_ms=500, max_records=200)).values():
            for record in records:
                await producer.send("copy", record.value, key=record.key, headers=list(record.headers))
            copied += len(records)
    await producer.flush()
    took = time.monotonic() - began
    await consumer.stop()
    await producer.stop()
    return took


async def _drained(system: System, count: int) -> float:
    """Return how long the matcher takes, from its first record to its last, as its own count has it."""
    async with httpx.AsyncClient(base_url=system.matcher, timeout=60, trust_env=False) as client:
        first, deadline = None, time.monotonic() + QUIET_SECONDS
        last = 0
        while (done := await _records_done(client)) < count:
            if done < last:
                raise RuntimeError(f"the matcher ended after {last} records")
            last = done
            if done and first is None:
                first = (time.monotonic(), done)
            if time.monotonic() > deadline:
                raise TimeoutError(f"the matcher has settled {done} of {count} records")
            await asyncio.sleep(0.1)
        if first is None:
            raise RuntimeError("too few members to count with")
        return (time.monotonic() - first[0]) * count / (count - first[1])


@retry(
    retry=retry_if_exception_type(httpx.TransportError), stop=stop_after_attempt(5), wait=wait_fixed(1), reraise=True
)
async def _records_done(client: httpx.AsyncClient) -> int:
    """Return the matcher's count; a connection that was closed for its idleness is no answer."""
    lines = (await client.get("/metrics")).text.splitlines()
    wanted = f'maillage_records_total{{outcome="done",topic="{MEMBERS.name}"}}'
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if line.startswith(wanted))


async def _until_quiet(matcher: str) -> None:
    async with httpx.AsyncClient(base_url=matcher, timeout=60, trust_env=False) as client, asyncio.timeout(600):
        while (answer := await client.get("/readyz")).status_code != 200 or any(  # noqa: ASYNC110 - nobody tells
            answer.json()["waiting"].values()
        ):
            await asyncio.sleep(0.1)


async def _post(system: System, rows: Rows, writer: Writer, seconds: float, result: Result, broker: int | None) -> None:
    publishing = Publishing(api=system.api, key=system.operator_key, cluster=CLUSTER)
    people, companies, needs = Posts(), Posts(), Posts()
    company = MemberProfile(name="Entreprise", kind=MemberKind.COMPANY, admission=Admission.ADMITTED)
    desk = AmbassadorProfile.model_validate({"name": "Guichet", "role": "desk", "language": "fr"})
    posted = [(f"n-{number}", need_of(rows, writer, number)) for number in range(int(result.rate * seconds))]
    arrived: dict[str, float] = {}
    async with AsyncMongoClient[dict[str, Any]](system.mongo) as client:
        inbox = client["maillage_notifier"]["suggestions"]
        try:
            await publishing.put("ambassadors", [("desk", desk)], people, done=_nothing)
            every = [(f"co-{number}", company) for number in range(COMPANIES)]
            await publishing.put("members", every, companies, alerts=False, done=_nothing)
            await _until_quiet(system.matcher)
            async with await inbox.watch(
                [{"$match": {"operationType": "insert"}}, {"$project": {"fullDocument.body": 1}}]
            ) as changes:
                watching = asyncio.create_task(_watch(changes, arrived))
                before = await _processor_seconds(system, broker)
                began = time.time()
                await publishing.put("needs", posted, needs, rate=result.rate, done=_nothing)
                await _until_quiet(system.matcher)
                await asyncio.sleep(2)  # what is on its way to the notifier
                after = await _processor_seconds(system, broker)
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
        finally:
            await publishing.close()
    due = {need: began + number / result.rate for number, (need, _) in enumerate(posted)}
    told = sorted(arrived[need] - due[need] for need in arrived.keys() & due.keys())
    result.cpu_ms_per_need = {name: 1000 * (after[name] - before[name]) / len(posted) for name in after}
    result.posted, result.arrived = len(posted), len(told)
    result.post_to_inbox_p50_ms, result.post_to_inbox_p99_ms = _part(told, 0.5), _part(told, 0.99)
    result.post_to_inbox_longest_ms = _part(told, 1.0)
    result.post_to_acknowledged_p50_ms = _part(sorted(needs.acknowledged.values()), 0.5)


async def _sample(service: str) -> dict[str, float]:
    """Return what a service says of its process, by the metric's name."""
    async with httpx.AsyncClient(base_url=service, timeout=60, trust_env=False) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    return {
        name: float(value) for name, _, value in (line.partition(" ") for line in lines if line.startswith("process_"))
    }


async def _processor_seconds(system: System, broker: int | None) -> dict[str, float]:
    services = {"ingest": system.api, "matcher": system.matcher, "notifier": system.inbox}
    spent = {name: (await _sample(url))["process_cpu_seconds_total"] for name, url in services.items()}
    async with AsyncMongoClient[dict[str, Any]](system.mongo) as client:
        used = (await client.admin.command("serverStatus"))["extra_info"]
    spent["mongod"] = (used["user_time_us"] + used["system_time_us"]) / 1e6
    if broker is not None:
        spent["broker"] = _spent_by(broker)
    return spent | {"who posts": time.process_time()}


def _spent_by(pid: int) -> float:
    user, kernel = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(kernel)) / os.sysconf("SC_CLK_TCK")


def _nothing() -> None:
    """Count no progress."""


async def _watch(changes: Any, arrived: dict[str, float]) -> None:
    async for change in changes:
        now, made = time.time(), json.loads(change["fullDocument"]["body"])
        arrived.setdefault(made["request"]["request_id"], now)


def _part(ordered: list[float], part: float) -> float:
    """Return the quantile of sorted seconds, in milliseconds."""
    return 1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def _table(result: Result) -> Table:
    table = Table(title=f"{result.members:,} members, {result.rate:g} needs a second")
    table.add_column("measured")
    table.add_column("value", justify="right")
    table.add_column("goal", justify="right")
    for name, value in asdict(result).items():
        if isinstance(value, float) and name != "rate":
            table.add_row(name, f"{value:,.2f}", f"{GOALS[name]:,g}" if name in GOALS else "")
    for name, milliseconds in result.cpu_ms_per_need.items():
        table.add_row(f"processor per need, ms: {name}", f"{milliseconds:,.2f}", "")
    table.add_row("needs that arrived", f"{result.arrived} of {result.posted}", "all with an answer")
    return table


if __name__ == "__main__":
    typer.run(main)
