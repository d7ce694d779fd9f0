"""What reports of mail servers say, and what else comes to a return address: files as such servers write them."""

from pathlib import Path
from time import process_time

import pytest

from services.notifier.domain.bounces import Bounce, bounce_in

BOUNCES = Path(__file__).parent / "bounces"


@pytest.mark.parametrize(
    ("file", "bounce"),
    [
        ("no-such-user.postfix", Bounce("5.1.1", gone=True)),
        ("not-found.exchange", Bounce("5.1.10", gone=True)),
        ("closed.unicode", Bounce("5.2.1", gone=True)),
        ("full.gmail", Bounce("5.2.2", gone=False)),
        ("policy.postfix", Bounce("5.7.1", gone=False)),
        ("no-code.postfix", Bounce("5.0.0", gone=False)),
        ("delayed.postfix", None),
        ("away.vacation", None),
        ("forwarded.person", None),
    ],
)
def test_what_comes_back(file: str, bounce: Bounce | None) -> None:
    raw = (BOUNCES / f"{file}.eml").read_bytes()
    assert bounce_in(raw, _somebody) == bounce
    assert bounce_in(raw.replace(b"\n", b"\r\n"), _somebody) == bounce


def _somebody(address: str) -> bool:
    return address in ("somebody@example.com", "أمينة@example.com")


@pytest.mark.parametrize(
    ("named", "gone"),
    [
        (b"Final-Recipient: rfc822; <somebody@example.com>", True),
        (b"Final-Recipient: rfc822; other@example.com\nOriginal-Recipient: rfc822;somebody@example.com", True),
        (b"Final-Recipient: rfc822; somebody@example.com\nOriginal-Recipient: rfc822;other@example.com", False),
        (b"Final-Recipient: rfc822; other@example.com", False),
        (b"X-Nobody: is named", False),
    ],
)
def test_a_report_about_somebody_else_says_nothing_of_the_address(named: bytes, gone: bool) -> None:
    head = b"Content-Type: multipart/report; boundary=x\n\n--x\nContent-Type: message/delivery-status\n\n"
    raw = head + b"Reporting-MTA: dns; a\n\n" + named + b"\nAction: failed\nStatus: 5.1.1\n\n--x--\n"
    assert bounce_in(raw, _somebody) == Bounce("5.1.1", gone=gone)


def test_parts_in_parts_without_end_are_not_read() -> None:
    head = b"Content-Type: multipart/report; boundary=b0\r\n\r\n"
    parts = [b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (one, one + 1) for one in range(450)]
    raw = head + b"".join(parts) + b"\r\n" * 200_000
    began = process_time()
    assert bounce_in(raw, _somebody) is None
    assert process_time() - began < 1  # a minute, read to its end


@pytest.mark.parametrize("raw", [b"", b"\0\xff" * 100, b"Content-Type: multipart/report; boundary=x\n\n--x\n"])
def test_what_cannot_be_read_says_nothing(raw: bytes) -> None:
    assert bounce_in(raw, _somebody) is None
