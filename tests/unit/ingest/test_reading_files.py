"""Rows as the API takes them, from files as people save them."""

import tracemalloc
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from services.console.import_columns import Columns, recall
from services.console.import_rows import FileKind, FileRefusedError, Remark, Row, look_at, read_rows


def rows(path: Path, kind: FileKind = FileKind.AUTO) -> list[Row | Remark]:
    return list(read_rows(look_at(path), kind))


def write(tmp_path: Path, content: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "file.csv"
    path.write_bytes(content.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("column", "cell", "body"),
    [
        ("languages", " fr ;; ar;", {"languages": ["fr", "ar"]}),
        ("kinds_sought", "company", {"kinds_sought": ["company"]}),
        ("countries", "MA;FR", {"countries": ["MA", "FR"]}),
        ("trl", "7", {"trl": 7}),
        ("trl", "seven", {"trl": "seven"}),
        ("title", "", {}),
        ("title", "  ", {}),
        ("Title", " x ", {"title": "x"}),
        ("status", "withdrawn", {"status": "withdrawn"}),
        ("visibility.reach", "all", {"visibility": {"reach": "all"}}),
        ("visibility.clusters", "a;b", {"visibility": {"clusters": ["a", "b"]}}),
        (
            "activities",
            "nace-2.1:72.10 R & D; cpv-2008: 73000000-2",
            {
                "activities": [
                    {"scheme": "nace-2.1", "code": "72.10", "label": "R & D"},
                    {"scheme": "cpv-2008", "code": "73000000-2"},
                ]
            },
        ),
        ("excluded", "c/m; c/n", {"excluded": [{"cluster": "c", "member_id": x} for x in "mn"]}),
    ],
)
def test_a_cell_becomes_the_field_that_its_column_names(
    tmp_path: Path, column: str, cell: str, body: dict[str, Any]
) -> None:
    path = write(tmp_path, f"need_id,{column}\nn,{cell}\n")
    assert rows(path) == [Row(2, FileKind.NEEDS, "n", body)]


def test_assets_come_by_their_numbers_and_empty_ones_do_not(tmp_path: Path) -> None:
    header = "member_id,asset.10.title,asset.2.title,asset.2.asset_id,asset.3.title,asset.3.kind"
    path = write(tmp_path, f"{header}\nm,Ten,Two,two,,\n")
    [row] = rows(path)
    assert isinstance(row, Row)
    assert row.body == {"assets": [{"asset_id": "two", "title": "Two"}, {"asset_id": "10", "title": "Ten"}]}


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("ambassador_id;name", FileKind.AMBASSADORS),
        ("need_id;member_id", FileKind.NEEDS),
        ("member_id;title", FileKind.NEEDS),
        ("member_id;email", FileKind.CONTACTS),
        ("member_id;name", FileKind.MEMBERS),
        ("sep=;\nmember_id;name", FileKind.MEMBERS),
        ('"member_id";"name"', FileKind.MEMBERS),
    ],
)
def test_the_columns_tell_the_kind(tmp_path: Path, header: str, kind: FileKind) -> None:
    [row] = rows(write(tmp_path, f"{header}\na;b\n"))
    assert isinstance(row, Row)
    assert row.kind is kind


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_accents_survive_however_the_file_was_saved(tmp_path: Path, encoding: str) -> None:
    late = "x\n" * 400_000 if encoding == "cp1252" else ""  # the first accent far behind the first block
    [*_, row] = rows(write(tmp_path, f"member_id,name\n{late.replace('x', 'm,x')}m,Forêt d’été\n", encoding))
    assert isinstance(row, Row)
    assert row.body == {"name": "Forêt d’été"}


def test_a_row_is_told_by_the_line_where_it_starts(tmp_path: Path) -> None:
    path = write(tmp_path, 'member_id,name\n\na,"A\nof\nthree"\nb,B\n')
    assert [row.line for row in rows(path)] == [3, 6]


def test_a_quotation_mark_that_is_never_closed_is_told_and_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = write(tmp_path, 'member_id,name\na,A\nb,"B\n' + "c,C\n" * 400_000)
    first, second, *_ = rows(path)
    assert isinstance(first, Row)
    assert second == Remark(3, "", "", 'Close the quotation mark (") that opens a cell here, or remove it.')


def test_a_long_file_is_never_held_whole(tmp_path: Path) -> None:
    path = write(tmp_path, "member_id,name,summary\n" + f"m,Name,{'text ' * 20}\n" * 50_000)
    assert path.stat().st_size > 5_000_000
    tracemalloc.start()
    count = sum(1 for _ in read_rows(look_at(path), FileKind.AUTO))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 50_000
    assert peak < 3_000_000


def test_columns_are_known_in_french_and_arabic(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(
        "Identifiant;Raison sociale;TYPE;Présentation;Ville\na;Atelier;Société;Filets;Agadir\n", encoding="cp1252"
    )
    (french,) = rows(path)
    path.write_text("المعرف,العضو,العنوان,النص,الأصناف المطلوبة\nn1,a,كشف,تحليل,مختبر; جامعة\n", encoding="utf-8")
    (arabic,) = rows(path)
    member = {"name": "Atelier", "kind": "company", "summary": "Filets", "locality": "Agadir"}
    assert french == Row(2, FileKind.MEMBERS, "a", member)
    need = {"member_id": "a", "title": "كشف", "text": "تحليل", "kinds_sought": ["laboratory", "university"]}
    assert arabic == Row(2, FileKind.NEEDS, "n1", need)


def test_what_was_said_of_a_column_once_is_remembered(tmp_path: Path) -> None:
    kept = tmp_path / "mine" / "columns.json"
    assert recall({"Nom du labo": "name"}, kept) == {"Nom du labo": "name"}
    said = recall({"Sigle": "member_id"}, kept)
    assert said == recall({}, kept) == {"Nom du labo": "name", "Sigle": "member_id"}
    path = tmp_path / "f.csv"
    path.write_text("sigle,NOM DU LABO,kind\na,Atlas,laboratoire\n")
    assert list(read_rows(look_at(path), FileKind.AUTO, Columns(said))) == [
        Row(2, FileKind.MEMBERS, "a", {"name": "Atlas", "kind": "laboratory"})
    ]
    with pytest.raises(FileRefusedError, match="--column 'NAME=member_id'"):
        rows(path)
    kept.write_text("{")
    assert recall({}, kept) == {}


def test_a_workbook_is_read_as_its_table_would_be(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    for cells in (
        [],
        ["Identifiant", "Membre", "Titre", "Échéance", "trl", None],
        ["n1", "firm", "Séchoir solaire", datetime(2031, 3, 31, 18), 4.0, None],
        [],
        ["n2", "firm", "كشف غش الزيوت", None, None, None],
    ):
        sheet.append(cells)
    workbook.create_sheet("Notes").append(["rien"])
    path = tmp_path / "needs.xlsx"
    workbook.save(path)
    first, second = rows(path)
    assert isinstance(first, Row)
    deadline = datetime(2031, 3, 31, 18).astimezone().isoformat()
    need = {"member_id": "firm", "title": "Séchoir solaire", "deadline": deadline, "trl": 4}
    assert (first.kind, first.entity_id, first.body) == (FileKind.NEEDS, "n1", need)
    assert second == Row(5, FileKind.NEEDS, "n2", {"member_id": "firm", "title": "كشف غش الزيوت"})
    assert look_at(path).lines == 5


def test_an_archive_that_is_no_workbook_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "members.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("members.csv", "member_id,name\n")
    with pytest.raises(FileRefusedError, match="Save it as"):
        rows(path)
