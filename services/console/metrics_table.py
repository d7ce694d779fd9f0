"""Every metric as one table, written from the code into `docs/observing.md`.

python -m services.console.metrics_table [--check]
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from services.console.generated_part import GeneratedPart
from services.ingest import metrics as ingest
from services.matcher import metrics as matcher
from services.notifier import metrics as notifier
from services.runtime import metrics as runtime

_UNITS: Final = (
    ("_timestamp_seconds", "Unix time"),
    ("_seconds", "seconds"),
    ("_bytes", "bytes"),
    ("_ready", "0 or 1"),
)

_KINDS: Final = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


@dataclass(frozen=True, slots=True)
class Known:
    """A metric: `name` as it is scraped, but that of a histogram without `_bucket`, `_sum` and `_count`."""

    name: str
    kind: str
    service: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def unit(self) -> str:
        """The unit in the name; what has none is a number of things."""
        return next((unit for ending, unit in _UNITS if self.name.endswith(ending)), "count")

    @property
    def series(self) -> frozenset[str]:
        """The names that a query may use."""
        endings = ("_bucket", "_sum", "_count") if self.kind == "histogram" else ("",)
        return frozenset(self.name + ending for ending in endings)


def known_metrics() -> list[Known]:
    """Return every metric of every service, in the order of the code."""
    return [*_of(runtime, "all"), *_of(ingest, "ingest"), *_of(matcher, "matcher"), *_of(notifier, "notifier")]


def _of(module: ModuleType, service: str) -> Iterator[Known]:
    for metric in vars(module).values():
        if isinstance(metric, MetricWrapperBase):
            kind = _KINDS[type(metric)]
            described = next(iter(metric.describe()))
            name = described.name + ("_total" if kind == "counter" else "")
            yield Known(name, kind, service, tuple(metric._labelnames), described.documentation)


def table() -> str:
    """Return the table in Markdown."""
    rows = ["| metric | kind | unit | of | meaning |", "|---|---|---|---|---|"]
    for one in known_metrics():
        labels = f"{{{','.join(one.labels)}}}" if one.labels else ""
        rows.append(f"| `{one.name}{labels}` | {one.kind} | {one.unit} | {one.service} | {one.meaning} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    GeneratedPart("observing.md", "metrics", table).main("services.console.metrics_table")
