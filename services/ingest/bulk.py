"""Many rows in one request: each is taken or refused by itself, and its answer says which."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from schemas.topics import MAX_EVENT_BYTES
from services.ingest import problems
from services.ingest.edge import TOO_LONG, status_of, told
from services.ingest.entities import Kind
from services.ingest.keys import Caller
from services.ingest.ledger import Asked
from services.ingest.problems import Problem
from services.ingest.refusals import problem_of
from services.ingest.taking import Lanes, Ready, Row, Taking, row_of

ROWS: Final = 10_000
"""Of one request. Their answers wait in memory for a client that reads none before it has sent all."""

IN_HAND: Final = 200
"""Rows at a time: enough to share what a question to the database costs, few enough to be confirmed in time."""

WAITING_BYTES: Final = 16_000_000
"""Of answers that are not read yet: a client may read none before it has sent all. What is sent beyond is not taken."""

HELD_BYTES: Final = 16 * MAX_EVENT_BYTES
"""Of rows in hand, should they be long."""


@dataclass(frozen=True, slots=True)
class Lot:
    """What holds for all rows of a request.

    Attributes:
        caller: returns who sends them; raises when the key is nobody's any more.
        kind: what all of them tell of; none: each says it by its fields.
    """

    caller: Callable[[], Awaitable[Caller]]
    cluster: str
    asked: Asked
    kind: Kind | None = None


class Bulk:
    """Takes rows as they come, several at a time; rows of one entity, and of what belongs to it, in their order."""

    def __init__(self, *, taking: Taking) -> None:
        self._taking = taking

    async def begin(self, lot: Lot, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Begin to read; return a line for each line, in their order; an empty one has none."""
        rows = _Rows(self._taking, lot)
        reading = asyncio.create_task(rows.read(lines))
        await asyncio.sleep(0)  # what a client waits for that asks whether to go on is that we read, not our answer
        return _answers(rows, reading)


async def _answers(rows: "_Rows", reading: "asyncio.Task[None]") -> AsyncIterator[bytes]:
    try:
        while (answer := await rows.answers.get()) is not None:
            line = (await answer).line
            rows.waiting -= len(line)
            yield line
        await reading
    finally:
        reading.cancel()  # nobody reads what would come of the rest
        await asyncio.gather(reading, *rows.in_hand, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of a row. `line`: as it is sent."""

    status: int
    line: bytes


class _Rows:
    """The rows of one request.

    Attributes:
        answers: what comes of each, in their order; none: there are no more.
        in_hand: those under way.
        waiting: bytes of answers that are ready and not read yet.
    """

    def __init__(self, taking: Taking, lot: Lot) -> None:
        self._taking = taking
        self._lot = lot
        self._lanes = Lanes[Answer]()
        self.answers: asyncio.Queue[asyncio.Future[Answer] | None] = asyncio.Queue()
        self.in_hand: set[asyncio.Future[Answer]] = set()
        self.waiting = 0
        self._held = 0  # bytes
        self._freed = asyncio.Event()

    async def read(self, lines: AsyncIterator[bytes]) -> None:
        """Take all rows into hand, one after the other."""
        number = 0
        try:
            async for line in lines:
                number += 1
                if number > ROWS or self.waiting > WAITING_BYTES:
                    self._refuse(number, _too_many())
                    return
                if line.strip() or line is TOO_LONG:
                    await self._room_for(line)
                    self._take(number, line)
        finally:
            self.answers.put_nowait(None)

    async def _room_for(self, line: bytes) -> None:
        while self.in_hand and (len(self.in_hand) >= IN_HAND or self._held + len(line) > HELD_BYTES):
            self._freed.clear()
            await self._freed.wait()

    def _take(self, number: int, line: bytes) -> None:
        try:
            row = self._row(line)
        except Problem as problem:
            self._refuse(number, problem)
            return
        task = self._lanes.begin(row, lambda ready: self._put(number, row, ready))
        self.in_hand.add(task)
        self._held += len(line)
        self.answers.put_nowait(task)

        def end(_: object) -> None:
            self.in_hand.discard(task)
            self._held -= len(line)
            if not task.cancelled() and task.exception() is None:
                self.waiting += len(task.result().line)
            self._freed.set()

        task.add_done_callback(end)

    def _refuse(self, number: int, problem: Problem) -> None:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        answer.set_result(_refused(number, problem))
        self.waiting += len(answer.result().line)
        self.answers.put_nowait(answer)

    def _row(self, line: bytes) -> Row:
        if line is TOO_LONG:
            raise problems.too_large(MAX_EVENT_BYTES)
        return row_of(self._lot.cluster, line, self._lot.kind)

    async def _put(self, number: int, row: Row, ready: Ready) -> Answer:
        try:
            await ready()
            entity_id, taken = await self._taking.take(row, await self._lot.caller(), self._lot.asked)
        except Exception as error:
            return _refused(number, problem_of(error))
        status = status_of(taken)
        return _said(status, {"line": number, "status": status, "kind": row.kind.name, **told(entity_id, taken)})


def _refused(number: int, problem: Problem) -> Answer:
    return _said(problem.status, {"line": number, "status": problem.status, "problem": problem.members()})


def _said(status: int, content: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(content, ensure_ascii=False).encode() + b"\n")


def _too_many() -> Problem:
    return Problem(
        413, "Too many rows", f"A request has at most {ROWS:,}. Send the rest, from this line on, in another."
    )
