"""What operators and supervisors ask every service: alive, ready, metrics."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.runtime import metrics
from services.runtime.outcome import describe
from services.runtime.store import Store, StoreError

PATHS: Final = ("/livez", "/readyz", "/metrics")
"""What supervisors ask: never counted or traced as somebody's request."""

# How old the metrics of readiness and waiting work may be: as old as Prometheus usually lets a sample become.
_STATE_SECONDS: Final = 15.0

# A disk fills in hours.
_DISK_SECONDS: Final = 60.0


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

    def every(self, seconds: float, name: str, work: Callable[[], Awaitable[None]]) -> object:
        """Repeat `work` while the service runs."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What keeps a service from its work (nothing: it is ready), and how much waits, by what."""

    problems: list[str]
    waiting: dict[str, int]


async def readiness(service: Operated) -> Readiness:
    """Ask a service and its database how it stands; the metrics say the same."""
    waiting: dict[str, int] = {}
    try:
        await service.store.ping()
        waiting = await service.waiting()
        problems = service.health().problems
    except StoreError as error:
        problems = [*service.health().problems, f"the database does not answer ({describe(error)})"]
    metrics.READY.set(not problems)
    for what, count in waiting.items():
        metrics.WAITING.labels(what).set(count)
    return Readiness(problems, waiting)


def operational_routes(app: Starlette, service: Operated) -> None:
    """Add `/livez`, `/readyz` and `/metrics` to `app`."""

    def livez(_: Request) -> JSONResponse:
        """503 once consumption is stuck: restart me."""
        health = service.health()
        return JSONResponse({"service": service.name, "alive": health.alive}, 200 if health.alive else 503)

    async def readyz(_: Request) -> JSONResponse:
        """503 with the reasons while the service cannot do its work."""
        found = await readiness(service)
        return JSONResponse(
            {
                "service": service.name,
                "ready": not found.problems,
                "problems": found.problems,
                "waiting": found.waiting,
            },
            503 if found.problems else 200,
        )

    def metrics_page(_: Request) -> Response:
        """Prometheus text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    for path, answer in (("/livez", livez), ("/readyz", readyz), ("/metrics", metrics_page)):
        app.add_route(path, answer, include_in_schema=False)


def measure_regularly(service: Operated) -> None:
    """Keep the metrics of what has to be asked for up to date."""

    async def state() -> None:
        await readiness(service)

    async def disk() -> None:
        if found := await service.store.disk():
            metrics.DATABASE_FREE.set(found.free_bytes)
            metrics.DATABASE_SIZE.set(found.size_bytes)

    service.every(_STATE_SECONDS, "state", state)
    service.every(_DISK_SECONDS, "disk", disk)
