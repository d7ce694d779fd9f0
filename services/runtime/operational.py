"""What operators and supervisors ask every service: alive, ready, metrics."""

from dataclasses import dataclass
from typing import Protocol

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

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


def operational_routes(app: FastAPI, service: Operated) -> None:
    """Add `/livez`, `/readyz` and `/metrics` to `app`."""

    @app.get("/livez", include_in_schema=False)
    def livez() -> JSONResponse:
        """503 once consumption is stuck: restart me."""
        health = service.health()
        return JSONResponse({"service": service.name, "alive": health.alive}, 200 if health.alive else 503)

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
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

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        """Prometheus text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
