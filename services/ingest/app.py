"""The composition root of ingest."""

from typing import Final

from fastapi import FastAPI

from schemas.topics import MAX_EVENT_BYTES, READS, SUBMISSION_RESULTS, SUBMISSIONS
from services.ingest.bulk import Bulk
from services.ingest.claims import Claims
from services.ingest.edge import Edge
from services.ingest.erasure import Erasure
from services.ingest.handlers import routes
from services.ingest.keymaking import KeyMaking
from services.ingest.keys import Keyring, OperatorKey
from services.ingest.ledger import Ledger
from services.ingest.openapi import describe_bodies
from services.ingest.portal.compose import compose_portal
from services.ingest.previews import Previews
from services.ingest.refusals import render_problems
from services.ingest.service import IngestService
from services.ingest.settings import IngestSettings
from services.ingest.store import EntityStore
from services.ingest.submissions import Submissions
from services.ingest.taking import Taking
from services.runtime.bounds import Bounds
from services.runtime.microservice import Microservice
from services.web.sessions import Sessions

RELAY_SECONDS: Final = 1.0
"""How often the relay looks: soon for whoever was told to try again in a second, rare enough to cost nothing."""

LONGEST_BYTES: Final = 2 * MAX_EVENT_BYTES
"""Longest request that is heard out: a profile that is a little too large is refused in words, not cut off."""


_MANY_ROWS: Final = Bounds(request_bytes=64_000_000, whole_seconds=600.0)
"""Of a request that brings many rows, which are taken while it comes; 100 kB/s are needed for the largest."""

BOUNDS: Final = Bounds(request_bytes=LONGEST_BYTES, paths={"/v1/bulk": _MANY_ROWS})


def build(settings: IngestSettings) -> Microservice:
    """Return ingest, composed and not started."""
    # Its redirects would lead to whatever host a request says that it is for.
    app = FastAPI(title="Maillage ingest", redirect_slashes=False)
    consumes, without = (READS["ingest"], ()) if settings.submissions else ((), (SUBMISSIONS, SUBMISSION_RESULTS))
    frame = Microservice("ingest", settings, consumes=consumes, beside=True, without=without, app=app, bounds=BOUNDS)
    database = frame.store.database
    entities, claims = EntityStore(database), Claims(database)
    sessions = Sessions(database, whom="member")
    keyring = Keyring(database=database, operator=OperatorKey(settings), clock=frame.clock)
    ledger = Ledger(
        entities=entities,
        claims=claims,
        erasure=Erasure(entities=entities, keyring=keyring, sessions=sessions),
        publisher=frame.publisher,
        clock=frame.clock,
    )
    previews = Previews(
        database=database,
        url=settings.matcher_url,
        key=settings.preview_key,
        per_minute=settings.previews_per_minute,
        clock=frame.clock,
    )
    service = IngestService(ledger=ledger, entities=entities, previews=previews, clock=frame.clock)
    taking = Taking(service=service)
    submissions = Submissions(
        taking=taking, keyring=keyring, claims=claims, publisher=frame.publisher, clock=frame.clock
    )
    edge = Edge(keyring=keyring, started=lambda: frame.started)
    keys = KeyMaking(keyring=keyring, clock=frame.clock)
    bulk = Bulk(taking=taking)
    app.include_router(routes(service=service, keys=keys, bulk=bulk, submissions=submissions, edge=edge))
    portal = compose_portal(settings, app=app, service=service, entities=entities, sessions=sessions, clock=frame.clock)
    render_problems(app)
    describe_bodies(app)
    frame.on_start(entities.prepare, claims.prepare, keyring.prepare, previews.prepare)
    frame.on_stop(previews.close)
    if portal is not None:
        frame.on_start(portal.prepare)
        frame.on_stop(portal.close)
    frame.waits("states", entities.count_pending)
    frame.on_new_log(ledger.republish)
    frame.every(RELAY_SECONDS, "relay", ledger.relay)
    if settings.submissions:
        frame.consumption.settlement.take_with(submissions.take)
    return frame
