"""How people are let in: for how long a mailed link and a session are good, and how often one may be asked for."""

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

LINK_LASTS: Final = timedelta(minutes=15)
"""Long enough for mail that is held up on its way, short enough that an old mailbox opens nothing."""

SESSION_LASTS: Final = timedelta(days=30)
SESSION_IDLE: Final = timedelta(days=14)
"""A session ends this long after its begin, or after it was last used: a fortnight away is a holiday."""

NOTED_EVERY: Final = timedelta(hours=1)
"""How exactly it is noted when a session was last used: not with each page."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How often something may be asked for within a time."""

    most: int
    within: timedelta


OF_ADDRESS: Final = (Limit(3, timedelta(minutes=15)), Limit(10, timedelta(days=1)))
"""Links mailed to one address: somebody else may ask for them, and fill a mailbox."""

OF_CLIENT: Final = Limit(30, timedelta(hours=1))
"""Links asked for by one client: many people may sit behind one address of an office."""


def window(limit: Limit, now: datetime) -> datetime:
    """Return when the stretch of time began in which what happens now is counted."""
    seconds = int(limit.within.total_seconds())
    return now - timedelta(seconds=now.timestamp() % seconds)


def session_ends(begun_at: datetime, seen_at: datetime) -> datetime:
    """Return when a session ends if it is not used any more."""
    return min(begun_at + SESSION_LASTS, seen_at + SESSION_IDLE)


_NEAR: Final = tuple(
    ipaddress.ip_network(network)
    for network in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
)
"""Networks that nobody outside is in: RFC 1918, RFC 4193, and this machine."""


def client_of(peer: str, forwarded: str) -> str:
    """Return whom a request counts for: who connects, or who a proxy beside us says that it passes on.

    Args:
        peer: the address that the connection came from.
        forwarded: `X-Forwarded-For`; its last part is what the nearest proxy has seen. Believed from a private network
            alone: anybody may write the header.

    Of IPv6 the network: a household has more addresses than there are people.
    """
    said = forwarded.rpartition(",")[2].strip()
    near, far = _address(peer), _address(said)
    if near is not None and far is not None and any(near in network for network in _NEAR):
        near = far
    if isinstance(near, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((near, 64), strict=False))
    return peer if near is None else str(near)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
