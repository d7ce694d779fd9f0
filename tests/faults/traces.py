"""What a run left behind, read from the outside: the log, the databases, the inboxes, what receivers got."""

import collections
import json
import re
from dataclasses import dataclass
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from bson import encode
from pymongo import AsyncMongoClient

from schemas.ambassadors import AmbassadorKey
from schemas.topics import AMBASSADORS, CONTACTS, MEMBERS, NEEDS, NOTIFICATIONS, SUGGESTIONS, TOPICS
from services.console.embedded.mail import read_mails
from services.notifier.address import inbox_url
from tests.faults.stack import INBOX_SECRET, SERVICES, Stack
from tests.faults.story import CLUSTER

VIEWS = ("todo", "ongoing", "done")

LAST_RECORDS = "the last records of"
DATABASE_OF = "the database of"
INGESTS = f"{DATABASE_OF} ingest"

POISON = "x-poison"
"""Header of records that nobody is to be able to read."""

Record = ConsumerRecord


@dataclass(frozen=True)
class Suggested:
    """A suggestion that stands: who, whom, how much, which telling."""

    request: str
    asking: str
    offering: str
    score: float
    revision: int


@dataclass(frozen=True)
class Traces:
    """See the module.

    Attributes:
        newest: the last record of each key, by topic: what compaction leaves.
        highest: the record of the highest rev of each key, by topic.
        stored: the rev of each member and need in the matcher's database, by key.
        suggestions: those that stand, by id; `told_once` has the ids of all that ever stood.
        delivered: ids of notifications that are on the log as delivered, but for the inbox pages.
        failed: ids of those that are on the log as failed.
        webhooks, mails: how often each notification came, by its id.
        words: where a marked word was found, by place.
    """

    newest: dict[str, dict[bytes, Record]]
    highest: dict[str, dict[bytes, Record]]
    stored: dict[str, int]
    suggestions: dict[str, Suggested]
    told_once: set[str]
    delivered: set[str]
    failed: set[str]
    webhooks: collections.Counter[str]
    mails: collections.Counter[str]
    dead_letters: int
    words: dict[str, set[str]]


async def collect(stack: Stack) -> Traces:
    """Read everything. The services must run and be quiet."""
    newest: dict[str, dict[bytes, Record]] = {}
    highest: dict[str, dict[bytes, Record]] = {}
    for topic in TOPICS:
        newest[topic.name], highest[topic.name] = {}, {}
        for record in await read_all(stack.bootstrap, topic.name):
            if POISON in dict(record.headers):
                continue
            newest[topic.name][record.key] = record
            best = highest[topic.name].get(record.key)
            if best is None or rev(record) >= rev(best):
                highest[topic.name][record.key] = record
    letters = [{record.key for record in await read_all(stack.bootstrap, topic.dead_letters)} for topic in TOPICS]
    told = {record.key.decode(): _suggested(record) for record in highest[SUGGESTIONS.name].values()}
    notifications = [json.loads(record.value) for record in newest[NOTIFICATIONS.name].values()]
    sent = [event for event in notifications if event["channel"] != "inbox"]
    return Traces(
        newest=newest,
        highest=highest,
        stored=await _stored(stack),
        suggestions={key: one for key, one in told.items() if one is not None},
        told_once=set(told),
        delivered={event["notification_id"] for event in sent if "delivered_at" in event},
        failed={event["notification_id"] for event in sent if "failed_at" in event},
        webhooks=stack.receivers.taken,
        mails=collections.Counter(mail.message_id.strip("<>").partition("@")[0] for mail in read_mails(stack.maildir)),
        dead_letters=sum(map(len, letters)),
        words=await _marked_words(stack, newest),
    )


def rev(record: Record) -> int:
    """The rev that a record says it brings its entity to; 0: it does not say."""
    about = dict(record.headers)
    return int(about.get("ce_rev", b"0"))


async def read_all(bootstrap: str, topic: str) -> list[Record]:
    """Every record of a topic, each partition in order."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    found: list[Record] = []
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                found += batch
    finally:
        await consumer.stop()
    return found


def _suggested(record: Record) -> Suggested | None:
    event: dict[str, Any] = json.loads(record.value) if record.value else {}
    if "score" not in event:
        return None
    request, offer = event["request"], event["offer"]
    return Suggested(
        request=request["request_id"],
        asking=request["party"]["member_id"],
        offering=offer["party"]["member_id"],
        score=round(event["score"], 9),
        revision=event["revision"],
    )


async def _stored(stack: Stack) -> dict[str, int]:
    found: dict[str, int] = {}
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(stack.mongo.uri)
    async with client:
        for kind in ("members", "needs"):
            async for row in client["maillage_matcher"][kind].find({}, {"rev": 1}):
                found[f"{kind}/{row['_id'].partition('/')[2]}"] = row["rev"]
    return found


# How every marked word begins; see `story`. Texts may be stored in capitals.
_MARK = re.compile(rb"quzwex[a-z]+", re.IGNORECASE)


async def _marked_words(stack: Stack, newest: dict[str, dict[bytes, Record]]) -> dict[str, set[str]]:
    """The marked words that are anywhere, by place."""
    places: dict[str, list[bytes]] = {}
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(stack.mongo.uri)
    async with client:
        for service in SERVICES:
            database = client[f"maillage_{service}"]
            for collection in await database.list_collection_names():
                rows = [encode(row) async for row in database[collection].find()]
                places[f"{DATABASE_OF} {service}, collection {collection}"] = rows
    for topic in (MEMBERS, NEEDS, AMBASSADORS, CONTACTS, SUGGESTIONS):
        values = [record.value or b"" for record in newest[topic.name].values()]
        places[f"{LAST_RECORDS} {topic.name}"] = values
    async with httpx.AsyncClient() as pages:
        for ambassador in ("a", "b", "c"):
            key = AmbassadorKey(cluster=CLUSTER, ambassador_id=ambassador)
            url = inbox_url(stack.addresses["notifier"], INBOX_SECRET, key)
            answers = [await pages.get(url, params={"view": view}) for view in VIEWS]
            places[f"the inbox of {ambassador}"] = [answer.raise_for_status().content for answer in answers]
    for file in sorted((stack.folder / "logs").glob("*.log")):
        places[f"the output of {file.stem}"] = [file.read_bytes()]
    found = {
        place: {word.decode().lower() for text in texts for word in _MARK.findall(text)}
        for place, texts in places.items()
    }
    return {place: words for place, words in found.items() if words}
