"""Records of organisations' own producers: taken as if they had been posted, answered, or set aside."""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import pytest
from aiokafka import ConsumerRecord

from schemas import cloudevents
from schemas.base import Event, Key
from schemas.cloudevents import Envelope
from schemas.submissions import ID_HEADER, SIGNATURE_HEADER, SubmissionAnswered, sign
from schemas.topics import SUBMISSION_RESULTS, SUBMISSIONS, Topic
from services.ingest.claims import Claims
from services.ingest.entities import Taken
from services.ingest.erasure import Erasure
from services.ingest.keys import Caller, Keyring, OperatorKey
from services.ingest.ledger import Asked, Ledger
from services.ingest.previews import Previews
from services.ingest.service import IngestService
from services.ingest.settings import IngestSettings
from services.ingest.store import EntityStore
from services.ingest.submissions import OUR_MISTAKE, Submissions
from services.ingest.taking import Row, Taking
from services.runtime.clock import utc_now
from services.runtime.errors import BrokerUnavailableError, TransientError
from services.runtime.publishing import KafkaPublisher
from services.web.sessions import Sessions
from tests.component.ingest.conftest import CONTACT, Cluster
from tests.component.ingest.replica import Crash

FIRM = {"name": "Atelier d’argan", "kind": "company", "languages": ["fr", "ar"], "country": "MA"}
NEED = {"title": "Valoriser le tourteau d’argan", "text": "Nous cherchons un laboratoire.", "direction": "request"}


class Told(KafkaPublisher):
    """The frame's publisher, which can be silenced, or the end of the process; keeps what it told of submissions."""

    def __init__(self, real: KafkaPublisher) -> None:
        self._real = real
        self.answers: list[Envelope] = []
        self.silent = 0
        """So many events more are not confirmed."""
        self.silenced: Callable[[Topic], bool] = lambda _: True
        self.deadly = False
        """The process ends before it answers."""

    async def publish(
        self, topic: Topic, key: Key, value: Event | None, *, rev: int, occurred_at: datetime, **more: Any
    ) -> None:
        if self.silent and self.silenced(topic):
            self.silent -= 1
            raise BrokerUnavailableError("no answer")
        if topic is not SUBMISSION_RESULTS:
            return await self._real.publish(topic, key, value, rev=rev, occurred_at=occurred_at, **more)
        if self.deadly:
            raise Crash
        record = cloudevents.write(topic, key, value, rev=rev, source="/test", occurred_at=occurred_at, **more)
        headers = [(name, text.encode()) for name, text in record.headers.items()]
        self.answers.append(cloudevents.read(topic, record.key, record.body, headers))
        return None


class Reluctant(Taking):
    """Takes nothing for so many rows: the database is away."""

    away = 0

    async def take(self, row: Row, caller: Caller, asked: Asked) -> tuple[str, Taken]:
        if self.away:
            self.away -= 1
            raise TransientError("the database is away")
        return await super().take(row, caller, asked)


@dataclass
class Sender:
    """An organisation with its key, and ingest as it reads what is sent."""

    cluster: Cluster
    member: str
    key: str
    submissions: Submissions
    told: Told
    ledger: Ledger
    taking: Reluctant
    offsets: "count[int]" = field(default_factory=count)

    def record(
        self, body: object, submission_id: str = "", *, key: str = "", age: timedelta = timedelta(), **changed: bytes
    ) -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        headers = sign(key or self.key, raw, submission_id=submission_id or uuid4().hex, at=utc_now() - age)
        given = {name: value.encode() for name, value in headers.items()}
        given |= {name.replace("_", "-"): value for name, value in changed.items()}
        return self.raw(raw, given)

    def raw(self, body: bytes | None, headers: dict[str, bytes]) -> Any:
        now = int(utc_now().timestamp() * 1000)
        return ConsumerRecord(
            SUBMISSIONS.name, 0, next(self.offsets), now, 0, None, body, None, 0, 0, tuple(headers.items())
        )

    async def send(self, *records: Any) -> list[str | None]:
        """Have them read as one batch, once; return what was noted of each."""
        noted: dict[int, str | None] = {}
        await self.submissions.take(records, noted)
        return [noted[place] for place in range(len(records))]

    @property
    def answers(self) -> list[SubmissionAnswered]:
        return [envelope.value for envelope in self.told.answers if isinstance(envelope.value, SubmissionAnswered)]

    async def ask(self, *records: Any) -> list[SubmissionAnswered]:
        """Send them, and return what was answered, in their order."""
        before = len(self.answers)
        assert await self.send(*records) == [None] * len(records)
        by_id = {answer.submission_id: answer for answer in self.answers[before:]}
        return [by_id[dict(record.headers)[ID_HEADER].decode()] for record in records]


@pytest.fixture
async def sender(cluster: Cluster) -> Sender:
    return await sending(cluster, "firm")


async def sending(cluster: Cluster, member: str) -> Sender:
    frame, told = cluster.frame, Told(cluster.frame.publisher)
    entities, claims = EntityStore(frame.store.database), Claims(frame.store.database)
    keyring = Keyring(database=frame.store.database, operator=OperatorKey(IngestSettings()), clock=frame.clock)
    sessions = Sessions(frame.store.database, whom="member")
    erasure = Erasure(entities=entities, keyring=keyring, sessions=sessions)
    ledger = Ledger(entities=entities, claims=claims, erasure=erasure, publisher=told, clock=frame.clock)
    previews = Previews(database=frame.store.database, url="", key=None, per_minute=1, clock=frame.clock)
    service = IngestService(ledger=ledger, entities=entities, previews=previews, clock=frame.clock)
    taking = Reluctant(service=service)
    submissions = Submissions(taking=taking, keyring=keyring, claims=claims, publisher=told, clock=frame.clock)
    key = (await cluster.key_of(member))["Authorization"].removeprefix("Bearer ")
    return Sender(cluster, member, key, submissions, told, ledger, taking)


async def stored(cluster: Cluster, kind: str, entity: str) -> Any:
    answer = await cluster.api.get(cluster.path(kind, entity))
    return answer.json() if answer.status_code == httpx.codes.OK else None


async def test_what_is_sent_is_stored_and_told_as_if_it_had_been_posted(cluster: Cluster, sender: Sender) -> None:
    profile, need = await sender.ask(
        sender.record(FIRM | {"member_id": "firm"}), sender.record(NEED | {"member_id": "firm", "need_id": "n1"})
    )
    said = [(one.status, one.kind, one.entity_id, one.entity_rev, one.problem) for one in (profile, need)]
    assert said == [(202, "members", "firm", 1, None), (202, "needs", "n1", 1, None)]
    assert (profile.cluster, profile.member_id) == (cluster.name, "firm")
    assert [str(envelope.key) for envelope in sender.told.answers] == [f"{cluster.name}/firm"] * 2

    posted = Cluster(f"c{uuid4().hex[:12]}", cluster.api, cluster.frame, cluster.bootstrap)
    await posted.put("members", "firm", FIRM)
    await posted.put("needs", "n1", NEED | {"member_id": "firm"})
    for kind, entity in (("members", "firm"), ("needs", "n1")):
        assert await stored(cluster, kind, entity) == await stored(posted, kind, entity) is not None
    ours, theirs = [
        {
            type(envelope.value): envelope.value.model_dump(exclude={"cluster", "published_at"})
            for envelope in await one.told()
            if envelope.value is not None
        }
        for one in (cluster, posted)
    ]
    assert ours == theirs
    assert len(ours) == 2


async def test_what_is_refused_is_told_in_the_same_words_without_what_was_sent(
    cluster: Cluster, sender: Sender
) -> None:
    await cluster.member("firm")
    own = await cluster.key_of("firm")
    wrong: list[tuple[str, str, dict[str, Any]]] = [
        ("members", "firm", FIRM | {"kind": "shop", "languages": ["fr", "xx-nobody"]}),
        ("members", "firm", FIRM | {"country": "ZZ", "summry": "Zineb-4711"}),
        ("members", "firm", FIRM | {"label": "Zineb-4711"}),
        ("members", "other", FIRM),
        ("needs", "n1", NEED | {"member_id": "other"}),
        ("needs", "n1", NEED | {"member_id": "firm", "deadline": "Zineb-4711"}),
        ("needs", "n 1", NEED | {"member_id": "firm"}),
        ("ambassadors", "a", {"name": "Zineb-4711"}),
    ]
    name = {"members": "member_id", "needs": "need_id", "ambassadors": "ambassador_id"}
    answers = await sender.ask(*(sender.record(body | {name[kind]: entity}) for kind, entity, body in wrong))
    for answer, (kind, entity, body) in zip(answers, wrong, strict=True):
        posted = (await cluster.api.put(cluster.path(kind, entity), json=body, headers=own)).json()
        for error in posted.get("errors", ()):
            error["value"] = ""
        problem = answer.model_dump(mode="json", exclude_none=True)["problem"]
        assert {"errors": [], **posted} == problem, (kind, entity)
        assert (answer.kind, answer.entity_id, answer.entity_rev) == (None, None, None)
        assert "Zineb-4711" not in answer.model_dump_json()
    malformed = await sender.ask(sender.record(b"no JSON"), sender.record(["a list"]), sender.record({"x": 1}))
    assert [answer.status for answer in malformed] == [400, 400, 422]
    [large] = await sender.ask(sender.record(FIRM | {"member_id": "firm", "summary": "x" * 1_000_000}))
    assert large.status == 413
    assert [envelope.rev for envelope in await cluster.told()] == [1]


async def test_the_same_id_is_one_submission_with_one_answer(cluster: Cluster, sender: Sender) -> None:
    await cluster.member("firm")
    unnamed = sender.record(NEED | {"member_id": "firm"}, "first")
    await sender.ask(unnamed, sender.record(FIRM | {"kind": "shop", "member_id": "firm"}, "second"))
    again = sender.record(NEED | {"member_id": "firm"}, "first", age=timedelta(hours=5))
    await sender.ask(again, sender.record(FIRM | {"kind": "shop", "member_id": "firm"}, "second"))
    first, second, *repeated = sorted(sender.told.answers, key=lambda one: one.event_id)
    assert first == second
    assert repeated[0] == repeated[1] != first
    needs = [envelope for envelope in await cluster.told() if "title" in type(envelope.value).model_fields]
    assert len(needs) == 1

    [another] = await sender.ask(sender.record(NEED | {"member_id": "firm"}, "third"))
    ids = {answer.entity_id for answer in sender.answers if answer.submission_id == "first"}
    assert len(ids | {another.entity_id}) == 2, "the same need under another id is another need"

    [other] = await sender.ask(sender.record(NEED | {"member_id": "firm", "title": "Autre besoin"}, "first"))
    assert (other.status, other.problem and other.problem.title) == (422, "webhook-id already used")
    own = await cluster.key_of("firm")
    shown = (await cluster.api.get("/v1/submissions/first", headers=own)).json()
    assert (shown["status"], shown["entity_rev"], shown["submission_id"]) == (202, 1, "first")
    for headers in (await cluster.key_of("other"), dict(cluster.api.headers)):
        assert (await cluster.api.get("/v1/submissions/first", headers=headers)).status_code == 404


async def test_what_is_signed_at_another_time_is_not_taken_but_what_was_taken_stays_so(
    cluster: Cluster, sender: Sender
) -> None:
    await cluster.member("firm")
    late, early = timedelta(hours=23, minutes=1), -timedelta(minutes=6)
    body = NEED | {"member_id": "firm", "need_id": "n1"}
    old, ahead = await sender.ask(sender.record(body, "old", age=late), sender.record(body, age=early))
    assert [one.problem and one.problem.title for one in (old, ahead)] == [
        "Signed too long ago",
        "Signed ahead of time",
    ]
    assert await stored(cluster, "needs", "n1") is None
    own = await cluster.key_of("firm")
    assert (await cluster.api.get("/v1/submissions/old", headers=own)).json()["status"] == 401
    # Signed anew it is taken, and read again long after that it still is.
    [anew] = await sender.ask(sender.record(body, "old"))
    [again] = await sender.ask(sender.record(body, "old", age=late))
    assert (anew.status, again) == (202, anew)
    assert (await cluster.api.get("/v1/submissions/old", headers=own)).json()["status"] == 202
    refused, taken, repeated = [
        one.event_id for one in sender.told.answers if getattr(one.value, "submission_id", "") == "old"
    ]
    assert refused != taken == repeated, "another answer is another event"


async def test_what_waits_is_followed_by_nothing_though_a_repetition_stands_between(
    cluster: Cluster, sender: Sender
) -> None:
    def profile(summary: str, submission_id: str) -> Any:
        return sender.record(FIRM | {"member_id": "firm", "summary": summary}, submission_id)

    await cluster.member("firm")
    await sender.ask(profile("older", "said"))
    records = [profile("first", "a"), profile("older", "said"), profile("last", "b")]
    sender.taking.away = 1
    noted: dict[int, str | None] = {}
    with pytest.raises(TransientError):
        await sender.submissions.take(records, noted)
    await settled(sender, records, noted)
    assert (await stored(cluster, "members", "firm"))["summary"] == "last"


async def test_what_we_fail_on_is_set_aside_and_its_sender_told(cluster: Cluster, sender: Sender) -> None:
    await cluster.member("firm")

    def fail(_: Topic) -> bool:
        raise ZeroDivisionError

    sender.told.silent, sender.told.silenced = 1, lambda topic: topic.name == "members.v1" and fail(topic)
    [reason] = await sender.send(sender.record(FIRM | {"member_id": "firm", "summary": "first"}, "a"))
    assert reason == OUR_MISTAKE
    own = await cluster.key_of("firm")
    assert (await cluster.api.get("/v1/submissions/a", headers=own)).json()["status"] == 500


async def test_a_contact_is_not_taken_this_way(cluster: Cluster, sender: Sender) -> None:
    await cluster.member("firm")
    [answer] = await sender.ask(sender.record(CONTACT | {"member_id": "firm"}))
    assert (answer.status, answer.problem and "over HTTP alone" in answer.problem.detail) == (403, True)
    assert not [value for value in CONTACT.values() if value in answer.model_dump_json()]
    assert (await cluster.api.get(cluster.path("members", "firm/contact"))).status_code == 404


async def test_what_nobody_signed_is_set_aside_and_answered_to_nobody(
    cluster: Cluster, sender: Sender, capsys: pytest.CaptureFixture[str]
) -> None:
    await cluster.member("firm")
    body = FIRM | {"member_id": "firm", "summary": "Zineb-4711"}
    other = await sending(cluster, "other")
    good = sender.record(body)
    key_id = dict(good.headers)["maillage-key"]
    reasons = await sender.send(
        sender.raw(good.value, {}),
        sender.raw(good.value + b" ", dict(good.headers)),
        sender.record(body, key=other.key, maillage_key=key_id),
        sender.record(body, webhook_signature=b"v1,Zineb-4711"),
        good,
        sender.record(FIRM | {"member_id": "firm"}, key=other.key),
    )
    assert [reason and reason.split(":")[0].split(" is")[0] for reason in reasons] == [
        "header maillage-key",
        *["header webhook-signature"] * 3,
        None,
        None,
    ]
    assert not [reason for reason in reasons if reason and "Zineb-4711" in reason]
    assert sorted(answer.member_id for answer in sender.answers) == ["firm", "other"]
    refused = next(answer for answer in sender.answers if answer.member_id == "other")
    assert refused.status == 403
    said = capsys.readouterr().out
    assert f"{cluster.name}/other" in said
    assert "submission_not_allowed" in said
    assert not [secret for secret in (other.key, sender.key, "Zineb-4711") if secret in said]


async def test_a_key_signs_as_far_as_it_may_and_no_longer(cluster: Cluster, sender: Sender) -> None:
    await cluster.member("firm")
    asked = {"cluster": cluster.name, "member_id": "firm", "scopes": ["needs"]}
    issued = (await cluster.api.post("/v1/keys", json=asked)).json()
    need, profile = NEED | {"member_id": "firm", "need_id": "n1"}, FIRM | {"member_id": "firm"}
    taken, refused = await sender.ask(sender.record(need, key=issued["key"]), sender.record(profile, key=issued["key"]))
    assert [taken.status, refused.status] == [202, 403]
    assert "the scopes needs" in (refused.problem.detail if refused.problem else "")
    listed = (await cluster.api.get("/v1/keys", params={"cluster": cluster.name, "member_id": "firm"})).json()["keys"]
    assert [key["key_id"] for key in listed if "used_at" in key] == [issued["key_id"]]

    rotated = await cluster.api.post(f"/v1/keys/{issued['key_id']}/rotation", json={"overlap_seconds": 0})
    assert await sender.send(sender.record(need, key=rotated.json()["key"])) == [None]
    await cluster.api.delete(f"/v1/keys/{rotated.json()['key_id']}")
    for key in (issued["key"], rotated.json()["key"]):
        [nobodys] = await sender.send(sender.record(need, key=key))
        assert "it was revoked, has ended, or was never issued" in (nobodys or "")
        assert "may have been taken before" in (nobodys or "")


async def test_while_the_log_does_not_confirm_a_batch_waits_in_its_order_and_neighbours_are_settled(
    cluster: Cluster, sender: Sender
) -> None:
    await cluster.member("other")
    other = await sending(cluster, "other")
    other.submissions, other.told, other.offsets = sender.submissions, sender.told, sender.offsets
    records = [
        sender.record(FIRM | {"member_id": "firm", "summary": "first"}, "a"),
        sender.record(FIRM | {"member_id": "firm", "summary": "second"}, "b"),
        sender.record(NEED | {"member_id": "firm", "need_id": "n1"}, "c"),
        other.record(NEED | {"member_id": "other", "need_id": "n2"}, "d"),
        sender.raw(b"{}", {}),
    ]
    sender.told.silent, sender.told.silenced = 1, lambda topic: topic.name == "members.v1"
    noted: dict[int, str | None] = {}
    with pytest.raises(TransientError):
        await sender.submissions.take(records, noted)
    assert set(noted) == {3, 4}
    assert [answer.submission_id for answer in sender.answers] == ["d"]
    await settled(sender, records, noted)
    assert [answer.status for answer in sender.answers] == [202] * 4
    assert (await stored(cluster, "members", "firm"))["summary"] == "second"
    revs = {answer.submission_id: answer.entity_rev for answer in sender.answers}
    assert (revs["a"], revs["b"]) == (1, 2)

    # Nor is anything settled while the answer itself is not confirmed.
    sender.told.silent, sender.told.silenced = 1, lambda topic: topic is SUBMISSION_RESULTS
    noted, records = {}, [sender.record(FIRM | {"member_id": "firm", "summary": "third"}, "e")]
    with pytest.raises(TransientError):
        await sender.submissions.take(records, noted)
    assert noted == {}
    await settled(sender, records, noted)
    assert (sender.answers[-1].submission_id, sender.answers[-1].entity_rev) == ("e", 3)


async def settled(sender: Sender, records: Sequence[Any], noted: dict[int, str | None]) -> None:
    """Read them again until nothing waits, as the settlement does."""
    async with asyncio.timeout(30):
        while len(noted) < len(records):
            with suppress(TransientError):
                await sender.submissions.take(records, noted)
            await sender.ledger.relay()


async def test_a_crash_between_taking_and_answering_leaves_one_event_and_an_answer(
    cluster: Cluster, sender: Sender
) -> None:
    records = [
        sender.record(FIRM | {"member_id": "firm"}, "a"),
        sender.record(NEED | {"member_id": "firm"}, "b"),
        sender.record(NEED | {"member_id": "firm", "title": ""}, "c"),
    ]
    sender.told.deadly = True
    with pytest.raises(Crash):
        await sender.send(*records)
    assert sender.answers == []
    again = await sending(cluster, "firm")
    answers = await again.ask(*records)
    assert [(one.status, one.entity_rev) for one in answers] == [(202, 1), (202, 1), (422, None)]
    assert [envelope.rev for envelope in await cluster.told()] == [1, 1]


async def test_thousands_of_strange_records_are_each_answered_or_set_aside(cluster: Cluster, sender: Sender) -> None:
    await cluster.member("firm")
    chance = random.Random(20261126)
    records = [strange(sender, chance) for _ in range(2_000)]
    told: list[str | None] = []
    for begin in range(0, len(records), 200):
        told += await sender.send(*records[begin : begin + 200])
    set_aside = [reason for reason in told if reason is not None]
    answered = {answer.submission_id for answer in sender.answers}
    expected = {
        dict(record.headers)[ID_HEADER].decode() for record, reason in zip(records, told, strict=True) if reason is None
    }
    assert answered == expected
    assert len(answered) > 1_000
    assert len(set_aside) > 200
    statuses = {answer.status for answer in sender.answers}
    assert {202, 400, 403, 422} <= statuses <= {202, 400, 401, 403, 409, 413, 422}
    [good] = await sender.ask(sender.record(NEED | {"member_id": "firm", "need_id": "last"}))
    assert good.status == 202


def strange(sender: Sender, chance: random.Random) -> Any:
    """A record as a broken or hostile producer may write it."""
    pieces: list[Any] = [
        None, True, 0, -1, 1e308, 2**70, "", "firm", "é", "\ud800", "\x00", "a/b", "$where", [], {}, ["fr"], [None],
        {"$set": 1}, {"a.b": {"$x": []}}, "x" * 5_000, "company", "request", "2031-01-31T18:00:00Z", [{"title": "a"}],
    ]  # fmt: skip
    names = [
        *FIRM,
        *NEED,
        "member_id",
        "need_id",
        "ambassador_id",
        "email",
        "assets",
        "$set",
        "a.b",
        "\ud800",
        "",
        "alerts",
    ]
    need = NEED | {"member_id": "firm", "need_id": f"n{chance.randrange(500)}"}
    base = need if chance.random() < 0.9 else FIRM | {"member_id": "firm"}
    fields = dict(base) if chance.random() < 0.7 else {}
    for _ in range(chance.randrange(4)):
        fields[chance.choice(names)] = chance.choice(pieces)
    body = json.dumps(fields).encode() if chance.random() < 0.8 else chance.choice(
        [b"", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 5_000, b"NaN", b'{"member_id": NaN, "kind": 1}', b"{}{}"]
    )  # fmt: skip
    record = sender.record(body)
    headers = dict(record.headers)
    if chance.random() < 0.3:
        name = chance.choice([*headers, "traceparent", "content-type", ""])
        headers[name] = chance.choice([b"", b"\xff", b"v1,", b"0" * 10_000, b"a b", None])
    if chance.random() < 0.1:
        headers[SIGNATURE_HEADER] = headers.get(SIGNATURE_HEADER) or b"v1,x"
    return sender.raw(record.value, headers)
