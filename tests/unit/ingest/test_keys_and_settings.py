"""Recognising the operator, and refusing settings that would make that unsafe."""

import hashlib

import pytest

from services.ingest.keys import OperatorKey
from services.ingest.settings import IngestSettings
from services.runtime.settings import load

KEY = "correct-horse-battery"


@pytest.mark.parametrize("setting", [KEY, f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"])
def test_the_operators_key_is_recognised_plain_or_hashed(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv("MAILLAGE_OPERATOR_KEY", setting)
    settings = load(IngestSettings)
    operator = OperatorKey(settings)
    assert operator.is_in(KEY)
    assert not any(operator.is_in(other) for other in ("", KEY[:-1], f"{KEY} ", "é", setting.upper()))
    assert KEY not in repr(settings)


def test_a_hash_is_not_the_key_it_is_of(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"
    monkeypatch.setenv("MAILLAGE_OPERATOR_KEY", hashed)
    operator = OperatorKey(load(IngestSettings))
    assert not operator.is_in(hashed)
    assert not operator.is_in(hashed.removeprefix("sha256:"))


def test_without_a_setting_nobody_is_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAILLAGE_OPERATOR_KEY", raising=False)
    assert not OperatorKey(load(IngestSettings)).is_in("")


@pytest.mark.parametrize("setting", ["", "short", "sha256:xyz", "sha256:" + "A" * 64])
def test_a_key_that_could_be_guessed_stops_the_service(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    monkeypatch.setenv("MAILLAGE_OPERATOR_KEY", setting)
    with pytest.raises(SystemExit) as ended:
        load(IngestSettings)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("MAILLAGE_OPERATOR_KEY: ")
    assert "at least 16 characters" in said
    assert setting == "" or setting not in said
