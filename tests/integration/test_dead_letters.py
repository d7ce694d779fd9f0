"""What `maillage dlq` does for an operator, on a broker in memory and on a real Apache Kafka."""

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from click.testing import Result
from typer.testing import CliRunner

from schemas.cloudevents import Envelope
from schemas.members import MemberKey, MemberPublished
from schemas.needs import NeedKey, NeedPublished
from schemas.topics import MEMBERS, NOTIFICATIONS, SUBMISSIONS, Topic
from services.console.embedded.process import free_port
from services.console.letter_log import KafkaLetterLog, Later, open_letter_log
from services.console.main import cli
from services.console.replaying import replay
from services.matcher.handlers import events_to
from services.runtime.broker import SETTLING, UNPACKED
from services.runtime.clock import utc_now
from services.runtime.connection import Connection
from services.runtime.errors import PermanentError
from services.runtime.letters import Filter, Letter
from tests.component.matcher.actors import grower, irrigation, others, soil_lab
from tests.component.matcher.conftest import System
from tests.component.matcher.log import RecordingLog
from tests.integration.test_consumption import POISON, SECONDS, Log, consuming, member, send, until
from tests.parts.kafka import create_topics
from tests.parts.reading import read_whole

LARGE = {"max.message.bytes": "4200000"}
LETTERS = {**LARGE, "cleanup.policy": "compact,delete"}


@pytest.fixture(params=["memory_kafka", pytest.param("real_kafka", marks=pytest.mark.kafka)])
def bootstrap(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


async def made(bootstrap: str, memory: str, topic: Topic) -> Log:
    if bootstrap != memory:  # which makes topics when they are first asked for
        await create_topics(
            bootstrap, [(topic.name, 3, {**LARGE, "cleanup.policy": "compact"}), (topic.dead_letters, 1, LETTERS)]
        )
    return Log(bootstrap, topic)


@pytest.fixture
async def log(bootstrap: str, memory_kafka: str) -> Log:
    name = f"members-{uuid.uuid4().hex}.v1"
    return await made(bootstrap, memory_kafka, Topic(name, "", MemberKey, (MemberPublished,), compacted=True))


@pytest.fixture
async def producer(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=5_000_000)
    await producer.start()
    yield producer
    await producer.stop()


async def dlq(log: Log, *arguments: str) -> Result:
    """What a person sees of `maillage dlq ...`."""
    command = ["dlq", arguments[0], "--kafka", log.bootstrap, *arguments[1:]]
    result: Result = await asyncio.to_thread(CliRunner().invoke, cli, command)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


async def listed(log: Log, *options: str) -> list[dict[str, Any]]:
    result = await dlq(log, "list", "--topic", log.topic.name, "--json", *options)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == (0 if found else 1), result.stderr
    return found


class Mended:
    """A handler that cannot handle one member, until what is wrong with it is mended."""

    def __init__(self, *bad: str) -> None:
        self.bad = set(bad)
        self.seen: list[str] = []

    async def __call__(self, events: Sequence[Envelope]) -> None:
        if any(str(event.key) in self.bad for event in events):
            raise PermanentError("member_id: cannot be; choose another")
        self.seen += [f"{event.key} {event.rev}" for event in events]


async def dead(log: Log, handle: Mended, count: int, flow: AIOKafkaProducer) -> list[str]:
    """Let a consumer read what is there; return the ids of the `count` open letters, oldest first."""
    await send(flow, log, member("after-all"), partition=0)
    async with consuming(log, handle):
        await until(lambda: any(seen.startswith("souss/after-all") for seen in handle.seen))
        await set_aside(log, count)  # those of other partitions may come after
    found = [letter["id"] for letter in await listed(log)]
    assert len(found) == count
    return found[::-1]


async def set_aside(log: Log, count: int) -> None:
    """Return when so many letters are open."""
    async with open_letter_log(Connection(log.bootstrap), clock=utc_now) as kafka, asyncio.timeout(SECONDS):
        found = 0
        while found < count:
            await asyncio.sleep(0.05)
            with suppress(PermanentError):  # the broker in memory makes a topic for its first record
                found = len(Filter().choose((await kafka.shelf(log.topic.name)).letters.values()))


@pytest.fixture
async def poisoned(log: Log, producer: AIOKafkaProducer) -> dict[str, str]:
    """Each sort of poison, by the id of its dead letter."""
    ids: dict[str, str] = {}
    for sort, (key, body, headers, _) in POISON.items():
        sent = await producer.send_and_wait(log.topic.name, body, key=key, headers=list(headers.items()), partition=0)
        ids[sort] = f"{log.topic.name}/0/{sent.offset}"
    await dead(log, Mended(), len(POISON), producer)
    return ids


async def test_dead_letters_are_listed_newest_first_with_their_reasons_and_nothing_of_their_bodies(
    log: Log, poisoned: dict[str, str]
) -> None:
    result = await dlq(log, "list", "--topic", log.topic.dead_letters)

    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(poisoned.values())[::-1]
    for line, (*_, reason) in zip(lines[::-1], POISON.values(), strict=True):
        assert reason in line
        assert "  test  " in line
    assert "not json" not in result.stdout
    assert "souss/bad" not in result.stdout
    assert f"{len(POISON)} dead letters: {log.topic.name} {len(POISON)}" in result.stderr

    newest = await dlq(log, "list", "--topic", log.topic.name, "--limit", "1")
    assert newest.stdout.splitlines() == lines[:1]
    assert f"{len(POISON)} dead letters" in newest.stderr  # all that there are


@pytest.mark.parametrize(
    ("options", "sorts"),
    [
        (["--reason", "NOT UTF-8"], ["header not UTF-8"]),
        (["--service", "test", "--since", "1h", "--limit", "2"], ["erasure of nobody", "header without value"]),
        (["--since", "2h", "--reason", "name"], ["header without value", "wrong schema"]),
        (["--service", "matcher"], []),
        (["--since", "2999-01-01"], []),
    ],
)
async def test_filters_combine(log: Log, poisoned: dict[str, str], options: list[str], sorts: list[str]) -> None:
    assert [letter["id"] for letter in await listed(log, *options)] == [poisoned[sort] for sort in sorts]


async def test_one_is_shown_whole_and_safe_for_a_terminal(log: Log, poisoned: dict[str, str]) -> None:
    shown = {sort: (await dlq(log, "show", identity)) for sort, identity in poisoned.items()}

    assert all("personal data" in result.stderr for result in shown.values())
    assert "\\x00\\xff not json" in shown["not JSON"].stdout
    assert '{\n  "name": 3\n}' in shown["wrong schema"].stdout
    assert "  x-note: \\xff\\xfe" in shown["header not UTF-8"].stdout
    assert "body           none" in shown["erasure of nobody"].stdout
    assert "2,000,000 bytes" in shown["2 MB"].stdout
    assert len(shown["2 MB"].stdout) < 10_000
    for sort, (key, body, headers, _) in POISON.items():
        whole = json.loads((await dlq(log, "show", poisoned[sort], "--json")).stdout)
        assert base64.b64decode(whole["key_base64"]) == key
        assert (whole["body_base64"] and base64.b64decode(whole["body_base64"])) == (body and body)
        kept = {name: base64.b64decode(value) for name, value in whole["headers_base64"]}
        assert kept == {name: value for name, value in headers.items() if value is not None}


async def test_what_is_dropped_is_shown_no_more(log: Log, poisoned: dict[str, str]) -> None:
    one, rest = poisoned["not JSON"], len(poisoned) - 1
    unasked = await dlq(log, "drop", one)
    assert unasked.exit_code == 2
    assert "--yes" in unasked.stderr

    assert (await dlq(log, "drop", one, "--yes")).exit_code == 0
    assert one not in [letter["id"] for letter in await listed(log)]
    assert [letter["settled"]["how"] for letter in await listed(log, "--all") if letter["settled"]] == ["dropped"]
    assert (await dlq(log, "drop", one, "--yes")).exit_code == 1

    others = await dlq(log, "drop", "--topic", log.topic.name, "--yes")
    assert others.exit_code == 0
    assert f"{rest} settled" in others.stderr
    assert await listed(log) == []


async def test_a_record_is_put_back_as_it_was_and_can_be_seen_to_fail_anew(log: Log, poisoned: dict[str, str]) -> None:
    result = await dlq(log, "replay", *poisoned.values(), "--over-newer", "--json")
    assert result.exit_code == 0, result.stderr
    back = {line["id"]: line["put_back"] for line in map(json.loads, result.stdout.splitlines())}

    records = {place(record): record for record in await read_whole(log.bootstrap, log.topic.name)}
    homes = {(record.key, record.partition) for identity in back.values() if (record := records[identity])}
    assert len(homes) == len({key for key, _ in homes})  # all of a key on one partition
    for sort, (key, body, headers, _) in POISON.items():
        record = records[back[poisoned[sort]]]
        expected = {name: value for name, value in headers.items() if value is not None}
        assert (record.key, record.value) == (key, body)
        assert dict(record.headers) == {**expected, "dead_letter_replayed_from": poisoned[sort].encode()}

    async with consuming(log, Mended()):
        await set_aside(log, len(POISON))
    anew = await listed(log)
    assert {letter["replayed_from"] for letter in anew} == set(poisoned.values())
    assert {letter["id"] for letter in anew} == set(back.values())


def place(record: ConsumerRecord) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"


async def test_once_the_cause_is_mended_the_event_is_handled_and_a_second_replay_refused(
    log: Log, producer: AIOKafkaProducer
) -> None:
    handle = Mended("souss/m1")
    await send(producer, log, member("m1"), partition=0)
    [identity] = await dead(log, handle, 1, producer)
    handle.bad.clear()

    assert (await dlq(log, "replay", identity)).exit_code == 0
    second = await dlq(log, "replay", identity)
    async with consuming(log, handle):
        await until(lambda: "souss/m1 1" in handle.seen)

    assert second.exit_code == 1
    assert "replayed" in second.stderr
    assert "--again" in second.stderr
    assert handle.seen.count("souss/m1 1") == 1
    assert await listed(log) == []


class EndsBeforeTheMark:
    """A `LetterLog` of a process that ends between putting back and marking."""

    def __init__(self, log: KafkaLetterLog) -> None:
        self._log = log
        self.body, self.later, self.put_back = log.body, log.later, log.put_back

    async def settle(self, letter: Letter, how: str) -> None:  # noqa: ARG002 - the port's
        raise KeyboardInterrupt


class SeesNothing(EndsBeforeTheMark):
    """A `LetterLog` of a second operator, who looked before the first one had put back."""

    def __init__(self, log: KafkaLetterLog) -> None:
        super().__init__(log)
        self.settle = log.settle  # type: ignore[method-assign]

        async def later(*_: object) -> dict[str, Later]:
            return {}

        self.later = later  # type: ignore[assignment]


@pytest.mark.parametrize("second", [KafkaLetterLog, SeesNothing], ids=["one operator", "two at the same moment"])
async def test_a_replay_that_ended_before_the_mark_is_ended_by_the_next_and_a_suggestion_is_made_once(
    bootstrap: str, memory_kafka: str, mongo_url: str, producer: AIOKafkaProducer, second: type[Any]
) -> None:
    topic = Topic(f"needs-{uuid.uuid4().hex}.v1", "", NeedKey, (NeedPublished,), compacted=True)
    log = await made(bootstrap, memory_kafka, topic)
    system = System(url=mongo_url, log=RecordingLog())
    await system.start()
    await system.give(*others(), grower(), soil_lab())
    system.log.take()
    broken, handled = True, 0
    take = events_to(system.matcher)

    async def handle(events: Sequence[Envelope]) -> None:
        nonlocal handled
        if broken:
            raise PermanentError("need: this version cannot take it")
        await take(events, {})
        await system.relay.publish_due()
        handled += len(events)

    await send(producer, log, irrigation().value)
    async with consuming(log, handle):
        await set_aside(log, 1)
    waiting = await listed(log)
    broken = False
    async with open_letter_log(Connection(bootstrap), clock=utc_now) as kafka:
        letters = list((await kafka.shelf(topic.name)).letters.values())
        with pytest.raises(KeyboardInterrupt):
            [_ async for _ in replay(letters, log=EndsBeforeTheMark(kafka), dead=letters)]
        assert await listed(log) == waiting  # still open: nothing is lost
        again = kafka if second is KafkaLetterLog else second(kafka)
        [outcome] = [outcome async for outcome in replay(letters, log=again, dead=letters)]
    copies = 1 if second is KafkaLetterLog else 2
    async with consuming(log, handle):
        await until(lambda: handled == copies)
    made_once = system.log.made()
    await system.close()

    records = await read_whole(bootstrap, topic.name)
    assert len(records) == 1 + copies
    assert outcome.earlier == (copies == 1)
    assert await listed(log) == []
    assert len(made_once) == 1


async def test_an_older_state_does_not_take_the_place_of_a_newer_one(log: Log, producer: AIOKafkaProducer) -> None:
    handle = Mended("souss/m1", "souss/m2")
    home = (await producer.send_and_wait(log.topic.name, b"{}", key=b"souss/m1")).partition
    await send(producer, log, member("m1", 2))
    for rev in (1, 2):
        await send(producer, log, member("m2", rev))
    await dead(log, handle, 4, producer)
    handle.bad.clear()
    await send(producer, log, member("m1", 3))

    old = [letter["id"] for letter in await listed(log) if letter["id"].startswith(f"{log.topic.name}/{home}/")]
    result = await dlq(log, "replay", "--topic", log.topic.name, "--yes")
    lines = await read_whole(log.bootstrap, log.topic.name)
    put_back = [(record.key, json.loads(record.value)["rev"]) for record in lines if is_back(record)]
    assert result.exit_code == 1
    assert "a newer record of its key" in result.stderr
    assert put_back == [(b"souss/m2", 1), (b"souss/m2", 2)]  # in their order
    left = {letter["id"] for letter in await listed(log)}
    assert len(left) == 2
    assert left <= set(old)


def is_back(record: ConsumerRecord) -> bool:
    return "dead_letter_replayed_from" in dict(record.headers)


async def test_what_was_cut_is_refused_with_a_remedy(log: Log) -> None:
    packing = AIOKafkaProducer(bootstrap_servers=log.bootstrap, max_request_size=20_000_000, compression_type="gzip")
    await packing.start()
    await packing.send_and_wait(log.topic.name, b"{}", key=b"k" * 4_000_000, partition=0)
    [identity] = await dead(log, Mended(), 1, packing)
    await packing.stop()

    result = await dlq(log, "replay", identity)
    assert result.exit_code == 1
    assert "its key was too long" in result.stderr
    assert [letter["id"] for letter in await listed(log)] == [identity]


@pytest.mark.kafka
async def test_what_its_topic_takes_no_more_is_refused_and_does_not_hold_the_others(real_kafka: str) -> None:
    name = f"members-{uuid.uuid4().hex}.v1"
    log = await made(real_kafka, "", Topic(name, "", MemberKey, (MemberPublished,), compacted=True))
    handle = Mended("souss/m1")
    flow = AIOKafkaProducer(bootstrap_servers=real_kafka, max_request_size=5_000_000)
    await flow.start()
    await send(flow, log, member("m1"))
    await flow.send_and_wait(name, b"x" * 2_000_000, key=b"souss/m1")
    await send(flow, log, member("m1", 2))
    _, large, _ = sorted(await dead(log, handle, 3, flow))
    await flow.stop()
    admin = AIOKafkaAdminClient(bootstrap_servers=real_kafka)
    await admin.start()
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": "1000000"})])
    await admin.close()
    handle.bad.clear()

    result = await dlq(log, "replay", "--topic", name, "--yes")
    async with consuming(log, handle):
        await until(lambda: {"souss/m1 1", "souss/m1 2"} <= set(handle.seen))
    assert result.exit_code == 1
    assert f"{large}  not settled: {name} takes no record as large" in result.stderr
    assert [letter["id"] for letter in await listed(log)] == [large]


async def test_a_sender_cannot_make_its_record_an_erasure_or_settle_it(log: Log, producer: AIOKafkaProducer) -> None:
    headers = [("dead_letter_body", b"absent"), ("dead_letter_settled", b"dropped")]
    await producer.send_and_wait(log.topic.name, b"not json", key=b"souss/m1", headers=headers, partition=0)
    await producer.send_and_wait(log.topic.name, None, key=b"bad", headers=headers, partition=0)
    identity, _ = await dead(log, Mended(), 2, producer)
    assert (await dlq(log, "replay", identity)).exit_code == 0
    [back] = [record for record in await read_whole(log.bootstrap, log.topic.name) if is_back(record)]
    assert back.value == b"not json"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["replay"], "--topic"),
        (["drop", "--limit", "3", "--yes"], "--topic"),
        (["drop", "members.v1/0/1", "--reason", "x", "--yes"], "not both"),
        (["replay", "--topic", "members.v1", "--again", "--yes"], "--again"),
        (["show", "members.v1"], "topic/partition/offset"),
        (["list", "--since", "yesterday"], "2h"),
    ],
)
def test_a_wrong_use_is_status_2_and_says_how(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(cli, ["dlq", *arguments, "--kafka", f"127.0.0.1:{free_port()}"])
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.replace("│", " ").split())


async def test_what_is_not_there_is_status_1_and_says_what_to_do(log: Log, poisoned: dict[str, str]) -> None:
    unknown = await dlq(log, "replay", f"{log.topic.name}/0/999")
    assert unknown.exit_code == 1
    assert "no such dead letter" in unknown.stderr
    unwritten = await dlq(log, "list", "--topic", NOTIFICATIONS.name)
    assert unwritten.exit_code == 1
    assert "0 dead letters" in unwritten.stderr  # even where its dead-letter topic is made for the first one
    other = await dlq(log, "list", "--topic", "membres.v1")
    assert other.exit_code == 1
    assert log.topic.name in other.stderr
    away = await dlq(Log(f"127.0.0.1:{free_port()}", log.topic), "list")
    assert away.exit_code == 1
    assert "MAILLAGE_KAFKA names it" in away.stderr


@pytest.mark.kafka
async def test_topics_of_an_older_version_are_brought_up_to_date_and_keep_what_their_operator_set(
    real_kafka: str,
) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=real_kafka)
    await admin.start()
    before = {"cleanup.policy": "delete", "retention.ms": "123456789", "max.message.bytes": "4200000"}
    ninety_days = {"cleanup.policy": "compact,delete", "retention.ms": str(90 * 86_400_000)}
    packed = {"cleanup.policy": "compact", "delete.retention.ms": "123456789"}
    await admin.alter_configs(
        [
            ConfigResource(ConfigResourceType.TOPIC, MEMBERS.dead_letters, before),
            ConfigResource(ConfigResourceType.TOPIC, SUBMISSIONS.dead_letters, ninety_days),
            ConfigResource(ConfigResourceType.TOPIC, MEMBERS.name, packed),
        ]
    )

    names = (MEMBERS.dead_letters, SUBMISSIONS.dead_letters, MEMBERS.name)

    async def described() -> dict[str, dict[str, str]]:
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        return {
            name: {entry[0]: entry[1] for entry in entries}
            for answer in await admin.describe_configs(asked)
            for *_, name, entries in answer.resources
        }

    older = dict(zip(names, (before, ninety_days, packed), strict=True))
    async with asyncio.timeout(SECONDS):  # a broker confirms a setting before it knows of it
        while not all(older[name].items() <= found.items() for name, found in (await described()).items()):
            await asyncio.sleep(0.02)

    changed = await asyncio.to_thread(CliRunner().invoke, cli, ["topics", real_kafka])
    again = await asyncio.to_thread(CliRunner().invoke, cli, ["topics", real_kafka])

    found = await described()
    await admin.close()
    now, submissions, members = (found[name] for name in names)
    assert changed.exit_code == again.exit_code == 0
    assert MEMBERS.dead_letters in changed.stderr
    assert MEMBERS.dead_letters not in again.stderr
    assert {name: now[name] for name in before | SETTLING} == {**before, **SETTLING}
    assert submissions["retention.ms"] == str(7 * 86_400_000), "nothing outlasts what submissions.v1 promises"
    assert {name: members[name] for name in packed | UNPACKED} == {**packed, **UNPACKED}
