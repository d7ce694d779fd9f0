"""What ingest put on a real log, as any reader would take it."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer

from schemas import cloudevents
from schemas.cloudevents import Envelope
from schemas.ids import event_id
from schemas.topics import AMBASSADORS, CONTACTS, MEMBERS, NEEDS

SECONDS = 30.0
TOPICS = {topic.name: topic for topic in (MEMBERS, NEEDS, AMBASSADORS, CONTACTS)}


async def told(bootstrap: str, cluster: str) -> list[Envelope]:
    """Return every event of a cluster; those of one entity in the order of the log."""
    consumer = AIOKafkaConsumer(
        *TOPICS, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    found: list[Envelope] = []
    try:
        async with asyncio.timeout(SECONDS):
            while {partition.topic for partition in consumer.assignment()} != set(TOPICS):
                await asyncio.sleep(0.02)
            ends = await consumer.end_offsets(consumer.assignment())
            waiting = {partition for partition, end in ends.items() if end}
            while waiting:
                for partition, records in (await consumer.getmany(timeout_ms=100)).items():
                    for record in records:
                        if record.key.split(b"/")[0] == cluster.encode():
                            topic = TOPICS[partition.topic]
                            found.append(cloudevents.read(topic, record.key, record.value, record.headers))
                waiting = {partition for partition in waiting if await consumer.position(partition) < ends[partition]}
    finally:
        await consumer.stop()
    return found


def entity(envelope: Envelope) -> str:
    """Name what an event is about: `cluster/id`, of a contact `cluster/id/contact`, for it has its member's key."""
    as_contact = event_id(CONTACTS.name, envelope.key, envelope.rev or 0)
    return f"{envelope.key}/contact" if envelope.event_id == str(as_contact) else str(envelope.key)


def newest(envelopes: Sequence[Envelope]) -> dict[str, Envelope]:
    """Return what compaction keeps, the last record of each entity; an older state must not be that."""
    kept = {entity(envelope): envelope for envelope in envelopes}
    highest: dict[str, int] = {}
    for envelope in envelopes:
        highest[entity(envelope)] = max(envelope.rev or 0, highest.get(entity(envelope), 0))
    assert {name: envelope.rev for name, envelope in kept.items()} == highest, "an older state would survive compaction"
    return kept


def revs(envelopes: Sequence[Envelope], entity_id: str) -> list[int | None]:
    """Return the revs that were told of an entity, each copy of an event once."""
    return list({e.event_id: e.rev for e in envelopes if entity(e).endswith(f"/{entity_id}")}.values())
