"""What of credentials is refused before anything starts, and how each connection is protected."""

from pathlib import Path
from typing import Any

import pytest
from faststream.kafka.security import parse_security

from services.runtime.connection import Connection, Security, tls_context
from services.runtime.settings import KafkaSettings, RuntimeSettings, load
from services.runtime.store import Store
from tests.parts.secured import PASSWORD, Authority

LOGIN = {"kafka_security": "sasl_tls", "kafka_user": "matcher", "kafka_password": PASSWORD}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def refusal(capsys: pytest.CaptureFixture[str], **given: Any) -> str:
    """The one line with which a service ends that is given these settings."""
    with pytest.raises(SystemExit) as ended:
        load(RuntimeSettings, **given)
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert PASSWORD not in line
    return line


@pytest.mark.parametrize("security", ["plaintext", "tls"])
@pytest.mark.parametrize("named", ["kafka_user", "kafka_password"])
def test_a_login_at_the_broker_travels_in_tls_or_not_at_all(
    capsys: pytest.CaptureFixture[str], security: str, named: str
) -> None:
    line = refusal(capsys, kafka_security=security, **{named: PASSWORD})
    assert line.startswith(f"MAILLAGE_{named.upper()}: a login must not travel in the clear; set MAILLAGE_KAFKA_SEC")


@pytest.mark.parametrize("missing", ["kafka_user", "kafka_password"])
def test_a_login_is_asked_for_where_it_is_needed(capsys: pytest.CaptureFixture[str], missing: str) -> None:
    line = refusal(capsys, **{name: value for name, value in LOGIN.items() if name != missing})
    assert line.startswith(f"MAILLAGE_{missing.upper()}: missing, and MAILLAGE_KAFKA_SECURITY=sasl_tls is a login")


def test_files_that_protect_nothing_are_refused(
    capsys: pytest.CaptureFixture[str], authority: Authority, tmp_path: Path
) -> None:
    assert "without TLS it protects nothing" in refusal(capsys, kafka_ca=str(authority.file))
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for name in ("kafka_ca", "kafka_certificate", "mongo_ca"):
        no_pem = refusal(capsys, kafka_security="tls", **{name: str(empty)})
        assert no_pem.startswith(f"MAILLAGE_{name.upper()}: not a PEM file that can be used")
        absent = refusal(capsys, kafka_security="tls", **{name: str(tmp_path / "absent.pem")})
        assert absent.startswith(f"MAILLAGE_{name.upper()}: Path does not point to a file")


@pytest.mark.parametrize(
    "url",
    [
        f"mongodb://user:{PASSWORD}@mongo.example.org",
        f"mongodb://user:{PASSWORD}@127.0.0.1,mongo.example.org:27018/?replicaSet=rs",
        f"mongodb://user:{PASSWORD}@mongo.example.org/?tls=false",
        f"mongodb+srv://user:{PASSWORD}@mongo.example.org/?ssl=false",
        "mongodb://user@mongo.example.org/?authSource=admin",  # its password may come from elsewhere
    ],
)
def test_a_login_at_the_database_travels_in_tls_or_not_at_all(
    capsys: pytest.CaptureFixture[str], authority: Authority, url: str
) -> None:
    line = refusal(capsys, mongo=url)
    assert line.startswith("MAILLAGE_MONGO: sends a login to mongo.example.org without TLS; add tls=true")

    assert load(RuntimeSettings, mongo=url, trust_network=True).mongo.get_secret_value() == url
    assert load(RuntimeSettings, mongo=url, mongo_ca=str(authority.file)).mongo.get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    [
        f"mongodb://user:{PASSWORD}@mongo.example.org/?tls=true",
        f"mongodb+srv://user:{PASSWORD}@mongo.example.org/",
        f"mongodb://user:{PASSWORD}@localhost,127.0.0.2:27018,[::1]:27019/",
        f"mongodb://user:{PASSWORD}@%2Ftmp%2Fmongodb-27017.sock/",
        "mongodb://mongo.example.org",
    ],
)
def test_what_nobody_can_listen_to_is_accepted(url: str) -> None:
    assert load(RuntimeSettings, mongo=url).mongo.get_secret_value() == url


@pytest.mark.parametrize("url", ["mongo.example.org", f"mongodb://user:{PASSWORD}@:x/", f"mongodb://u:{PASSWORD}%@h/"])
def test_what_is_no_connection_string_is_not_quoted(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert refusal(capsys, mongo=url).startswith("MAILLAGE_MONGO: expected mongodb://[user:password@]host[:port]")


@pytest.mark.parametrize(
    ("given", "protocol"),
    [
        ({}, "PLAINTEXT"),
        ({"kafka_security": "tls"}, "SSL"),
        (LOGIN, "SASL_SSL"),
        ({**LOGIN, "kafka_mechanism": "SCRAM-SHA-256"}, "SASL_SSL"),
        ({**LOGIN, "kafka_mechanism": "PLAIN"}, "SASL_SSL"),
    ],
)
def test_every_client_is_protected_alike(given: dict[str, str], protocol: str) -> None:
    connection = load(KafkaSettings, **given).connection
    client = connection.client()
    assert client["security_protocol"] == protocol
    assert client.get("ssl_context") is connection.context
    assert (connection.context is None) == (protocol == "PLAINTEXT")
    assert client.get("sasl_plain_username") == given.get("kafka_user")
    if protocol == "SASL_SSL":
        assert client["sasl_mechanism"] == given.get("kafka_mechanism", "SCRAM-SHA-512")
    del client["bootstrap_servers"]
    said = {name: value for name, value in parse_security(connection.faststream()).items() if value is not None}
    assert said == client


@pytest.mark.parametrize("security", list(Security))
def test_a_connection_that_would_not_be_protected_cannot_be_made(security: Security) -> None:
    context = None if security is Security.PLAINTEXT else tls_context(None)
    user = "matcher" if security is Security.SASL_TLS else ""
    Connection("kafka:9093", security, context, user=user)
    with pytest.raises(ValueError, match="TLS needs a context"):  # FastStream would make it SASL_PLAINTEXT
        Connection("kafka:9093", security, None if context else tls_context(None), user=user)
    with pytest.raises(ValueError, match="a login goes by TLS"):
        Connection("kafka:9093", security, context, user="" if user else "matcher")


def test_passwords_are_not_shown() -> None:
    settings = load(RuntimeSettings, mongo=f"mongodb://user:{PASSWORD}@localhost", **LOGIN)
    assert PASSWORD not in repr(settings)
    assert PASSWORD not in repr(settings.connection)


def test_the_authority_of_the_database_means_tls(authority: Authority) -> None:
    store = Store(url="mongodb://mongo.example.org/?tls=false", database="d", ca=authority.file)
    options = store._client.delegate.options.pool_options
    assert options._ssl_context is not None
    store.close()
