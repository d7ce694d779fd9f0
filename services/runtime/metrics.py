"""Prometheus metrics that every service has; a service adds its own. Labels never carry ids of people."""

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("maillage_records_total", "Records settled, by topic and outcome", ["topic", "outcome"])
RETRIES = Counter("maillage_retries_total", "Batches tried again after a transient failure", ["group"])
LOST = Counter("maillage_lost_total", "Records that the broker dropped before they were read", ["topic"])
HANDLING = Histogram(
    "maillage_batch_seconds",
    "Time from taking a batch to committing it, seconds",
    ["group"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
LAG = Gauge("maillage_lag_records", "Records that wait to be settled", ["topic", "partition"])
EVENT_AGE = Gauge("maillage_event_age_seconds", "Age of the newest settled event when it was settled", ["topic"])
PUBLISHED = Counter("maillage_published_total", "Events confirmed by the broker", ["topic"])
UNCONFIRMED = Counter("maillage_unconfirmed_total", "Events that the broker did not confirm in time", ["topic"])
