"""Needs flow through the three services on a real Kafka and a real mongod while each service is killed at random.

    python -m tests.faults.kill9 --kills 20 --needs 2000

runs the same flow twice, undisturbed and disturbed, and compares: every acknowledged event is in the log, the
suggestions are the same, and each notification reached its receiver under one id. Exits 1 where one of these is not so.
"""

import argparse
import asyncio
import collections
import json
import os
import random
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, cast

import httpx
import uvicorn
from aiokafka import AIOKafkaConsumer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console.embedded.mail import read_mails
from services.console.embedded.mongod import Mongod
from services.console.embedded.process import LOOPBACK, ChildProcess, free_port
from services.console.embedded.supervisor import Backoff, PartEvent
from services.console.system import SERVICES, System, Wanted, running
from tests.parts.kafka import RealKafka

CLUSTER = "faults"
THEMES = 40
LABS_PER_THEME = 3

# A disturbed run takes the kills' time and the catching up; one that takes longer has stopped.
QUIET_SECONDS = 300.0

WEBHOOK_SECRET = "whsec_" + "bWFpbGxhZ2UtZmF1bHRzLXNlY3JldC0wMTIzNDU2Nzg5"

Row = dict[str, Any]


@dataclass
class Receiver:
    """What ambassadors' systems got: how often each notification id came."""

    url: str = ""
    webhooks: collections.Counter[str] = field(default_factory=collections.Counter)


@dataclass(frozen=True)
class Result:
    """What one run left behind."""

    acknowledged: set[str]
    logged: set[str]
    suggestions: dict[str, tuple[str, str, float, int]]
    webhooks: collections.Counter[str]
    mails: collections.Counter[str]
    delivered: set[str]
    kills: collections.Counter[str]
    dead_letters: int
    seconds: float


def words(theme: int, count: int, chance: random.Random) -> str:
    """`count` words of a theme, no two alike in stem with another theme's."""
    alphabet = "bdfgklmnprtvz"
    vowels = "aiou"
    source = random.Random(theme)
    vocabulary = ["".join(source.choice(alphabet) + source.choice(vowels) for _ in range(4)) + "k" for _ in range(24)]
    return " ".join(chance.sample(vocabulary, count))


def story(needs: int, seed: int) -> tuple[list[Row], list[Row]]:
    """Members and needs: laboratories by theme in two cities, and a company for every need."""
    chance = random.Random(seed)
    cities = [
        {"member_id": f"city-{name}", "name": f"City {name}", "kind": "innovation_city", "city": f"city-{name}"}
        for name in "ab"
    ]
    labs = [
        {
            "member_id": f"lab-{theme}-{number}",
            "name": f"Lab {theme} {number}",
            "kind": "laboratory",
            "city": chance.choice(cities)["member_id"],
            "assets": [
                {"asset_id": f"a{asset}", "title": words(theme, 3, chance), "text": words(theme, 12, chance)}
                for asset in range(2)
            ],
        }
        for theme in range(THEMES)
        for number in range(LABS_PER_THEME)
    ]
    companies = [
        {
            "member_id": f"company-{number}",
            "name": f"Company {number}",
            "kind": "company",
            "city": chance.choice(cities)["member_id"],
        }
        for number in range(needs)
    ]
    members = [{**member, "admission": "admitted"} for member in [*cities, *labs, *companies]]
    posted = []
    for number in range(needs):
        theme = chance.randrange(THEMES)
        posted.append(
            {
                "need_id": f"need-{number}",
                "member_id": f"company-{number}",
                "title": words(theme, 3, chance),
                "text": words(theme, 8, chance),
                "kinds_sought": ["laboratory"],
            }
        )
    return members, posted


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """An ambassador's system that takes webhooks."""
    found = Receiver()

    async def take(request: Request) -> Response:
        await request.body()
        found.webhooks[request.headers["webhook-id"]] += 1
        return Response(status_code=204)

    port = free_port()
    app = Starlette(routes=[Route("/hook", take, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, host=LOOPBACK, port=port, log_config=None, access_log=False))
    task = asyncio.create_task(server.serve())
    found.url = f"http://{LOOPBACK}:{port}/hook"
    yield found
    server.should_exit = True
    await task


async def put(api: httpx.AsyncClient, path: str, row: Row, id_field: str, **params: str) -> str:
    """Put one entity until it is acknowledged, through crashes of ingest; return its key."""
    body = {name: value for name, value in row.items() if name != id_field}
    deadline = monotonic() + QUIET_SECONDS
    while monotonic() < deadline:
        try:
            answer = await api.put(f"/v1/clusters/{CLUSTER}/{path}/{row[id_field]}", json=body, params=params)
        except httpx.TransportError:
            await asyncio.sleep(0.1)
            continue
        if answer.status_code == httpx.codes.ACCEPTED:
            return f"{CLUSTER}/{row[id_field]}"
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            raise RuntimeError(f"{row[id_field]}: {answer.status_code} {answer.text}")
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{row[id_field]} was not acknowledged")


async def put_all(api: httpx.AsyncClient, path: str, rows: list[Row], id_field: str, **params: str) -> set[str]:
    """Put many, sixteen at a time."""
    turn = asyncio.Semaphore(16)

    async def one(row: Row) -> str:
        async with turn:
            return await put(api, path, row, id_field, **params)

    return set(await asyncio.gather(*(one(row) for row in rows)))


async def until_quiet(system: System) -> None:
    """Return when nothing waits anywhere, three times in a row."""
    quiet = 0
    async with httpx.AsyncClient(timeout=20) as client, asyncio.timeout(QUIET_SECONDS):
        while quiet < 3:
            await asyncio.sleep(0.3)
            try:
                answers = [(await client.get(f"{url}/readyz")) for url in (system.api, system.matcher, system.inbox)]
            except httpx.TransportError:
                quiet = 0
                continue
            still = all(a.is_success for a in answers) and not any(
                count for answer in answers for count in answer.json()["waiting"].values()
            )
            quiet = quiet + 1 if still else 0


async def kill_at_random(supervisor: Any, kills: int, seed: int, done: collections.Counter[str]) -> None:
    """Kill each service `kills` times, at random moments, each time once it is back."""

    async def one(name: str) -> None:
        chance = random.Random(f"{seed}{name}")
        while done[name] < kills:
            await asyncio.sleep(chance.uniform(0.2, 2.0))
            part = cast("ChildProcess", supervisor.part(name))
            if part.running and part.pid is not None:
                os.kill(part.pid, signal.SIGKILL)
                done[name] += 1
                async with asyncio.timeout(60):
                    while part.running:
                        await asyncio.sleep(0.01)
                    while not part.running:
                        await asyncio.sleep(0.01)

    await asyncio.gather(*(one(name) for name in SERVICES))


async def read_all(bootstrap: str, topic: str) -> dict[bytes, bytes | None]:
    """The newest body of each key of a topic."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    newest: dict[bytes, bytes | None] = {}
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                newest.update({record.key: record.value for record in batch})
    finally:
        await consumer.stop()
    return newest


async def run(folder: Path, *, needs: int, kills: int, seed: int, per_second: float) -> Result:
    """One run on a Kafka, a mongod and services of its own."""
    kafka, mongod = RealKafka(folder / "kafka"), Mongod(folder / "mongod")
    await kafka.start()
    await mongod.start()
    began = monotonic()
    acknowledged: set[str] = set()
    killed: collections.Counter[str] = collections.Counter()
    wanted = Wanted(
        data=folder,
        port=0,
        kafka=kafka.bootstrap,
        mongo=mongod.uri,
        extra={"MAILLAGE_SUGGESTIONS_PER_REQUEST": "2", "MAILLAGE_ALLOW_PRIVATE_WEBHOOKS": "true"},
    )
    try:
        async with (
            receiver() as ambassadors,
            running(wanted, ignore, backoff=Backoff(first=0.02, longest=0.02, tries=100_000)) as (system, supervisor),
            httpx.AsyncClient(
                base_url=system.api, headers={"Authorization": f"Bearer {system.operator_key}"}, timeout=20
            ) as api,
        ):
            members, posted = story(needs, seed)
            acknowledged |= await put_all(api, "members", members, "member_id", alerts="false")
            await put_all(api, "ambassadors", people(ambassadors.url), "ambassador_id")
            await until_quiet(system)
            killing = asyncio.create_task(kill_at_random(supervisor, kills, seed, killed))
            turn = asyncio.Semaphore(16)

            async def post(row: Row) -> None:
                async with turn:
                    acknowledged.add(await put(api, "needs", row, "need_id"))

            posts = []
            for row in posted:
                posts.append(asyncio.create_task(post(row)))
                await asyncio.sleep(1 / per_second if kills and not killing.done() else 0)
            await asyncio.gather(*posts)
            await killing
            await until_quiet(system)
            logged = {
                key.decode() for topic in ("members.v1", "needs.v1") for key in await read_all(kafka.bootstrap, topic)
            }
            letters = 0
            for topic in ("members.v1", "needs.v1", "ambassadors.v1", "suggestions.v1", "feedback.v1"):
                letters += len(await read_all(kafka.bootstrap, f"{topic}.dlq"))
            suggestions = await read_all(kafka.bootstrap, "suggestions.v1")
            notifications = await read_all(kafka.bootstrap, "notifications.v1")
            return Result(
                acknowledged=acknowledged,
                logged=logged,
                suggestions={key.decode(): told(body) for key, body in suggestions.items() if body},
                webhooks=ambassadors.webhooks,
                mails=collections.Counter(mail.message_id for mail in read_mails(Path(system.maildir))),
                delivered={key.decode() for key, body in notifications.items() if body and sent(body)},
                kills=killed,
                dead_letters=letters,
                seconds=monotonic() - began,
            )
    finally:
        await mongod.stop()
        await kafka.stop()


def ignore(_: PartEvent) -> None:
    """Deaths are what this is about."""


def people(hook: str) -> list[Row]:
    """One ambassador for each city, and the desk."""
    webhook = {"url": hook, "secret": WEBHOOK_SECRET}
    return [
        {"ambassador_id": "a", "name": "A", "city": "city-a", "email": "a@example.org", "webhook": webhook},
        {"ambassador_id": "b", "name": "B", "city": "city-b", "webhook": webhook},
        {"ambassador_id": "desk", "name": "Desk", "role": "desk", "email": "desk@example.org"},
    ]


def sent(body: bytes) -> bool:
    """Whether a notification left the house: the inbox page is in it."""
    event = json.loads(body)
    return "delivered_at" in event and event["channel"] != "inbox"


def told(body: bytes) -> tuple[str, str, float, int]:
    """What makes a suggestion the same one: who, whom, score, revision."""
    event = json.loads(body)
    offering = event["offer"]["party"]["member_id"]
    return event["request"]["request_id"], offering, round(event["score"], 9), event["revision"]


def expected(result: Result, members: list[Row]) -> tuple[int, int]:
    """How many webhooks and mails the suggestions of a run ask for: both ambassadors take the first, one the second."""
    city = {member["member_id"]: member["city"] for member in members}
    owner = {f"need-{number}": f"company-{number}" for number in range(len(members))}
    concerned = [{city[owner[request]], city[offering]} for request, offering, _, _ in result.suggestions.values()]
    return sum(map(len, concerned)), sum("city-a" in cities for cities in concerned)


def judge(calm: Result, disturbed: Result, needs: int, seed: int) -> list[str]:
    """Return what is not as it must be."""
    members, _ = story(needs, seed)
    problems = []
    for name, result in (("undisturbed", calm), ("disturbed", disturbed)):
        if lost := result.acknowledged - result.logged:
            problems.append(f"{name}: {len(lost)} acknowledged events are not in the log, as {sorted(lost)[:3]}")
        if result.dead_letters:
            problems.append(f"{name}: {result.dead_letters} dead letters")
        webhooks, mails = expected(result, members)
        if len(result.webhooks) != webhooks:
            problems.append(f"{name}: {len(result.webhooks)} distinct webhooks came, {webhooks} were to come")
        if len(result.mails) != mails:
            problems.append(f"{name}: {len(result.mails)} distinct mails came, {mails} were to come")
        if len(result.delivered) != len(result.webhooks) + len(result.mails):
            problems.append(
                f"{name}: {len(result.delivered)} deliveries are on record, "
                f"{len(result.webhooks)} webhooks and {len(result.mails)} mails came"
            )
    if calm.suggestions != disturbed.suggestions:
        differing = {
            key
            for key in calm.suggestions.keys() | disturbed.suggestions.keys()
            if calm.suggestions.get(key) != disturbed.suggestions.get(key)
        }
        problems.append(f"{len(differing)} suggestions differ, as {sorted(differing)[:3]}")
    if not calm.suggestions:
        problems.append("nothing was suggested")
    return problems


async def compare(*, needs: int, kills: int, seed: int) -> list[str]:
    """Run undisturbed and disturbed; print what came; return what is not as it must be."""
    # Spread over the time that the kills take: about 4 s each, the restart included.
    per_second = max(5.0, needs / max(1.0, kills * 3.5))
    results = []
    for kills_now in (0, kills):
        with tempfile.TemporaryDirectory(prefix="maillage-faults-") as folder:
            result = await run(Path(folder), needs=needs, kills=kills_now, seed=seed, per_second=per_second)
        results.append(result)
        copies = sum((result.webhooks + result.mails).values()) - len(result.webhooks) - len(result.mails)
        print(
            f"kills {dict(result.kills)}: {len(result.acknowledged)} acknowledged, {len(result.suggestions)} suggested,"
            f" {len(result.webhooks)} webhooks and {len(result.mails)} mails received, {copies} came again under"
            f" their id, {result.dead_letters} dead letters, {result.seconds:.0f} s",
            flush=True,
        )
    return judge(*results, needs, seed)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Kill each service at random and compare with an undisturbed run.")
    parser.add_argument("--kills", type=int, default=20, help="of each service")
    parser.add_argument("--needs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    problems = asyncio.run(compare(needs=options.needs, kills=options.kills, seed=options.seed))
    print("\n".join(problems) or "nothing lost; each suggestion as undisturbed; each message received under one id")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
