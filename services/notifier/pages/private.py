"""What private pages have in common: headers, who may open them, how to tell a form of ours from another's."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.datastructures import URL

from schemas.ambassadors import AmbassadorKey
from services.notifier.address import Tokens
from services.notifier.domain.entrance import HOME, ME, our_path
from services.notifier.domain.preferences import Person
from services.notifier.inbox import Inbox
from services.notifier.pages.reader import HERE, Reader, Readers
from services.notifier.signing_in import SigningIn, Visitor
from services.runtime import logs
from services.runtime.errors import TransientError
from services.runtime.outcome import describe
from services.runtime.store import StoreError
from services.web import reading
from services.web.private import PRIVATE, WITH_SCRIPT, SessionCookie, from_our_page

SHEET: Final = (reading.HERE / "static" / "pages.css").read_bytes()
SHEET_PATH: Final = f"/inbox-static/{hashlib.sha256(SHEET).hexdigest()[:12]}.css"
SCRIPT: Final = (HERE / "static" / "live.js").read_bytes()
SCRIPT_PATH: Final = f"/inbox-static/{hashlib.sha256(SCRIPT).hexdigest()[:12]}.js"
ICON: Final = (reading.HERE / "static" / "icon.svg").read_bytes()
ICON_PATH: Final = "/inbox-static/icon.svg"


def private_page(reader: Reader, template: str, status: int, *, live: str | None = None, **values: Any) -> Response:
    """Return a page that nobody but its reader is to see.

    Args:
        reader: of its language.
        template: the page's.
        status: of the answer.
        live: of a page that keeps up to date, the place that it is at; read before what is on the page is.
        values: for the template.
    """
    page = reader.page(template, sheet=SHEET_PATH, icon=ICON_PATH, script=SCRIPT_PATH, live=live, **values)
    return HTMLResponse(page, status, headers=PRIVATE if live is None else WITH_SCRIPT)


Then = Callable[[Person, Reader], Awaitable[Response]]


class Doorkeeper:
    """Opens pages to those whose inbox it is, in their language, and says so where that cannot be.

    Whose it is says the token in the path, or the session where `me` stands in its place; nobody else need know which.
    """

    def __init__(self, *, inbox: Inbox, signing_in: SigningIn, tokens: Tokens, readers: Readers, base: str) -> None:
        self._inbox = inbox
        self._signing_in = signing_in
        self._tokens = tokens
        self._readers = readers
        self._origin = URL(base)
        self._log = logs.get()
        self.cookie = SessionCookie(base)

    async def open(self, request: Request, token: str, then: Then) -> Response:
        """Return what `then` answers to the owner of the inbox that `token` names, or that whoever is signed in has."""

        async def find() -> Person | Response | None:
            if token == ME:
                visitor = await self.visitor(request)
                if visitor is None or not visitor.chosen:
                    return self._sign_in(request, "/sign-in" if visitor is None else "/sign-in/inboxes")
                return visitor.person
            opened = self._tokens.opens(token)
            person = await self._inbox.owner(opened.key) if opened else None
            if opened is not None and person is not None and opened.epoch != person.epoch:
                return self._sign_in(request, "/sign-in")  # they had the address replaced
            return person

        return await self._answer(request, find, then)

    async def open_for(self, request: Request, key: AmbassadorKey | None, then: Then) -> Response:
        """Return what `then` answers to an ambassador; `key` is none where the address names nobody."""

        async def find() -> Person | None:
            return await self._inbox.owner(key) if key else None

        return await self._answer(request, find, then)

    async def visitor(self, request: Request) -> Visitor | None:
        """Return who is signed in, if anybody is."""
        return await self._signing_in.visitor(self.cookie.of(request))

    def field(self, person: Person) -> str:
        """Return the hidden field of a form that concerns nothing but its reader."""
        return self._tokens.own(person.key, person.epoch)

    def from_our_page(self, request: Request) -> bool:
        """Return whether a form was sent from a page of ours, as far as the browser says."""
        return from_our_page(request, self._origin)

    def is_ours(self, request: Request, person: Person, field: str) -> bool:
        """Return whether a form came from a page that was made for this reader."""
        return self.from_our_page(request) and self._tokens.is_own(field, person.key, person.epoch)

    def stranger(self, request: Request) -> Reader:
        """Return the reader for somebody who is not known yet."""
        return self._readers.preferred(request.headers.get("accept-language", ""))

    def reader(self, person: Person) -> Reader:
        """Return the reader of somebody's language."""
        return self._readers.to(person)

    def failed(self, request: Request, reader: Reader, error: Exception) -> Response:
        """Return the page that says that the store is away, and note it."""
        self._log.warning("page_failed", error=describe(error))
        return private_page(reader, "failed.html", 503, again=str(request.url.path))

    async def _answer(
        self, request: Request, find: Callable[[], Awaitable[Person | Response | None]], then: Then
    ) -> Response:
        reader = self.stranger(request)
        try:
            found = await find()
            if isinstance(found, Response):
                return found
            if found is None:
                return private_page(reader, "denied.html", 403)
            reader = self.reader(found)
            return await then(found, reader)
        except (StoreError, TransientError) as error:
            return self.failed(request, reader, error)

    def _sign_in(self, request: Request, page: str) -> Response:
        """Lead to where one signs in, and from there to where one wanted to go, under `me`."""
        _, _, rest = request.url.path.removeprefix("/inbox/").partition("/")
        wanted = f"{HOME}/{rest}" if rest else HOME
        query = f"?{request.url.query}" if request.url.query else ""
        to = our_path(wanted + query)
        return RedirectResponse(page if to in (None, HOME) else f"{page}?to={quote(to or '')}", 303, headers=PRIVATE)
