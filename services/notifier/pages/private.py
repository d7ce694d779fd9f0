"""What private pages have in common: their headers, and how to tell a form of ours from another's."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from starlette.datastructures import URL

from schemas.ambassadors import AmbassadorKey
from services.notifier.domain.preferences import Person
from services.notifier.inbox import Inbox
from services.notifier.pages.reader import HERE, Reader, Readers
from services.runtime import logs
from services.runtime.errors import TransientError
from services.runtime.outcome import describe
from services.runtime.store import StoreError

SHEET: Final = (HERE / "static" / "inbox.css").read_bytes()
SHEET_PATH: Final = f"/inbox-static/{hashlib.sha256(SHEET).hexdigest()[:12]}.css"
SCRIPT: Final = (HERE / "static" / "live.js").read_bytes()
SCRIPT_PATH: Final = f"/inbox-static/{hashlib.sha256(SCRIPT).hexdigest()[:12]}.js"
ICON: Final = (HERE / "static" / "icon.svg").read_bytes()

PRIVATE: Final = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",  # the address is the key to the inbox: it must not travel on
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
    "cross-origin-opener-policy": "same-origin",
}

_WITH_SCRIPT: Final = {
    **PRIVATE,
    "content-security-policy": f"{PRIVATE['content-security-policy']}; script-src 'self'; connect-src 'self'",
}


def private_page(reader: Reader, template: str, status: int, *, live: str | None = None, **values: Any) -> Response:
    """Return a page that nobody but its reader is to see.

    Args:
        reader: of its language.
        template: the page's.
        status: of the answer.
        live: of a page that keeps up to date, the place that it is at; read before what is on the page is.
        values: for the template.
    """
    page = reader.page(template, sheet=SHEET_PATH, script=SCRIPT_PATH, live=live, **values)
    return HTMLResponse(page, status, headers=PRIVATE if live is None else _WITH_SCRIPT)


def by_a_person(request: Request) -> bool:
    """Return whether somebody followed a link to a page, as far as the browser says.

    Programs that look behind links say nothing of this; neither do browsers over plain HTTP, nor very old ones.
    """
    said = request.headers
    if said.get("sec-fetch-mode") != "navigate" or "sec-purpose" in said or "purpose" in said:  # fetched beforehand
        return False
    return said.get("sec-fetch-user") == "?1" or said.get("sec-fetch-site") == "same-origin"


def from_our_page(request: Request, origin: URL) -> bool:
    """Return whether a form was sent from our own page, as far as the browser says.

    With `Referrer-Policy: no-referrer` browsers send `Origin: null`, which says nothing; `Sec-Fetch-Site` tells
    where it is sent (not over plain HTTP). A signed field or address decides in any case.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    sent_from = request.headers.get("origin", "null")
    return sent_from == "null" or URL(sent_from).netloc in (origin.netloc, request.headers.get("host"))


Then = Callable[[Person, Reader], Awaitable[Response]]


class Doorkeeper:
    """Opens pages to those whose inbox it is, in their language, and says so where that cannot be."""

    def __init__(self, *, inbox: Inbox, readers: Readers) -> None:
        self._inbox = inbox
        self._readers = readers
        self._log = logs.get()

    async def open(self, request: Request, key: AmbassadorKey | None, then: Then) -> Response:
        """Return what `then` answers to the owner of an inbox; `key` is none where the address names nobody."""
        reader = self._readers.preferred(request.headers.get("accept-language", ""))
        try:
            person = await self._inbox.owner(key) if key else None
            if person is None:
                return private_page(reader, "denied.html", 403)
            reader = self._readers.to(person)
            return await then(person, reader)
        except (StoreError, TransientError) as error:
            self._log.warning("page_failed", error=describe(error))
            return private_page(reader, "failed.html", 503, again=str(request.url.path))
