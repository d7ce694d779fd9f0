"""When a way is turned off: by what a server says of the recipient, by failing for long, by nothing else."""

from datetime import timedelta

import pytest

from services.notifier.domain.reaching import Failure, Off, Reason, Way, address_gone, turned_off
from tests.unit.notifier.samples import NOW

EMAIL, WEBHOOK, CHAT = Way.EMAIL, Way.WEBHOOK, Way.CHAT


@pytest.mark.parametrize(
    ("code", "enhanced", "gone"),
    [
        (550, "5.1.1", True),
        (550, None, True),
        (551, None, True),
        (553, None, True),
        (556, None, True),
        (550, "5.1.10", True),
        (556, "5.1.10", True),
        (550, "5.2.1", True),
        (550, "5.0.0", True),  # says nothing: the three digits do
        (554, "5.1.1", True),
        (554, None, False),
        (552, "5.2.2", False),
        (552, None, False),
        (550, "5.2.2", False),
        (550, "5.7.1", False),
        (550, "5.7.26", False),
        (550, "5.1.0", False),
        (553, "5.1.7", False),
        (550, "5.1.8", False),
        (550, "5.4.1", False),
        (450, "4.1.1", False),
        (0, "5.1.1", True),
        (0, "5.0.0", False),
    ],
)
def test_what_a_mail_server_says_of_a_recipient(code: int, enhanced: str | None, gone: bool) -> None:
    assert address_gone(code, enhanced) is gone


@pytest.mark.parametrize(
    ("way", "last", "hours_ago", "reason"),
    [
        (EMAIL, Failure(NOW, gone=True), (0,), Reason.REFUSED),
        (EMAIL, Failure(NOW, gone=True, bounced=True), (0,), Reason.BOUNCED),
        (EMAIL, Failure(NOW), (0, 10, 20, 30, 40, 50), None),  # what was in them may have been refused
        (WEBHOOK, Failure(NOW, gone=True), (0,), Reason.GONE),
        (WEBHOOK, Failure(NOW), (0,), None),
        (WEBHOOK, Failure(NOW), (0, 8, 16, 24), None),
        (WEBHOOK, Failure(NOW), (0, 8, 16, 20, 24), Reason.FAILING),
        (WEBHOOK, Failure(NOW), (24, 0, 20, 16, 8), Reason.FAILING),
        (WEBHOOK, Failure(NOW), (0, 1, 2, 3, 23), None),
        (WEBHOOK, Failure(NOW), (0,) * 100, None),
        (WEBHOOK, Failure(NOW), (), None),
        (CHAT, Failure(NOW), (0, 8, 16, 20, 24), Reason.FAILING),
        (CHAT, Failure(NOW), (0, 1, 2, 3, 23), None),
    ],
)
def test_when_a_way_is_turned_off(way: Way, last: Failure, hours_ago: tuple[int, ...], reason: Reason | None) -> None:
    in_a_row = [NOW - timedelta(hours=hours) for hours in hours_ago]
    assert turned_off(way, last, in_a_row) == (Off(NOW, reason) if reason else None)
