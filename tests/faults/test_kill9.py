"""The short form of `python -m tests.faults.kill9`."""

import pytest

from tests.faults.kill9 import compare


@pytest.mark.kafka
@pytest.mark.faults
async def test_killed_services_lose_nothing_and_tell_nobody_twice(real_kafka: str) -> None:  # skips without a JDK
    assert await compare(needs=120, kills=3, seed=7) == []
