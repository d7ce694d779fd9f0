"""What an operator watches of the notifier."""

from datetime import datetime
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from schemas.notifications import Channel

OUTCOMES: Final = ("delivered", "postponed", "failed", "stale")

CHAT: Final = "chat"
"""What is told by a chat service, beside the channels of the contract."""

# From the goal of a row in an inbox within 50 ms to the end of the schedule of a channel whose receiver is away.
_UNTIL_TOLD: Final = (
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
    *(hours * 3600 for hours in (1, 6, 24, 4 * 24)),
)

DELIVERIES = Counter(
    "maillage_deliveries_total",
    "Tries to deliver: delivered, postponed (tried again), failed (never again), stale (nothing to tell any more)",
    ["channel", "outcome"],
)
POSTED_TO_TOLD = Histogram(
    "maillage_post_to_told_seconds",
    "Time from a need or member being published to the delivery of what came of it, by two machines' clocks",
    ["channel"],
    buckets=_UNTIL_TOLD,
)
MADE_TO_TOLD = Histogram(
    "maillage_suggestion_to_told_seconds",
    "Time from a suggestion being made to its delivery",
    ["channel"],
    buckets=_UNTIL_TOLD,
)
WAITING = Gauge("maillage_deliveries_waiting", "Deliveries that are due now or later", ["channel"])
OVERDUE = Gauge(
    "maillage_deliveries_overdue_seconds",
    "For how long the longest due delivery has been due; 0: none is",
    ["channel"],
)
HELD = Gauge("maillage_suggestions_held", "Suggestions that wait for their readers' next e-mails")
LIVE = Gauge("maillage_live_pages", "Pages open in browsers that are told when something changes")
CHANNELS_OFF = Gauge(
    "maillage_channels_off",
    "Ambassadors and desks whom a channel does not reach, so that it is turned off",
    ["channel"],
)
BOUNCES = Counter(
    "maillage_bounces_total",
    "E-mails that came back after they had been taken: gone (nobody is there), or not (a full mailbox, a policy)",
    ["gone"],
)
UNROUTED = Gauge("maillage_unrouted_suggestions", "Open suggestions that nobody is told of: no ambassador, no desk")

for _channel in (*Channel, CHAT):
    for _outcome in OUTCOMES:
        DELIVERIES.labels(_channel, _outcome)  # begin at 0: a rate cannot see the step from absent to 1
    POSTED_TO_TOLD.labels(_channel)
    MADE_TO_TOLD.labels(_channel)

for _gone in ("yes", "no"):
    BOUNCES.labels(_gone)


def told(channel: str, *, posted_at: datetime | None, made_at: datetime, at: datetime) -> None:
    """Note how long a delivery took. Two machines' clocks may differ: never less than no time."""
    MADE_TO_TOLD.labels(channel).observe(max(0.0, (at - made_at).total_seconds()))
    if posted_at is not None:
        POSTED_TO_TOLD.labels(channel).observe(max(0.0, (at - posted_at).total_seconds()))
