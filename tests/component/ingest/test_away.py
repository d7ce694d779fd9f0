"""A broker or a database that goes away and comes back: 503, nothing half-done, then all as it was asked for."""

import json
from pathlib import Path
from time import monotonic
from uuid import uuid4

import httpx
import pytest

from schemas.submissions import sign
from schemas.topics import SUBMISSIONS
from services.console.embedded.mongod import Mongod
from services.ingest.app import build
from services.runtime.broker import create_topics
from services.runtime.clock import utc_now
from services.runtime.connection import Connection
from services.runtime.operational import readiness
from tests.component.ingest.conftest import OPERATOR_KEY, bearer, settings, until
from tests.component.ingest.log import newest, revs, told
from tests.parts.kafka import RealKafka, available

PATH = "/v1/clusters/souss/members/m"
BEFORE = {"name": "Before", "kind": "company"}
AFTER = {"name": "After", "kind": "company"}


def is_try_again(answer: httpx.Response) -> bool:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return (answer.status_code, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.kafka
@pytest.mark.skipif(available() is not None, reason=str(available()))
async def test_a_broker_that_dies_and_comes_back(mongo_url: str, tmp_path: Path) -> None:
    node = RealKafka(tmp_path)
    await node.start()
    await create_topics(Connection(node.bootstrap), partitions=3, replication=1)
    frame = build(settings(mongo_url, node.bootstrap, f"ingest-{uuid4().hex}", submissions=True))
    transport = httpx.ASGITransport(app=frame.app)
    try:
        await frame.start()
        async with httpx.AsyncClient(
            transport=transport, base_url="http://ingest", headers=bearer(OPERATOR_KEY)
        ) as api:

            async def name() -> str:
                return str((await api.get(PATH)).json()["name"])

            async def is_after() -> bool:
                return await name() == "After"

            assert (await api.put(PATH, json=BEFORE)).status_code == 202
            await node.kill()
            assert is_try_again(await api.put(PATH, json=AFTER))
            assert await name() == "Before", "what is shown is what the log confirmed"

            began = monotonic()
            assert is_try_again(await api.put("/v1/clusters/souss/members/other", json=AFTER))
            assert monotonic() - began < 1, "refused at once while the broker is known to be away"
            assert (await api.get("/v1/clusters/souss/members/other")).status_code == 404
            began = monotonic()
            assert frame.health().alive
            await readiness(frame)
            assert monotonic() - began < 2, "whether it is ready does not wait for the broker either"

            await node.start()
            await until(is_after)
            assert (await api.put(PATH, json=AFTER)).json()["rev"] == 2

            issued = (await api.post("/v1/keys", json={"cluster": "souss", "member_id": "m"})).json()
            body = json.dumps({"member_id": "m", **BEFORE}).encode()
            signed = sign(issued["key"], body, submission_id="one", at=utc_now())
            await frame.publisher.send(SUBMISSIONS.name, b"souss/m", body, signed)

            async def is_answered() -> bool:
                answer = await api.get("/v1/submissions/one", headers=bearer(issued["key"]))
                return answer.status_code == 200 and answer.json()["entity_rev"] == 3

            await until(is_answered)
            assert (await api.put("/v1/clusters/souss/members/other", json=AFTER)).json()["rev"] == 1
        events = await told(node.bootstrap, "souss")
        assert [revs(events, member) for member in ("m", "other")] == [[1, 2, 3], [1]]
        newest(events)
    finally:
        await frame.stop()
        await node.stop()


async def test_a_database_that_dies_and_comes_back(memory_kafka: str, tmp_path: Path) -> None:
    mongod = Mongod(tmp_path)
    await mongod.start()
    frame = build(settings(mongod.uri, memory_kafka, "ingest"))
    path = f"/v1/clusters/{uuid4().hex}/members/m"
    try:
        await frame.start()
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=frame.app), base_url="http://ingest", headers=bearer(OPERATOR_KEY)
        ) as api:
            assert (await api.put(path, json=BEFORE)).status_code == 202
            await mongod.kill()
            assert is_try_again(await api.put(path, json=AFTER))
            assert is_try_again(await api.get(path))
            await mongod.start()

            async def is_back() -> bool:
                return (await api.get(path)).status_code != httpx.codes.SERVICE_UNAVAILABLE

            await until(is_back)
            assert (await api.get(path)).json()["name"] == "Before", "an acknowledged state survives a killed database"
            assert (await api.put(path, json=AFTER)).json()["rev"] == 2
    finally:
        await frame.stop()
        await mongod.stop()
