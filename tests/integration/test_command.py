"""What the `maillage` command says to a person whose servers or settings are not as it expects."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.console.embedded.process import free_port
from services.console.main import cli
from services.console.system import Wanted, running


@pytest.mark.parametrize("command", [["topics"], ["up", "--port", "0", "--kafka"]])
def test_a_broker_that_is_away_is_one_line_and_no_traceback(command: list[str], tmp_path: Path) -> None:
    broker = f"127.0.0.1:{free_port()}"
    options = ["--data-dir", str(tmp_path)] if command[0] == "up" else []
    result = CliRunner().invoke(cli, [*command, broker, *options])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert f"broker {broker}" in " ".join(result.stderr.split())


async def test_everything_starts_whatever_logs_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILLAGE_LOG_LEVEL", "error")
    monkeypatch.setenv("MAILLAGE_LOG_FORMAT", "console")
    async with running(Wanted(data=tmp_path, port=0), print) as (system, _):
        assert system.api
