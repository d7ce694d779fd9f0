"""When a way is turned off: by what a server says of the recipient, by failing for long, by nothing else."""

from datetime import timedelta

import pytest

from services.notifier.domain.reaching import ENHANCED, Failure, Off, Reason, Way, address_gone, turned_off
from tests.unit.notifier.samples import NOW

EMAIL, WEBHOOK, CHAT = Way.EMAIL, Way.WEBHOOK, Way.CHAT


@pytest.mark.parametrize(
    ("said", "gone"),
    [
        ("5.1.1 <somebody@example.com> unknown", True),
        ("5.1.10 not found", True),
        ("#5.2.1 (the account is disabled)", True),
        ("5.0.0 no", False),
        ("5.2.2 full", False),
        ("5.7.1 policy", False),
        ("5.7.26 policy", False),
        ("5.1.0 sender or recipient", False),
        ("5.1.7 sender", False),
        ("5.1.8 sender", False),
        ("5.4.1 no", False),
        ("4.1.1 not now", False),
        ("relay not permitted", False),
        ("Sender verify failed", False),
        ("rejected: blocked 5.1.1.23", False),
        ("192.5.1.1 is listed", False),
    ],
)
def test_what_a_mail_server_says_of_a_recipient(said: str, gone: bool) -> None:
    enhanced = ENHANCED.search(said)
    assert address_gone(enhanced[0] if enhanced else None) is gone


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
