"""The Python client against the service: over a way of ours, and installed alone over the network."""

import asyncio
import re
import sys
from pathlib import Path

import httpx
import pytest

from services.client import AsyncMaillage, AwayError, MisuseError, RefusedError
from services.client.generate import SOURCE, TARGET, synchronous
from tests.component.ingest.conftest import CONTACT, OPERATOR_KEY, Cluster
from tests.component.ingest.log import newest

CLIENT = SOURCE.parent
NEED = {"member_id": "firm", "title": "Capteurs pour une serre", "text": "Nous cherchons des capteurs."}


class Line(httpx.AsyncBaseTransport):
    """The way to the service.

    Attributes:
        lost: so many times it breaks off when the service has done its work.
        deaf: so many times nobody listens at its end.
        cut: nobody ever does.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._through = httpx.ASGITransport(cluster.frame.app)
        self.lost = 0
        self.deaf = 0
        self.cut = False
        self.sent = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        if self.cut or self.deaf:
            self.deaf = max(0, self.deaf - 1)
            raise httpx.ConnectError("nobody there")
        answer = await self._through.handle_async_request(request)
        if self.lost:
            self.lost -= 1
            raise httpx.ReadError("broken off")
        return answer


@pytest.fixture
def line(cluster: Cluster) -> Line:
    return Line(cluster)


def client(cluster: Cluster, line: Line, key: str = OPERATOR_KEY) -> AsyncMaillage:
    return AsyncMaillage("http://maillage.test", key=key, cluster=cluster.name, patience_seconds=5, transport=line)


async def test_a_member_lives_with_its_contact_needs_and_keys(cluster: Cluster, line: Line) -> None:
    async with client(cluster, line) as operator:
        taken = await operator.put_member("firm", {"name": "Atelier", "kind": "company", "summary": "<b>Filets</b>"})
        assert (taken.id, taken.rev, [note.field for note in taken.notes]) == ("firm", 1, ["summary"])
        assert (await operator.get_member("firm")).content["summary"] == "Filets"
        await operator.put_contact("firm", CONTACT)
        issued = await operator.issue_key("firm", scopes=["needs", "keys"], label="ERP")
    async with client(cluster, line, str(issued.key)) as firm:
        ids = {(await firm.post_need(NEED | {"text": f"Pour la serre {number}."})).id for number in range(3)}
        assert {need["id"] async for need in firm.needs(status="open", at_a_time=2)} == ids
        one = ids.pop()
        shown = await firm.get_need(one)
        assert (shown.rev, shown.content["title"]) == (1, NEED["title"])
        assert (await firm.put_need(one, NEED, if_match=1)).rev == 2
        with pytest.raises(RefusedError) as stale:
            await firm.put_need(one, NEED | {"text": "Autre chose."}, if_match=1)
        assert stale.value.status == 412
        assert (await firm.withdraw_need(one)).rev == 3
        assert (await firm.erase_need(one)).rev == 4
        rotated = await firm.rotate_key(issued.key_id, overlap_seconds=60)
        assert [key.key_id for key in await firm.keys("firm")] == [rotated.key_id, issued.key_id]
        with pytest.raises(RefusedError, match="contact"):
            await firm.get_contact("firm")
        await firm.revoke_key(issued.key_id)
        with pytest.raises(RefusedError, match="valid key"):
            await firm.get_need(one)
    async with client(cluster, line) as operator:
        assert (await operator.get_contact("firm")).content["email"] == CONTACT["email"]
        assert (await operator.erase_contact("firm")).rev == 2
        assert (await operator.erase_member("firm")).rev == 2


async def test_what_was_taken_though_the_answer_was_lost_is_taken_once(cluster: Cluster, line: Line) -> None:
    await cluster.member("firm")
    async with client(cluster, line) as operator:
        line.lost = 2
        taken = await operator.post_need(NEED)
    assert (line.sent, taken.rev) == (3, 1)
    assert set(newest(await cluster.told())) == {f"{cluster.name}/firm", f"{cluster.name}/{taken.id}"}


async def test_what_was_taken_away_though_the_answer_was_lost_is_not_refused(cluster: Cluster, line: Line) -> None:
    await cluster.member("firm")
    async with client(cluster, line) as operator:
        first, second = [await operator.issue_key("firm", scopes=["keys"]) for _ in range(2)]
        line.lost = 1
        await operator.revoke_key(first.key_id)
        third = await operator.issue_key("firm")
    async with client(cluster, line, str(second.key)) as firm:
        line.lost = 1
        await firm.revoke_key(second.key_id)
    async with client(cluster, line, str(third.key)) as firm:
        line.lost = 1
        assert (await firm.erase_member("firm")).rev == 0
        for _ in range(2):  # nothing of this was heard, and so nothing of it done
            line.deaf = 1
            with pytest.raises(RefusedError, match="valid key"):
                await firm.erase_member("firm")
            with pytest.raises(RefusedError, match="valid key"):
                await firm.revoke_key(third.key_id)
    assert (await cluster.api.get(cluster.path("members", "firm"))).status_code == 404


@pytest.mark.parametrize("after", ["8", "3600"])
async def test_nobody_is_waited_for_longer_than_there_is_patience(after: str) -> None:
    sent = []

    def busy(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(503, headers={"Retry-After": after})

    async with (
        asyncio.timeout(5),
        AsyncMaillage(
            "http://x.test", key="k", cluster="c", patience_seconds=1, transport=httpx.MockTransport(busy)
        ) as operator,
    ):
        with pytest.raises(AwayError):
            await operator.get_member("firm")
    assert len(sent) == 1


async def test_what_nobody_can_send_is_wrong_use_and_not_sent(cluster: Cluster, line: Line) -> None:
    for url, key, patience in (
        ("maillage.test", "k", 1),
        ("ftp://maillage.test", "k", 1),
        ("http://x.test:port", "k", 1),
        ("http://x.test", "clé", 1),
        ("http://x.test", "k\nk", 1),
        ("http://x.test", "k", float("nan")),
    ):
        with pytest.raises(MisuseError):
            AsyncMaillage(url, key=key, cluster="c", patience_seconds=patience, transport=line)
    async with client(cluster, line) as operator:
        with pytest.raises(MisuseError, match="JSON"):
            await operator.put_member("firm", {"name": float("nan")})
    assert line.sent == 0


async def test_a_later_service_may_say_more_of_a_field() -> None:
    said = {"field": "name", "value": "", "detail": "d", "remedy": "r", "more": 1}

    def later(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(422, json={"title": "t", "detail": "d", "errors": [said]})
        return httpx.Response(202, json={"id": "firm", "rev": 1, "notes": [said]})

    async with AsyncMaillage("http://x.test", key="k", cluster="c", transport=httpx.MockTransport(later)) as operator:
        assert [note.remedy for note in (await operator.put_member("firm", {})).notes] == ["r"]
        with pytest.raises(RefusedError, match="name"):
            await operator.get_member("firm")


async def test_a_key_is_asked_for_once(cluster: Cluster, line: Line) -> None:
    async with client(cluster, line) as operator:
        line.lost = 1
        with pytest.raises(AwayError, match="ReadError"):
            await operator.issue_key("firm")
        assert len(await operator.keys("firm")) == 1


async def test_who_is_away_for_long_is_said_to_be(cluster: Cluster, line: Line) -> None:
    line.cut = True
    operator = AsyncMaillage("http://x.test", key="k", cluster="c", patience_seconds=0.5, transport=line)
    with pytest.raises(AwayError, match="does not answer"):
        await operator.get_member("firm")
    assert line.sent > 1
    await operator.aclose()


async def test_a_refusal_names_the_field_and_the_remedy(cluster: Cluster, line: Line) -> None:
    async with client(cluster, line) as operator:
        with pytest.raises(RefusedError, match="Publish the member first") as refused:
            await operator.post_need(NEED | {"member_id": "nobody"})
    assert [(error.field, error.value) for error in refused.value.errors] == [("member_id", "nobody")]
    assert line.sent == 1


def test_the_client_that_waits_is_the_one_that_is_awaited() -> None:
    assert TARGET.read_text(encoding="utf-8") == synchronous(SOURCE.read_text(encoding="utf-8"))


async def test_it_is_installed_alone_and_its_page_is_right(url: str, tmp_path: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    install = ("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--python", sys.executable)
    assert await _run(str(uv), *install, "--target", str(tmp_path), str(CLIENT)) == (0, "")
    _, example = re.findall(r"```(?:sh|python)\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    script = example.replace("http://127.0.0.1:8400", url).replace("mk_...", OPERATOR_KEY)
    code, said = await _run(sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{script}")
    assert code == 0, said
    assert re.fullmatch(r"([0-9a-f-]{36}) 1 \[\]\n\1 Valoriser le tourteau d’argan\n", said)


async def _run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()
