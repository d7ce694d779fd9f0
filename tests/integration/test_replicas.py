"""One, two and four matchers on a real Kafka tell the same, though some of them join and leave in mid-stream."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr
from tenacity import retry, retry_if_exception_type, stop_after_delay

from schemas import cloudevents
from schemas.base import Event, Key
from schemas.members import Admission, MemberKind, MemberPublished
from schemas.needs import NeedPublished, NeedStatus
from schemas.topics import MEMBERS, NEEDS, SUGGESTIONS, Topic
from services.matcher.app import build
from services.matcher.settings import MatcherSettings
from services.runtime.broker import create_topics, open_broker
from services.runtime.connection import Connection
from services.runtime.errors import BrokerUnavailableError
from services.runtime.microservice import Microservice
from services.runtime.publishing import KafkaPublisher
from tests.parts.kafka import RealKafka, available

pytestmark = [pytest.mark.kafka, pytest.mark.skipif(available() is not None, reason=str(available()))]

AT: Final = datetime(2026, 3, 1, 8, tzinfo=UTC)
CHANGES: Final = 10
"""Replicas that join or leave while needs come."""
NEEDS_OF_A_RUN: Final = 60
LABS: Final = 30
QUIET_SECONDS: Final = 90.0

SUBJECTS: Final = tuple(
    "".join(letters)
    for letters in zip(*(random.Random(place).choices("bdfgklmnprtvz", k=90) for place in range(7)), strict=True)
)
"""Words of no language, no two of one stem."""


@pytest.fixture(scope="module")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A broker of this test's own: the group of the matchers is always the same."""
    node = RealKafka(Path(tmp_path_factory.mktemp("kafka")))
    await node.start()
    await create_topics(Connection(node.bootstrap), partitions=6, replication=1)
    yield node.bootstrap
    await node.stop()


class Replicas:
    """The matchers of one run, on a database of their own."""

    def __init__(self, kafka: str, mongo: str) -> None:
        self._settings: dict[str, Any] = {
            "kafka": kafka,
            "mongo": SecretStr(mongo),
            "database": f"replicas-{uuid4().hex}",
            "session_seconds": 6.0,
            "tellings_per_week": 0,  # beyond it, who is told of whom depends on who comes first
        }
        self.running: list[Microservice] = []

    async def join(self) -> None:
        replica = build(MatcherSettings(**self._settings))
        await replica.start()
        self.running.append(replica)

    async def leave(self, number: int) -> None:
        await self.running.pop(number).stop()

    async def quiet(self) -> None:
        """Return when no record and no suggestion waits, three times in a row."""
        still = 0
        async with asyncio.timeout(QUIET_SECONDS):
            while still < 3:
                waiting = [count for replica in self.running for count in (await replica.waiting()).values()]
                ready = all(not replica.health().problems for replica in self.running)
                still = still + 1 if ready and not any(waiting) else 0
                await asyncio.sleep(0.2)

    async def standing(self, cluster: str) -> dict[tuple[str, str], float]:
        """Return the score of each suggestion that stands, by need and member.

        Whether one that was withdrawn at once was made before depends on the batches, with one replica as with four.
        """
        stands = {"asker": {"$regex": f"^{cluster}/"}, "state": "standing"}
        return {
            (row["made"]["request"]["request_id"], row["made"]["offer"]["party"]["member_id"]): row["made"]["score"]
            async for row in self.running[0].store.database["suggestions"].find(stands)
        }

    async def close(self) -> None:
        for replica in self.running:
            await replica.stop()


@retry(retry=retry_if_exception_type(BrokerUnavailableError), stop=stop_after_delay(QUIET_SECONDS), reraise=True)
async def put(publisher: KafkaPublisher, topic: Topic, key: Key, event: Event, rev: int) -> None:
    await publisher.publish(topic, key, event, rev=rev, occurred_at=AT)


async def census(publisher: KafkaPublisher, cluster: str) -> None:
    """Publish the members of a cluster: laboratories about three words each, and a few companies."""
    for number in range(LABS):
        words = [SUBJECTS[(number + step) % LABS * 3 + step] for step in range(3)]
        lab = MemberPublished(
            cluster=cluster,
            member_id=f"lab-{number}",
            name=f"Laboratoire {number}",
            kind=MemberKind.LABORATORY,
            admission=Admission.ADMITTED,
            assets=[{"asset_id": "a", "title": " ".join(words)}],  # type: ignore[list-item]  # pydantic reads it
            rev=1,
            published_at=AT,
        )
        await put(publisher, MEMBERS, lab.key, lab, 1)
    for number in range(8):
        company = MemberPublished(
            cluster=cluster,
            member_id=f"co-{number}",
            name=f"Entreprise {number}",
            kind=MemberKind.COMPANY,
            admission=Admission.ADMITTED,
            rev=1,
            published_at=AT,
        )
        await put(publisher, MEMBERS, company.key, company, 1)


async def post(publisher: KafkaPublisher, cluster: str, number: int) -> None:
    """Publish a need about what one laboratory does; each fifth is withdrawn at once, each seventh corrected."""
    words = [SUBJECTS[(number % LABS + step) % LABS * 3 + step] for step in range(3)]
    need = NeedPublished(
        cluster=cluster,
        need_id=f"n-{number}",
        member_id=f"co-{number % 8}",
        title=f"{' '.join(words)} urgent {number}",
        rev=1,
        published_at=AT,
    )
    await put(publisher, NEEDS, need.key, need, 1)
    if number % 5 == 0:
        ended = need.model_copy(update={"rev": 2, "status": NeedStatus.WITHDRAWN})
        await put(publisher, NEEDS, need.key, ended, 2)
    elif number % 7 == 0:
        again = need.model_copy(update={"rev": 2, "title": f"{' '.join(words)} 5G {number}"})
        await put(publisher, NEEDS, need.key, again, 2)


async def change(replicas: Replicas, most: int, dice: random.Random) -> None:
    """Have one replica leave, or one more join."""
    if len(replicas.running) > 1 and (len(replicas.running) > most or dice.random() < 0.5):
        await replicas.leave(dice.randrange(len(replicas.running)))
    else:
        await replicas.join()


async def run(kafka: str, mongo: str, publisher: KafkaPublisher, count: int) -> dict[tuple[str, str], float]:
    """Have `count` replicas take a stream of needs, some of them joining and leaving; return what was told."""
    cluster, dice = f"r{count}", random.Random(count)
    async with AsyncExitStack() as stack:
        replicas = Replicas(kafka, mongo)
        stack.push_async_callback(replicas.close)
        for _ in range(count):
            await replicas.join()
        for number in range(NEEDS_OF_A_RUN):
            await post(publisher, cluster, number)
            if count > 1 and number % (NEEDS_OF_A_RUN // CHANGES) == 3:
                await change(replicas, count, dice)
        await replicas.quiet()
        return await replicas.standing(cluster)


async def told(kafka: str, cluster: str) -> list[tuple[str, int, str]]:
    """Return every state of a suggestion that the log holds: its id, its `rev`, and what the event says of it."""
    reader = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await reader.start()
    try:
        partitions = [TopicPartition(SUGGESTIONS.name, number) for number in range(6)]
        reader.assign(partitions)
        ends = await reader.end_offsets(partitions)
        found = []
        while any([await reader.position(partition) < ends[partition] for partition in partitions]):
            for records in (await reader.getmany(timeout_ms=500)).values():
                found += [cloudevents.read(SUGGESTIONS, one.key, one.value, one.headers) for one in records]
    finally:
        await reader.stop()
    ours = {str(each.key) for each in found if f'"{cluster}"' in (each.value.model_dump_json() if each.value else "")}
    return [
        (str(each.key), each.rev or 0, "" if each.value is None else each.value.model_dump_json())
        for each in found
        if str(each.key) in ours
    ]


async def test_one_two_and_four_replicas_tell_the_same(kafka: str, mongo_url: str) -> None:
    broker = open_broker(Connection(kafka), client_id="test", grace_seconds=10)
    await broker.connect()
    publisher = KafkaPublisher(broker=broker, source="/test")
    counts = (1, 2, 4)
    for count in counts:
        await census(publisher, f"r{count}")
    runs = {count: await run(kafka, mongo_url, publisher, count) for count in counts}
    await broker.stop()
    assert len(runs[1]) >= NEEDS_OF_A_RUN / 2
    assert {f"n-{number}" for number in range(0, NEEDS_OF_A_RUN, 5)}.isdisjoint(need for need, _ in runs[1])
    assert runs[2] == runs[1]
    assert runs[4] == runs[1]
    # What only the last run, on its own database, has seen: a state may be sent again, never another under its number.
    states = await told(kafka, f"r{counts[-1]}")
    assert len({(key, rev) for key, rev, _ in states}) == len(set(states)) >= len(runs[4])
