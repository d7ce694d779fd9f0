"""Secrets and personal data stay out of logs, metrics and the lists of dead letters, whatever goes wrong."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from schemas.topics import AMBASSADORS, CONTACTS, FEEDBACK, MEMBERS, NEEDS, SUGGESTIONS, TOPICS
from services.console.main import cli
from tests.security.conftest import SECONDS, Deployed

PRIVATE = "zqprivatezq"
"""In whatever this test sends that is nobody's business."""

BREAK = "%0d%0ax-injected:%201%0d%0a%7b%22event%22:%20%22forged%22%7d"
"""A line break, a header and a log line, as a client writes them into a path."""


async def go_wrong(deployed: Deployed) -> list[httpx.Response]:
    """Have everything refused that can be, with private words in it, and line breaks."""
    operator = {"Authorization": f"Bearer {deployed.system.operator_key}"}
    member = "/v1/clusters/ours/members/firm"
    answers: list[httpx.Response] = []
    async with httpx.AsyncClient(base_url=deployed.system.api, timeout=30) as api:
        for headers in (operator, deployed.ours.bearer(), {"Authorization": f"Bearer mk_{PRIVATE}"}, {}):
            answers += [
                await api.put(member, content=body, headers=headers)
                for body in (f'{{"name": "{PRIVATE}', f'{{"name": 7, "{PRIVATE}": 1}}', f'{{"name": "{PRIVATE}"}}')
            ]
            answers += [
                await api.put(
                    f"{member}/contact", json={"name": PRIVATE, "email": email, "phone": phone}, headers=headers
                )
                for email, phone in ((PRIVATE, None), (f"a@{PRIVATE}.example", PRIVATE), (f"<{PRIVATE}@b>", "123456"))
            ]
            async with httpx.AsyncClient(base_url=api.base_url) as once:  # whose connection is closed on it
                with suppress(httpx.TransportError):
                    answers.append(await once.put(member, content=f'"{PRIVATE}'.encode() * 200_000, headers=headers))
            for path in (f"/v1/{PRIVATE}{BREAK}", f"/v1/clusters/{BREAK}/members/{BREAK}", f"/v1/keys/{BREAK}"):
                answers += [await api.request(method, path, headers=headers) for method in ("GET", "PUT", "DELETE")]
        for name in ("idempotency-key", "if-match", "traceparent", "content-type"):
            answers.append(await api.put(member, content="{}", headers={**operator, name: f"{PRIVATE} \t{PRIVATE}"}))
    async with httpx.AsyncClient(base_url=deployed.system.inbox, timeout=30) as pages:
        token = deployed.ours.inbox.rpartition("/")[2]
        for path in (f"/inbox/{token}{BREAK}", f"/inbox/{token}/s/{PRIVATE}{BREAK}", f"//{PRIVATE}.example/"):
            answers.append(await pages.get(path, headers={"host": f"{PRIVATE}.example"}))
            answers.append(await pages.post(path, data={"form": PRIVATE, "act": PRIVATE}))
        answers.append(await pages.get(f"/inbox/{token}/", headers={"host": f"{PRIVATE}.example"}))
    return answers


async def poison(deployed: Deployed) -> None:
    """Put what cannot be read on every topic, with private words in key, headers and body."""
    producer = AIOKafkaProducer(bootstrap_servers=deployed.system.kafka)
    await producer.start()
    for topic in (MEMBERS, NEEDS, AMBASSADORS, CONTACTS, SUGGESTIONS, FEEDBACK):
        good = {"ce_specversion": b"1.0", "ce_id": PRIVATE.encode(), "ce_type": topic.events[0].event_type.encode()}
        wrong = {field: f"{PRIVATE}\n{PRIVATE}" for event in topic.events for field in event.model_fields}
        for headers in (good, {**good, "ce_type": PRIVATE.encode()}, {**good, "x-note": PRIVATE.encode() + b"\xff"}):
            for body in (json.dumps(wrong).encode(), f'{{"name": "{PRIVATE}\n'.encode(), None):
                await producer.send_and_wait(topic.name, body, key=PRIVATE.encode(), headers=list(headers.items()))
    await producer.stop()


async def lose_the_database(deployed: Deployed) -> None:
    """Kill the database, ask for what needs it, and wait until all are well again."""
    part: Any = deployed.supervisor.part("mongod")
    died = part.pid
    await part.kill()
    async with httpx.AsyncClient(timeout=30) as client, asyncio.timeout(SECONDS):
        await client.get(deployed.ours.inbox)
        await client.get(f"{deployed.system.api}/v1/clusters/ours/needs/n1", headers=deployed.ours.bearer())
        while part.pid == died or not (await client.get(f"{deployed.system.inbox}/readyz")).is_success:
            await asyncio.sleep(0.1)


def secrets_of(deployed: Deployed) -> Iterator[str]:
    yield PRIVATE
    yield deployed.system.operator_key
    yield deployed.system.inbox_secret
    for whose in (deployed.ours, deployed.theirs):
        yield whose.word  # in every name, text, mail address and webhook of theirs
        yield whose.key
        yield whose.key.split("_", 2)[2]  # which may hold a "_" itself
        yield whose.webhook_secret
        yield whose.phone
        yield whose.inbox.rpartition("/")[2]
        yield whose.inbox.rpartition(".")[2]  # the signature alone


async def operated(deployed: Deployed) -> dict[str, str]:
    """Whatever an operator looks at, by what it is."""
    seen = {f"log of {name}": text for name, text in deployed.logs().items()}
    async with httpx.AsyncClient(timeout=30) as client:
        for url in (deployed.system.api, deployed.system.matcher, deployed.system.inbox):
            for path in ("metrics", "readyz", "livez"):
                seen[f"{url}/{path}"] = (await client.get(f"{url}/{path}")).text
    for topic in TOPICS:
        command = ["dlq", "list", "--kafka", deployed.system.kafka, "--topic", topic.name]
        seen[f"dlq list of {topic.name}"] = (await asyncio.to_thread(CliRunner().invoke, cli, command)).output
    return seen


@pytest.fixture(scope="module")
async def gone_wrong(deployed: Deployed) -> list[httpx.Response]:
    answers = await go_wrong(deployed)
    await poison(deployed)
    await lose_the_database(deployed)
    await deployed.quiet()
    return answers


async def test_nothing_private_is_in_what_an_operator_sees(deployed: Deployed, gone_wrong: object) -> None:
    seen = await operated(deployed)
    letters = [line for what, text in seen.items() if what.startswith("dlq") for line in text.splitlines()]
    assert len(letters) > 6 * 9, "there are dead letters of each topic to be seen"
    assert '"level": "warning"' in seen["log of ingest"] + seen["log of notifier"]
    for secret in secrets_of(deployed):
        for what, text in seen.items():
            where = text.find(secret)
            assert where < 0, f"{what} says {secret}: …{text[max(0, where - 300) : where + 100]}"


async def test_each_line_of_a_log_is_one_object_of_ours(deployed: Deployed, gone_wrong: object) -> None:
    for name, text in deployed.logs().items():
        lines = text.split("\n")[:-1]
        assert lines
        for line in lines:
            said = json.loads(line)
            assert {"event", "level", "timestamp"} <= set(said), f"{name}: {line}"
            assert said["event"] != "forged"


async def test_no_answer_repeats_a_line_break_or_leads_elsewhere(gone_wrong: list[httpx.Response]) -> None:
    assert len(gone_wrong) > 50
    for answer in gone_wrong:
        assert "x-injected" not in answer.headers
        assert PRIVATE not in answer.headers.get("location", ""), answer.url
        assert answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR, (answer.url, answer.text)


@pytest.mark.parametrize(
    ("service", "setting", "value"),
    [
        ("ingest", "OPERATOR_KEY", "zqsecretzq"),
        ("ingest", "MONGO", "mongodb://ingest:zqsecretzq@mongo:port/"),
        ("ingest", "MONGO", "mongodb+ssh://ingest:zqsecretzq@mongo/"),
        ("notifier", "SECRET", "zqsecretzq"),
        ("notifier", "PUBLIC_URL", "zqsecretzq"),
        ("notifier", "SMTP_PASSWORD", "zqsecretzq"),
    ],
)
def test_a_start_that_fails_does_not_say_the_setting_it_was_given(
    tmp_path: Path, service: str, setting: str, value: str
) -> None:
    given = {
        "SECRET": "x" * 32, "PUBLIC_URL": "http://x", "MAIL_FROM": "m@example.org", "SMTP_USER": "me",
        "SMTP_SECURITY": "none" if setting == "SMTP_PASSWORD" else "tls", "LOG_LEVEL": "debug", setting: value,
    }  # fmt: skip
    env = {**os.environ, **{f"MAILLAGE_{name}": text for name, text in given.items()}}
    ended = subprocess.run(
        [sys.executable, "-m", f"services.{service}"],
        env=env,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode != 0
    assert ended.stderr
    assert "zqsecretzq" not in ended.stderr + ended.stdout
