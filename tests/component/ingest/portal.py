"""The portal as it is deployed: ingest on a port, a matcher beside it, a log, a database, and a mail server."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import uvicorn
from pydantic import AnyHttpUrl, SecretStr

from services.console.embedded.broker import MemoryBroker
from services.console.embedded.process import LOOPBACK, free_port
from services.ingest import app as ingest
from services.ingest.settings import IngestSettings
from services.matcher import app as matcher
from services.matcher.settings import MatcherSettings
from services.runtime.microservice import Microservice
from tests.component.ingest.conftest import CONTACT, OPERATOR_KEY, bearer
from tests.component.notifier.receivers import MailServer

PREVIEW_KEY = SecretStr("preview-key-of-the-tests-0123456789abcdef")
PORTAL_SECRET = SecretStr("portal-secret-of-the-tests-0123456789abcdef")
SECONDS = 30.0
CLUSTER = "souss"

SENSORS = {
    "asset_id": "capteurs",
    "title": "Capteurs d’humidité du sol",
    "text": "Conception d’un capteur autonome d’humidité du sol et d’une passerelle LoRa pour l’irrigation d’agrumes.",
}
OILS = {
    "asset_id": "zayt",
    "title": "كشف غش الزيوت بالتحليل الطيفي",
    "text": "تحليل طيفي لكشف غش الزيوت ومنها زيت أركان، وشهادات مطلوبة عند التصدير.",
}


@dataclass
class Portal:
    """A running portal.

    Attributes:
        base: its address.
        api: the operator's way to it.
        mail: what was mailed.
    """

    base: str
    api: httpx.AsyncClient
    mail: MailServer
    services: list[Microservice] = field(default_factory=list)

    async def put(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Put one entity of the cluster as its operator."""
        answer = await self.api.put(f"/v1/clusters/{CLUSTER}/{path}", json=body)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return answer

    async def get(self, path: str) -> dict[str, Any]:
        """Return what is published of one entity of the cluster."""
        answer = await self.api.get(f"/v1/clusters/{CLUSTER}/{path}")
        assert answer.status_code == httpx.codes.OK, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def member(self, member: str, *, language: str = "fr", email: str | None = None, **more: Any) -> str:
        """Publish a member and its contact; return the contact's address."""
        address = email or f"{uuid4().hex[:12]}@example.org"
        await self.put(f"members/{member}", {"name": member, "kind": "company", "admission": "admitted"} | more)
        await self.put(f"members/{member}/contact", CONTACT | {"email": address, "language": language})
        return address

    async def people(self) -> None:
        """Publish a laboratory that answers, and others, so that words have weights."""
        fillers = [("Teinture naturelle", "Bains de teinture."), ("Paiement mobile", "Portefeuille électronique.")]
        assets = [{"asset_id": f"f{n}", "title": title, "text": text} for n, (title, text) in enumerate(fillers)]
        await self.put("members/agadir", {"name": "Cité d’Agadir", "kind": "innovation_city", "admission": "admitted"})
        about = {"kind": "laboratory", "admission": "admitted", "city": "agadir"}
        await self.put("members/others", about | {"name": "Autres", "assets": assets})
        await self.put("members/lab", about | {"name": "Laboratoire Sols", "assets": [SENSORS, OILS]})
        await self.quiet()

    async def link(self, email: str) -> str:
        """Ask for a link; return its path once it is mailed."""
        before = len(self.mail.mails)
        async with self.browser() as client:
            answer = await client.post("/portal/sign-in", data={"email": email})
            assert answer.headers["location"] == "/portal/sign-in/sent"
        async with asyncio.timeout(SECONDS):
            while len(self.mail.mails) == before:
                await asyncio.sleep(0.01)
        recipient, mail = self.mail.mails[-1]
        assert recipient.casefold() == email.casefold()
        found = re.search(rf"{self.base}(/portal/sign-in/\S+)", mail.get_content())
        assert found is not None
        return found[1]

    def browser(self, language: str = "fr") -> httpx.AsyncClient:
        """A browser without a session."""
        return httpx.AsyncClient(base_url=self.base, headers={"accept-language": language}, timeout=SECONDS)

    @asynccontextmanager
    async def signed_in(self, email: str) -> AsyncIterator["Session"]:
        """A browser with a session."""
        link = await self.link(email)
        async with self.browser() as client:
            assert (await client.post(link)).headers["location"] == "/portal"
            yield Session(client)

    async def quiet(self) -> None:
        """Return when nothing waits in any service, twice in a row."""
        still = 0
        async with asyncio.timeout(SECONDS):
            while still < 2:
                waiting = [count for service in self.services for count in (await service.waiting()).values()]
                still = still + 1 if not any(waiting) else 0
                await asyncio.sleep(0.02)


@dataclass
class Session:
    """Somebody who is signed in, and fills in forms."""

    client: httpx.AsyncClient

    async def page(self, path: str) -> str:
        """Return a page."""
        answer = await self.client.get(path)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.text

    async def send(self, path: str, to: str | None = None, **fields: Any) -> httpx.Response:
        """Fill in the form of a page and send it."""
        return await self.client.post(to or path, data=filled_in(await self.page(path)) | fields)


def filled_in(page: str) -> dict[str, Any]:
    """Return the fields of a page's first form, as a browser would send them."""
    form = re.findall(r"<form.*?</form>", page, re.DOTALL)[0]
    fields: dict[str, Any] = {}
    for tag in re.findall(r"<input [^>]*>", form):
        told = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if told.get("type") not in ("radio", "checkbox") or " checked" in tag:
            fields[told["name"]] = html.unescape(told.get("value", ""))
    for name, text in re.findall(r'<textarea [^>]*name="(\w+)"[^>]*>(.*?)</textarea>', form, re.DOTALL):
        fields[name] = html.unescape(text)
    for name, options in re.findall(r'<select name="(\w+)"[^>]*>(.*?)</select>', form, re.DOTALL):
        fields[name] = "".join(re.findall(r'value="([^"]*)" selected', options))
    return fields


@asynccontextmanager
async def running(mongo_url: str) -> AsyncIterator[Portal]:
    """Start it; its databases are dropped at the end."""
    broker, mail, run = MemoryBroker(), MailServer(), uuid4().hex[:8]
    await mail.start()
    ports = free_port(), free_port()
    base = f"http://{LOOPBACK}:{ports[0]}"
    common = {"kafka": broker.bootstrap, "mongo": SecretStr(mongo_url), "preview_key": PREVIEW_KEY}
    services = [
        ingest.build(
            IngestSettings(
                **common,
                database=f"ingest_{run}",
                operator_key=SecretStr(OPERATOR_KEY),
                matcher_url=f"http://{LOOPBACK}:{ports[1]}",
                previews_per_minute=1_000,
                portal_url=AnyHttpUrl(base),
                portal_secret=PORTAL_SECRET,
                smtp=mail.address,
                mail_from="maillage@example.org",
            )
        ),
        matcher.build(MatcherSettings(**common, database=f"matcher_{run}", bar=0.1)),
    ]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(mail.stop)
        for service, port in zip(services, ports, strict=True):
            await service.start()
            stack.push_async_callback(service.stop)
            await stack.enter_async_context(_listening(service, port))
        api = await stack.enter_async_context(httpx.AsyncClient(base_url=base, headers=bearer(OPERATOR_KEY)))
        yield Portal(base, api, mail, services)
        for service in services:
            await service.store.database.client.drop_database(service.store.database.name)
    del broker


@asynccontextmanager
async def _listening(service: Microservice, port: int) -> AsyncIterator[None]:
    server = uvicorn.Server(uvicorn.Config(service.app, host=LOOPBACK, port=port, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(SECONDS):
        while not server.started:
            await asyncio.sleep(0.01)
    yield
    server.should_exit = True
    await serving
