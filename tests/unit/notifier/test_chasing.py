"""What is due of a suggestion that nobody touches, day by day."""

from datetime import timedelta

import pytest

from services.notifier.domain.chasing import Chase, due_chases, next_chase
from tests.unit.notifier.samples import NOW


@pytest.mark.parametrize(
    ("day", "due", "next_day"),
    [
        (0, (), 7),
        (6.9, (), 7),
        (7, (Chase.REMIND,), 14),
        (14, (Chase.REMIND, Chase.DEPUTY), 21),
        (21, (Chase.REMIND, Chase.DEPUTY, Chase.DESK), None),
        (400, (Chase.REMIND, Chase.DEPUTY, Chase.DESK), None),
    ],
)
def test_what_is_due(day: float, due: tuple[Chase, ...], next_day: float | None) -> None:
    now = NOW + timedelta(days=day)
    assert due_chases(NOW, now) == due
    assert next_chase(NOW, now) == (None if next_day is None else NOW + timedelta(days=next_day))
