"""What a service says of itself while its broker or its database is away."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from pydantic import SecretStr

from schemas.topics import NEEDS
from services.runtime.errors import BrokerUnavailableError
from services.runtime.microservice import STUCK_STATUS, Microservice
from services.runtime.operational import readiness
from services.runtime.settings import RuntimeSettings


async def test_a_service_that_only_writes_is_not_ready_while_nothing_is_confirmed(
    memory_kafka: str, mongo_url: str
) -> None:
    frame = Microservice("writer", RuntimeSettings(kafka=memory_kafka, mongo=SecretStr(mongo_url)))
    frame.started = True
    with pytest.raises(BrokerUnavailableError):
        await frame.publisher.send("writer", b"key", b"{}", {})  # not connected yet
    assert frame.health().problems == ["the broker did not confirm the last event"]

    await frame.broker.connect()
    await frame.publisher.send("writer", b"key", b"{}", {})
    assert frame.health().problems == []
    await frame.stop()


async def test_a_service_goes_by_the_clock_of_its_database(memory_kafka: str, mongo_url: str) -> None:
    async def wrong() -> datetime:
        return datetime(2001, 1, 1, tzinfo=UTC)

    frame = Microservice("owner", RuntimeSettings(kafka=memory_kafka, mongo=SecretStr(mongo_url)))
    await frame.clock.set_by(wrong)
    await frame.prepare()
    assert abs(frame.clock() - datetime.now(UTC)) < timedelta(seconds=10)
    await frame.stop()


@pytest.mark.parametrize(("stuck_after", "status"), [(0.01, STUCK_STATUS), (60, 0)])
async def test_a_broker_that_answers_and_confirms_nothing_for_long_ends_the_process(
    memory_kafka: str, mongo_url: str, stuck_after: float, status: int
) -> None:
    settings = RuntimeSettings(kafka=memory_kafka, mongo=SecretStr(mongo_url), stuck_after_seconds=stuck_after)
    frame = Microservice("writer", settings)
    frame.log_id = await frame._ask_log()
    with pytest.raises(BrokerUnavailableError):
        await frame.publisher.send("writer", b"key", b"{}", {})  # a producer that reaches nobody: it is not connected
    async with asyncio.timeout(10):
        while frame.publisher.unconfirmed_seconds <= 0.01:
            await asyncio.sleep(0.01)
    await frame.check_log()
    assert frame._status == status
    await frame.stop()


async def test_a_log_that_is_exchanged_under_a_running_service_ends_it(memory_kafka: str, mongo_url: str) -> None:
    frame = Microservice("owner", RuntimeSettings(kafka=memory_kafka, mongo=SecretStr(mongo_url)))
    await frame.start()
    await frame.check_log()
    assert frame._status == 0
    frame.log_id = "the one before"
    await frame.check_log()
    assert frame._status == STUCK_STATUS
    await frame.stop()


async def test_requests_are_measured_by_route_and_no_path_becomes_a_label(memory_kafka: str, mongo_url: str) -> None:
    app = FastAPI()
    frame = Microservice("asked", RuntimeSettings(kafka=memory_kafka, mongo=SecretStr(mongo_url)), app=app)

    @app.get("/things/{thing}")
    async def thing(thing: str) -> str:
        if thing == "broken":
            raise ValueError(thing)
        return thing

    def count(method: str, route: str, status: int) -> float:
        labels = {"method": method, "route": route, "status": str(status)}
        return REGISTRY.get_sample_value("maillage_http_request_seconds_count", labels) or 0

    elsewhere = count("GET", "other", 404)  # by other tests in this process
    transport = httpx.ASGITransport(frame.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://asked") as client:
        for path in ("/things/secret-1", "/things/secret-2", "/things/broken", "/nowhere/secret-3", "/livez"):
            await client.get(path)
        await client.request("SECRET-4", "/things/secret-1")
        page = (await client.get("/metrics")).text
    await frame.stop()

    assert count("GET", "/things/{thing}", 200) == 2
    assert count("GET", "/things/{thing}", 500) == 1
    assert count("GET", "other", 404) == elsewhere + 1
    assert "secret" not in page.casefold()
    assert "livez" not in page


async def test_readiness_and_what_waits_are_metrics_too(memory_kafka: str, mongo_url: str) -> None:
    settings = RuntimeSettings(kafka=memory_kafka, mongo=SecretStr(mongo_url))
    frame = Microservice("counted", settings)

    async def seven() -> int:
        return 7

    frame.waits("sevens", seven)  # a name of its own: services of other tests count what waits of theirs
    await readiness(frame)
    assert REGISTRY.get_sample_value("maillage_ready") == 0  # not started
    await frame.start()
    async with asyncio.timeout(10):
        while REGISTRY.get_sample_value("maillage_ready") != 1:
            await asyncio.sleep(0.01)
    assert REGISTRY.get_sample_value("maillage_waiting_items", {"what": "sevens"}) == 7
    async with asyncio.timeout(10):
        while not (free := REGISTRY.get_sample_value("maillage_database_free_bytes")):
            await asyncio.sleep(0.01)
    assert 0 < free <= (REGISTRY.get_sample_value("maillage_database_size_bytes") or 0)
    await frame.stop()


async def test_counters_begin_at_nought(memory_kafka: str, mongo_url: str) -> None:
    """A rate does not see the step from absent to 1: the first dead letter would go unnoticed."""
    Microservice("matcher", RuntimeSettings(kafka=memory_kafka, mongo=SecretStr(mongo_url)), consumes=(NEEDS,))
    for name, labels in (
        ("maillage_records_total", {"topic": "needs.v1", "outcome": "dead_letter"}),
        ("maillage_lost_total", {"topic": "needs.v1"}),
        ("maillage_unconfirmed_total", {"topic": "suggestions.v1"}),
    ):
        assert REGISTRY.get_sample_value(name, labels) is not None, name
