"""The demonstration: a fictional cluster, one need posted live, the notification that reaches the ambassador."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import httpx
from rich.console import Console
from rich.panel import Panel
from rich.progress import Progress
from rich.text import Text

from schemas.ambassadors import AmbassadorKey
from services.console import story
from services.console.embedded.mail import Mail, read_mails
from services.console.embedded.process import PartError
from services.console.system import System
from services.notifier.address import inbox_url
from services.runtime.clock import utc_now

Row = Mapping[str, Any]

# Far more than it takes; a demonstration that says nothing for longer has failed.
DELIVERY_SECONDS = 60.0

CONCURRENT_POSTS = 16


@dataclass(frozen=True, kw_only=True)
class _Path:
    """Where rows of one kind are put, by the one of their fields that is their id."""

    template: str
    id_field: str
    alerting: bool = True

    def of(self, row: Row) -> str:
        return f"/v1/clusters/{row['cluster']}/{self.template.format(row[self.id_field])}"


MEMBERS = _Path(template="members/{}", id_field="member_id")
CONTACTS = _Path(template="members/{}/contact", id_field="member_id", alerting=False)
NEEDS = _Path(template="needs/{}", id_field="need_id")
AMBASSADORS = _Path(template="ambassadors/{}", id_field="ambassador_id", alerting=False)


async def play(system: System, say: Console, *, language: Literal["fr", "ar"]) -> None:
    """Fill the system with the story, post the live need, and show what its ambassadors read.

    Raises:
        PartError: something was refused, or nothing was delivered in time.
    """
    headers = {"Authorization": f"Bearer {system.operator_key}"}
    async with httpx.AsyncClient(base_url=system.api, headers=headers, timeout=30) as api:
        await _fill(api, say)
        await _until_quiet(system)
        live = story.live(language)
        say.print(f"\n[bold]{live['member_id']}[/bold] posts: {live['title']}")
        posted = monotonic()
        await _put(api, NEEDS, live, alerts=True)
        mails, first = await _delivered(Path(system.maildir), str(live["title"]))
        say.print(f"Delivered {first - posted:.1f} s later; {len(mails)} ambassador(s) are told.\n")
    for mail in mails:
        say.print(Panel(Text(mail.text.strip()), title=mail.subject, subtitle=f"to {mail.to}", expand=False))
    say.print("Inbox pages:")
    for row in story.ambassadors():
        key = AmbassadorKey(cluster=row["cluster"], ambassador_id=row["ambassador_id"])
        url = inbox_url(system.inbox, system.inbox_secret, key)
        say.print(f"  {row['name']} ({row['language']})  {url}", soft_wrap=True)


async def _fill(api: httpx.AsyncClient, say: Console) -> None:
    rows: list[tuple[str, _Path, list[Row]]] = [
        ("members", MEMBERS, list(story.members())),
        ("ambassadors", AMBASSADORS, list(story.ambassadors())),
        ("contacts", CONTACTS, list(story.contacts())),
        ("needs", NEEDS, list(story.needs(utc_now()))),
    ]
    with Progress(console=say, transient=True) as progress:
        for name, path, items in rows:
            task = progress.add_task(f"Publishing {len(items)} {name}", total=len(items))
            for some in _chunks(items, CONCURRENT_POSTS):
                await asyncio.gather(*(_put(api, path, row, alerts=False) for row in some))
                progress.advance(task, len(some))
    count = {name: len(items) for name, _, items in rows}
    say.print(f"A cluster of {count['members']} members with {count['needs']} needs is published; nobody was alerted.")


async def _put(api: httpx.AsyncClient, path: _Path, row: Row, *, alerts: bool) -> None:
    body = {name: value for name, value in row.items() if name not in ("cluster", path.id_field)}
    params = {} if alerts or not path.alerting else {"alerts": "false"}
    answer = await api.put(path.of(row), json=body, params=params)
    if answer.is_error:
        raise PartError(f"{path.of(row)}: {answer.text}")


async def _until_quiet(system: System) -> None:
    """Return when nothing waits in matcher and notifier, twice in a row: what one did may be work for the other."""
    quiet = 0
    async with httpx.AsyncClient(timeout=15) as client, asyncio.timeout(DELIVERY_SECONDS):
        while quiet < 2:
            waiting = [
                count
                for address in (system.matcher, system.inbox)
                for count in (await client.get(f"{address}/readyz")).json()["waiting"].values()
            ]
            quiet = quiet + 1 if not any(waiting) else 0
            await asyncio.sleep(0.1)


async def _delivered(maildir: Path, title: str) -> tuple[list[Mail], float]:
    """The mails about the need, once no other has come for a second, and when the first came (`time.monotonic`)."""
    deadline = monotonic() + DELIVERY_SECONDS
    last: list[Mail] = []
    first = since = monotonic()
    while monotonic() < deadline:
        mails = [mail for mail in read_mails(maildir) if title in mail.text]
        if len(mails) != len(last):
            first = first if last else monotonic()
            last, since = mails, monotonic()
        elif last and monotonic() - since > 1:
            return last, first
        await asyncio.sleep(0.05)
    raise PartError(f"no notification within {DELIVERY_SECONDS:g} s; the logs of the services say why")


def _chunks(items: list[Row], size: int) -> Iterable[list[Row]]:
    return (items[start : start + size] for start in range(0, len(items), size))
