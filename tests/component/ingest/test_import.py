"""Files through the API: every good row is published, every bad one told, whatever the form of the file."""

import csv
import json
from pathlib import Path

import httpx
import pytest

from services.console.importing import FileKind, FileRefusedError, ImportReport, ImportStoppedError, import_file
from tests.component.ingest.conftest import Cluster
from tests.component.ingest.log import newest, revs

MEMBERS = {
    "member_id": ("cite", "lab"),
    "name": ("Cité de l'innovation", "Laboratoire des matériaux"),
    "kind": ("innovation_city", "laboratory"),
    "city": ("cite", "cite"),
    "languages": ("fr", "fr; ar"),
    "activities": ("", "nace-2.1:72.10 Recherche"),
    "asset.1.title": ("", 'Four à "1700 °C"'),
    "asset.1.kind": ("", "equipment"),
    "asset.1.trl": ("", "9"),
    "asset.2.title": ("", "Céramiques"),
    "visibility.reach": ("", "all"),
}


async def load(cluster: Cluster, path: Path, **options: object) -> ImportReport:
    return await import_file(path, api=cluster.api, cluster=cluster.name, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
async def test_a_table_is_published_however_it_was_saved(
    cluster: Cluster, tmp_path: Path, encoding: str, separator: str
) -> None:
    path = tmp_path / "members.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator).writerows([MEMBERS, *zip(*MEMBERS.values(), strict=True)])
    report = await load(cluster, path)
    assert (report.accepted, report.rejections) == (2, [])
    lab = (await cluster.api.get(cluster.path("members", "lab"))).json()
    assert (lab["name"], lab["city"], lab["languages"]) == ("Laboratoire des matériaux", "cite", ["fr", "ar"])
    assert lab["activities"] == [{"scheme": "nace-2.1", "code": "72.10", "label": "Recherche"}]
    assert [(a["asset_id"], a["title"], a["kind"], a["trl"]) for a in lab["assets"]] == [
        ("1", 'Four à "1700 °C"', "equipment", 9),
        ("2", "Céramiques", "competence", None),
    ]
    assert lab["visibility"]["reach"] == "all"


async def test_bad_rows_are_told_and_their_neighbours_published(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_text(
        "member_id,name,kind,country\n"
        "a,A,company,MA\n"
        "b,B,club,XX\n"
        "c,,company,MA\n"
        "\n"
        'd,"D\nof two lines",company,QQ\n'
        "é,E,company,MA\n"
        ",F,company,MA\n"
        "g,G,company,MA,more\n"
        "h,H,company,FR\n"
    )
    seen: list[tuple[int, int]] = []
    report = await load(cluster, path, on_progress=lambda now, _: seen.append((now.accepted, now.rejected)))
    assert (report.accepted, report.rejected) == (2, 6)
    told = sorted((rejection.line, rejection.field, rejection.value) for rejection in report.rejections)
    assert told == [
        (3, "kind", "club"),
        (4, "name", ""),
        (6, "country", "QQ"),
        (8, "member_id", "é"),
        (9, "member_id", ""),
        (10, "", "more"),
    ]
    assert all(rejection.remedy for rejection in report.rejections)
    assert seen[-1] == (2, 6)
    assert set(newest(await cluster.told())) == {f"{cluster.name}/a", f"{cluster.name}/h"}


async def test_lines_of_json_may_hold_every_kind(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    rows = [
        {"ambassador_id": "salma", "name": "Salma", "role": "desk"},
        {"member_id": "m", "name": "M", "kind": "company", "assets": [{"asset_id": "x", "title": "X"}]},
        {"member_id": "m", "name": "Amal", "email": "amal@example.org"},
    ]
    bad = ["{", "[1]", '{"name": "?"}', '{"need_id": "n", "member_id": 7}']
    path.write_text("\n".join([*map(json.dumps, rows), *bad]))
    report = await load(cluster, path, alerts=False)
    assert (report.accepted, report.rejected) == (3, 4)
    assert sorted({rejection.line for rejection in report.rejections}) == [4, 5, 6, 7]
    alerts = [getattr(event.value, "alerts", None) for event in await cluster.told()]
    assert sorted(map(str, alerts)) == ["False", "None", "None"]


async def test_rows_that_were_published_with_a_note_are_told_too(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_text("member_id,name,kind,summary\na,A,company,<p>Filets</p>\nb,B,company,Filets\n")
    noted: list[tuple[int, str]] = []
    report = await load(cluster, path, on_noted=lambda remark: noted.append((remark.line, remark.field)))
    assert (report.accepted, report.noted, noted) == (2, 1, [(2, "summary")])


async def test_a_dry_run_publishes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_text("member_id,name,kind\na,A,company\nb,B,club\n")
    for dry_run, told in ((True, 0), (False, 1)):
        report = await load(cluster, path, dry_run=dry_run)
        assert (report.accepted, report.rejected, len(await cluster.told())) == (1, 1, told)


async def test_a_table_of_contacts_says_who_answers_for_whom(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.member("m")
    path = tmp_path / "contacts.csv"
    path.write_text(
        "member_id;name;email;phone;language\nm;Amal;amal@example.org;0528.12.34.56;ar\nnobody;A;a@b.example;;\n"
    )
    report = await load(cluster, path)
    assert (report.accepted, [rejection.line for rejection in report.rejections]) == (1, [3])
    shown = (await cluster.api.get(cluster.path("members", "m/contact"))).json()
    assert shown == {"name": "Amal", "email": "amal@example.org", "phone": "0528.12.34.56", "language": "ar"}


async def test_a_need_without_an_id_is_the_same_need_in_every_run(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.member("m")
    path = tmp_path / "needs.csv"
    path.write_text("member_id,title,deadline\nm,Un four de laboratoire,2031-01-31T08:00:00Z\nm,Un autre four,\n")
    for _ in range(2):
        report = await load(cluster, path)
        assert (report.accepted, report.rejections) == (2, [])
    assert len([key for key in newest(await cluster.told()) if not key.endswith("/m")]) == 2


async def test_rows_of_one_entity_keep_their_order(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    lines = [f"m{n % 5},Name {n},company" for n in range(100)]
    path.write_text("\n".join(["member_id,name,kind", *lines]))
    assert (await load(cluster, path)).accepted == 100
    for n in range(5):
        shown = await cluster.api.get(cluster.path("members", f"m{n}"))
        assert shown.json()["name"] == f"Name {95 + n}"
    assert revs(await cluster.told(), "m0") == list(range(1, 21))


def answered(*statuses: int) -> httpx.Response:
    lines = [json.dumps({"line": number, "status": status}) for number, status in enumerate(statuses, start=1)]
    return httpx.Response(200, text="\n".join(lines))


async def test_what_is_to_be_tried_again_is_with_all_that_came_after_it(cluster: Cluster, tmp_path: Path) -> None:
    """Or what is older would be taken last."""
    instead: list[httpx.Response | httpx.ConnectError] = [
        answered(202, 202),  # broken off
        answered(202, 503, 202),
        httpx.Response(503, headers={"Retry-After": "0"}),
        httpx.ConnectError("away"),
    ]
    sent: list[list[str]] = []

    class Flaky(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            sent.append([json.loads(line)["name"] for line in request.content.splitlines()])
            if not instead:
                return await super().handle_async_request(request)
            answer = instead.pop()
            if isinstance(answer, httpx.ConnectError):
                raise answer
            return answer

    path = tmp_path / "members.csv"
    path.write_text("member_id,name,kind\nm,A,company\nm,B,company\nm,C,company\nm,D,company\n")
    async with httpx.AsyncClient(
        transport=Flaky(app=cluster.frame.app), base_url="http://ingest", headers=cluster.api.headers
    ) as api:
        report = await import_file(path, api=api, cluster=cluster.name)
    assert (report.accepted, report.rejected) == (4, 0)
    assert sent == [list("ABCD"), list("ABCD"), list("ABCD"), list("BCD"), ["D"]]
    assert (await cluster.api.get(cluster.path("members", "m"))).json()["name"] == "D"


async def test_a_broken_import_goes_on_where_it_stopped(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    rows = [f"m{number},M{number},{'club' if number in (3, 1_203) else 'company'}\n" for number in range(2_500)]
    path.write_text("member_id,name,kind\n" + "".join(rows))

    class Broken(httpx.ASGITransport):
        lots = 2

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.lots -= 1
            return await super().handle_async_request(request) if self.lots >= 0 else httpx.Response(404)

    async with httpx.AsyncClient(
        transport=Broken(app=cluster.frame.app), base_url="http://ingest", headers=cluster.api.headers
    ) as api:
        with pytest.raises(ImportStoppedError):
            await import_file(path, api=api, cluster=cluster.name, resume=True)
    begun: list[int] = []
    report = await load(cluster, path, resume=True, on_begin=begun.append)
    assert begun == [2_001]  # the line, of which the first is the header
    assert (report.accepted, report.rejected) == (500, 0)
    assert len(newest(await cluster.told())) == 2_498
    assert not path.with_name("members.csv.progress").exists()
    path.write_text("member_id,name,kind\nother,Other,company\n")
    assert (await load(cluster, path, resume=True, on_begin=begun.append)).accepted == 1
    assert begun == [2_001, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (",,\n", "No column member_id"),
        ("name,kind\nA,company\n", "No column member_id, need_id or ambassador_id"),
        ("member_id,name,kind,siret\na,A,company,1\n", "Column 'siret' is unknown. Known are member_id, name, kind,"),
        ("member_id,name,name\n", "Column 'name' is there twice"),
        ("member_id,name,asset.1.colour\n", "Column 'asset.1.colour' is unknown"),
    ],
)
async def test_a_file_that_is_none_is_refused_whole(
    cluster: Cluster, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "file.csv"
    path.write_text(content)
    with pytest.raises(FileRefusedError, match=message):
        await load(cluster, path)
    assert await cluster.told() == []


async def test_a_wrong_key_stops_the_import_at_once(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_text("member_id,name,kind\n" + "".join(f"m{n},M,company\n" for n in range(1_000)))
    cluster.api.headers["Authorization"] = "Bearer wrong"
    with pytest.raises(ImportStoppedError, match="The key is not valid"):
        await load(cluster, path)


async def test_the_kind_can_be_said(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_text("name,kind\nA,company\n")
    report = await load(cluster, path, kind=FileKind.MEMBERS)
    assert [(rejection.line, rejection.field) for rejection in report.rejections] == [(2, "member_id")]


async def test_an_address_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_text("member_id,name,kind\na,A,company\n")
    async with httpx.AsyncClient(base_url="127.0.0.1:8400") as api:
        with pytest.raises(ImportStoppedError, match="is no address"):
            await import_file(path, api=api, cluster="souss")
