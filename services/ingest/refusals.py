"""Every answer of 400 or above as problem details, whoever noticed."""

from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.ingest import problems
from services.ingest.problems import MEDIA_TYPE, Problem
from services.runtime import logs
from services.runtime.errors import TransientError
from services.runtime.outcome import describe
from services.runtime.store import StoreError


def render_problems(app: FastAPI) -> None:
    """Have `app` answer with problem details."""

    async def said(_: Request, error: Exception) -> Response:
        return _rendered(problem_of(error))

    for kind in (Problem, TransientError, StoreError):
        app.add_exception_handler(kind, said)

    @app.exception_handler(RequestValidationError)
    async def path_refused(_: Request, error: RequestValidationError) -> Response:
        where = [{**detail, "loc": tuple(detail["loc"][1:])} for detail in error.errors()]
        return _rendered(problems.invalid(*problems.field_errors(where)))

    @app.exception_handler(HTTPException)
    async def not_routed(request: Request, error: HTTPException) -> Response:
        return _rendered(_unrouted(request, error))

    app.add_middleware(_NeverBare)


def problem_of(error: Exception) -> Problem:
    """Return what whoever asked is told of an error, which is noted unless it is theirs.

    Of a mistake of ours, without its message, which may quote somebody's data.
    """
    log = logs.get()
    match error:
        case Problem():
            return error
        case TransientError():
            log.warning("unconfirmed", error=describe(error))
            return problems.unconfirmed("The log did not confirm the event in time.")
        case StoreError():
            log.warning("store_away", error=describe(error))
            return problems.away("The database did not confirm in time.")
    log.error("failed", error=describe(error))
    return Problem(500, "Our mistake", "The service failed. Tell its operator when it happened.")


class _NeverBare:
    """Answers for a mistake of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answering = False

        async def watch(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception as error:
            if answering or scope["type"] != "http":
                raise
            await _rendered(problem_of(error))(scope, receive, send)


def _unrouted(request: Request, error: HTTPException) -> Problem:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return Problem(404, "Not found", "There is nothing at this path. Everything is below /v1/.")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(_methods(request))
        return Problem(405, "Method not allowed", f"This path takes {allowed}.", headers={"Allow": allowed})
    phrase = HTTPStatus(error.status_code).phrase
    return Problem(error.status_code, phrase, str(error.detail), headers=error.headers)


def _methods(request: Request) -> list[str]:
    """Return what the path takes; the framework names the methods of the first route alone."""
    described = request.app.openapi()["paths"]
    asked = request.url.path.split("/")
    found: set[str] = set()
    for path, operations in described.items():
        parts = path.split("/")
        if len(parts) == len(asked) and all(p == a or p[:1] == "{" for p, a in zip(parts, asked, strict=True)):
            found.update(method.upper() for method in operations)
    return sorted(found) or ["GET"]


def _rendered(problem: Problem) -> Response:
    return Response(problem.body(), problem.status, headers=problem.headers, media_type=MEDIA_TYPE)
