"""Rows, each taken or refused as by itself: a line of a bulk request, a record of `submissions.v1`."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final, Generic, Protocol, TypeVar

from schemas.ambassadors import AmbassadorKey, AmbassadorProfile
from schemas.base import Key
from schemas.contacts import ContactProfile
from schemas.members import MemberKey, MemberProfile
from schemas.needs import NeedKey
from services.ingest import problems
from services.ingest.claims import claim_of
from services.ingest.edge import parse
from services.ingest.entities import AMBASSADOR, CONTACT, MEMBER, NEED, Kind, NeedBody, NeedPosted, Taken
from services.ingest.keys import Caller
from services.ingest.ledger import Asked
from services.ingest.problems import FieldError, Problem
from services.ingest.rows import ID_FIELD, content_of, kind_of, need_claim
from services.ingest.service import IngestService


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        key: of the entity that it tells of; none: a need that names itself not.
        content: what a PUT of it would bring.
        about: the entity, and the member that must be there before it.
    """

    kind: Kind
    cluster: str
    key: Key | None
    content: bytes
    about: tuple[str, ...]


def row_of(cluster: str, line: bytes, kind: Kind | None = None) -> Row:
    """Return the row in a line; `kind` is what it tells of, where its fields need not say it.

    Raises:
        Problem: it is no JSON object, or does not say what it tells of.
    """
    fields = _object(line)
    kind = kind or kind_of(fields)
    if kind is None:
        raise problems.invalid(
            FieldError("", "", "it does not say what it tells of", "Add member_id, need_id or ambassador_id.")
        )
    entity_id = fields.pop(ID_FIELD[kind], None)
    owner = f"{cluster}/{MEMBER.name}/{entity_id if kind is CONTACT else fields.get('member_id')}"
    about = (f"{cluster}/{kind.name}/{entity_id}", *([owner] if kind.owned else []))
    content = content_of(fields)
    if entity_id is None and kind is NEED:
        return Row(kind, cluster, None, content, (f"{cluster}/{kind.name}//{content.decode()}", owner))
    return Row(kind, cluster, _key(kind, cluster, entity_id), content, about)


class Taking:
    """Takes rows."""

    def __init__(self, *, service: IngestService) -> None:
        self._service = service

    async def take(self, row: Row, caller: Caller, asked: Asked) -> tuple[str, Taken]:
        """Publish what a row says; return the id of its entity with what was taken. Raises as the service does."""
        service = self._service
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
        return await self._post_need(row, caller, asked)

    async def _post_need(self, row: Row, caller: Caller, asked: Asked) -> tuple[str, Taken]:
        """Publish a need without an id: what is claimed makes one need, and by default the same row does."""
        if asked.claim is None:
            where = f"POST /v1/clusters/{row.cluster}/needs".encode()
            claim = claim_of(caller.scope, need_claim(row.cluster, row.content), where, row.content)
            asked = replace(asked, claim=claim)
        return await self._service.post_need(caller, row.cluster, parse(NeedPosted, row.content), asked)


class Judged(Protocol):
    """What came of a row."""

    @property
    def status(self) -> int:
        """As HTTP has it."""


J = TypeVar("J", bound=Judged)

Ready = Callable[[], Awaitable[None]]


class Lanes(Generic[J]):
    """Rows in hand, many at a time: those of one entity, and of what belongs to it, one after the other."""

    def __init__(self) -> None:
        self._last: dict[str, asyncio.Future[J]] = {}
        """Of each entity, the last row in hand that tells of it."""

    def begin(self, row: Row, take: Callable[[Ready], Awaitable[J]]) -> "asyncio.Task[J]":
        """Begin to take a row. `take` has to await what it is given before the row may be taken.

        That raises a `Problem` where a row before this one was not confirmed: what is older would be taken last, and a
        need refused for want of its member.
        """
        before = [self._last[about] for about in row.about if about in self._last]

        async def taken() -> J:
            return await take(lambda: _taken(before))

        task = asyncio.create_task(taken())
        self._last[row.about[0]] = task
        task.add_done_callback(lambda _: self._leave(row.about[0], task))
        return task

    def _leave(self, about: str, task: "asyncio.Task[J]") -> None:
        if self._last.get(about) is task:
            del self._last[about]


async def _taken(before: Sequence["asyncio.Future[J]"]) -> None:
    if before:
        await asyncio.wait(before)
    if any(one.result().status >= HTTPStatus.INTERNAL_SERVER_ERROR for one in before):
        raise problems.away("A line before this one, which it follows from, was not confirmed.")


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
