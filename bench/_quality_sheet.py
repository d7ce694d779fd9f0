"""A table of strings, for a terminal or for a page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from bench._data import DataError


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A title, columns, rows as long as there are columns, and what to know when reading it.

    `strong` is the number of the row that the eye should find.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    strong: int | None = None

    def table(self) -> Table:
        """Return it for a terminal."""
        table = Table(
            title=self.title,
            title_justify="left",
            title_style="bold",
            caption="\n".join(self.notes),
            caption_justify="left",
            caption_style="dim",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        for number, column in enumerate(self.columns):
            table.add_column(column.replace("_", " "), justify="right" if number else "left", no_wrap=number == 0)
        for number, row in enumerate(self.rows):
            cells = [row[0], *(cell.replace(" (", "\n(") for cell in row[1:])]
            table.add_row(*cells, style="bold" if number == self.strong else None)
        return table

    def markdown(self) -> str:
        """Return it for a page."""
        lines = [f"**{self.title}**", "", _line([column.replace("|", "\\|") for column in self.columns])]
        lines.append(_line(["---"] + ["---:"] * (len(self.columns) - 1)))
        for number, row in enumerate(self.rows):
            lines.append(_line([f"**{cell}**" if number == self.strong and cell else cell for cell in row]))
        lines += [part for note in self.notes for part in ("", note)]
        return "\n".join(lines) + "\n"


def replace_block(page: Path, name: str, body: str) -> None:
    """Replace what a page has between the two marker comments of a block.

    Raises:
        DataError: the page cannot be read, or has not the two markers, once each and in this order.
    """
    begin, end = f"<!-- bench.quality {name} -->", f"<!-- end of bench.quality {name} -->"
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{page}: cannot be read ({error.strerror})") from None
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    if (text.count(begin), text.count(end), rest.count(end)) != (1, 1, 1):
        raise DataError(f"{page}: expected once, in this order, the lines {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{body.strip()}\n\n{end}{after}", encoding="utf-8")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
