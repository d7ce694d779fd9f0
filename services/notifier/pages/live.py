"""Where a page asks to be told that something of its reader's has changed: server-sent events.

Events carry a number and nothing else. What has changed is in the page itself, which the page's script then asks for
again, by the same door as any browser.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from fastapi import FastAPI, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from services.notifier.domain.preferences import Person
from services.notifier.live import Live
from services.notifier.pages.private import SCRIPT, SCRIPT_PATH, Doorkeeper
from services.notifier.pages.reader import Reader
from services.notifier.store.people import Ambassadors
from services.web.private import PRIVATE

HEARTBEAT_SECONDS: Final = 15

# Proxies often give an answer a minute. One that ends by itself is no error to the browser, which comes again by the
# door, and says up to where it knows: so whoever may not read any more is told nothing after this time at the latest.
_SECONDS: Final = 50.0

_AGAIN_MS: Final = 1_000
"""After how long a browser comes again."""

_FOR_EVER: Final = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}


def live_routes(app: FastAPI, *, live: Live, door: Doorkeeper) -> None:
    """Add what pages ask for to be up to date to `app`."""

    @app.get(SCRIPT_PATH, include_in_schema=False)
    def script() -> Response:
        """The script of pages that keep up to date; its path changes with it."""
        return Response(SCRIPT, media_type="text/javascript", headers=_FOR_EVER)

    @app.get("/inbox/{token}/live", include_in_schema=False)
    async def news(request: Request, token: str, after: str = "") -> Response:
        """An event for each change of what the reader sees; 429 to pages beyond what is told, which go on without."""

        async def listen(person: Person, _: Reader) -> Response:
            reader = str(person.key)
            known = request.headers.get("last-event-id", after)
            told = live.news(reader, Ambassadors.id_of(person.key), after=known, seconds=_SECONDS)
            if told is None:
                return Response(status_code=429, headers={**PRIVATE, "retry-after": "600"})
            return EventSourceResponse(_events(told), ping=HEARTBEAT_SECONDS, headers=PRIVATE)

        return await door.open(request, token, listen)


async def _events(told: AsyncGenerator[str, None]) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(told):
        async for place in told:
            yield ServerSentEvent(data=place.rpartition(".")[2], id=place, retry=_AGAIN_MS)
