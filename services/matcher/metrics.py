"""What the matcher tells Prometheus beside what every service tells."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

STATES: Final = ("made", "revised", "restated", "lapsed", "erased")

SUGGESTIONS = Counter(
    "maillage_suggestions_total",
    "States that suggestions were brought to: made, revised (told again), restated (not told again), lapsed, erased",
    ["state"],
)
PAIRING = Histogram(
    "maillage_pairing_seconds",
    "Time for bringing a batch into the index and finding its pairs",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
INDEX_DOCUMENTS = Gauge("maillage_index_documents", "Offer documents in the index")
INDEX_BYTES = Gauge(
    "maillage_index_bytes",
    "Memory of the arrays that are searched, offers and requests; texts come on top",
)
REQUESTS = Gauge("maillage_open_requests", "Requests open, standing ones included")
SHARES = Gauge("maillage_shares", "Shares of the work that are this replica's")
SNAPSHOT_WRITTEN = Gauge("maillage_snapshot_written_timestamp_seconds", "When the snapshot was last written, Unix time")
SNAPSHOT_FAILURES = Counter("maillage_snapshot_failures_total", "Snapshots that could not be written or deleted")

for _state in STATES:
    SUGGESTIONS.labels(_state)  # begin at 0: a rate cannot see the step from absent to 1
