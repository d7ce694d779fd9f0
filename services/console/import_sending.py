"""Sends a file through the API: each row on its own, until it is taken or refused, its neighbours unharmed."""

import asyncio
import json
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any, Final
from uuid import uuid4

import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from schemas.base import SLUG_PATTERN
from schemas.ids import derived_id
from schemas.topics import MAX_EVENT_BYTES
from services.console.import_rows import (
    ID_FIELD,
    FileKind,
    FileRefusedError,
    Rejection,
    Row,
    look_at,
    read_rows,
    shorten,
)

# Two replicas' worth of waiting for acknowledgements; more makes nothing faster.
CONCURRENCY: Final = 16

# Rows read ahead of each sender.
_AHEAD: Final = 4

# Longer than a broker and a database take to come back after a restart.
GIVE_UP_SECONDS: Final = 300.0

# Kept in the report; all of them go to `on_rejected`.
REJECTIONS_KEPT: Final = 1_000

_PLACES: Final = {
    FileKind.MEMBERS: "members/{}",
    FileKind.NEEDS: "needs/{}",
    FileKind.AMBASSADORS: "ambassadors/{}",
    FileKind.CONTACTS: "members/{}/contact",
}
"""Where a row is put, by its id, in its cluster."""

# Only what members are and need is ever alerted of.
_ALERTING: Final = (FileKind.MEMBERS, FileKind.NEEDS)

_TRY_AGAIN: Final = (429, 502, 503, 504)
_BACKOFF: Final = wait_random_exponential(multiplier=0.2, max=15)


class ImportStoppedError(Exception):
    """The import cannot go on. What was taken stays taken: importing the file again repeats nothing."""


class _AwayError(Exception):
    """No answer, or one that says to come back; `seconds` later at the earliest."""

    def __init__(self, reason: str, seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.seconds = seconds


@dataclass(slots=True)
class ImportReport:
    """What became of a file's rows."""

    accepted: int = 0
    rejected: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    """The first ones; one row may have several."""
    seconds: float = 0.0


OnProgress = Callable[[ImportReport, int], None]
"""Called after each row with the report so far and the file's number of lines."""


async def import_file(
    path: Path,
    *,
    api: httpx.AsyncClient,
    cluster: str,
    kind: FileKind = FileKind.AUTO,
    alerts: bool = True,
    concurrency: int = CONCURRENCY,
    on_progress: OnProgress | None = None,
    on_rejected: Callable[[Rejection], None] | None = None,
) -> ImportReport:
    """Send every row of a CSV or JSONL file to the API; memory stays constant however long the file is.

    Rows of one entity are sent in the order of the file. A need without `need_id` gets one that follows from its
    content, so that the same row makes the same need in every run.

    Args:
        api: has the service's address as base and a key in its headers.
        alerts: False publishes members and needs without alerting anyone (operator's key).

    Raises:
        FileRefusedError: the file as a whole cannot be read.
        ImportStoppedError: the key is not valid, or the service was away for too long.
    """
    file = await asyncio.to_thread(look_at, path)
    report, began = ImportReport(), monotonic()

    def note(rejections: Sequence[Rejection]) -> None:
        report.accepted += not rejections
        report.rejected += bool(rejections)
        report.rejections += rejections[: REJECTIONS_KEPT - len(report.rejections)]
        for rejection in rejections:
            if on_rejected:
                on_rejected(rejection)
        report.seconds = monotonic() - began
        if on_progress:
            on_progress(report, file.lines)

    sender = _Sender(api=api, cluster=cluster, alerts=alerts)
    lanes = [asyncio.Queue[Row | None](_AHEAD) for _ in range(concurrency)]
    turn = count()

    async def read() -> None:
        for row in read_rows(file, kind):
            if isinstance(row, Rejection):
                note([row])
            else:
                place = zlib.crc32(row.entity_id.encode()) if row.entity_id else next(turn)
                await lanes[place % concurrency].put(row)
        for lane in lanes:
            await lane.put(None)

    async def send(lane: asyncio.Queue[Row | None]) -> None:
        while (row := await lane.get()) is not None:
            note(await sender.send(row))

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            for lane in lanes:
                group.create_task(send(lane))
    except* (ImportStoppedError, FileRefusedError) as errors:
        raise errors.exceptions[0] from None
    return report


class _Sender:
    """Sends rows until they are taken or refused."""

    def __init__(self, *, api: httpx.AsyncClient, cluster: str, alerts: bool) -> None:
        self._api = api
        self._cluster = cluster
        self._alerts = alerts

    async def send(self, row: Row) -> list[Rejection]:
        """Return why the row was not taken; nothing when it was."""
        content = _encoded(row.body)
        if refused := _refused_here(row, content):
            return [refused]
        request = self._request(row, content)
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(_AwayError),
                wait=_wait,
                stop=stop_after_delay(GIVE_UP_SECONDS),
                reraise=True,
            ):
                with attempt:
                    return _verdict(row, await self._answer(request))
        except _AwayError as error:
            raise ImportStoppedError(f"Line {row.line}: {error}, for {GIVE_UP_SECONDS:g} seconds.") from None
        raise AssertionError("a retry ends with an answer or an error")

    def _request(self, row: Row, content: bytes) -> dict[str, Any]:
        path = f"/v1/clusters/{self._cluster}"
        if row.entity_id is None:  # a need
            method, path, key = "POST", f"{path}/needs", derived_id("import", self._cluster, content.decode())
        else:
            # Not from the content: whoever imports a file a second time wants what is in it to hold again.
            method, path, key = "PUT", f"{path}/{_PLACES[row.kind].format(row.entity_id)}", uuid4()
        quiet = {} if self._alerts or row.kind not in _ALERTING else {"alerts": "false"}
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(key)}
        return {"method": method, "url": path, "content": content, "params": quiet, "headers": headers}

    async def _answer(self, request: dict[str, Any]) -> httpx.Response:
        try:
            answer = await self._api.request(**request)
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
        return answer


def _encoded(body: dict[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, sort_keys=True).encode()
    except UnicodeEncodeError:  # half a character, which JSON can spell and UTF-8 cannot: the service says where
        return json.dumps(body, sort_keys=True).encode()


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.seconds if isinstance(error, _AwayError) else 0.0
    # The wait that was asked for, and some chance on top: all senders were told the same.
    return asked + _BACKOFF(state)


def _refused_here(row: Row, content: bytes) -> Rejection | None:
    """Return why a row need not be sent at all."""
    name = ID_FIELD[row.kind]
    if row.entity_id is None and row.kind is not FileKind.NEEDS:
        return Rejection(row.line, name, "", "Add this field.")
    if row.entity_id is not None and not re.fullmatch(SLUG_PATTERN, row.entity_id):
        remedy = "Use at most 80 letters without accents, digits, dots, underscores and hyphens."
        return Rejection(row.line, name, shorten(row.entity_id), remedy)
    if len(content) > MAX_EVENT_BYTES:
        return Rejection(row.line, "", f"{len(content):,} bytes", f"Send at most {MAX_EVENT_BYTES:,} bytes a row.")
    return None


def _verdict(row: Row, answer: httpx.Response) -> list[Rejection]:
    if answer.is_success:
        return []
    try:
        problem: dict[str, Any] = answer.json()
    except ValueError:
        problem = {}
    detail = str(problem.get("detail", f"The service answered {answer.status_code}."))
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise ImportStoppedError(f"The key is not valid. {detail}")
    errors = problem.get("errors") or [{"field": "", "value": "", "detail": detail, "remedy": ""}]
    return [
        Rejection(row.line, error["field"], error["value"], f"{error['detail']}. {error['remedy']}".strip(" ."))
        for error in errors
    ]
