"""What a service says of itself while its broker or its database is away."""

import pytest
from pydantic import SecretStr

from services.runtime.errors import BrokerUnavailableError
from services.runtime.microservice import STUCK_STATUS, Microservice
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


async def test_a_log_that_is_exchanged_under_a_running_service_ends_it(memory_kafka: str, mongo_url: str) -> None:
    frame = Microservice("owner", RuntimeSettings(kafka=memory_kafka, mongo=SecretStr(mongo_url)))
    await frame.start()
    await frame.check_log()
    assert frame._status == 0
    frame.log_id = "the one before"
    await frame.check_log()
    assert frame._status == STUCK_STATUS
    await frame.stop()
