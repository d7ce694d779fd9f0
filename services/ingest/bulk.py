"""Many rows in one request: each is taken or refused by itself, and its answer says which."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final

from schemas.ambassadors import AmbassadorKey, AmbassadorProfile
from schemas.base import Key
from schemas.contacts import ContactProfile
from schemas.members import MemberKey, MemberProfile
from schemas.needs import NeedKey
from schemas.topics import MAX_EVENT_BYTES
from services.ingest import problems
from services.ingest.claims import claim_of
from services.ingest.edge import TOO_LONG, parse, status_of, told
from services.ingest.entities import AMBASSADOR, CONTACT, MEMBER, NEED, Kind, NeedBody, NeedPosted, Taken
from services.ingest.keys import Caller
from services.ingest.ledger import Asked
from services.ingest.problems import FieldError, Problem
from services.ingest.refusals import problem_of
from services.ingest.rows import ID_FIELD, content_of, kind_of, need_claim
from services.ingest.service import IngestService

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

    def __init__(self, *, service: IngestService) -> None:
        self._service = service

    async def begin(self, lot: Lot, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Begin to read; return a line for each line, in their order; an empty one has none."""
        rows = _Rows(self._service, lot)
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

    def __init__(self, service: IngestService, lot: Lot) -> None:
        self._service = service
        self._lot = lot
        self.answers: asyncio.Queue[asyncio.Future[Answer] | None] = asyncio.Queue()
        self.in_hand: set[asyncio.Future[Answer]] = set()
        self.waiting = 0
        self._held = 0  # bytes
        self._freed = asyncio.Event()
        self._last: dict[str, asyncio.Future[Answer]] = {}
        """Of each entity, the last row in hand that tells of it."""

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
            row = _row(self._lot, line)
        except Problem as problem:
            self._refuse(number, problem)
            return
        before = [self._last[about] for about in row.about if about in self._last]
        task = asyncio.create_task(self._put(number, row, before))
        self._last[row.about[0]] = task
        self.in_hand.add(task)
        self._held += len(line)
        self.answers.put_nowait(task)

        def end(_: object) -> None:
            self.in_hand.discard(task)
            self._held -= len(line)
            if not task.cancelled() and task.exception() is None:
                self.waiting += len(task.result().line)
            if self._last.get(row.about[0]) is task:
                del self._last[row.about[0]]
            self._freed.set()

        task.add_done_callback(end)

    def _refuse(self, number: int, problem: Problem) -> None:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        answer.set_result(_refused(number, problem))
        self.waiting += len(answer.result().line)
        self.answers.put_nowait(answer)

    async def _put(self, number: int, row: "_Row", before: Sequence[asyncio.Future[Answer]]) -> Answer:
        try:
            await _taken(before)
            entity_id, taken = await self._publish(row, await self._lot.caller())
        except Exception as error:
            return _refused(number, problem_of(error))
        status = status_of(taken)
        return _said(status, {"line": number, "status": status, "kind": row.kind.name, **told(entity_id, taken)})

    async def _publish(self, row: "_Row", caller: Caller) -> tuple[str, Taken]:
        service, asked = self._service, self._lot.asked
        match row.key:
            case NeedKey() as key:
                return key.need_id, await service.put_need(caller, key, parse(NeedBody, row.content), asked)
            case AmbassadorKey() as key:
                profile = parse(AmbassadorProfile, row.content)
                return key.ambassador_id, await service.put_ambassador(caller, key, profile, asked)
            case MemberKey() as key if row.kind is CONTACT:
                return key.member_id, await service.put_contact(caller, key, parse(ContactProfile, row.content), asked)
            case MemberKey() as key:
                return key.member_id, await service.put_member(caller, key, parse(MemberProfile, row.content), asked)
        return await self._post_need(row, caller)

    async def _post_need(self, row: "_Row", caller: Caller) -> tuple[str, Taken]:
        """Publish a need without an id: the same row makes the same need, in this request and in every other."""
        cluster = self._lot.cluster
        where = f"POST /v1/clusters/{cluster}/needs".encode()
        claim = claim_of(caller.scope, need_claim(cluster, row.content), where, row.content)
        posted = parse(NeedPosted, row.content)
        return await self._service.post_need(caller, cluster, posted, replace(self._lot.asked, claim=claim))


@dataclass(frozen=True, slots=True)
class _Row:
    """One row. `about`: the entity that it tells of, and the member that must be there before it."""

    kind: Kind
    key: Key | None
    content: bytes
    about: tuple[str, ...]


def _row(lot: Lot, line: bytes) -> _Row:
    if line is TOO_LONG:
        raise problems.too_large(MAX_EVENT_BYTES)
    fields = _object(line)
    kind = lot.kind or kind_of(fields)
    if kind is None:
        raise problems.invalid(
            FieldError("", "", "it does not say what it tells of", "Add member_id, need_id or ambassador_id.")
        )
    entity_id = fields.pop(ID_FIELD[kind], None)
    owner = f"{MEMBER.name}/{entity_id if kind is CONTACT else fields.get('member_id')}"
    about = (f"{kind.name}/{entity_id}", *([owner] if kind.owned else []))
    content = content_of(fields)
    if entity_id is None and kind is NEED:
        return _Row(kind, None, content, (f"{kind.name}//{content.decode()}", owner))
    return _Row(kind, _key(kind, lot.cluster, entity_id), content, about)


def _object(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except RecursionError:
        raise Problem(400, "Malformed JSON", "This line is nested too deeply.") from None
    except ValueError as error:
        raise Problem(400, "Malformed JSON", f"This line is no JSON in UTF-8: {error}. Correct it there.") from None
    if not isinstance(fields, dict):
        raise Problem(400, "Malformed JSON", "Write one JSON object a line.")
    return fields


_KEYS: Final[dict[Kind, type[Key]]] = {MEMBER: MemberKey, CONTACT: MemberKey, NEED: NeedKey, AMBASSADOR: AmbassadorKey}


def _key(kind: Kind, cluster: str, entity_id: object) -> Key:
    named = {"cluster": cluster} | ({} if entity_id is None else {ID_FIELD[kind]: entity_id})
    return parse(_KEYS[kind], json.dumps(named).encode())


async def _taken(before: Sequence[asyncio.Future[Answer]]) -> None:
    """Return once the rows are taken or refused that another one follows from.

    Raises:
        Problem: one was not confirmed. What is older would be taken last, and a need refused for want of its member.
    """
    if before:
        await asyncio.wait(before)
    if any(one.result().status >= HTTPStatus.INTERNAL_SERVER_ERROR for one in before):
        raise problems.away("A line before this one, which it follows from, was not confirmed.")


def _refused(number: int, problem: Problem) -> Answer:
    return _said(problem.status, {"line": number, "status": problem.status, "problem": problem.members()})


def _said(status: int, content: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(content, ensure_ascii=False).encode() + b"\n")


def _too_many() -> Problem:
    return Problem(
        413, "Too many rows", f"A request has at most {ROWS:,}. Send the rest, from this line on, in another."
    )
