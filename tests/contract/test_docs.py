"""The examples of `docs/contract.md` work as they stand there."""

import re
import shlex
import time
from itertools import pairwise
from pathlib import Path
from typing import cast

from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.base import SLUG_PATTERN
from schemas.cloudevents import read
from schemas.members import MemberKey, MemberPublished
from schemas.topics import MAX_EVENT_BYTES, MEMBERS, TOPICS

PAGE = (Path(__file__).parents[2] / "docs" / "contract.md").read_text(encoding="utf-8")
KEY = MemberKey(cluster="souss-agritech", member_id="argania-tech")
DEADLINE_SECONDS = 20.0


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def options(command: str, name: str) -> list[str]:
    words = shlex.split(command.replace("\\\n", " "))
    return [value for option, value in pairwise(words) if option == name]


def headers(command: str) -> list[tuple[str, bytes]]:
    return [(name, value.encode()) for name, _, value in (text.partition("=") for text in options(command, "-H"))]


def test_the_example_for_the_command_line_is_read() -> None:
    command, rest = blocks("sh")[0].split(" <<'JSON'\n")
    body = rest.removesuffix("\nJSON\n")
    assert "\n" not in body  # kcat takes each line for a record
    assert options(command, "-t") == [MEMBERS.name]
    envelope = read(MEMBERS, options(command, "-k")[0].encode(), body.encode(), headers(command))
    assert (envelope.key, envelope.rev) == (KEY, 7)
    assert isinstance(envelope.value, MemberPublished)
    assert envelope.value.assets[0].title == "Sonde d'humidité H2"


def test_the_erasure_for_the_command_line_is_read() -> None:
    echo, command = blocks("sh")[1].split(" | ")
    key = shlex.split(echo)[1].removesuffix(":")
    envelope = read(MEMBERS, key.encode(), None, headers(command))
    assert (envelope.key, envelope.value, envelope.rev) == (KEY, None, 8)


def test_the_example_in_python_puts_a_readable_record_on_the_topic() -> None:
    cluster = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1})
    broker = next(iter(cluster.list_topics(timeout=DEADLINE_SECONDS).brokers.values()))
    address = f"{broker.host}:{broker.port}"
    (example,) = blocks("python")

    exec(example.replace("kafka.example:9092", address), {})  # noqa: S102 - the page's own example

    consumer = Consumer({"bootstrap.servers": address, "group.id": "reader"})
    partitions = consumer.list_topics(MEMBERS.name, timeout=DEADLINE_SECONDS).topics[MEMBERS.name].partitions
    consumer.assign([TopicPartition(MEMBERS.name, partition, 0) for partition in partitions])
    until = time.monotonic() + DEADLINE_SECONDS
    while (record := consumer.poll(1.0)) is None or record.error():
        assert time.monotonic() < until, "the record did not arrive"
    received = cast("list[tuple[str, bytes]]", record.headers())  # its stubs say all that may be written
    envelope = read(MEMBERS, record.key(), record.value(), received)
    consumer.close()
    assert isinstance(envelope.value, MemberPublished)
    assert (envelope.key, envelope.rev) == (KEY, 7)


def test_the_table_has_every_topic_with_its_key_and_events() -> None:
    rows = {row.split("`")[1]: row for row in PAGE.splitlines() if row.startswith("| `") and ".v1` | `" in row}
    assert set(rows) == {topic.name for topic in TOPICS}
    for topic in TOPICS:
        assert f"`{'/'.join(topic.key.model_fields)}`" in rows[topic.name]
        assert all(f"`{event.event_type}`" in rows[topic.name] for event in topic.events)
        assert rows[topic.name].endswith("refused |") != topic.compacted


def test_the_figures_are_those_of_the_code() -> None:
    assert f"at most {MAX_EVENT_BYTES:,} bytes" in PAGE
    assert "{0,79}" in SLUG_PATTERN
    assert "1\nto 80 letters" in PAGE
