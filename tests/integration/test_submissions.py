"""Producers that nobody here wrote, against ingest in a process of its own and an Apache Kafka."""

import asyncio
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from confluent_kafka import Producer

from schemas import cloudevents
from schemas.submissions import SubmissionAnswered, sign
from schemas.topics import NEEDS, SUBMISSION_RESULTS, SUBMISSIONS, Topic
from services.console.embedded.process import LOOPBACK, ChildProcess, free_port
from services.runtime.broker import create_topics
from services.runtime.clock import utc_now
from services.runtime.connection import Connection
from tests.parts import kafka as real
from tests.parts.reading import read_whole

pytestmark = pytest.mark.kafka

PAGE = (Path(__file__).parents[2] / "docs" / "ingest.md").read_text(encoding="utf-8")
OPERATOR_KEY = "operator-key-of-the-tests"
SECONDS = 60.0


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@dataclass
class Ingest:
    """Ingest in a process of its own; `argania-tech` of `souss` is published and has a key."""

    bootstrap: str
    url: str
    child: ChildProcess
    folder: Path
    client: httpx.AsyncClient
    key: str = ""

    async def http(self, method: str, path: str, *, key: str = "", **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or OPERATOR_KEY}"}
        return await self.client.request(method, f"{self.url}/v1{path}", headers=headers, **more)

    async def answer(self, submission_id: str) -> dict[str, Any]:
        """What was answered to a submission, once it is."""
        async with asyncio.timeout(SECONDS):
            while (said := await self.http("GET", f"/submissions/{submission_id}", key=self.key)).status_code == 404:
                await asyncio.sleep(0.05)
        found: dict[str, Any] = said.json()
        return found

    async def shell(self, script: str) -> str:
        """Run a script of the page, with the console producer on its path; return what it says."""
        script = script.replace("kafka.example:9092", self.bootstrap)
        path = f"{self.folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euc", script),
            env={**os.environ, "PATH": path, "MAILLAGE_KEY": self.key, "MAILLAGE_URL": self.url},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await process.communicate())[0].decode()
        assert process.returncode == 0, said
        return said

    async def read(self, topic: Topic) -> list[cloudevents.Envelope]:
        """All events of a topic."""
        records = await read_whole(self.bootstrap, topic.name)
        return [cloudevents.read(topic, record.key, record.value, record.headers) for record in records]


@pytest.fixture(scope="module")
async def ingest(mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ingest]:
    missing = real.available() or (None if shutil.which("kcat") else "no kcat")
    if missing:
        if os.environ.get("MAILLAGE_TEST_ALL"):
            pytest.fail(missing)
        pytest.skip(missing)
    folder, port = tmp_path_factory.mktemp("submissions"), free_port()
    node = real.RealKafka(folder / "kafka")
    await node.start()
    await create_topics(Connection(node.bootstrap), partitions=3, replication=1)
    tool = folder / "kafka-console-producer.sh"
    tool.write_text(f'#!/bin/sh\nexec {shlex.join(real.console_producer())} "$@"\n')
    tool.chmod(0o755)
    env = {
        "MAILLAGE_MONGO": mongo_url,
        "MAILLAGE_KAFKA": node.bootstrap,
        "MAILLAGE_DATABASE": f"ingest-{uuid4().hex}",
        "MAILLAGE_PORT": str(port),
        "MAILLAGE_OPERATOR_KEY": OPERATOR_KEY,
        "MAILLAGE_INSTANCE": "one",
        "MAILLAGE_SESSION_SECONDS": "6",
    }
    child = ChildProcess(
        "ingest",
        [sys.executable, "-m", "services.ingest"],
        log=folder / "ingest.log",
        env=env,
        ready=lambda line: line if '"started"' in line else None,
    )
    await child.start()
    client = httpx.AsyncClient(timeout=30)
    found = Ingest(node.bootstrap, f"http://{LOOPBACK}:{port}", child, folder, client)
    firm = {"name": "Argania Tech", "kind": "company"}
    assert (await found.http("PUT", "/clusters/souss/members/argania-tech", json=firm)).status_code == 202
    issued = await found.http("POST", "/keys", json={"cluster": "souss", "member_id": "argania-tech"})
    found.key = issued.json()["key"]
    yield found
    await client.aclose()
    await child.stop()
    await node.stop()


async def test_the_page_works_and_each_client_gives_what_http_gives(ingest: Ingest) -> None:
    kcat, console, asking = blocks("bash")
    [python] = [block for block in blocks("python") if "schemas.submissions" in block]

    # The second example goes on where the first one ends, but for the record that this sends.
    prepared = kcat.split('printf %s "$body" | kcat')[0]

    async def clients(marked: str, *, title: str) -> None:
        """Run each example of the page, about a need of its own."""

        def of(script: str, number: int) -> str:
            script = script.replace('"title": "Séchoir solaire"', title).replace("sechage-", f"{marked}-")
            return script.replace('"need_id": "sechage"', f'"need_id": "{marked}-{number}"')

        await ingest.shell(of(kcat, 1))
        await ingest.shell(of(prepared + console, 2))
        example = ingest.folder / "example.py"
        example.write_text(of(python, 3).replace("kafka.example:9092", ingest.bootstrap))
        await ingest.shell(f"python {shlex.quote(str(example))}")

    await clients("good", title='"title": "Séchoir solaire"')
    await clients("wrong", title='"titel": "Séchoir solaire"')
    right = json.loads(re.findall(r"body='(.*?)'\n", kcat)[0])
    del right["need_id"]
    posted = await ingest.http("PUT", "/clusters/souss/needs/posted", key=ingest.key, json=right)
    assert posted.status_code == 202
    refused = await ingest.http(
        "PUT",
        "/clusters/souss/needs/refused",
        key=ingest.key,
        json={"titel" if name == "title" else name: value for name, value in right.items()},
    )
    shown = (await ingest.http("GET", "/clusters/souss/needs/posted")).json()
    problem = refused.json()
    for error in problem["errors"]:
        error["value"] = ""
    for number in (1, 2, 3):
        taken, wrong = await ingest.answer(f"good-{number}"), await ingest.answer(f"wrong-{number}")
        assert (taken["status"], taken["entity_id"], taken["entity_rev"]) == (202, f"good-{number}", 1), taken
        assert (await ingest.http("GET", f"/clusters/souss/needs/good-{number}")).json() == shown
        assert wrong["problem"] == problem
    events = {
        envelope.value.need_id: envelope.value.model_dump(exclude={"need_id", "published_at"})  # type: ignore[union-attr]
        for envelope in await ingest.read(NEEDS)
    }
    assert [events[f"good-{number}"] for number in (1, 2, 3)] == [events["posted"]] * 3
    assert '"status": 202' in await ingest.shell(asking.replace("sechage-", "good-"))
    for marked, status in (("good", 202), ("wrong", 422)):
        answers = await answers_of(ingest, f"{marked}-")
        assert {(str(answer.key), answer.status) for _, answer in answers} == {("souss/argania-tech", status)}


async def test_ingest_that_is_killed_answers_each_submission_and_takes_it_once(ingest: Ingest) -> None:
    ids = [f"killed-{number}" for number in range(1_500)]
    producer = Producer({"bootstrap.servers": ingest.bootstrap, "enable.idempotence": True})
    for one in ids:
        need = {"need_id": one, "member_id": "argania-tech", "title": "Capteurs d’humidité"}
        body = json.dumps(need).encode()
        headers = sign(ingest.key, body, submission_id=one, at=utc_now())
        producer.produce(SUBMISSIONS.name, body, one, headers=list(headers.items()))
    producer.flush()
    for some in (100, 400):
        await ingest.answer(ids[some])
        await ingest.child.kill()
        await ingest.child.start()
    answers: list[tuple[str, SubmissionAnswered]] = []
    async with asyncio.timeout(SECONDS):
        while set(ids) - {answer.submission_id for _, answer in answers}:
            answers = await answers_of(ingest, "killed-")
    assert {(answer.status, answer.entity_rev) for _, answer in answers} == {(202, 1)}
    assert len({event_id for event_id, _ in answers}) == len(ids), "an answer that is repeated is the same event"
    assert {one.rev for one in await ingest.read(NEEDS) if str(one.key).startswith("souss/killed-")} == {1}


async def answers_of(ingest: Ingest, begins: str) -> list[tuple[str, SubmissionAnswered]]:
    """The answers to some submissions, each with the id of its event."""
    return [
        (one.event_id, one.value)
        for one in await ingest.read(SUBMISSION_RESULTS)
        if isinstance(one.value, SubmissionAnswered) and one.value.submission_id.startswith(begins)
    ]
