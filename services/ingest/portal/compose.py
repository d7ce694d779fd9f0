"""The portal, composed."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from fastapi import FastAPI

from services.ingest.portal.door import AT, Door
from services.ingest.portal.guests import Contact, Contacts
from services.ingest.portal.mailing import Postman
from services.ingest.portal.pages import portal_routes
from services.ingest.portal.seal import PortalSeal
from services.ingest.service import IngestService
from services.ingest.settings import IngestSettings
from services.ingest.store import EntityStore
from services.runtime.clock import Clock
from services.runtime.smtp import Connections
from services.web.entering import entrance_routes
from services.web.sessions import Sessions
from services.web.signing_in import SigningIn


@dataclass(frozen=True, slots=True)
class Portal:
    """What of the portal is begun and ended with its service."""

    sessions: Sessions
    signing_in: SigningIn[Contact]
    postman: Postman

    async def prepare(self) -> None:
        """Create what queries and expiry need; may be repeated."""
        await self.sessions.ensure_indexes()

    async def close(self) -> None:
        """Send what was asked for, and let go of connections."""
        await self.signing_in.looked_into()
        await self.postman.close()


def compose_portal(
    settings: IngestSettings,
    *,
    app: FastAPI,
    service: IngestService,
    entities: EntityStore,
    sessions: Sessions,
    clock: Clock,
) -> Portal | None:
    """Add the portal to `app`, if there is to be one."""
    if settings.portal_url is None or settings.portal_secret is None or settings.mail_from is None:
        return None
    base, zone = str(settings.portal_url).rstrip("/"), ZoneInfo(settings.timezone)
    seal = PortalSeal(settings.portal_secret.get_secret_value())
    postman = Postman(
        connections=Connections(settings.mail_server),
        sender=settings.mail_from,
        link=lambda link_id: f"{base}{AT.sign_in}/{seal.sign_in(link_id)}",
        reader=lambda language: door.reader(language),
        clock=clock,
    )
    signing_in = SigningIn(guests=Contacts(entities), sessions=sessions, seal=seal, clock=clock, mail=postman.mail)
    door = Door(signing_in=signing_in, seal=seal, base=base, zone=zone)
    entrance_routes(app, at=AT, signing_in=signing_in, door=door, cookie=door.cookie)
    portal_routes(app, service=service, entities=entities, door=door, zone=zone, clock=clock)
    return Portal(sessions, signing_in, postman)
