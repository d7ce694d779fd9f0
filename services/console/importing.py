"""`maillage import FILE`: progress, a summary, and beside the file a table of the rows that were not taken."""

import asyncio
import csv
from pathlib import Path
from typing import Annotated, Final, TextIO

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.console.import_columns import Columns, recall, remembered
from services.console.import_rows import FileKind, FileRefusedError, Remark
from services.console.import_sending import ImportReport, ImportStoppedError, import_file
from services.console.system import DEFAULT_PORT

__all__ = ["FileKind", "FileRefusedError", "ImportReport", "ImportStoppedError", "import_command", "import_file"]

# Longer than the service takes for all rows of a request, and for its broker and its database to answer for the last.
ANSWER_SECONDS: Final = 120.0

_say = Console(stderr=True, highlight=False)


class RemarksFile:
    """Writes remarks on rows to `FILE.WHAT.csv` as they come; there is no such file when there is none."""

    def __init__(self, imported: Path, what: str) -> None:
        self.path = imported.with_name(f"{imported.name}.{what}.csv")
        self._file: TextIO | None = None

    def begin(self, after: int) -> None:
        """Forget those of an earlier import, unless this one goes on with it after a line."""
        if not after:
            self.path.unlink(missing_ok=True)

    def add(self, remark: Remark) -> None:
        """Write one line."""
        if self._file is None:
            new = not self.path.exists()
            # With its mark, so that Excel shows accents.
            self._file = self.path.open("a", encoding="utf-8-sig" if new else "utf-8", newline="")
            if new:
                csv.writer(self._file).writerow(["line", "field", "value", "remedy"])
        csv.writer(self._file).writerow([remark.line, remark.field, remark.value, remark.remedy])

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.close()


def import_command(
    file: Annotated[Path, typer.Argument(help="CSV, XLSX or JSONL, see docs/ingest.md.", exists=True, dir_okay=False)],
    cluster: Annotated[str, typer.Option(help="The cluster that the rows belong to.", envvar="MAILLAGE_CLUSTER")],
    key: Annotated[str, typer.Option(help="The operator's key, or an organisation's.", envvar="MAILLAGE_KEY")],
    url: Annotated[
        str, typer.Option(help="Where ingest listens.", envvar="MAILLAGE_URL")
    ] = f"http://127.0.0.1:{DEFAULT_PORT}",
    kind: Annotated[FileKind, typer.Option(help="What the file holds.")] = FileKind.AUTO,
    no_alerts: Annotated[
        bool, typer.Option("--no-alerts", help="Publish without alerting anyone: for a first census. Operator's key.")
    ] = False,
    column: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FIELD: what a column is, as in 'Raison sociale=name'. Remembered; may be repeated."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Publish nothing; say what would become of each row.")
    ] = False,
) -> None:
    """Publish every row of a file. Rows that cannot be taken are listed in FILE.rejected.csv."""
    columns = Columns(recall(_said(column or []), remembered()))
    rejected, noted = RemarksFile(file, "rejected"), RemarksFile(file, "notes")
    try:
        report = asyncio.run(_import(file, url, key, cluster, kind, not no_alerts, dry_run, columns, rejected, noted))
    except (FileRefusedError, ImportStoppedError) as error:
        _say.print(str(error), style="red", markup=False, soft_wrap=True)
        _say.print("Rows taken so far stay; importing the file again goes on from there.", soft_wrap=True)
        raise typer.Exit(1) from None
    finally:
        rejected.close()
        noted.close()
    said = "rows would be accepted" if dry_run else "rows accepted"
    _say.print(f"{report.accepted:,} {said}, {report.rejected:,} rejected, in {report.seconds:.1f} s.")
    if report.noted:
        _say.print(f"{report.noted:,} of those accepted are worth a look: {noted.path}", markup=False, soft_wrap=True)
    if report.rejected:
        _say.print(f"What to correct: {rejected.path}", markup=False, soft_wrap=True)
        raise typer.Exit(1)


def _said(columns: list[str]) -> dict[str, str]:
    pairs = [column.rpartition("=") for column in columns]
    if not all(name.strip() and field.strip() for name, _, field in pairs):
        raise typer.BadParameter("Write NAME=FIELD, as in 'Raison sociale=name'.", param_hint="--column")
    return {name.strip(): field.strip() for name, _, field in pairs}


async def _import(
    file: Path,
    url: str,
    key: str,
    cluster: str,
    kind: FileKind,
    alerts: bool,
    dry_run: bool,
    columns: Columns,
    rejected: RemarksFile,
    noted: RemarksFile,
) -> ImportReport:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[rejected]}"),
        console=_say,
    )
    with bar:
        task = bar.add_task(file.name, total=None, rejected="")

        def show(report: ImportReport, lines: int) -> None:
            said = f"{report.rejected:,} rejected" if report.rejected else ""
            bar.update(task, completed=report.accepted + report.rejected, total=lines, rejected=said)

        def begin(after: int) -> None:
            if after:
                _say.print(f"This file was left at line {after:,}; going on there.")
            rejected.begin(after)
            noted.begin(after)

        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=ANSWER_SECONDS) as api:
            report = await import_file(
                file,
                api=api,
                cluster=cluster,
                kind=kind,
                alerts=alerts,
                dry_run=dry_run,
                columns=columns,
                resume=not dry_run,
                on_begin=begin,
                on_progress=show,
                on_rejected=rejected.add,
                on_noted=noted.add,
            )
        done = report.accepted + report.rejected
        bar.update(task, completed=done, total=done)  # a header and cells of several lines are no rows
    return report
