"""Where signing in may lead, and for whom a request counts."""

import pytest

from services.notifier.domain.entrance import our_path
from services.web.entrance import client_of


@pytest.mark.parametrize(
    "path", ["/inbox/me", "/inbox/me/preferences", "/inbox/me/s/0b7f?missing=reason", "/inbox/me?view=done&q=%D8%A3"]
)
def test_pages_of_an_inbox_are_ours(path: str) -> None:
    assert our_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "inbox/me", "/inbox/other/s/1", "/inbox/meander", "//evil.example", "/\\evil.example",
        "https://evil.example", "/inbox/me//evil.example", "/inbox/me/../../x", "/inbox/me/%2e%2e/x",
        "/inbox/me/%0d%0a", "/inbox/me\r\nx: y", "/inbox/me@evil.example", "/inbox/me?\\",
        "/inbox/me#x", "/inbox/me/" + "x" * 400,
    ],
)  # fmt: skip
def test_nothing_else_is(path: str) -> None:
    assert our_path(path) is None


@pytest.mark.parametrize(
    ("peer", "forwarded", "counts"),
    [
        ("203.0.113.7", "", "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # anybody may write that
        ("172.18.0.4", "203.0.113.7", "203.0.113.7"),
        ("172.18.0.4", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("172.18.0.4", "unknown", "172.18.0.4"),
        ("2001:db8:1:2:3::4", "", "2001:db8:1:2::/64"),
        ("127.0.0.1", "2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("", "203.0.113.7", ""),
    ],
)
def test_a_request_counts_for_whom_the_nearest_proxy_saw(peer: str, forwarded: str, counts: str) -> None:
    assert client_of(peer, forwarded) == counts
