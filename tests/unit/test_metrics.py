"""Names and words of the metrics, by Prometheus' conventions."""

import re

import pytest

from services.console.metrics_table import Known, known_metrics

METRICS = known_metrics()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_in_base_units_and_says_what_it_means(metric: Known) -> None:
    assert re.fullmatch("maillage(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search("_(milliseconds|ms|minutes|kilobytes|mb|percent)", metric.name)
    assert metric.kind != "histogram" or metric.unit in ("seconds", "bytes")
    assert len(metric.meaning.split()) >= 3
    assert set(metric.labels) <= {
        "topic",
        "outcome",
        "group",
        "partition",
        "what",
        "method",
        "route",
        "status",
        "state",
        "channel",
        "gone",
    }  # fmt: skip - nothing that names a person, a member or a cluster


def test_no_name_is_taken_twice() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names)) > 20
