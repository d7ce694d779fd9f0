"""What must hold of every container of the deployment, read from its files."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from services.runtime.settings import RuntimeSettings

DEPLOY: Final = Path(__file__).parents[3] / "deploy"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
JOBS: Final = {name for name, service in SERVICES.items() if service.get("restart") == "no"}

every_service = pytest.mark.parametrize("name", SERVICES)
every_running = pytest.mark.parametrize("name", sorted(SERVICES.keys() - JOBS))


def seconds(text: str) -> float:
    amount, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()  # type: ignore[union-attr]  # else the test fails
    return float(amount) * (60 if unit == "m" else 1)


@every_service
def test_it_writes_nowhere_and_gains_no_right(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "devices", "pid", "ipc", "userns_mode"}
    # The one that gives files to their readers; it has no network.
    if name != "secrets":
        assert "cap_add" not in service
        assert service.get("user", "") not in ("root", "0", "0:0")


def test_who_may_give_files_away_talks_to_nobody() -> None:
    assert SERVICES["secrets"]["cap_add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
    assert SERVICES["secrets"]["network_mode"] == "none"


@every_service
def test_it_is_limited_and_its_log_is_rotated(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["pids_limit"] > 0
    assert service["logging"]["driver"] == "json-file"
    assert service["logging"]["options"].keys() >= {"max-size", "max-file"}


@every_running
def test_it_is_started_again_and_says_how_it_is(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@pytest.mark.parametrize("name", ["ingest", "matcher", "notifier"])
def test_a_service_has_the_time_to_stop_in_order(name: str) -> None:
    grace = RuntimeSettings.model_fields["grace_seconds"].default
    assert seconds(SERVICES[name]["stop_grace_period"]) > grace


def test_nothing_is_published_but_the_proxy() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.pop("proxy")
    # What else has a port has it for who is on this machine.
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert not any(service.get("network_mode") == "host" for service in SERVICES.values())


def test_who_holds_the_data_cannot_reach_the_world() -> None:
    inside = {name for name, network in COMPOSE["networks"].items() if network.get("internal")}
    for name in ("kafka", "mongo", "matcher", "ingest"):
        assert set(SERVICES[name]["networks"]) <= inside, name
    assert "back" not in SERVICES["proxy"]["networks"]


def test_the_portal_is_a_choice_that_opens_nothing_but_a_way_to_the_mail_server() -> None:
    chosen = yaml.safe_load((DEPLOY / "compose.portal.yaml").read_text(encoding="utf-8"))
    assert set(chosen) == {"services"}
    assert set(chosen["services"]) == {"ingest"}
    assert set(chosen["services"]["ingest"]) == {"environment", "networks"}
    assert chosen["services"]["ingest"]["networks"] == ["out"]
    # A mail server's password and the secret of the links are files there already.
    assert not [name for name in chosen["services"]["ingest"]["environment"] if "PASSWORD" in name or "SECRET" in name]


@pytest.mark.parametrize("job", sorted(JOBS - {"maillage"}))
def test_a_job_is_waited_for(job: str) -> None:
    """`up --wait` takes a container that ends for broken, unless somebody waits for its end."""
    waiting = [
        name
        for name, service in SERVICES.items()
        if service.get("depends_on", {}).get(job) == {"condition": "service_completed_successfully"}
    ]
    assert waiting


@every_service
def test_no_secret_is_in_its_environment(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        assert variable.endswith("_FILE") or not re.search("PASSWORD|SECRET|KEY", variable), variable
        assert not re.search(r"://[^/@]*:[^/@]*@", str(value)), variable


def test_the_example_says_all_that_has_no_default_in_ten_lines() -> None:
    lines = (DEPLOY / ".env.example").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 10
    given = {line.split("=")[0] for line in lines if not line.startswith("#")}
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{([A-Z_]+)(?:\}|:\?)", text)) <= given


def test_the_image_runs_as_nobody_in_particular() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    final = text.rsplit("\nFROM ", 1)[1]
    assert "\nUSER maillage\n" in final
    assert "ENTRYPOINT" not in final
