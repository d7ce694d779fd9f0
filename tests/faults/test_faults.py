"""The short form of the faults that tell most in least time; `make faults` runs all of them in full."""

import pytest

from tests.faults.report import line
from tests.faults.run import execute
from tests.faults.table import FAULTS


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.ci], ids=lambda fault: fault.name)
async def test_nothing_is_lost_or_doubled(fault, real_kafka: str) -> None:  # skips without a JDK
    outcome = await execute(fault, short=True, seed=1)
    assert not outcome.problems, line(outcome)
    assert outcome.recovery is not None
