"""The matcher as it is deployed, on a broker and a database: from the log to the log."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from pydantic import SecretStr

from schemas import cloudevents
from schemas.cloudevents import Envelope
from schemas.ids import derived_id
from schemas.suggestions import SuggestionMade
from schemas.topics import MEMBERS, NEEDS, SUGGESTIONS
from services.console.embedded.broker import MemoryBroker
from services.matcher.app import build
from services.matcher.settings import MatcherSettings
from services.runtime.microservice import Microservice
from tests.component.matcher.actors import grower, irrigation, others, soil_lab

SECONDS = 30.0


@pytest.fixture
async def bootstrap() -> AsyncIterator[str]:
    """A broker of this test's own: the group of the matcher is always the same."""
    broker = MemoryBroker()
    yield broker.bootstrap
    del broker


@pytest.fixture
async def matcher(bootstrap: str, mongo_url: str) -> AsyncIterator[Microservice]:
    frame = build(MatcherSettings(kafka=bootstrap, mongo=SecretStr(mongo_url), database=f"matcher-{uuid4().hex}"))
    await frame.start()
    yield frame
    await frame.store.database.client.drop_database(frame.store.database.name)
    await frame.stop()


async def put(matcher: Microservice, *envelopes: Envelope) -> None:
    for envelope in envelopes:
        topic = MEMBERS if isinstance(envelope.key, MEMBERS.key) else NEEDS
        assert envelope.rev is not None
        assert envelope.occurred_at is not None
        await matcher.publisher.publish(
            topic, envelope.key, envelope.value, rev=envelope.rev, occurred_at=envelope.occurred_at
        )


async def test_a_need_on_the_log_becomes_a_suggestion_on_the_log(matcher: Microservice, bootstrap: str) -> None:
    reader = AIOKafkaConsumer(SUGGESTIONS.name, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await reader.start()
    try:
        await put(matcher, *others(), grower(), soil_lab(), irrigation())
        record = await asyncio.wait_for(reader.getone(), SECONDS)
    finally:
        await reader.stop()
    made = cloudevents.read(SUGGESTIONS, record.key, record.value, record.headers).value
    assert isinstance(made, SuggestionMade)
    assert made.suggestion_id == derived_id("suggestion", "atlas/irrigation", "atlas/labo-sol")
