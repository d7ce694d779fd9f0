"""Many rows in one request."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from schemas.topics import MAX_EVENT_BYTES
from services.ingest import edge
from services.ingest.app import BOUNDS
from services.ingest.bulk import ROWS
from services.runtime.bounds import bounded
from tests.component.ingest.conftest import CONTACT, OPERATOR_KEY, Cluster, bearer
from tests.security.test_bounds import serving

FIRM = {"name": "Atelier", "kind": "company"}
AUTHORIZED = f"authorization: Bearer {OPERATOR_KEY}"
LINES = {"Content-Type": "application/x-ndjson"}


async def bulk(cluster: Cluster, *rows: object, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    content = "\n".join(lines).encode(errors="surrogatepass")
    answer = await cluster.api.post(
        "/v1/bulk", params={"cluster": cluster.name}, content=content, headers=LINES | (headers or {})
    )
    assert answer.status_code == httpx.codes.OK, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_rows_of_all_kinds_are_published_as_by_themselves(cluster: Cluster) -> None:
    need = {"member_id": "firm", "title": "Capteurs", "text": "Pour un essai en serre."}
    answers = await bulk(
        cluster,
        FIRM | {"member_id": "firm"},
        need | {"need_id": "n1"},
        CONTACT | {"member_id": "firm"},
        {"ambassador_id": "amina", "name": "Amina", "role": "desk"},
    )
    said = [(answer["line"], answer["status"], answer["kind"], answer["id"], answer["rev"]) for answer in answers]
    assert said == [
        (1, 202, "members", "firm", 1),
        (2, 202, "needs", "n1", 1),
        (3, 202, "contacts", "firm", 1),
        (4, 202, "ambassadors", "amina", 1),
    ]
    await cluster.need("n2", "firm", **need)
    one, other = [(await cluster.api.get(cluster.path("needs", name))).json() for name in ("n1", "n2")]
    assert one == other
    assert {envelope.rev for envelope in await cluster.told()} == {1}


async def test_a_row_that_cannot_be_taken_is_told_as_by_itself_and_harms_no_other(cluster: Cluster) -> None:
    wrong = FIRM | {"member_id": "b", "kind": "shop"}
    answers = await bulk(
        cluster, FIRM | {"member_id": "a"}, "no JSON", wrong, "", {"x": 1}, FIRM | {"member_id": "é"}, FIRM
    )
    assert [(answer["line"], answer["status"]) for answer in answers] == [
        (1, 202), (2, 400), (3, 422), (5, 422), (6, 422), (7, 422)
    ]  # fmt: skip
    alone = await cluster.put("members", "b", {name: value for name, value in wrong.items() if name != "member_id"})
    assert answers[2]["problem"] == alone.json()
    assert answers[4]["problem"]["errors"][0]["field"] == "member_id"


async def test_rows_of_one_entity_are_taken_in_their_order_after_the_member_they_belong_to(cluster: Cluster) -> None:
    rows: list[object] = [FIRM | {"member_id": f"m{number}"} for number in range(40)]
    rows += [{"need_id": f"n{number}", "member_id": f"m{number}", "title": "Besoin urgent"} for number in range(40)]
    rows += [FIRM | {"member_id": "m0", "name": f"Atelier {number}"} for number in range(30)]
    answers = await bulk(cluster, *rows)
    assert {answer["status"] for answer in answers} == {202}
    assert [answer["rev"] for answer in answers[80:]] == list(range(2, 32))
    assert (await cluster.api.get(cluster.path("members", "m0"))).json()["name"] == "Atelier 29"


async def test_the_same_rows_once_more_change_nothing(cluster: Cluster) -> None:
    rows = (
        FIRM | {"member_id": "firm"},
        {"member_id": "firm", "title": "Sans aucun nom"},
        FIRM | {"member_id": "firm"},
    )
    first, second = await bulk(cluster, *rows), await bulk(cluster, *rows)
    assert first == second
    assert len(await cluster.told()) == 2


async def test_an_organisation_publishes_for_itself_alone(cluster: Cluster) -> None:
    await cluster.member("mine")
    key = await cluster.key_of("mine")
    need = {"title": "Besoin urgent", "need_id": "n1"}
    answers = await bulk(
        cluster,
        need | {"member_id": "mine"},
        need | {"member_id": "other", "need_id": "n2"},
        FIRM | {"member_id": "other"},
        {"ambassador_id": "amina", "name": "Amina", "role": "desk"},
        headers=key,
    )
    assert [answer["status"] for answer in answers] == [202, 403, 403, 403]


async def test_what_is_too_long_or_too_much_is_refused_where_it_is(cluster: Cluster) -> None:
    long = FIRM | {"member_id": "long", "summary": "x" * MAX_EVENT_BYTES}
    assert [one["status"] for one in await bulk(cluster, long, FIRM | {"member_id": "short"})] == [413, 202]
    answers = await bulk(cluster, *["{}"] * (ROWS + 5))
    assert [answer["status"] for answer in answers[-2:]] == [422, 413]
    assert answers[-1]["line"] == ROWS + 1


async def test_a_request_that_is_none_of_lines_is_refused_as_a_whole(cluster: Cluster) -> None:
    async def status(headers: dict[str, str], **params: str) -> int:
        answer = await cluster.api.post("/v1/bulk", params=params, content=b"{}", headers=headers)
        return answer.status_code

    name = cluster.name
    assert await status({"Content-Type": "application/json"}, cluster=name) == 415
    assert await status(LINES) == 422
    assert await status(LINES | bearer("mk_nobody"), cluster=name) == 401
    assert await status(LINES, cluster=name, alerts="perhaps") == 422


async def test_answers_come_while_rows_are_still_sent(cluster: Cluster) -> None:
    async with serving(cluster.frame.app, http=bounded(BOUNDS)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = [f"POST /v1/bulk?cluster={cluster.name} HTTP/1.1", "host: x", AUTHORIZED, "connection: close"]
        head += ["transfer-encoding: chunked", "content-type: application/x-ndjson", "", ""]
        writer.write("\r\n".join(head).encode())
        for number in range(3):
            line = json.dumps(FIRM | {"member_id": f"m{number}"}).encode() + b"\n"
            writer.write(b"%x\r\n%s\r\n" % (len(line), line))
            async with asyncio.timeout(10):
                assert f'"id": "m{number}"'.encode() in await reader.readuntil(b"}\n")
        writer.write(b"0\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.read()).endswith(b"0\r\n\r\n")
        writer.close()


async def test_more_rows_than_one_state_may_be_long_fit_into_a_request(cluster: Cluster) -> None:
    rows = [FIRM | {"member_id": f"m{number}", "summary": "x" * 4_000} for number in range(700)]
    content = "\n".join(map(json.dumps, rows)).encode()
    assert len(content) > BOUNDS.request_bytes
    async with (
        serving(cluster.frame.app, http=bounded(BOUNDS)) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=bearer(OPERATOR_KEY) | LINES) as api,
    ):
        answer = await api.post("/v1/bulk", params={"cluster": cluster.name}, content=content, timeout=60)
    assert [json.loads(line)["status"] for line in answer.text.splitlines()] == [202] * len(rows)


async def test_a_key_that_is_revoked_meanwhile_takes_no_more_rows(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "KNOWN_SECONDS", 0.0)
    await cluster.member("mine")
    issued = (await cluster.api.post("/v1/keys", json={"cluster": cluster.name, "member_id": "mine"})).json()
    need = {"member_id": "mine", "title": "Besoin urgent"}

    async def rows() -> AsyncIterator[bytes]:
        yield json.dumps(need | {"need_id": "n1"}).encode() + b"\n"
        await until_there()
        await cluster.api.delete(f"/v1/keys/{issued['key_id']}")
        yield json.dumps(need | {"need_id": "n2"}).encode() + b"\n"

    async def until_there() -> None:
        async with asyncio.timeout(10):
            while (await cluster.api.get(cluster.path("needs", "n1"))).status_code != httpx.codes.OK:
                await asyncio.sleep(0.02)

    answer = await cluster.api.post(
        "/v1/bulk", params={"cluster": cluster.name}, content=rows(), headers=LINES | bearer(issued["key"])
    )
    assert [json.loads(line)["status"] for line in answer.text.splitlines()] == [202, 401]


async def test_what_nobody_would_write_costs_its_line_alone(cluster: Cluster) -> None:
    many = FIRM | {"member_id": "m", "assets": [{}] * 100_000}
    answers = await bulk(cluster, "[" * 100_000, many, FIRM | {"member_id": "a"})
    assert [answer["status"] for answer in answers] == [400, 422, 202]
    assert "200,000 fields" in answers[1]["problem"]["errors"][0]["detail"]
