"""What becomes of every HTTP request, measured where it enters."""

from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.runtime import metrics
from services.runtime.operational import PATHS

_OTHER: Final = "other"
"""Route of a request that met none, and method of one that HTTP does not know: what anybody may make up is no label."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Measured:
    """An application whose requests are timed, by the pattern of their route: paths carry ids and secrets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or scope["path"] in PATHS:
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 500  # what is answered to whoever met an exception

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else _OTHER
            metrics.REQUESTS.labels(method, route_of(scope), str(status)).observe(perf_counter() - began)


def route_of(scope: Scope) -> str:
    """Return the pattern of the route that a request met, as in `/v1/clusters/{cluster}/needs`."""
    route = scope.get("route")
    return str(getattr(route, "path", _OTHER))
