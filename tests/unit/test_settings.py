"""Settings from files of secrets, and the one line that a wrong one ends with."""

from pathlib import Path

import pytest

from services.ingest.settings import IngestSettings
from services.runtime.settings import load

KEY = "correct-horse-battery"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAILLAGE_OPERATOR_KEY", "MAILLAGE_MONGO_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def refusal(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        load(IngestSettings, secrets=folder)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_file_is_a_setting(tmp_path: Path) -> None:
    (tmp_path / "maillage_operator_key").write_text(f"{KEY}\n")
    (tmp_path / "maillage_mongo_password").write_text("geheim é")
    settings = load(IngestSettings, secrets=tmp_path)
    assert settings.operator_key is not None
    assert settings.operator_key.get_secret_value() == KEY
    assert settings.mongo_password is not None
    assert settings.mongo_password.get_secret_value() == "geheim é"
    assert KEY not in repr(settings)


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "maillage_operator_key").write_text(KEY)
    monkeypatch.setenv("MAILLAGE_OPERATOR_KEY", "another-key-of-mine")
    settings = load(IngestSettings, secrets=tmp_path)
    assert settings.operator_key is not None
    assert settings.operator_key.get_secret_value() == "another-key-of-mine"


def test_without_the_folder_there_are_none(tmp_path: Path) -> None:
    assert load(IngestSettings, secrets=tmp_path / "none").operator_key is None


def test_a_wrong_one_names_its_file_and_not_what_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "maillage_operator_key"
    file.write_text("tooshort")
    line = refusal(tmp_path, capsys)
    assert line.startswith("MAILLAGE_OPERATOR_KEY: ")
    assert f"in {file}" in line
    assert "tooshort" not in line


def test_one_that_is_no_text_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "maillage_operator_key").write_bytes(b"\xff\xfe" + KEY.encode())
    assert "not UTF-8" in refusal(tmp_path, capsys)


def test_one_that_is_a_folder_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "maillage_operator_key").mkdir()
    assert "maillage_operator_key" in refusal(tmp_path, capsys)


def test_one_that_may_not_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Root may read everything, but not in a loop.
    (tmp_path / "maillage_operator_key").symlink_to("maillage_operator_key")
    assert "maillage_operator_key" in refusal(tmp_path, capsys)
