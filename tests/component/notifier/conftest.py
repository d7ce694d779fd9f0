"""A notifier's surroundings for each test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from services.console.embedded.broker import MemoryBroker
from tests.component.notifier.receivers import HookReceiver, MailServer
from tests.component.notifier.world import World
from tests.parts.mails import check


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    """A mail server; a message that came and is not whole fails the test, whatever that was about."""
    server = MailServer()
    await server.start()
    yield server
    server.gate.set()
    await server.stop()
    for raw in server.raw:
        check(raw)


@pytest.fixture
async def hook() -> AsyncIterator[HookReceiver]:
    receiver = HookReceiver()
    await receiver.start()
    yield receiver
    receiver.gate.set()
    await receiver.stop()


@pytest.fixture
async def world(mongo_url: str, mail: MailServer, hook: HookReceiver) -> AsyncIterator[World]:
    world = World(mongo_url, mail, hook)
    yield world
    await world.close()


@pytest.fixture
def own_kafka() -> Iterator[str]:
    """Address of a broker in memory of the test's own: a whole notifier is in the group of notifiers.

    The broker that tests share refuses a second member of a group, also when the first has left just now.
    """
    broker = MemoryBroker()
    yield broker.bootstrap
    del broker
