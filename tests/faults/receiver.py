"""The systems of ambassadors, which take webhooks, and what may be wrong with them."""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from services.console.embedded.process import LOOPBACK
from tests.faults.story import WEBHOOK_SECRET

SLOW_SECONDS = 30.0


class Mood(Enum):
    """What a receiver does with what comes."""

    TAKES = auto()
    LATE = auto()
    """It takes the message, and says so after 30 s."""
    FAILS = auto()
    """500."""
    CLOSES = auto()
    """It closes the connection without a word."""
    LEADS_ELSEWHERE = auto()
    """It redirects to a private address."""


class Receivers:
    """One address for each ambassador: `{url}/{ambassador}`.

    Attributes:
        taken: how often each message was taken, by its id.
        asked: requests by ambassador, taken or not.
        led_astray: requests that came to where a receiver redirected to.
        refused: requests whose signature or time was wrong.
        moods: how the receiver of an ambassador is; `TAKES` where nothing is said.
    """

    def __init__(self) -> None:
        self.url = ""
        self.taken: collections.Counter[str] = collections.Counter()
        self.asked: collections.Counter[str] = collections.Counter()
        self.led_astray = 0
        self.refused = 0
        self.moods: dict[str, Mood] = {}

    async def answer(self, ambassador: str, headers: dict[str, str], body: bytes) -> bytes:
        """Return the status line and headers to answer with; nothing: the connection is closed."""
        if ambassador == "private":
            self.led_astray += 1
            return b"204 No Content"
        self.asked[ambassador] += 1
        mood = self.moods.get(ambassador, Mood.TAKES)
        if mood is Mood.FAILS:
            return b"500 Internal Server Error"
        if mood is Mood.CLOSES:
            return b""
        if mood is Mood.LEADS_ELSEWHERE:
            return f"307 Temporary Redirect\r\nlocation: {self.url}/private".encode()
        try:
            Webhook(WEBHOOK_SECRET).verify(body, headers)
        except WebhookVerificationError:
            self.refused += 1
            return b"401 Unauthorized"
        self.taken[headers["webhook-id"]] += 1
        if mood is Mood.LATE:
            await asyncio.sleep(SLOW_SECONDS)
        return b"204 No Content"


@asynccontextmanager
async def receivers() -> AsyncIterator[Receivers]:
    """Listen on a port of this machine."""
    found = Receivers()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            answer = await found.answer(head.split()[1].strip("/"), headers, body)
            if answer:
                writer.write(b"HTTP/1.1 " + answer + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(take, LOOPBACK, 0)
    found.url = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
