"""From an HTTP request to a call, and from an outcome to an answer."""

import asyncio
import json
import math
import re
from asyncio import Future, ensure_future, shield
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from time import monotonic
from typing import Any, Final, TypeVar

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError
from starlette.types import Message, Receive, Scope, Send

from schemas.base import MAX_COUNT
from schemas.topics import MAX_EVENT_BYTES
from services.ingest import problems
from services.ingest.claims import Claim, claim_of
from services.ingest.entities import Page, State, Taken, Value
from services.ingest.keys import Caller, Issued, Keyring, Operator
from services.ingest.ledger import Asked
from services.ingest.problems import FieldError, Problem
from services.runtime.requests import traceparent_of

Model = TypeVar("Model", bound=BaseModel)

_ENTITY_TAGS: Final = re.compile(r'\s*(W/)?"([^"]*)"\s*(,|$)')
_REV_DIGITS: Final = len(str(MAX_COUNT))
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_LINES: Final = re.compile(r"application/(x-ndjson|jsonl|x-jsonlines|ndjson)\s*(;.*)?", re.IGNORECASE)
_OF_ONE: Final = ("if-match", "if-none-match", "idempotency-key")
"""Headers that say something of one entity."""

KNOWN_SECONDS: Final = 1.0
"""How long a key that was good is taken for good within one request."""

ANSWER_SECONDS: Final = 60.0
"""How long a client may take to read a line of an answer."""

_JSON: Final = re.compile(r"application/([\w.+-]+\+)?json\s*(;.*)?", re.IGNORECASE)


TOO_LONG: Final = b"\n"
"""Stands for a line that is longer than what can be published."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as the service sees it."""

    caller: Caller
    body: bytes
    asked: Asked


class Edge:
    """Opens requests: who calls, what is sent, under which conditions."""

    def __init__(self, *, keyring: Keyring, started: Callable[[], bool]) -> None:
        self._keyring = keyring
        self._started = started

    async def open(self, request: Request) -> Call:
        """Return the call in a request.

        Raises:
            Problem: the service is not ready, the key is nobody's, the body too large, or a header malformed.
        """
        if not self._started():
            raise problems.away("The service waits for its database or its broker.")
        caller = await self._caller(request)
        body = await _body(request) if request.method in ("POST", "PUT") else b""
        return Call(caller=caller, body=body, asked=_asked(request, caller, body))

    async def open_lines(self, request: Request) -> Call:
        """Return the call of a request whose body comes line by line (`lines_of`). Raises as `open`."""
        if not self._started():
            raise problems.away("The service waits for its database or its broker.")
        caller = await self._caller(request)
        if not _LINES.fullmatch(request.headers.get("content-type", "")):
            detail = "Send one JSON object a line, with Content-Type: application/x-ndjson."
            raise Problem(415, "Not lines of JSON", detail)
        if "content-encoding" in request.headers:
            raise Problem(415, "Encoded", "Send the content without Content-Encoding.")
        if given := [name for name in _OF_ONE if name in request.headers]:
            detail = f"Leave out {', '.join(given)}: a line that is sent again changes nothing."
            raise Problem(400, "Not for many", detail)
        asked = Asked(
            alerts=_alerts(request, caller),
            traceparent=traceparent_of(request.scope),
            dry_run=_flag(request, "dry_run", unless_said=False),
        )
        return Call(caller=caller, body=b"", asked=asked)

    def caller_again(self, request: Request) -> Callable[[], Awaitable[Caller]]:
        """Return what tells who calls, now and as long as a request lasts: its key may be revoked meanwhile."""
        asked_at, known = -math.inf, Future[Caller]()

        async def caller() -> Caller:
            nonlocal asked_at, known
            if monotonic() - asked_at > KNOWN_SECONDS:
                asked_at, known = monotonic(), ensure_future(self._caller(request))
            return await shield(known)

        return caller

    async def _caller(self, request: Request) -> Caller:
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        caller = await self._keyring.caller(presented.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            raise problems.unknown_key()
        return caller


def parse(model: type[Model], body: bytes) -> Model:
    """Return the body as `model`; an unknown field, at any depth, is an error.

    Raises:
        Problem: it is not JSON, or not of the model.
    """
    try:
        return model.model_validate_json(body, extra="forbid")
    except ValidationError as error:
        raise problems.malformed_or_invalid(error, model.model_fields) from None


def parse_value(model: type[Model], value: Value) -> Model:
    """Return what was read otherwise than from JSON as `model`. Raises as `parse`."""
    return parse(model, json.dumps(value, ensure_ascii=False).encode())


def accepted(entity_id: str, taken: Taken) -> Response:
    """Say that a state is on the log, and what there is to know of it."""
    return _json(told(entity_id, taken), status=status_of(taken), rev=None if taken.dry_run else taken.rev)


def status_of(taken: Taken) -> int:
    """Return the status that says whether it is taken, or only would be."""
    return 200 if taken.dry_run else 202


def told(entity_id: str, taken: Taken) -> dict[str, Any]:
    """Return what is said of a state that is on the log."""
    notes = {"notes": [asdict(note) for note in taken.notes]} if taken.notes else {}
    return {"id": entity_id, "rev": taken.rev, **({"dry_run": True} if taken.dry_run else {}), **notes}


def shown(state: State) -> Response:
    """Show what is published, in the form in which it can be sent again."""
    response = _json(state.value, status=200, rev=state.rev)
    response.headers["Last-Modified"] = state.at.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return response


def answered(content: BaseModel) -> Response:
    """Answer what was asked, which is nobody else's to keep."""
    response = _json(content.model_dump(mode="json"), status=200)
    response.headers["Cache-Control"] = "no-store"
    return response


async def listed(page: Page, request: Request) -> Response:
    """Show part of a list, and where the rest of it is."""
    items = list[str]()
    for key, state in page.states:
        about = {"id": str(key).partition("/")[2], "rev": state.rev, "at": _written(state.at)}
        items.append(json.dumps({**about, **(state.value or {})}, ensure_ascii=False))
        await asyncio.sleep(0)  # it may be long: between two of them it is others' turn
    after = f', "after": {json.dumps(page.after)}' if page.after else ""
    response = Response(f'{{"items": [{", ".join(items)}]{after}}}'.encode(), media_type="application/json")
    if page.after:
        rest = request.url.include_query_params(after=page.after)
        response.headers["Link"] = f'<{rest.path}?{rest.query}>; rel="next"'
    return response


def key_told(issued: Issued, key: str) -> Response:
    """Tell a key, this once."""
    response = _json({"key_id": issued.key_id, "key": key, **_described(issued)}, status=201)
    response.headers["Cache-Control"] = "no-store"
    return response


def keys_shown(keys: Sequence[Issued]) -> Response:
    """Show keys without what makes them keys."""
    return _json({"keys": [{"key_id": key.key_id, **_described(key)} for key in keys]}, status=200)


def _written(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _described(key: Issued) -> dict[str, Any]:
    times = {"issued_at": key.issued_at, "used_at": key.used_at, "ends_at": key.ends_at}
    said = {name: _written(moment) for name, moment in times.items() if moment is not None}
    return {**key.member.model_dump(), "scopes": key.scopes, "label": key.label, **said}


async def lines_of(request: Request) -> AsyncIterator[bytes]:
    """Yield each line of a body as it comes; `TOO_LONG` for one that is longer than what can be published."""
    line, too_long = bytearray(), False
    async for chunk in request.stream():
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            yield TOO_LONG if too_long or len(line) + len(end) > MAX_EVENT_BYTES else bytes(line + end)
            line, too_long = bytearray(), False
        line += rest
        if len(line) > MAX_EVENT_BYTES:
            line, too_long = bytearray(), True
    if line or too_long:
        yield TOO_LONG if too_long else bytes(line)


class LinesResponse(StreamingResponse):
    """An answer that comes line by line, while the request is still being read: that is the request's own to do."""

    media_type = "application/x-ndjson"

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer; what the framework does beside it is to read the request, for the end of the connection."""

        async def patiently(message: Message) -> None:
            async with asyncio.timeout(ANSWER_SECONDS):
                await send(message)

        await self.stream_response(patiently)


def _json(content: object, *, status: int, rev: int | None = None) -> Response:
    headers = {} if rev is None else {"ETag": f'"{rev}"'}
    body = json.dumps(content, ensure_ascii=False).encode()
    return Response(body, status, headers=headers, media_type="application/json")


async def _body(request: Request) -> bytes:
    """Read the body, and no more of it than can be taken."""
    kind = request.headers.get("content-type")
    if kind is not None and not _JSON.fullmatch(kind):
        raise Problem(415, "Not JSON", "Send the content as JSON, with Content-Type: application/json.")
    if "content-encoding" in request.headers:
        raise Problem(415, "Encoded", "Send the content without Content-Encoding.")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_EVENT_BYTES:
        raise problems.too_large(MAX_EVENT_BYTES)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_EVENT_BYTES:
            raise problems.too_large(MAX_EVENT_BYTES)
    return bytes(body)


def _asked(request: Request, caller: Caller, body: bytes) -> Asked:
    if_match = request.headers.get("if-match")
    return Asked(
        if_match=None if if_match in (None, "*") else _revs(if_match or ""),
        create_only=_create_only(request),
        must_exist=if_match == "*",
        alerts=_alerts(request, caller),
        claim=_claim(request, caller, body),
        traceparent=traceparent_of(request.scope),
        dry_run=_flag(request, "dry_run", unless_said=False),
    )


def _revs(header: str) -> frozenset[int]:
    """Return the revs that `If-Match` lists; what is no rev of ours matches nothing."""
    place, revs = 0, set[int]()
    while place < len(header):
        tag = _ENTITY_TAGS.match(header, place)
        if tag is None:
            raise Problem(400, "Malformed If-Match", 'Send the ETag of an answer with its quotes, as in If-Match: "3".')
        if tag[1] is None and tag[2].isdecimal() and len(tag[2]) <= _REV_DIGITS:
            revs.add(int(tag[2]))
        place = tag.end()
    return frozenset(revs)


def _create_only(request: Request) -> bool:
    header = request.headers.get("if-none-match")
    if header not in (None, "*") and request.method != "GET":
        raise Problem(400, "Malformed If-None-Match", "Only If-None-Match: * is known here: create, never replace.")
    return header == "*"


def _alerts(request: Request, caller: Caller) -> bool:
    alerts = _flag(request, "alerts", unless_said=True)
    if not alerts and not isinstance(caller, Operator):
        raise problems.forbidden(
            "Only the operator's key may publish without alerting anyone.",
            FieldError("alerts", "false", "only the operator may say false", "Leave it out."),
        )
    return alerts


def _flag(request: Request, name: str, *, unless_said: bool) -> bool:
    given = request.query_params.get(name, str(unless_said).lower())
    if given not in ("true", "false"):
        raise problems.invalid(FieldError(name, problems.shorten(given), "neither true nor false", "Use one."))
    return given == "true"


def _claim(request: Request, caller: Caller, body: bytes) -> Claim | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise Problem(
            400, "Malformed Idempotency-Key", "Send 1 to 255 visible ASCII characters, a random UUID for instance."
        )
    return claim_of(caller.scope, key, f"{request.method} {request.url.path}".encode(), body)
