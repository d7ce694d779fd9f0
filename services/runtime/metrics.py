"""Prometheus metrics that every service has; a service adds its own. Labels never carry ids of people.

Each has a unit, in its name or its description, and a meaning; `docs/observing.md` lists them all.
"""

from collections.abc import Collection, Iterable

from prometheus_client import Counter, Gauge, Histogram

from schemas.topics import Topic

RECORDS = Counter(
    "maillage_records_total", "Records settled: handled (done) or set aside (dead_letter)", ["topic", "outcome"]
)
RETRIES = Counter("maillage_retries_total", "Batches tried again after a transient failure", ["group"])
LOST = Counter("maillage_lost_total", "Records that the broker dropped before they were read", ["topic"])
HANDLING = Histogram(
    "maillage_batch_seconds",
    "Time from taking a batch to committing it",
    ["group"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
LAG = Gauge("maillage_lag_records", "Records on the log that wait to be settled", ["topic", "partition"])
OLDEST_WAITING = Gauge(
    "maillage_oldest_waiting_seconds",
    "Age of the oldest record that waits to be settled; of one not fetched yet, how long it is known to wait; 0: none",
    ["topic"],
)
SETTLED_AGE = Gauge(
    "maillage_settled_event_age_seconds", "Age that the last settled event had when it was settled", ["topic"]
)
PUBLISHED = Counter("maillage_published_total", "Events confirmed by the broker", ["topic"])
UNCONFIRMED = Counter("maillage_unconfirmed_total", "Events that the broker did not confirm in time", ["topic"])
WAITING = Gauge(
    "maillage_waiting_items",
    "What waits: records on the log, rows to be published (states, suggestions, announcements), deliveries",
    ["what"],
)
READY = Gauge("maillage_ready", "1 while the service can do its work, as /readyz says, 0 while it cannot")
DATABASE_FREE = Gauge("maillage_database_free_bytes", "Free space on the file system of the service's database")
DATABASE_SIZE = Gauge("maillage_database_size_bytes", "Size of the file system of the service's database")
REQUESTS = Histogram(
    "maillage_http_request_seconds",
    "Time from an HTTP request to the end of its answer (to its begin where that is a stream of events), by route "
    "(its pattern, never the path itself) and status",
    ["method", "route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)


def expect(group: str, consumes: Collection[Topic], publishes: Iterable[Topic]) -> None:
    """Let the counters of these topics begin at 0: a rate cannot see the step from absent to 1."""
    if consumes:
        RETRIES.labels(group)
    for topic in consumes:
        LOST.labels(topic.name)
        for outcome in ("done", "dead_letter"):
            RECORDS.labels(topic.name, outcome)
    for topic in publishes:
        PUBLISHED.labels(topic.name)
        UNCONFIRMED.labels(topic.name)
