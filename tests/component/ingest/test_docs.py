"""The examples of `docs/ingest.md` work as they stand there, in their order, against a service of their own process."""

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from services.console.embedded.process import LOOPBACK, free_port
from services.console.main import cli
from tests.component.ingest.conftest import OPERATOR_KEY, bearer

PAGE = (Path(__file__).parents[3] / "docs" / "ingest.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


async def shell(script: str, url: str, key: str, folder: Path) -> tuple[int, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", script),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": path, "MAILLAGE_URL": url, "MAILLAGE_KEY": key, "MAILLAGE_OPERATOR_KEY": OPERATOR_KEY},
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_the_page_works_from_top_to_bottom(url: str, tmp_path: Path) -> None:
    _, profile, contact, need, endings, listing, preview, keys, shells, many, _, operator = blocks("sh")
    issued = (await shell(operator, url, "", tmp_path))[1]
    key = re.findall(r'"key": "(mk_[^"]+)"', issued)[0]
    assert '{"id": "salma", "rev": 1}' in issued
    assert '{"id": "argania-tech", "rev": 1}' in (await shell(profile, url, key, tmp_path))[1]
    assert '{"id": "argania-tech", "rev": 1}' in (await shell(contact, url, key, tmp_path))[1]
    assert '{"id": "tourteau", "rev": 1}' in (await shell(need, url, key, tmp_path))[1]
    asked = (await shell(preview, url, key, tmp_path))[1]
    assert "there is no preview at the moment" in asked.casefold()  # no matcher runs here
    said = (await shell(shells, url, key, tmp_path))[1]
    assert "Sécher" in said
    assert json.loads((tmp_path / "argania-tech.json").read_text())["name"] == "Argania Tech"
    assert '"rev": 1' in said.rpartition("argania-tech")[2], "the same profile is no new state"
    assert '{"id": "tourteau", "rev": 1' in (await shell(listing, url, key, tmp_path))[1]
    (tmp_path / "members.jsonl").write_text(blocks("jsonl")[0])
    refused = (await shell(many, url, key, tmp_path))[1]
    taken = (await shell(many, url, OPERATOR_KEY, tmp_path))[1]
    assert [json.loads(line)["status"] for line in refused.splitlines() if line.startswith("{")] == [403, 403]
    assert [json.loads(line)["status"] for line in taken.splitlines() if line.startswith("{")] == [202, 422]
    ended = (await shell(endings, url, key, tmp_path))[1]
    assert '{"id": "tourteau", "rev": 2}' in ended
    assert '{"id": "tourteau", "rev": 3}' in ended

    key_id = re.findall(r'"key_id": "([^"]+)"', issued)[0]
    dealt = (await shell(f"KEY_ID={key_id}\n{keys}", url, OPERATOR_KEY, tmp_path))[1]
    assert [said in dealt for said in ('"used_at"', '"label": "ERP"', '"scopes": ["needs"]')] == [True] * 3
    assert len(re.findall(r'"key": "mk_', dealt)) == 2
    assert "Who are you?" in (await shell(profile, url, key, tmp_path))[1]


async def test_the_sample_files_are_imported_whole_by_the_command(url: str, tmp_path: Path) -> None:
    files = {"members.csv": blocks("csv")[0], "needs.csv": blocks("csv")[1], "all.jsonl": blocks("jsonl")[0]}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        status, said = await shell(f"maillage import {name} --cluster souss", url, OPERATOR_KEY, tmp_path)
        rows = content.count("\n") - name.endswith(".csv")
        assert (status, f"{rows} rows accepted, 0 rejected" in said) == (0, True), said
        assert not (tmp_path / f"{name}.rejected.csv").exists()
    async with httpx.AsyncClient(base_url=url, headers=bearer(OPERATOR_KEY)) as api:
        lab = (await api.get("/v1/clusters/souss/members/atlas-lab")).json()
    titles = [asset["title"] for asset in lab["assets"]]
    assert titles == ["Chromatographie des saponines", "Extraction par solvants verts"]


async def test_the_command_lists_what_it_could_not_import(url: str, tmp_path: Path) -> None:
    (tmp_path / "members.csv").write_text("member_id,name,kind\na,A,company\nb,B,club\n")
    command = "maillage import members.csv --cluster souss --no-alerts"
    status, said = await shell(command, url, OPERATOR_KEY, tmp_path)
    assert status == 1
    assert "1 rows accepted, 1 rejected" in said
    assert "members.csv.rejected.csv" in said
    rejected = (tmp_path / "members.csv.rejected.csv").read_text(encoding="utf-8-sig").splitlines()
    assert rejected[0] == "line,field,value,remedy"
    assert rejected[1].startswith("3,kind,club,")
    assert len(rejected) == 2

    status, said = await shell(command, url, "wrong", tmp_path)
    assert (status, "The key is not valid" in said) == (1, True)
    (tmp_path / "members.csv").write_text("member_id,nmae\n")
    status, said = await shell(command, url, OPERATOR_KEY, tmp_path)
    assert (status, "Column 'nmae' is unknown" in said) == (1, True)
    assert not (tmp_path / "members.csv.rejected.csv").exists()


async def test_commands_end_as_scripts_can_tell(url: str, tmp_path: Path) -> None:
    async def run(command: str, key: str = OPERATOR_KEY, at: str = url) -> tuple[int, str]:
        return await shell(f"MAILLAGE_CLUSTER=souss maillage {command}", at, key, tmp_path)

    (tmp_path / "firm.json").write_text('{"name": "Atelier", "kind": "club"}')
    refused = await run("member put firm firm.json")
    assert refused[0] == 1
    assert "kind: 'club'" in refused[1]
    (tmp_path / "firm.json").write_text('{"name": "Atelier", "kind": "company", "summary": "<p>Filets</p>"}')
    taken = await run("member put firm firm.json")
    assert (taken[0], "HTML was taken out" in taken[1]) == (0, True)
    issued = await run("key issue firm --scope needs --label ERP")
    listed = await run("key list firm --json")
    assert json.loads(listed[1])["key_id"] == json.loads(issued[1])["key_id"]
    assert "mk_" not in listed[1]
    assert (await run("need show nothing"))[0] == 1
    assert (await run("need list", "wrong"))[0] == 1
    assert (await run("need list --json")) == (0, "")
    assert json.loads(listed[1])["scopes"] == ["needs"]
    (tmp_path / "firm.json").write_text("{")
    assert (await run("member put firm firm.json"))[0] == 2
    away = await run("need --patience 0 show n", at=f"http://{LOOPBACK}:{free_port()}")
    assert (away[0], "does not answer" in away[1], "nothing is done twice" in away[1]) == (3, True, True)


async def test_commands_show_what_was_written_and_post_it_once(url: str, tmp_path: Path) -> None:
    env = {"MAILLAGE_URL": url, "MAILLAGE_KEY": OPERATOR_KEY, "MAILLAGE_CLUSTER": "souss"}

    async def run(*command: str, **more: str) -> tuple[int, str, str]:
        result = await asyncio.to_thread(CliRunner().invoke, cli, command, env=env | more)
        return result.exit_code, result.stdout, result.stderr

    firm, need = tmp_path / "firm.json", tmp_path / "need.json"
    firm.write_text('{"name": "Atelier", "kind": "company"}')
    assert (await run("member", "put", "firm", str(firm)))[0] == 0
    title = "[/]Résistance ≥ 5 Ω, " + "x" * 80
    need.write_text(json.dumps({"member_id": "firm", "title": title, "text": "[bold]"}), encoding="utf-8-sig")
    post = ("need", "post", str(need))
    first, again, another = [
        json.loads((await run(*command))[1])["id"] for command in (post, post, (*post, "--idempotency-key", "another"))
    ]
    assert first == again != another
    code_page = "PYTHONIOENCODING=cp1252 MAILLAGE_CLUSTER=souss"
    table = (await shell(f"{code_page} maillage need list", url, OPERATOR_KEY, tmp_path))[1]
    assert title in table
    assert first in table
    assert (await run("need", "list", MAILLAGE_URL="127.0.0.1"))[0] == 2
    nobody = f"http://{LOOPBACK}:{free_port()}"
    status, _, said = await run("key", "--patience", "0", "issue", "firm", MAILLAGE_URL=nobody)
    assert (status, "may have been issued" in said, "twice" in said) == (3, True, False)
