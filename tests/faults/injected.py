"""Faults of what is on the log, and of those who are told: copies, disorder, poison, a backlog, bad receivers."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from pymongo import AsyncMongoClient
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from schemas import cloudevents
from schemas.members import MemberKey, MemberPublished
from schemas.needs import NeedKey, NeedPublished
from schemas.topics import AMBASSADORS, FEEDBACK, MEMBERS, NEEDS, READS, SUGGESTIONS, Topic
from services.runtime.broker import PARTITIONS
from tests.behaviour.test_poison import READ, poison
from tests.faults.receiver import Mood
from tests.faults.run import Run
from tests.faults.story import CLUSTER, Act
from tests.faults.traces import POISON

COPY = "x-copy"

# A topic in which nothing came for so long has no more to copy: longer than the slowest service takes for a batch.
NOTHING_MORE_AFTER = 5.0

BACKLOG = {True: 5_000, False: 100_000}
"""Events, in the short form and in the full one."""

GROUP_EMPTY_WITHIN = 60.0  # seconds; a replica that ended is a member until its session is over


async def copy_everything(run: Run) -> None:
    """Put a copy of each record behind it, on every topic that a service reads."""
    run.shuffled = True
    names = [topic.name for topic in READ]
    consumer = AIOKafkaConsumer(*names, bootstrap_servers=run.stack.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with _producer(run) as producer:
            loop = asyncio.get_running_loop()
            last = loop.time()
            while run.posting is None or not run.posting.done() or loop.time() - last < NOTHING_MORE_AFTER:
                records = [one for batch in (await consumer.getmany(timeout_ms=200)).values() for one in batch]
                originals = [one for one in records if COPY not in dict(one.headers)]
                for one in originals:
                    headers = [*one.headers, (COPY, b"")]
                    await producer.send(one.topic, one.value, key=one.key, headers=headers, partition=one.partition)
                    run.done["record copied"] += 1
                    last = loop.time()
                await producer.flush()
    finally:
        await consumer.stop()


async def read_again(run: Run) -> None:
    """Have both readers read everything again from the beginning."""
    for _ in run.times(1, 3):
        await run.moment(1, 3)
        for service, rewind in (("matcher", _forget_places), ("notifier", _rewind_group)):
            await run.stack.leave(service)
            await rewind(run)
            await run.stack.join(service)
            run.done[f"{service} reads all again"] += 1


async def _forget_places(run: Run) -> None:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(run.stack.mongo.uri)
    async with client:
        await client["maillage_matcher"]["shares"].update_many({}, {"$set": {"places": [], "clock": None}})


async def _rewind_group(run: Run) -> None:
    group = "maillage-notifier"
    consumer = AIOKafkaConsumer(bootstrap_servers=run.stack.bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, n) for topic in READS["notifier"] for n in range(PARTITIONS)]
        known = {one: 0 for one in partitions if await consumer.committed(one)}
        consumer.assign(list(known))
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(KafkaError),  # the replica that ended is still a member
            stop=stop_after_delay(GROUP_EMPTY_WITHIN),
            wait=wait_fixed(0.5),
            reraise=True,
        ):
            with attempt:
                await consumer.commit(known)
    finally:
        await consumer.stop()


async def take_out_of_order(run: Run) -> None:
    """Take what is to happen away from the clients: `put_out_of_order` writes it itself."""
    run.shuffled = run.past_ingest = True
    run.taken, run.acts = run.acts, []


async def put_out_of_order(run: Run) -> None:
    """Write all events of the story to the log in any order: needs before their owners' last words, erasures before
    what they erase, newer states before older ones."""
    events = [event for acts in run.taken for event in _events(acts, run)]
    run.chance.shuffle(events)
    async with _producer(run) as producer:
        for topic, record in events:
            headers = [(name, value.encode()) for name, value in record.headers.items()]
            await producer.send(topic.name, record.body, key=record.key, headers=headers)
            run.done["event out of order"] += 1
        await producer.flush()


def _events(acts: Iterable[Act], run: Run) -> list[tuple[Topic, cloudevents.Record]]:
    """One company's events, as ingest would write them; note what the last of each is."""
    found = []
    last: dict[str, Act] = {}
    for act in acts:
        erased = [act]
        if act.body is None and act.path.startswith("members/"):
            erased += [Act(act.at, path, None) for path in last if path.startswith("needs/")]
        for one in erased:
            kind, _, entity = one.path.partition("/")
            rev = run.load.acknowledged[one.path][0] + 1 if one.path in run.load.acknowledged else 1
            run.load.acknowledged[one.path] = rev, one
            last[one.path] = one
            found.append(_event(kind, entity, one.body, rev))
    return found


def _event(kind: str, entity: str, body: dict[str, Any] | None, rev: int) -> tuple[Topic, cloudevents.Record]:
    now = datetime.now(UTC)
    common = {"cluster": CLUSTER, "rev": rev, "published_at": now, **(body or {})}
    if kind == "members":
        topic, key = MEMBERS, MemberKey(cluster=CLUSTER, member_id=entity)
        value = MemberPublished(**common, member_id=entity) if body else None
    elif kind == "needs":
        topic, key = NEEDS, NeedKey(cluster=CLUSTER, need_id=entity)
        value = NeedPublished(**common, need_id=entity) if body else None
    else:
        topic, key, value = AMBASSADORS, AMBASSADORS.key(cluster=CLUSTER, ambassador_id=entity), None
    return topic, cloudevents.write(topic, key, value, rev=rev, source="/tests/faults", occurred_at=now)


async def poison_topics(run: Run) -> None:
    """Put what nobody can read between the others, of each sort on each topic."""
    async with _producer(run) as producer:
        for _ in run.times(1, 2):
            for topic in READ:
                for body, headers in poison(topic).values():
                    key = str(uuid.uuid4()) if topic in (SUGGESTIONS, FEEDBACK) else f"{CLUSTER}/poison"
                    marked = [*headers.items(), (POISON, b"")]
                    await producer.send_and_wait(topic.name, body, key=key.encode(), headers=marked)
                    run.letters += 1
                    run.done["poison"] += 1
                    await run.moment(0, 0.2 if run.short else 1)


async def pile_up(run: Run) -> None:
    """End the two readers, and put a backlog on the log: companies that ask for what nobody has, and change twice."""
    for service in ("matcher", "notifier"):
        await run.stack.leave(service)
    companies = BACKLOG[run.short] // 5
    async with _producer(run) as producer:
        for rev in (1, 2, 3):
            for number in range(companies):
                name = f"crowd-{number}"
                member = {"name": f"Crowd {number} {rev}", "kind": "company", "admission": "candidate"}
                need = {"member_id": name, "title": f"Crowd {rev}", "text": f"asks for number {number}"}
                events = [_event("members", name, member, rev)]
                events += [_event("needs", name, need, rev)] if rev < 3 else []
                for topic, record in events:
                    headers = [(key, value.encode()) for key, value in record.headers.items()]
                    await producer.send(topic.name, record.body, key=record.key, headers=headers)
                    run.done["event waits"] += 1
        await producer.flush()


async def start_on_backlog(run: Run) -> None:
    """Start both readers."""
    await asyncio.gather(*(run.stack.join(service) for service in ("matcher", "notifier")))


MOODS = {"late": Mood.LATE, "failing": Mood.FAILS, "closing": Mood.CLOSES, "leading": Mood.LEADS_ELSEWHERE}
"""Ambassadors with receivers that something is wrong with."""


async def spoil_receivers(run: Run) -> None:
    """One receiver answers late, one fails, one closes, one redirects to a private address: all but the last mend."""
    run.failing = "leading"
    run.stack.receivers.moods.update(MOODS)
    await asyncio.sleep(6 if run.short else 40)
    for name in MOODS:
        if name != run.failing:
            del run.stack.receivers.moods[name]
    for name, mood in MOODS.items():
        run.done[f"request to a receiver that {mood.name.lower().replace('_', ' ')}"] = run.stack.receivers.asked[name]
    if run.stack.receivers.led_astray:
        run.problems.append(f"{run.stack.receivers.led_astray} requests followed a redirect to a private address")


HEARTBEAT = (12).to_bytes(2)
UNKNOWN_SERVER_ERROR = (-1).to_bytes(2, signed=True)
STUCK_STATUS = 70

# Longer than the settings of `SOON_STUCK` let a consumption stand still, and than the watchdog takes to look.
STUCK_WITHIN = 60.0


async def break_heartbeats(run: Run) -> None:
    """Answer a heartbeat of each reader with an error that its client does not know: it silently leaves its group.

    The notifier then reads no more, and its watchdog has to end it. The matcher reads on, without a group: it only
    stays what it was, as long as nobody else asks for its shares.
    """
    for service in ("matcher", "notifier"):
        proxy, answered = run.stack.proxies[service, "kafka"], asyncio.Event()

        def answer(frame: bytes, answered: asyncio.Event = answered) -> bytes | None:
            if frame[4:6] != HEARTBEAT or answered.is_set():
                return None
            answered.set()
            throttled = bytes(4) if frame[6:8] >= (1).to_bytes(2) else b""
            body = frame[8:12] + throttled + UNKNOWN_SERVER_ERROR
            return len(body).to_bytes(4) + body

        proxy.intercept = answer
        await answered.wait()
        proxy.intercept = None
        run.done[f"heartbeat of {service} answered with an unknown error"] += 1
    run.load.hurry()
    await _until_ended_by_watchdog(run, "notifier")


async def _until_ended_by_watchdog(run: Run, service: str) -> None:
    kept = run.stack.services[service]
    try:
        async with asyncio.timeout(STUCK_WITHIN):
            while not kept.endings:
                await asyncio.sleep(0.1)
    except TimeoutError:
        run.problems.append(f"{service} was not ended within {STUCK_WITHIN:g} s")
        return
    run.done[f"{service} ended by its watchdog"] = kept.endings.count(STUCK_STATUS)
    if kept.endings != [STUCK_STATUS]:
        run.problems.append(f"{service} ended with {kept.endings}, not with status {STUCK_STATUS}")
    await kept.ready.wait()


@asynccontextmanager
async def _producer(run: Run) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=run.stack.bootstrap, acks="all", linger_ms=5, max_request_size=3_000_000
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()
