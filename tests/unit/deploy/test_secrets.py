"""Secrets of a deployment: made once, dealt out to their readers, replaced by what an operator gives."""

import stat
from pathlib import Path

import pytest

from services.console.deployed.secrets import SECRETS, UnusableError, deal_out


def deal(volume: Path, given: Path) -> list[str]:
    return deal_out(volume, given, owners=lambda _: None)


def everything(volume: Path) -> dict[str, str]:
    return {str(path.relative_to(volume)): path.read_text() for path in sorted(volume.rglob("*")) if path.is_file()}


def test_they_are_made_once(tmp_path: Path) -> None:
    made = deal(tmp_path / "v", tmp_path / "given")
    assert set(made) == {secret.name for secret in SECRETS if secret.make}
    first = everything(tmp_path / "v")
    assert len({first["kept/" + name] for name in made}) == len(made)
    assert deal(tmp_path / "v", tmp_path / "given") == []
    assert everything(tmp_path / "v") == first


def test_each_reader_has_its_own_and_nobody_elses(tmp_path: Path) -> None:
    deal(tmp_path, tmp_path / "given")
    names = {folder.name: {file.name for file in folder.iterdir()} for folder in tmp_path.iterdir()}
    own = {"maillage_mongo_password", "maillage_operator_key", "maillage_preview_key", "maillage_portal_secret"}
    assert names["ingest"] == own
    assert names["matcher"] == {"maillage_mongo_password", "maillage_preview_key"}
    assert names["notifier"] == {"maillage_mongo_password", "maillage_secret"}
    assert names["mongo"] == {"keyfile", "root_password"}
    passwords = {(tmp_path / service / "maillage_mongo_password").read_text() for service in ("ingest", "matcher")}
    assert len(passwords) == 2
    asked, answered = ((tmp_path / service / "maillage_preview_key").read_text() for service in ("ingest", "matcher"))
    assert asked == answered
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o400)


def test_the_key_file_is_one_that_mongodb_takes(tmp_path: Path) -> None:
    deal(tmp_path, tmp_path / "given")
    key = (tmp_path / "mongo" / "keyfile").read_text()
    assert 6 <= len(key) <= 1024
    assert key.isascii()
    assert key.replace("+", "").replace("/", "").replace("=", "").isalnum()


def test_what_an_operator_gives_wins_and_stays(tmp_path: Path) -> None:
    volume, given = tmp_path / "v", tmp_path / "given"
    deal(volume, given)
    given.mkdir()
    (given / "operator_key").write_text("an-operators-own-key\n")
    (given / "smtp_password").write_text("p")
    assert deal(volume, given) == ["operator_key", "smtp_password"]
    assert (volume / "ingest" / "maillage_operator_key").read_text() == "an-operators-own-key"
    assert (volume / "notifier" / "maillage_smtp_password").read_text() == "p"
    (given / "operator_key").unlink()
    assert deal(volume, given) == []
    assert (volume / "operator" / "maillage_operator_key").read_text() == "an-operators-own-key"


@pytest.mark.parametrize(
    ("name", "value"), [("operator_key", b"short"), ("inbox_secret", b""), ("smtp_password", b"\xff")]
)
def test_what_cannot_be_used_changes_nothing(tmp_path: Path, name: str, value: bytes) -> None:
    volume, given = tmp_path / "v", tmp_path / "given"
    deal(volume, given)
    before = everything(volume)
    given.mkdir()
    (given / name).write_bytes(value)
    with pytest.raises(UnusableError, match=name) as refused:
        deal(volume, given)
    assert "short" not in str(refused.value)
    assert everything(volume) == before
