"""The whole system as deployed, in processes of its own, and two clusters that have nothing to do with one another."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.ambassadors import AmbassadorKey
from services.console.embedded.mail import read_mails
from services.console.embedded.supervisor import Supervisor
from services.console.system import System, Wanted, running
from services.notifier.address import inbox_url

SECONDS = 60.0


@dataclass(frozen=True)
class Tenant:
    """A cluster with one of everything. `word` is in all its names, texts and addresses, and in nobody else's."""

    cluster: str
    word: str
    key: str
    key_id: str
    inbox: str
    """Address of its ambassador's inbox."""
    webhook_secret: str
    phone: str
    """Of the contact of its laboratory."""

    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@dataclass(frozen=True)
class Deployed:
    """The running system, its logs, and its clusters."""

    system: System
    supervisor: Supervisor
    ours: Tenant
    theirs: Tenant

    def logs(self) -> dict[str, str]:
        folder = Path(self.system.data) / "logs"
        return {name: (folder / f"{name}.log").read_text() for name in ("ingest", "matcher", "notifier")}

    async def quiet(self) -> None:
        """Return when no event waits in any service, twice in a row. Deliveries do: their webhooks never take any."""
        async with httpx.AsyncClient(timeout=30) as client, asyncio.timeout(SECONDS):
            still = 0
            while still < 2:
                urls = (self.system.api, self.system.matcher, self.system.inbox)
                waiting = [(await client.get(f"{url}/readyz")).json()["waiting"] for url in urls]
                still = still + 1 if not any(each.get("records", each.get("states")) for each in waiting) else 0
                await asyncio.sleep(0.1)


def entities(cluster: str, word: str, hook: str, secret: str, phone: str) -> dict[str, dict[str, Any]]:
    """What a cluster publishes, by path: a need that its own laboratory answers, and an ambassador who is told."""
    asset = {
        "asset_id": "a",
        "title": f"Capteurs d’humidité {word}",
        "text": f"Sonde autonome {word} et passerelle LoRa.",
    }
    person = {"name": f"Amina {word}", "city": "cite", "email": f"amina.{word}@example.org"}
    return {
        "members/cite": {"name": f"Cité {word}", "kind": "innovation_city", "admission": "admitted", "city": "cite"},
        "members/lab": {
            "name": f"Labo {word}", "kind": "laboratory", "admission": "admitted", "city": "cite", "assets": [asset],
        },
        "members/lab/contact": {"name": f"Rachid {word}", "email": f"rachid.{word}@example.org", "phone": phone},
        "members/firm": {"name": f"Ferme {word}", "kind": "company", "admission": "admitted"},
        "ambassadors/amina": {**person, "webhook": {"url": f"{hook}/{word}", "secret": secret}},
        "needs/n1": {
            "member_id": "firm", "title": f"Sondes d’humidité {word}", "text": f"Des sondes reliées en LoRa, {word}.",
        },
    }  # fmt: skip


async def tenant(system: System, operator: httpx.AsyncClient, cluster: str, word: str, hook: str) -> Tenant:
    secret = "whsec_" + (word * 8)[:32]
    phone = f"+212 500 47 11 {len(cluster):02}"
    for path, body in entities(cluster, word, hook, secret, phone).items():
        answer = await operator.put(f"/v1/clusters/{cluster}/{path}", json=body)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    issued = (await operator.post("/v1/keys", json={"cluster": cluster, "member_id": "firm"})).json()
    inbox = inbox_url(system.inbox, system.inbox_secret, AmbassadorKey(cluster=cluster, ambassador_id="amina"))
    return Tenant(cluster, word, issued["key"], issued["key_id"], inbox, secret, phone)


@pytest.fixture(scope="session")
async def refusing_hook() -> AsyncIterator[str]:
    """Address of a receiver that takes nothing, and says what it was sent."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = await reader.read(65_536)
        writer.write(b"HTTP/1.1 500 " + said.split(b" ")[1] + b"\r\nconnection: close\r\n\r\n" + said)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    server.close()


@pytest.fixture(scope="session")
async def deployed(tmp_path_factory: pytest.TempPathFactory, refusing_hook: str) -> AsyncIterator[Deployed]:
    """Each ambassador has been told of the suggestion of their own cluster by mail; the webhook goes on failing."""
    data = tmp_path_factory.mktemp("deployed")
    async with running(Wanted(data=data, port=0, extra={"MAILLAGE_LOG_LEVEL": "debug"}), lambda _: None) as (
        system,
        supervisor,
    ):
        headers = {"Authorization": f"Bearer {system.operator_key}"}
        async with httpx.AsyncClient(base_url=system.api, headers=headers, timeout=30) as operator:
            ours = await tenant(system, operator, "ours", "zqourszq", refusing_hook)
            theirs = await tenant(system, operator, "theirs", "zqtheirszq", refusing_hook)
        found = Deployed(system, supervisor, ours, theirs)
        async with asyncio.timeout(SECONDS):
            while len(read_mails(Path(system.maildir))) < 2:
                await asyncio.sleep(0.1)
        yield found
