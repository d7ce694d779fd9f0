"""What an operator watches of the notifier."""

from prometheus_client import Counter, Gauge, Histogram

DELIVERIES = Counter("maillage_deliveries_total", "Tries to deliver, by channel and outcome", ["channel", "outcome"])
TOLD_AFTER = Histogram(
    "maillage_told_after_seconds",
    "Time from a suggestion being made to its delivery, seconds",
    ["channel"],
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600, 4 * 24 * 3600),
)
WAITING = Gauge("maillage_notifier_waiting", "Deliveries that are due now or later", ["channel"])
UNROUTED = Gauge("maillage_notifier_unrouted", "Open suggestions that nobody is told of: no ambassador, no desk")
