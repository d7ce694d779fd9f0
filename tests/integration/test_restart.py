"""The embedded system stopped and started again: MongoDB kept everything, the broker in memory nothing."""

import asyncio
from pathlib import Path
from typing import Any

import httpx

from services.console.embedded.mail import Mail, read_mails
from services.console.system import System, Wanted, running

SECONDS = 60.0

ASSET = {"asset_id": "a", "title": "Capteurs d’humidité du sol", "text": "Sonde autonome et passerelle LoRa en verger."}
CITY = {"name": "Cité", "kind": "innovation_city", "admission": "admitted", "city": "cite"}
LAB = {"name": "Labo", "kind": "laboratory", "admission": "admitted", "city": "cite", "assets": [ASSET]}
FIRM = {"name": "Ferme", "kind": "company", "admission": "admitted"}
PERSON = {"name": "Amina", "city": "cite", "email": "amina@example.org"}


async def put(system: System, path: str, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {system.operator_key}"}
    async with httpx.AsyncClient(base_url=system.api, headers=headers, timeout=30) as api:
        answer = await api.put(f"/v1/clusters/c/{path}", json=body)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text


async def mails(system: System, count: int) -> list[Mail]:
    """The mails received, once there are `count` and nothing waits in any service."""
    async with httpx.AsyncClient(timeout=30) as client, asyncio.timeout(SECONDS):
        quiet = 0
        while quiet < 3:
            answers = [await client.get(f"{url}/readyz") for url in (system.api, system.matcher, system.inbox)]
            waiting = [number for answer in answers for number in answer.json()["waiting"].values()]
            quiet = quiet + 1 if not any(waiting) and len(read_mails(Path(system.maildir))) >= count else 0
            await asyncio.sleep(0.1)
    return read_mails(Path(system.maildir))


async def test_after_a_restart_nothing_is_forgotten_and_nobody_is_told_again(tmp_path: Path) -> None:
    need = {"member_id": "ferme", "title": "Sondes d’humidité du sol", "text": "Des sondes reliées en LoRa."}
    async with running(Wanted(data=tmp_path, port=0), print) as (system, _):
        for path, body in {"members/cite": CITY, "members/labo": LAB, "members/ferme": FIRM}.items():
            await put(system, path, body)
        await put(system, "ambassadors/amina", PERSON)
        await put(system, "needs/n1", need)
        first = await mails(system, 1)
        key = system.operator_key

    async with running(Wanted(data=tmp_path, port=0), print) as (system, _):
        assert [mail.message_id for mail in await mails(system, 1)] == [mail.message_id for mail in first]
        assert system.operator_key == key
        # The laboratory, the ambassador and the first need are known from before.
        other = {**need, "title": "Passerelle LoRa", "text": "Une passerelle autonome pour notre verger."}
        await put(system, "needs/n2", other)
        second = await mails(system, 2)

    assert len(second) == 2
    assert "Passerelle LoRa" in second[1].text
    for service in ("ingest", "matcher", "notifier"):
        assert '"event": "republished"' in (tmp_path / "logs" / f"{service}.log").read_text()
