"""Ingest as it is deployed, on a real database and a real log; and its parts, in processes that may die anywhere."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from schemas.cloudevents import Envelope
from services.console.embedded.process import LOOPBACK, ChildProcess, free_port
from services.ingest.app import build
from services.ingest.settings import IngestSettings
from services.runtime.microservice import Microservice
from tests.component.ingest.log import told

OPERATOR_KEY = "operator-key-of-the-tests"
CONTACT = {"name": "Amal Zeroual", "email": "amal.zeroual@example.org", "phone": "+212 500 00 01 90"}


def settings(mongo_url: str, bootstrap: str, database: str, *, submissions: bool = False) -> IngestSettings:
    """`submissions` off: the broker in memory serves one member of a group, and there are several of us."""
    return IngestSettings(
        mongo=SecretStr(mongo_url),
        kafka=bootstrap,
        database=database,
        operator_key=SecretStr(OPERATOR_KEY),
        submissions=submissions,
    )


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@dataclass
class Cluster:
    """One cluster of its own for each test, as its operator works with it."""

    name: str
    api: httpx.AsyncClient
    frame: Microservice
    bootstrap: str

    def path(self, kind: str, entity: str = "") -> str:
        return f"/v1/clusters/{self.name}/{kind}" + (f"/{entity}" if entity else "")

    async def put(self, kind: str, entity: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.api.put(self.path(kind, entity), json=body, headers=sent)

    async def member(self, member: str, **more: Any) -> httpx.Response:
        answer = await self.put("members", member, {"name": f"Atelier {member}", "kind": "company", **more})
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return answer

    async def need(self, need: str, member: str, **more: Any) -> httpx.Response:
        answer = await self.put("needs", need, {"member_id": member, "title": f"Capteurs pour {need}", **more})
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return answer

    async def contact(self, member: str, **more: Any) -> httpx.Response:
        answer = await self.put("members", f"{member}/contact", CONTACT | more)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return answer

    async def key_of(self, member: str) -> dict[str, str]:
        """A new key of a member, as headers."""
        answer = await self.api.post("/v1/keys", json={"cluster": self.name, "member_id": member})
        assert answer.status_code == httpx.codes.CREATED, answer.text
        return bearer(answer.json()["key"])

    async def told(self) -> list[Envelope]:
        return await told(self.bootstrap, self.name)


@pytest.fixture(scope="session")
async def frame(mongo_url: str, memory_kafka: str) -> AsyncIterator[Microservice]:
    frame = build(settings(mongo_url, memory_kafka, f"ingest-{uuid4().hex}"))
    await frame.start()
    yield frame
    await frame.stop()


@pytest.fixture
async def cluster(frame: Microservice, memory_kafka: str) -> AsyncIterator[Cluster]:
    transport = httpx.ASGITransport(app=frame.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest", headers=bearer(OPERATOR_KEY)) as api:
        yield Cluster(f"c{uuid4().hex[:12]}", api, frame, memory_kafka)


@pytest.fixture
async def url(mongo_url: str, memory_kafka: str, tmp_path: Path) -> AsyncIterator[str]:
    """Address of ingest in a process of its own."""
    port = free_port()
    env = {
        "MAILLAGE_MONGO": mongo_url,
        "MAILLAGE_KAFKA": memory_kafka,
        "MAILLAGE_DATABASE": f"ingest-{uuid4().hex}",
        "MAILLAGE_PORT": str(port),
        "MAILLAGE_OPERATOR_KEY": OPERATOR_KEY,
        "MAILLAGE_PREVIEW_KEY": uuid4().hex,
        "MAILLAGE_MATCHER_URL": f"http://{LOOPBACK}:{free_port()}",
        "MAILLAGE_SUBMISSIONS": "false",  # as above
    }
    service = ChildProcess(
        "ingest",
        [sys.executable, "-m", "services.ingest"],
        log=tmp_path / "log",
        env=env,
        ready=lambda line: line if '"started"' in line else None,
    )
    await service.start()
    yield f"http://{LOOPBACK}:{port}"
    await service.stop()


async def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Return once `condition()` (awaited) holds."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)
