"""Metrics of ingest."""

from prometheus_client import Counter

SUBMISSIONS = Counter(
    "maillage_submissions_total",
    "Records of organisations' own producers by what they were answered: accepted, refused, or repeated, the answer "
    "that the same submission had before. Those that nobody signed are dead letters",
    ["outcome"],
)
for _outcome in ("accepted", "refused", "repeated"):
    SUBMISSIONS.labels(_outcome)
