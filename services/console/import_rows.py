"""Rows of a CSV, XLSX or JSONL file as the API takes them, one at a time however long the file is."""

import codecs
import csv
import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TextIO

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException
from pydantic import BaseModel

from schemas.ambassadors import AmbassadorProfile, Webhook
from schemas.contacts import ContactProfile
from schemas.members import Asset, MemberProfile, Visibility
from schemas.needs import NeedProfile
from services.console.import_columns import Columns, word
from services.ingest import rows

# A cell holds a text of at most 20,000 characters; one this long is a quotation mark that was never closed.
CELL_CHARACTERS: Final = 1_000_000
_SCAN_BYTES: Final = 1_000_000
_VALUE_CHARACTERS: Final = 80

_PLAIN: Final = Columns()

# What Excel saves as CSV on a French or English Windows.
_LEGACY_ENCODING: Final = "cp1252"


class FileRefusedError(Exception):
    """The file as a whole cannot be imported; the message says what to change."""


class FileKind(StrEnum):
    """What a file holds. `auto`: told by the columns, in JSONL by each line's fields."""

    AUTO = "auto"
    MEMBERS = "members"
    NEEDS = "needs"
    AMBASSADORS = "ambassadors"
    CONTACTS = "contacts"


ID_FIELD: Final = {FileKind(kind.name): name for kind, name in rows.ID_FIELD.items()}


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `line` is where it starts, `body` what is sent, without the id."""

    line: int
    kind: FileKind
    entity_id: str | None
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Remark:
    """One field of one row, and what to do about it: the row was not taken, or it was and should be looked at."""

    line: int
    field: str
    value: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file, looked at once from end to end: how it is written, and how many lines it has."""

    path: Path
    encoding: str
    lines: int
    digest: str
    """Of all of it: whether it is the same file as another time."""
    is_workbook: bool = False


def look_at(path: Path) -> ImportFile:
    """Return how a file is encoded: UTF-8 or UTF-16 by its mark, UTF-8 when all of it is, else Windows-1252."""
    is_workbook = zipfile.is_zipfile(path)
    decoder, digest = codecs.getincrementaldecoder("utf-8")(), hashlib.sha256()
    encoding, lines, last = "utf-8-sig", 0, b"\n"
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            encoding = "utf-16"
        file.seek(0)
        while block := file.read(_SCAN_BYTES):
            digest.update(block)
            lines, last = lines + block.count(b"\n"), block[-1:]
            if encoding == "utf-8-sig":
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    encoding = _LEGACY_ENCODING
    lines = _rows_of(path) if is_workbook else lines + (last != b"\n")
    return ImportFile(path, encoding, lines, digest.hexdigest(), is_workbook)


def read_rows(file: ImportFile, kind: FileKind, columns: Columns = _PLAIN) -> Iterator[Row | Remark]:
    """Yield each row, or why it is none.

    Raises:
        FileRefusedError: it is empty, its kind cannot be told, or a column is unknown.
    """
    if file.is_workbook:
        yield from _table(_workbook(file.path), kind, columns)
        return
    with file.path.open(encoding=file.encoding, errors="replace", newline="") as text:
        first = next((line for line in text if line.strip()), "")
        if not first:
            raise FileRefusedError(f"{file.path} is empty.")
        text.seek(0)
        if first.lstrip().startswith("{"):
            yield from _jsonl(text, kind)
        else:
            yield from _table(_csv(text), kind, columns)


def _jsonl(text: TextIO, kind: FileKind) -> Iterator[Row | Remark]:
    for line, words in enumerate(text, start=1):
        if not words.strip():
            continue
        try:
            body = json.loads(words)
        except ValueError as error:
            yield Remark(line, "", shorten(words), f"This is no JSON ({error}). Write one JSON object a line.")
            continue
        if not isinstance(body, dict):
            yield Remark(line, "", shorten(words), "Write one JSON object a line.")
            continue
        found = kind if kind is not FileKind.AUTO else _kind_of(list(body))
        if found is None:
            yield Remark(line, "", shorten(words), "Add member_id, need_id or ambassador_id, or say --kind.")
            continue
        entity_id = body.pop(ID_FIELD[found], None)
        yield Row(line, found, None if entity_id is None else str(entity_id), body)


def _kind_of(names: Sequence[str]) -> FileKind | None:
    kind = rows.kind_of(names)
    return None if kind is None else FileKind(kind.name)


_Cells = tuple[int, list[str] | None]
"""The line where a row starts, and its cells; none: it cannot be read."""


def _csv(text: TextIO) -> Iterator[_Cells]:
    csv.field_size_limit(CELL_CHARACTERS)
    reader = csv.reader(text, delimiter=_delimiter(text))
    line = 1
    while True:
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield line, None
        line = reader.line_num + 1


def _workbook(path: Path) -> Iterator[_Cells]:
    """Yield the rows of a workbook's first sheet.

    Raises:
        FileRefusedError: it is no workbook.
    """
    with _opened(path) as sheet:
        for line, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
            yield line, [_written(cell) for cell in cells]


def _rows_of(path: Path) -> int:
    with _opened(path) as sheet:
        return int(sheet.max_row or 0)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (InvalidFileException, KeyError, ValueError, OSError) as error:
        raise FileRefusedError(f"{path} is no workbook that can be read ({error}). Save it as .xlsx or .csv.") from None
    try:
        yield workbook.worksheets[0]
    finally:
        workbook.close()


def _written(cell: object) -> str:
    """Return a cell as one would write it."""
    match cell:
        case None:
            return ""
        case bool():
            return str(cell).lower()
        case float() if cell.is_integer():
            return str(int(cell))
        case datetime():  # a spreadsheet knows no time zone: that of whoever sits before it is meant
            return cell.astimezone().isoformat()
    return str(cell)


def _table(rows_: Iterator[_Cells], kind: FileKind, named: Columns) -> Iterator[Row | Remark]:
    header = next((cells for _, cells in rows_ if cells and any(cells)), [""])
    if header[0].strip().lower().startswith("sep="):  # Excel's own note to itself
        header = next(rows_, (0, [""]))[1] or [""]
    while header and not header[-1].strip():
        header.pop()  # a sheet is wider than its columns where somebody once coloured a cell
    names = named.fields(header)
    found = kind if kind is not FileKind.AUTO else _kind_of(names)
    if found is None:
        raise FileRefusedError(
            "No column member_id, need_id or ambassador_id. Add one, say which it is (--column 'NAME=member_id'), "
            "or say --kind."
        )
    columns = _columns(names, found)
    for line, cells in rows_:
        if cells is None:
            yield Remark(line, "", "", 'Close the quotation mark (") that opens a cell here, or remove it.')
        elif any(cell.strip() for cell in cells):
            yield _row(line, found, columns, cells)


def _delimiter(text: TextIO) -> str:
    """Return what separates the cells of the header: the commonest of comma, semicolon and tab."""
    header = next(line for line in text if line.strip())
    text.seek(0)
    if header.lower().startswith("sep="):
        return header[4:5]
    bare = re.sub(r'"[^"]*"', "", header)
    return max(",;\t", key=bare.count)


@dataclass(frozen=True, slots=True)
class _Column:
    """Where the cells of a column go, and how they are read."""

    name: str
    path: tuple[str, ...]
    read: Callable[[str], Any]


_PARTS: Final[dict[str, type[BaseModel]]] = {"visibility": Visibility, "webhook": Webhook}
_PROFILES: Final[dict[FileKind, type[BaseModel]]] = {
    FileKind.MEMBERS: MemberProfile,
    FileKind.NEEDS: NeedProfile,
    FileKind.AMBASSADORS: AmbassadorProfile,
    FileKind.CONTACTS: ContactProfile,
}
_ASSET: Final = re.compile(r"asset\.([1-9][0-9]{0,3})\.(\w+)")


def _columns(header: Sequence[str], kind: FileKind) -> list[_Column]:
    columns: list[_Column] = []
    for name in header:
        path = _path(name, kind)
        if path is None:
            raise FileRefusedError(
                f"Column {name!r} is unknown. Known are {', '.join(_known(kind))}. Rename or remove it, or say once "
                f"what it is: --column '{name}=FIELD'."
            )
        if any(column.name == name for column in columns):
            raise FileRefusedError(f"Column {name!r} is there twice. Remove one.")
        columns.append(_Column(name, path, _READERS.get(path[-1], str)))
    return columns


def _path(name: str, kind: FileKind) -> tuple[str, ...] | None:
    if asset := _ASSET.fullmatch(name):
        known = kind is FileKind.MEMBERS and asset[2] in Asset.model_fields
        return ("assets", asset[1], asset[2]) if known else None
    return tuple(name.split(".")) if name in _known(kind) else None


def _known(kind: FileKind) -> list[str]:
    names = [ID_FIELD[kind], *(["status"] if kind is FileKind.NEEDS else [])]
    for name in _PROFILES[kind].model_fields:
        if name == "assets":
            names += [f"asset.1.{part}" for part in Asset.model_fields]
        elif name in _PARTS:
            names += [f"{name}.{part}" for part in _PARTS[name].model_fields]
        else:
            names.append(name)
    return names


def _row(line: int, kind: FileKind, columns: Sequence[_Column], cells: Sequence[str]) -> Row | Remark:
    if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
        extra = shorten(cells[len(columns)])
        return Remark(line, "", extra, 'This cell has no column. Put texts that hold the separator in "quotes".')
    content = _Content()
    for column, cell in zip(columns, cells, strict=False):
        if cell.strip():
            content.put(column.path, column.read(cell.strip()))
    body = content.body()
    return Row(line, kind, body.pop(ID_FIELD[kind], None), body)


@dataclass(slots=True)
class _Content:
    """The content of a row while it is put together."""

    fields: dict[str, Any] = field(default_factory=dict)
    assets: dict[int, dict[str, Any]] = field(default_factory=dict)

    def put(self, path: tuple[str, ...], value: object) -> None:
        match path:
            case ("assets", number, name):
                self.assets.setdefault(int(number), {"asset_id": number})[name] = value
            case (part, name):
                self.fields.setdefault(part, {})[name] = value
            case _:
                self.fields[path[0]] = value

    def body(self) -> dict[str, Any]:
        if self.assets:
            self.fields["assets"] = [self.assets[number] for number in sorted(self.assets)]
        return self.fields


def _list(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def _code(words: str) -> dict[str, str]:
    scheme, _, rest = words.partition(":")
    code, _, label = rest.strip().partition(" ")
    return {"scheme": scheme.strip(), "code": code} | ({"label": label.strip()} if label.strip() else {})


def _reference(words: str) -> dict[str, str]:
    cluster, _, member_id = words.partition("/")
    return {"cluster": cluster.strip(), "member_id": member_id.strip()}


def _number(cell: str) -> int | str:
    return int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 10 else cell


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    **dict.fromkeys(("languages", "interests", "countries", "clusters"), _list),
    **dict.fromkeys(("kind", "direction"), word),
    "kinds_sought": lambda cell: [word(kind) for kind in _list(cell)],
    "activities": lambda cell: [_code(words) for words in _list(cell)],
    "excluded": lambda cell: [_reference(words) for words in _list(cell)],
    "trl": _number,
}


def shorten(value: str) -> str:
    """Return `value` as one short line."""
    line = " ".join(value.split())
    return line if len(line) <= _VALUE_CHARACTERS else f"{line[: _VALUE_CHARACTERS - 1]}…"
