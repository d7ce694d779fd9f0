"""When a delivery is tried again."""

from datetime import timedelta

import pytest

from services.notifier.domain.schedule import FIRST, LONGEST, MAX_ATTEMPTS, wait_after

ALMOST = 1 - 1e-12


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 5), (2, 15), (3, 45), (4, 135), (9, 5 * 3**8), (10, 43_200), (15, 43_200)]
)
def test_the_longest_wait_grows_to_its_cap(attempts: int, seconds: int) -> None:
    assert wait_after(attempts, ALMOST) == pytest.approx(timedelta(seconds=seconds), abs=timedelta(milliseconds=1))


def test_jitter_is_full() -> None:
    assert wait_after(1, 0.0) == timedelta()
    assert wait_after(1, 0.5) == FIRST / 2


def test_there_is_a_last_try() -> None:
    assert wait_after(MAX_ATTEMPTS - 1, 0.5) is not None
    assert wait_after(MAX_ATTEMPTS, 0.5) is None
    assert wait_after(MAX_ATTEMPTS + 5, 0.5) is None


def test_the_whole_of_it_is_as_documented() -> None:
    waits = [wait_after(attempts, ALMOST) for attempts in range(1, MAX_ATTEMPTS)]
    assert sum((wait for wait in waits if wait), timedelta()) / timedelta(days=1) == pytest.approx(3.6, abs=0.05)


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        (timedelta(minutes=10), timedelta(minutes=10)),
        (timedelta(seconds=1), timedelta(seconds=2.5)),
        (timedelta(days=30), LONGEST),
    ],
)
def test_a_receiver_may_ask_for_more_time(asked: timedelta, waited: timedelta) -> None:
    assert wait_after(1, 0.5, asked) == waited
