"""Previews at ingest: who may ask, how often, and what is said while the matcher is away."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from services.console.embedded.process import LOOPBACK, free_port
from services.ingest.app import build
from tests.component.ingest.conftest import OPERATOR_KEY, Cluster, bearer, settings

NEED = {"member_id": "a", "title": "Capteurs d’humidité", "text": "Pour des agrumes."}
PER_MINUTE = 3


@pytest.fixture
async def away(mongo_url: str, memory_kafka: str) -> AsyncIterator[Cluster]:
    """A cluster of an ingest whose matcher does not answer."""
    told = {
        "preview_key": SecretStr("preview-key-of-the-tests-0123456789abcdef"),
        "matcher_url": f"http://{LOOPBACK}:{free_port()}",
        "previews_per_minute": PER_MINUTE,
    }
    frame = build(settings(mongo_url, memory_kafka, f"ingest-{uuid4().hex}").model_copy(update=told))
    await frame.start()
    transport = httpx.ASGITransport(app=frame.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest", headers=bearer(OPERATOR_KEY)) as api:
        yield Cluster(f"c{uuid4().hex[:12]}", api, frame, memory_kafka)
    await frame.stop()


async def ask(cluster: Cluster, headers: dict[str, str] | None = None, **more: object) -> httpx.Response:
    return await cluster.api.post(cluster.path("needs", "preview"), json=NEED | more, headers=headers or {})


async def test_while_the_matcher_is_away_it_says_so_and_posting_works(away: Cluster) -> None:
    await away.member("a")
    answer = await ask(away)
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert "posting works" in answer.json()["detail"]
    assert (await away.api.post(away.path("needs"), json=NEED)).status_code == httpx.codes.ACCEPTED


async def test_a_member_may_ask_so_often_in_a_minute_and_its_neighbour_as_often(away: Cluster) -> None:
    await away.member("a")
    await away.member("b")
    key = await away.key_of("a")
    statuses = [(await ask(away, key)).status_code for _ in range(PER_MINUTE + 1)]
    if len(set(statuses)) == 1:  # another minute began meanwhile
        statuses = [(await ask(away, key)).status_code for _ in range(PER_MINUTE + 1)]
    assert set(statuses) == {503, 429}
    refused = await ask(away, key)
    assert refused.status_code == httpx.codes.TOO_MANY_REQUESTS
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert (await ask(away, await away.key_of("b"), member_id="b")).status_code == 503


async def test_the_rules_are_those_of_posting(away: Cluster) -> None:
    await away.member("a")
    await away.member("b")
    await away.need("of-b", "b")
    key = await away.key_of("a")
    wrong = {"Authorization": "Bearer wrong"}
    for headers, more, status in (
        (wrong, {}, 401),
        (key, {"member_id": "b"}, 403),
        (key, {"need_id": "of-b"}, 403),
        (None, {"member_id": "nobody"}, 422),
        (key, {"countries": ["XX"]}, 422),
        (key, {"unknown": 1}, 422),
        (key, {"title": ""}, 422),
    ):
        answer = await ask(away, headers, **more)
        assert answer.status_code == status, (more, answer.text)
    asked = {"cluster": away.name, "member_id": "a", "scopes": ["profile"]}
    of_profile = bearer((await away.api.post("/v1/keys", json=asked)).json()["key"])
    assert (await ask(away, of_profile)).status_code == httpx.codes.FORBIDDEN
    elsewhere = await away.api.post("/v1/clusters/elsewhere/needs/preview", json=NEED, headers=key)
    assert elsewhere.status_code == httpx.codes.FORBIDDEN


async def test_without_a_key_for_them_there_are_none(cluster: Cluster) -> None:
    await cluster.member("a")
    answer = await ask(cluster)
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert "not switched on" in answer.json()["detail"]
