"""What reports of mail servers say, and what else comes to a return address: files as such servers write them."""

from pathlib import Path

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
    assert bounce_in(raw) == bounce
    assert bounce_in(raw.replace(b"\n", b"\r\n")) == bounce


@pytest.mark.parametrize("raw", [b"", b"\0\xff" * 100, b"Content-Type: multipart/report; boundary=x\n\n--x\n"])
def test_what_cannot_be_read_says_nothing(raw: bytes) -> None:
    assert bounce_in(raw) is None
