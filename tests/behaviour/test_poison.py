"""What cannot be read, on every topic that a service reads: set aside with a reason, while neighbours flow on."""

import asyncio
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from schemas.submissions import sign
from schemas.topics import FEEDBACK, READS, SUBMISSIONS, SUGGESTIONS, Topic
from services.runtime.clock import utc_now
from tests.behaviour.conftest import SECONDS, Cluster, Flow
from tests.behaviour.test_flow import NEED, people

READ = tuple(dict.fromkeys(topic for topics in READS.values() for topic in topics))
"""Topics that a service reads."""


def poison(topic: Topic) -> dict[str, tuple[bytes | None, dict[str, bytes]]]:
    """One record of each sort, by what its reason must name."""
    if topic is SUBMISSIONS:
        key = f"mk_{'0' * 16}_{'s' * 43}"
        signed = {name: value.encode() for name, value in sign(key, b"{}", submission_id="x", at=utc_now()).items()}
        return {
            "no key has this id": (b"{}", signed),
            "header maillage-key is missing": (b"x" * 2_000_000, {}),
            "header webhook-id is not ASCII": (None, {**signed, "webhook-id": b"\xff\xfe"}),
        }
    good = {"ce_specversion": b"1.0", "ce_id": b"x", "ce_type": topic.events[0].event_type.encode()}
    return {
        "Invalid JSON": (b"\x00 not json", good),
        "ce_type": (b"{}", {**good, "ce_type": b"maillage.unheard.of.v1"}),
        "rev": (b'{"rev": "many"}', good),
        "2,000,000 bytes": (b"x" * 2_000_000, good),
        "header x-note is not UTF-8": (b"{}", {**good, "x-note": b"\xff\xfe"}),
        ("ce_rev" if topic.compacted else "has no body"): (None, {"ce_rev": b"many"}),
    }


@pytest.mark.parametrize("broker", ["memory_kafka", pytest.param("real_kafka", marks=pytest.mark.kafka)], indirect=True)
async def test_poison_on_every_topic_becomes_dead_letters_and_a_need_still_arrives(
    flow: Flow, cluster: Cluster
) -> None:
    await people(cluster)
    mine = uuid.uuid4().hex.encode()
    producer = AIOKafkaProducer(bootstrap_servers=flow.bootstrap, max_request_size=3_000_000)
    await producer.start()
    expected: dict[str, set[str]] = {}
    for topic in READ:
        key = (str(uuid.uuid4()) if topic in (SUGGESTIONS, FEEDBACK) else f"{cluster.name}/poison").encode()
        expected[topic.dead_letters] = set()
        for reason, (body, headers) in poison(topic).items():
            expected[topic.dead_letters].add(reason)
            marked = [*headers.items(), ("x-test", mine)]
            await producer.send_and_wait(topic.name, body, key=key, headers=marked)
    await producer.stop()

    await cluster.need("n1", "company", "Capteur d’humidité du sol", NEED)
    await cluster.told(2)
    for name, reasons in expected.items():
        letters = await letters_of(flow.bootstrap, name, mine, len(reasons))
        for reason in reasons:
            assert any(reason in letter for letter in letters), (name, reason, letters)
    assert all(service.health().alive for service in flow.services)


async def letters_of(bootstrap: str, topic: str, mine: bytes, count: int) -> list[str]:
    """The reasons of this test's dead letters on a topic, once there are `count`."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    reasons: list[str] = []
    try:
        async with asyncio.timeout(SECONDS):
            while len(reasons) < count:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    kept = [dict(letter.headers) for letter in batch]
                    reasons += [about["dead_letter_reason"].decode() for about in kept if about["x-test"] == mine]
    finally:
        await consumer.stop()
    return reasons
