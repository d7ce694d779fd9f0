"""The override that has the parts of a deployment ask who is there: its logins, its certificates, its base."""

import shutil
import ssl
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.console.deployed.secrets import deal_out
from services.runtime.connection import tls_context

DEPLOY = Path(__file__).parents[2] / "deploy"
ROLES = ("ingest", "matcher", "notifier", "operator")


def test_logins_are_dealt_out_where_the_broker_asks_and_taken_back_where_it_does_not(tmp_path: Path) -> None:
    given = tmp_path / "given"
    deal_out(tmp_path, given, owners=lambda _: None, logins=True)
    passwords = {role: (tmp_path / role / "maillage_kafka_password").read_text() for role in ROLES}
    assert len(set(passwords.values())) == len(ROLES)
    assert {role: (tmp_path / "kafka" / f"maillage-{role}").read_text() for role in ROLES} == passwords

    deal_out(tmp_path, given, owners=lambda _: None)
    # A service that finds one would refuse to start: it must not send it.
    assert not list(tmp_path.glob("*/maillage_kafka_password"))
    assert not list((tmp_path / "kafka").iterdir())
    deal_out(tmp_path, given, owners=lambda _: None, logins=True)
    assert {role: (tmp_path / role / "maillage_kafka_password").read_text() for role in ROLES} == passwords


def compose(name: str) -> dict[str, Any]:
    read = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    assert isinstance(read, dict)
    return read


def test_the_override_keeps_what_the_base_says_of_the_database() -> None:
    base, secured = (compose(name)["services"]["mongo"]["command"] for name in ("compose.yaml", "compose.secure.yaml"))
    assert secured[: len(base)] == base


def test_every_reader_of_a_login_is_told_how_it_is_protected() -> None:
    services = compose("compose.secure.yaml")["services"]
    for role in ROLES:
        settings = services["maillage" if role == "operator" else role]["environment"]
        assert settings["MAILLAGE_KAFKA_USER"] == f"maillage-{role}"
        assert settings["MAILLAGE_KAFKA_SECURITY"] == "sasl_tls"
        assert settings["MAILLAGE_TRUST_NETWORK"] == "false"


openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no `openssl` on the PATH")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for reader in ("authority", "kafka", "mongo", "access"):
        (tmp_path / reader).mkdir()
    return tmp_path


def certificates(folder: Path) -> str:
    # Files are dealt out to other users: that needs an administrator, which a test is only in a container.
    script = (DEPLOY / "secure" / "certificates").read_text().replace("chown", ": chown")
    made = subprocess.run(["sh", "-c", script, "certificates", str(folder)], capture_output=True, text=True, check=True)
    return made.stdout


@openssl
def test_certificates_are_made_once_and_can_be_used(folder: Path) -> None:
    assert certificates(folder).count("A certificate for") == 3
    before = {path: path.read_bytes() for path in folder.rglob("*.pem")}
    assert len(before) == 8
    assert certificates(folder) == ""
    assert {path: path.read_bytes() for path in folder.rglob("*.pem")} == before

    context = tls_context(folder / "authority" / "ca.pem", folder / "access" / "access.pem")
    assert context.verify_mode is ssl.CERT_REQUIRED
    for name in ("kafka", "mongo", "access"):
        own = folder / name / f"{name}.pem"
        assert stat.S_IMODE(own.stat().st_mode) == 0o400
        assert b"BEGIN PRIVATE KEY" in own.read_bytes()  # the one form that Kafka reads
        trusted = ["-x509_strict", "-CAfile", str(folder / name / "ca.pem"), "-verify_hostname", name, str(own)]
        subprocess.run(["openssl", "verify", *trusted], check=True, capture_output=True)
    assert not list((folder / "authority").glob("*key*"))


@openssl
def test_a_certificate_of_another_authority_is_made_anew(folder: Path) -> None:
    certificates(folder)
    before = (folder / "kafka" / "kafka.pem").read_bytes()
    (folder / "kept" / "ca.pem").unlink()
    assert certificates(folder).count("A certificate for") == 3
    assert (folder / "kafka" / "kafka.pem").read_bytes() != before
