"""The short form of four faults; `make faults` runs all of them in full.

Together they meet what the promises stand on: processes that end at any moment, connections that break between any two,
events that come twice, shares of the work that change hands. What a test of another kind shows on a real broker and
database (a killed broker, poison, a late receiver) is not shown twice.
"""

import pytest

from tests.faults.report import line
from tests.faults.run import execute
from tests.faults.table import FAULTS


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.ci], ids=lambda fault: fault.name)
async def test_nothing_is_lost_or_doubled(fault, real_kafka: str) -> None:  # skips without a JDK
    outcome = await execute(fault, short=True, seed=1)
    # Other tests run beside it: how fast it recovers is what `make faults` measures.
    assert not outcome.problems, line(outcome)
    assert outcome.recovery is not None, line(outcome)
