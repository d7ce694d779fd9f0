"""The three services in one process, joined by a broker that a test chooses; everything else is real."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from aiosmtpd.smtp import SMTP
from pydantic import SecretStr

from schemas.ambassadors import AmbassadorKey
from services.console.embedded.mail import Mail, Mailbox, read_mails
from services.console.embedded.process import LOOPBACK, free_port
from services.ingest import app as ingest
from services.ingest.settings import IngestSettings
from services.matcher import app as matcher
from services.matcher.settings import MatcherSettings
from services.notifier import app as notifier
from services.notifier.address import inbox_url
from services.notifier.settings import NotifierSettings
from services.runtime.microservice import Microservice
from tests.parts.mails import check_all

SECONDS = 30.0
OPERATOR_KEY = "operator-key-of-the-tests"
INBOX_SECRET = "inbox-secret-of-the-tests-0123456789"
PREVIEW_KEY = "preview-key-of-the-tests-0123456789abcdef"
PUBLIC_URL = "http://maillage.test"


@dataclass
class Flow:
    """A running system, as its three users meet it."""

    bootstrap: str
    api: httpx.AsyncClient
    pages: httpx.AsyncClient
    maildir: Path
    services: tuple[Microservice, ...]

    def mails(self, cluster: str) -> list[Mail]:
        """The mails to ambassadors of one cluster, oldest first."""
        return [mail for mail in read_mails(self.maildir) if f"@{cluster}.example.org" in mail.recipients[0]]

    async def quiet(self) -> None:
        """Return when nothing waits in any service, twice in a row."""
        still = 0
        async with asyncio.timeout(SECONDS):
            while still < 2:
                waiting = [count for service in self.services for count in (await service.waiting()).values()]
                still = still + 1 if not any(waiting) else 0
                await asyncio.sleep(0.02)


@dataclass
class Cluster:
    """One cluster of its own for each test, and what people do in it."""

    name: str
    flow: Flow

    async def put(self, kind: str, entity: str, body: dict[str, Any], **params: str) -> httpx.Response:
        """Put one entity; fail unless it is acknowledged."""
        answer = await self.flow.api.put(f"/v1/clusters/{self.name}/{kind}/{entity}", json=body, params=params)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return answer

    async def member(self, member: str, kind: str, *, city: str | None = None, **more: Any) -> None:
        """Publish an admitted member, whose own arrival alerts nobody."""
        body = {"name": member.replace("-", " ").title(), "kind": kind, "admission": "admitted", "city": city, **more}
        await self.put("members", member, body, alerts="false")

    async def ambassador(self, ambassador: str, *, city: str | None, language: str = "fr") -> None:
        """Publish an ambassador, or without a city the desk, reached by mail."""
        body = {
            "name": ambassador.title(),
            "role": "ambassador" if city else "desk",
            "city": city,
            "language": language,
            "email": f"{ambassador}@{self.name}.example.org",
        }
        await self.put("ambassadors", ambassador, body)

    async def need(self, need: str, member: str, title: str, text: str, **more: Any) -> None:
        """Publish a need with alerts."""
        await self.put("needs", need, {"member_id": member, "title": title, "text": text, **more})

    async def told(self, count: int) -> list[Mail]:
        """The mails that came to this cluster once all is quiet; fail unless they are `count`."""
        await self.flow.quiet()
        mails = self.flow.mails(self.name)
        assert len(mails) == count, [(mail.recipients, mail.subject) for mail in mails]
        return mails

    async def inbox(self, ambassador: str) -> str:
        """The list page of an ambassador's inbox."""
        return (await self._page(self.inbox_address(ambassador))).text

    def inbox_address(self, ambassador: str) -> str:
        """The private address of an ambassador's inbox."""
        return inbox_url(PUBLIC_URL, INBOX_SECRET, AmbassadorKey(cluster=self.name, ambassador_id=ambassador))

    async def _page(self, url: str) -> httpx.Response:
        answer = await self.flow.pages.get(url)
        answer.raise_for_status()
        return answer


@pytest.fixture(scope="session", params=["memory_kafka", pytest.param("real_kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> str:
    """The address of a broker in memory, and that of an Apache Kafka."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture(scope="session")
async def flow(broker: str, mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Flow]:
    """The system on one of the brokers, for all tests."""
    maildir = tmp_path_factory.mktemp("mail")
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(lambda: SMTP(Mailbox(maildir), hostname="localhost", loop=loop), "127.0.0.1", 0)
    mail_port = smtp.sockets[0].getsockname()[1]
    matcher_port = free_port()
    services = tuple(_services(broker, mongo_url, mail_port, matcher_port))
    async with AsyncExitStack() as stack:
        stack.callback(smtp.close)
        for service in services:
            await service.start()
            stack.push_async_callback(service.stop)
        await stack.enter_async_context(_listening(services[1], matcher_port))
        api = await stack.enter_async_context(_client(services[0], {"Authorization": f"Bearer {OPERATOR_KEY}"}))
        pages = await stack.enter_async_context(_client(services[2], {}))
        yield Flow(broker, api, pages, maildir, services)
    assert check_all(maildir) == len(list((maildir / "new").iterdir())), "each message that came"


@pytest.fixture
def cluster(flow: Flow) -> Cluster:
    """An empty cluster."""
    return Cluster(f"c{uuid.uuid4().hex[:12]}", flow)


def _services(kafka: str, mongo: str, mail_port: int, matcher_port: int) -> Iterator[Microservice]:
    run = uuid.uuid4().hex[:8]

    def common(name: str) -> dict[str, Any]:
        return {
            "kafka": kafka,
            "mongo": SecretStr(mongo),
            "database": f"{name}_{run}",
            "session_seconds": 6.0,
        }

    key = SecretStr(PREVIEW_KEY)
    yield ingest.build(
        IngestSettings(
            **common("ingest"),
            operator_key=SecretStr(OPERATOR_KEY),
            preview_key=key,
            matcher_url=f"http://{LOOPBACK}:{matcher_port}",
        )
    )
    yield matcher.build(MatcherSettings(**common("matcher"), preview_key=key))
    yield notifier.build(
        NotifierSettings(
            **common("notifier"),
            secret=SecretStr(INBOX_SECRET),
            public_url=PUBLIC_URL,  # type: ignore[arg-type]  # pydantic reads the text
            smtp=f"127.0.0.1:{mail_port}",
            mail_from="maillage@example.org",
            quiet_hours="00:00-00:00",
            letters_per_day=1000,
        )
    )


@asynccontextmanager
async def _listening(service: Microservice, port: int) -> AsyncIterator[None]:
    """Have a service that runs answer on a port as well."""
    server = uvicorn.Server(uvicorn.Config(service.app, port=port, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(SECONDS):
        while not server.started:
            await asyncio.sleep(0.01)
    yield
    server.should_exit = True
    await serving


def _client(service: Microservice, headers: dict[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(service.app), base_url=PUBLIC_URL, headers=headers, timeout=SECONDS
    )
