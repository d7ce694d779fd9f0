"""How somebody signs in, in these tests: they ask, read the mail, follow its link and press the button."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.component.notifier.receivers import parts_of
from tests.component.notifier.world import BASE, Process

AMINA = "amina@example.org"
COOKIE = "__Host-maillage"


async def ask(process: Process, email: str = AMINA, **data: str) -> httpx.Response:
    """Ask for a link, from a browser that has no session."""
    async with process.browser() as client:
        answer = await client.post("/sign-in", data={"email": email, **data})
    await process.parts.signing_in.looked_into()
    return answer


async def mailed(process: Process) -> str:
    """The path of the link in the newest mail, once all are sent."""
    await process.run()
    for _, mail in reversed(process.world.mail.mails):
        text, page = parts_of(mail)
        if found := re.search(rf"{BASE}(/sign-in/\S+)", text):
            assert f'href="{BASE}{found[1]}"' in page
            return found[1]
    raise AssertionError("no link was mailed")


@asynccontextmanager
async def signed_in(process: Process, email: str = AMINA, **data: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that has a session."""
    await ask(process, email, **data)
    link = await mailed(process)
    async with process.browser() as client:
        assert (await client.post(link)).status_code == httpx.codes.SEE_OTHER
        yield client
