"""What operators and supervisors ask every service: alive, ready, metrics."""

from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.runtime.outcome import describe
from services.runtime.store import Store, StoreError


@dataclass(frozen=True, slots=True)
class Health:
    """A process on itself: whether it should go on, and what keeps it from working."""

    alive: bool
    problems: list[str]


class Operated(Protocol):
    """What the routes need of a service."""

    name: str
    store: Store

    def health(self) -> Health:
        """Return the health of the process."""

    async def waiting(self) -> dict[str, int]:
        """Return how much waits to be done, by what."""


def operational_routes(app: Starlette, service: Operated) -> None:
    """Add `/livez`, `/readyz` and `/metrics` to `app`."""

    def livez(_: Request) -> JSONResponse:
        """503 once consumption is stuck: restart me."""
        health = service.health()
        return JSONResponse({"service": service.name, "alive": health.alive}, 200 if health.alive else 503)

    async def readyz(_: Request) -> JSONResponse:
        """503 with the reasons while the service cannot do its work."""
        waiting: dict[str, int] = {}
        try:
            await service.store.ping()
            waiting = await service.waiting()
            problems = service.health().problems
        except StoreError as error:
            problems = [*service.health().problems, f"the database does not answer ({describe(error)})"]
        return JSONResponse(
            {"service": service.name, "ready": not problems, "problems": problems, "waiting": waiting},
            503 if problems else 200,
        )

    def metrics(_: Request) -> Response:
        """Prometheus text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    for path, answer in (("/livez", livez), ("/readyz", readyz), ("/metrics", metrics)):
        app.add_route(path, answer, include_in_schema=False)
