"""Alerts, their runbook and the dashboards agree with one another and with the metrics that there are."""

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.console.metrics_table import known_metrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
DASHBOARDS = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))

# Told by Prometheus itself, or by its client library about every process.
FOREIGN = {"up", "ALERTS", "process_start_time_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes"}

RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]


def read(path: Path) -> dict[str, Any]:
    dashboard: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return dashboard


def queries(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield re.sub(r"\$(job|instance)", ".*", target["expr"])


def names_in(expression: str) -> set[str]:
    """The metrics that a query asks for."""
    without_strings = re.sub(r'"[^"]*"', '""', expression)
    without_labels = re.sub(r"\b(by|on|without) *\([^)]*\)|\{[^}]*\}|\[[^]]*\]", " ", without_strings)
    words = re.findall(r"[A-Za-z_]\w*(?! *\()\b", without_labels)
    return {word for word in words if word not in ("and", "or", "unless", "bool", "le")}


@pytest.fixture(scope="session")
def promtool() -> str:
    if tool := shutil.which("promtool"):
        return tool
    if os.environ.get("MAILLAGE_TEST_ALL"):
        pytest.fail("there is no `promtool` on the PATH (Debian: prometheus)")
    pytest.skip("there is no `promtool` on the PATH (Debian: prometheus)")


def refusal(*argv: str) -> str:
    """Return what a tool has to say against it; nothing if it is content."""
    done = subprocess.run(argv, cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def test_the_rules_do_what_their_tests_say(promtool: str) -> None:
    assert not refusal(promtool, "check", "rules", "alerts.yaml")
    assert not refusal(promtool, "test", "rules", "alerts.test.yaml")


def test_prometheus_takes_its_settings(promtool: str) -> None:
    assert not refusal(promtool, "check", "config", "prometheus.yaml")


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_prometheus_can_read_every_query_of_a_dashboard(path: Path, promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries(read(path)))]
    assert len(rules) > 10
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert not refusal(promtool, "check", "rules", str(file))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_where_to_read_on(rule: dict[str, Any]) -> None:
    name, annotations = rule["alert"], rule["annotations"]
    assert re.fullmatch("Maillage[A-Z][A-Za-z]+", name)
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert annotations.keys() == {"summary", "description", "runbook"}
    assert annotations["runbook"] == f"docs/runbook.md#{name.lower()}"
    assert name in (FOLDER / "alerts.test.yaml").read_text()


def test_the_runbook_has_an_entry_for_each_alert_and_no_other() -> None:
    page = (ROOT / "docs" / "runbook.md").read_text()
    entries = re.split("^### ", page, flags=re.MULTILINE)[1:]
    assert [entry.split("\n")[0] for entry in entries] == [rule["alert"] for rule in RULES]
    for entry in entries:
        assert "**Means**" in entry
        assert re.search(r"\*\*Look(, do)?\*\*", entry), entry
        assert re.search(r"\*\*(Do|Look, do)\*\*", entry), entry


def test_rules_and_dashboards_ask_for_metrics_that_there_are_and_leave_none_out() -> None:
    expressions = [rule["expr"] for rule in RULES]
    expressions += [query for path in DASHBOARDS for query in queries(read(path))]
    asked = set().union(*map(names_in, expressions))
    known = {series: metric.name for metric in known_metrics() for series in metric.series}
    assert asked - known.keys() == FOREIGN
    assert {known[name] for name in asked & known.keys()} == set(known.values())


def test_the_names_in_a_query_are_found() -> None:
    query = 'sum by (le) (rate(a_bucket{x="b_total"}[5m])) / on (job) max(c) > 0.05 and absent(d{}) or e'
    assert names_in(query) == {"a_bucket", "c", "d", "e"}


def test_dashboards_have_addresses_of_their_own() -> None:
    found = [read(path) for path in DASHBOARDS]
    assert len({dashboard["uid"] for dashboard in found}) == len({dashboard["title"] for dashboard in found}) == 2


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_the_panels_of_a_dashboard_explain_themselves_and_do_not_overlap(path: Path) -> None:
    panels = read(path)["panels"]
    assert max(Counter(panel["id"] for panel in panels).values()) == 1
    source = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert len(panel["description"]) > 5, panel["title"]
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {source["uid"]}
