"""Sends a file through the API, many rows in a request, each until it is taken or refused, its neighbours unharmed."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from schemas.topics import MAX_EVENT_BYTES
from services.console.import_columns import Columns
from services.console.import_rows import (
    ID_FIELD,
    FileKind,
    Remark,
    Row,
    look_at,
    read_rows,
)
from services.ingest.rows import content_of

# Rows of a request: a broken one is sent again in a second or two.
ROWS: Final = 1_000

# Bytes of a request: what a slow line sends before a proxy has waited long enough. A longer row goes alone.
_BYTES: Final = 2_000_000

# Longer than a broker and a database take to come back after a restart.
GIVE_UP_SECONDS: Final = 300.0

# Kept in the report; all of them go to `on_rejected`.
REJECTIONS_KEPT: Final = 1_000

_TRY_AGAIN: Final = (429, 500, 502, 503, 504)
_BACKOFF: Final = wait_random_exponential(multiplier=0.2, max=15)


class ImportStoppedError(Exception):
    """The import cannot go on. What was taken stays taken: importing the file again goes on from there."""


class _AwayError(Exception):
    """No answer, or one that says to come back; `seconds` later at the earliest."""

    def __init__(self, reason: str, seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.seconds = seconds


@dataclass(slots=True)
class ImportReport:
    """What became of a file's rows, those up to the line `begun_at` left out: they were sent another time."""

    accepted: int = 0
    rejected: int = 0
    noted: int = 0
    """Of those accepted, how many were published with a note."""
    rejections: list[Remark] = field(default_factory=list)
    """The first ones; one row may have several."""
    seconds: float = 0.0
    begun_at: int = 0


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What is said of a row: it was not taken (`rejections`), or it was, perhaps with notes."""

    rejections: list[Remark]
    notes: list[Remark]


OnProgress = Callable[[ImportReport, int], None]
"""Called after each row with the report so far and the file's number of lines."""


async def import_file(
    path: Path,
    *,
    api: httpx.AsyncClient,
    cluster: str,
    kind: FileKind = FileKind.AUTO,
    alerts: bool = True,
    dry_run: bool = False,
    columns: Columns | None = None,
    resume: bool = False,
    on_begin: Callable[[int], None] | None = None,
    on_progress: OnProgress | None = None,
    on_rejected: Callable[[Remark], None] | None = None,
    on_noted: Callable[[Remark], None] | None = None,
) -> ImportReport:
    """Send every row of a CSV or JSONL file to the API; memory stays constant however long the file is.

    Rows of one entity are taken in the order of the file. A need without `need_id` gets one that follows from its
    content, so that the same row makes the same need in every run.

    Args:
        api: has the service's address as base and a key in its headers.
        alerts: False publishes members and needs without alerting anyone (operator's key).
        dry_run: publish nothing; only say what would become of each row.
        columns: what the columns of a table are called, besides what they are called anyway.
        on_begin: called first, with the line after which this import goes on.
        resume: keep `PATH.progress` while the import is under way, and go on where it says that the same file was left.

    Raises:
        FileRefusedError: the file as a whole cannot be read.
        ImportStoppedError: the key is not valid, or the service was away for too long.
    """
    file = await asyncio.to_thread(look_at, path)
    progress = _Progress(path, [file.digest, str(api.base_url), cluster, kind.value, alerts]) if resume else None
    report, began = ImportReport(begun_at=progress.line if progress else 0), monotonic()

    if on_begin:
        on_begin(report.begun_at)

    def note(verdict: _Verdict) -> None:
        report.accepted += not verdict.rejections
        report.rejected += bool(verdict.rejections)
        report.noted += bool(verdict.notes)
        report.rejections += verdict.rejections[: REJECTIONS_KEPT - len(report.rejections)]
        for remarks, tell in ((verdict.rejections, on_rejected), (verdict.notes, on_noted)):
            if tell:
                for remark in remarks:
                    tell(remark)
        report.seconds = monotonic() - began
        if on_progress:
            on_progress(report, file.lines)

    sender = _Sender(api=api, cluster=cluster, alerts=alerts, dry_run=dry_run)
    rows = (row for row in read_rows(file, kind, columns or Columns()) if row.line > report.begun_at)
    for lot in _lots(rows):
        for verdict in await sender.send(lot):
            note(verdict)
        if progress:
            progress.reached(lot[-1].line)
    if progress:
        progress.forget()
    return report


def _lots(rows: Iterator[Row | Remark]) -> Iterator[list[Row | Remark]]:
    """Yield what goes together: rows of one kind."""
    lot: list[Row | Remark] = []
    kind, size = None, 0
    for row in rows:
        length = 0 if isinstance(row, Remark) else len(_line(row))
        if length > MAX_EVENT_BYTES:
            row, length = (
                Remark(row.line, "", f"{length:,} bytes", f"Send at most {MAX_EVENT_BYTES:,} bytes a row."),
                0,
            )
        other = isinstance(row, Row) and kind not in (None, row.kind)
        if lot and (other or len(lot) == ROWS or size + length > _BYTES):
            yield lot
            lot, kind, size = [], None, 0
        lot.append(row)
        kind, size = (row.kind if isinstance(row, Row) else kind), size + length
    if lot:
        yield lot


def _line(row: Row) -> bytes:
    named = {} if row.entity_id is None else {ID_FIELD[row.kind]: row.entity_id}
    return content_of(named | row.body)


class _Progress:
    """How far a file has been imported, beside it."""

    def __init__(self, imported: Path, about: list[Any]) -> None:
        self._path = imported.with_name(f"{imported.name}.progress")
        self._about = about
        self.line = 0
        if self._path.exists():
            try:
                kept = json.loads(self._path.read_text())
                self.line = int(kept["line"]) if kept["about"] == about else 0
            except (ValueError, KeyError, TypeError):
                self.line = 0  # not ours, or not written to its end: all is sent again, which changes nothing

    def reached(self, line: int) -> None:
        self._path.write_text(json.dumps({"line": line, "about": self._about}))

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)


class _Sender:
    """Sends rows until they are taken or refused."""

    def __init__(self, *, api: httpx.AsyncClient, cluster: str, alerts: bool, dry_run: bool) -> None:
        self._api = api
        self._asked = {"cluster": cluster, "alerts": str(alerts).lower(), "dry_run": str(dry_run).lower()}

    async def send(self, lot: Sequence[Row | Remark]) -> list[_Verdict]:
        """Return what is to be said of each."""
        rows = [row for row in lot if isinstance(row, Row)]
        said: list[_Verdict] = []
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(_AwayError),
                wait=_wait,
                stop=stop_after_delay(GIVE_UP_SECONDS),
                reraise=True,
            ):
                with attempt:
                    # From the first that was not taken: whatever came of those after it, they come after it again.
                    await self._try(rows[len(said) :], said)
        except _AwayError as error:
            raise ImportStoppedError(
                f"Line {rows[len(said)].line}: {error}, for {GIVE_UP_SECONDS:g} seconds."
            ) from None
        verdicts = iter(said)
        return [next(verdicts) if isinstance(row, Row) else _Verdict([row], []) for row in lot]

    async def _try(self, rows: Sequence[Row], said: list[_Verdict]) -> None:
        """Send rows, and add to `said` what is said of each, up to the first of which nothing is said yet."""
        if not rows:
            return
        answer = await self._answer(rows)
        verdicts = [json.loads(line) for line in answer.text.splitlines()]
        for row, verdict in zip(rows, verdicts, strict=False):
            if verdict["status"] in _TRY_AGAIN:
                raise _AwayError(f"{self._api.base_url} says to try again ({verdict['status']})", 1.0)
            notes = [_remark(row, {"value": "", **note}) for note in verdict.get("notes", ())]
            said.append(_Verdict(_rejections(row, verdict.get("problem")), notes))
        if len(verdicts) < len(rows):
            raise _AwayError(f"{self._api.base_url} broke off in the middle")

    async def _answer(self, rows: Sequence[Row]) -> httpx.Response:
        params = {**self._asked, "kind": rows[0].kind.value}
        try:
            answer = await self._api.post(
                "/v1/bulk",
                params=params,
                content=b"\n".join(map(_line, rows)),
                headers={"Content-Type": "application/x-ndjson"},
            )
        except (httpx.UnsupportedProtocol, httpx.InvalidURL):
            raise ImportStoppedError(
                f"{self._api.base_url} is no address. Give one as in http://127.0.0.1:8400."
            ) from None
        except httpx.TransportError as error:
            raise _AwayError(f"{self._api.base_url} does not answer ({type(error).__name__})") from None
        if answer.status_code in _TRY_AGAIN:
            after = answer.headers.get("retry-after", "")
            seconds = float(after) if after.isdecimal() else 0.0
            raise _AwayError(f"{self._api.base_url} says to try again ({answer.status_code})", seconds)
        if not answer.is_success:
            raise ImportStoppedError(_refused_whole(answer))
        return answer


def _refused_whole(answer: httpx.Response) -> str:
    try:
        problem: dict[str, Any] = answer.json()
    except ValueError:
        problem = {}
    detail = str(problem.get("detail", f"The service answered {answer.status_code}."))
    said = [f"{error['detail']}. {error['remedy']}" for error in problem.get("errors", ())]
    whole = " ".join([detail, *said])
    return f"The key is not valid. {whole}" if answer.status_code == httpx.codes.UNAUTHORIZED else whole


def _rejections(row: Row, problem: dict[str, Any] | None) -> list[Remark]:
    if problem is None:
        return []
    errors = problem.get("errors") or [{"field": "", "value": "", "detail": problem["detail"], "remedy": ""}]
    return [_remark(row, error) for error in errors]


def _remark(row: Row, said: dict[str, str]) -> Remark:
    return Remark(row.line, said["field"], said["value"], f"{said['detail']}. {said['remedy']}".strip(" ."))


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.seconds if isinstance(error, _AwayError) else 0.0
    # The wait that was asked for, and some chance on top: all senders were told the same.
    return asked + _BACKOFF(state)
