"""Rows as the API takes them, from files as people save them."""

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from services.console.import_rows import FileKind, Remark, Row, look_at, read_rows


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
