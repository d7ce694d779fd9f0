"""Real parts, started once a session: a MongoDB, a broker in memory, and where there is a JDK an Apache Kafka.

`make test` divides the tests among several processes (pytest-xdist), each with parts of its own.
"""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pymongo import AsyncMongoClient
from xdist.scheduler import LoadScopeScheduling

from services.console.embedded.broker import MemoryBroker
from services.console.embedded.mongod import Mongod
from services.runtime.broker import create_topics
from services.runtime.connection import Connection
from tests.parts import kafka as real

# An example's time says how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a process one test after another; those that share what is dear to make go to one process, and first."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        if file.startswith("tests/behaviour/"):
            return f"flow {test.partition('[')[2]}"  # on one of the brokers
        if file.startswith("tests/browser/"):
            return "browser"
        if file in ("tests/security/test_isolation.py", "tests/security/test_logs.py"):
            return "deployed"
        # Some of the peers compile themselves, in each process anew.
        return "peers" if file.startswith("tests/unit/bench/test_engine_") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: tests wait a good part of their time, for a start or a time-out."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
async def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A real mongod; take a database name of your own."""
    mongod = Mongod(tmp_path_factory.mktemp("mongod"))
    await mongod.start()
    async with AsyncMongoClient[dict[str, Any]](mongod.uri) as client:
        # Tests have times of their own: what has ended by this machine's clock has not by theirs.
        await client.admin.command("setParameter", 1, ttlMonitorEnabled=False)
    yield mongod.uri
    await mongod.stop()


@pytest.fixture(scope="session")
def memory_kafka() -> Iterator[str]:
    """Address of a broker in memory; take a consumer group of your own."""
    broker = MemoryBroker()
    yield broker.bootstrap
    del broker


@pytest.fixture(scope="session")
async def real_kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Address of an Apache Kafka with the flow's topics. Skipped without a JDK, unless MAILLAGE_TEST_ALL is set."""
    if missing := real.available():
        if os.environ.get("MAILLAGE_TEST_ALL"):
            pytest.fail(missing)
        pytest.skip(missing)
    node = real.RealKafka(Path(tmp_path_factory.mktemp("kafka")))
    await node.start()
    await create_topics(Connection(node.bootstrap), partitions=3, replication=1)
    yield node.bootstrap
    await node.stop()
