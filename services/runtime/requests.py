"""What becomes of every HTTP request, measured and traced where it enters."""

import re
from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.cloudevents import TRACEPARENT_PATTERN
from services.runtime import metrics, tracing
from services.runtime.operational import PATHS

_OTHER: Final = "other"
"""Route of a request that met none, and method of one that HTTP does not know: what anybody may make up is no label."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_EVENTS: Final = b"text/event-stream"
"""An answer that goes on for as long as the reader listens: what took time is over when it begins."""

_OURS: Final = 500
"""The least status that says that the fault is ours."""


class Observed:
    """An application whose requests are seen, by the pattern of their route: paths carry ids and secrets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or scope["path"] in PATHS:
            await self._app(scope, receive, send)
            return
        status = _OURS  # what is answered to whoever met an exception
        streams_since: float | None = None

        async def watch(message: Message) -> None:
            nonlocal status, streams_since
            if message["type"] == "http.response.start":
                status = message["status"]
                if (b"content-type", _EVENTS) in [(name, value[: len(_EVENTS)]) for name, value in message["headers"]]:
                    streams_since = perf_counter()
            await send(message)

        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        with tracing.span(method, kind="server", parent=_sent(scope)) as span:
            began = perf_counter()
            try:
                await self._app(scope, receive, watch)
            finally:
                route = str(getattr(scope.get("route"), "path", _OTHER))
                metrics.REQUESTS.labels(method, route, str(status)).observe((streams_since or perf_counter()) - began)
                span.rename(f"{method} {route}")
                span.note({"http.request.method": method, "http.route": route, "http.response.status_code": status})
                if status >= _OURS:
                    span.fail(f"answered {status}")


def traceparent_of(scope: Scope) -> str | None:
    """Return the trace context for what a request causes: of its span, or else the one that it came with."""
    return tracing.here() or _sent(scope)


def _sent(scope: Scope) -> str | None:
    given = next((value for name, value in scope["headers"] if name == b"traceparent"), b"").decode("latin-1")
    return given if re.fullmatch(TRACEPARENT_PATTERN, given) else None
