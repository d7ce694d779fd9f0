"""Opens the portal's pages to whoever is signed in, in their language, and says so where that cannot be."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from starlette.datastructures import URL

from services.ingest.portal import messages
from services.ingest.portal.guests import Contact
from services.ingest.portal.seal import PortalSeal
from services.runtime import logs
from services.runtime.errors import TransientError
from services.runtime.outcome import describe
from services.runtime.store import StoreError
from services.web import reading
from services.web.entering import Entrance, go
from services.web.private import PRIVATE, WITH_SCRIPT, SessionCookie, from_our_page
from services.web.reading import LOCALES, Reader
from services.web.signing_in import SigningIn, Visitor
from services.web.words import KINDS, STAGES

HERE: Final = Path(__file__).parent
HOME: Final = "/portal"

SHEET: Final = (reading.HERE / "static" / "pages.css").read_bytes() + (HERE / "static" / "portal.css").read_bytes()
SHEET_PATH: Final = f"/portal-static/{hashlib.sha256(SHEET).hexdigest()[:12]}.css"
SCRIPT: Final = (HERE / "static" / "portal.js").read_bytes()
SCRIPT_PATH: Final = f"/portal-static/{hashlib.sha256(SCRIPT).hexdigest()[:12]}.js"
ICON: Final = (reading.HERE / "static" / "icon.svg").read_bytes()
ICON_PATH: Final = "/portal-static/icon.svg"

_PATH_CHARACTERS: Final = 300

# Of our own pages' paths alone: no host, no backslash, nothing encoded, no step upwards.
_OUR_PATH: Final = re.compile(rf"{HOME}(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*(\?[A-Za-z0-9_.=&+%-]*)?")


def our_path(asked: str) -> str | None:
    """Return where to go after signing in, if it is a page of the portal; none for whatever else somebody put there."""
    return asked if len(asked) <= _PATH_CHARACTERS and _OUR_PATH.fullmatch(asked) else None


AT: Final = Entrance(
    sign_in=f"{HOME}/sign-in",
    sign_out=f"{HOME}/sign-out",
    choices=f"{HOME}/sign-in/organisations",
    home=HOME,
    our_path=our_path,
)

Then = Callable[[Visitor[Contact], Reader], Awaitable[Response]]


class PortalReader(Reader):
    """A reader of the portal."""

    def __init__(self, language: str, *, zone: ZoneInfo) -> None:
        super().__init__(language, zone=zone, folders=[HERE])

    def filters(self) -> dict[str, Any]:
        """See `Reader.filters`."""
        return super().filters() | {
            "kind": lambda kind: self.say(KINDS[kind]),
            "stage": lambda stage: self.say(STAGES[stage]),
            "asset": lambda kind: self.say(messages.ASSETS[kind]),
            "language": self.language_name,
            "advice": self.advice,
        }

    def advice(self, advice: Any) -> str:
        """Return a piece of advice as a sentence."""
        kinds = self.say(", ").join(self.say(KINDS[kind]) for kind in advice.kinds)
        said = self.say(messages.ADVICE[advice.code])
        return said % {"kinds": kinds} if advice.kinds else said


class Door:
    """Tells who reads, and writes pages for them."""

    def __init__(self, *, signing_in: SigningIn[Contact], seal: PortalSeal, base: str, zone: ZoneInfo) -> None:
        self._signing_in = signing_in
        self._seal = seal
        self._origin = URL(base)
        self._readers = {language: PortalReader(language, zone=zone) for language in LOCALES}
        self._log = logs.get()
        self.cookie = SessionCookie(base, "maillage-portal")

    def reader(self, language: str) -> Reader:
        """Return the reader of a language."""
        return self._readers[language]

    async def open(self, request: Request, then: Then) -> Response:
        """Return what `then` answers to whoever is signed in; others are led to where one signs in."""
        try:
            visitor = await self._signing_in.visitor(self.cookie.of(request))
            if visitor is None or not visitor.chosen:
                to = our_path(request.url.path) if request.method == "GET" else None
                page = AT.sign_in if visitor is None else AT.choices
                return go(page if to in (None, HOME) else f"{page}?to={quote(to or '')}")
            return await then(visitor, self._readers[visitor.person.language])
        except (StoreError, TransientError) as error:
            return self.failed(request, error)

    def page(
        self, reader: Reader, template: str, status: int = 200, *, scripts: bool = False, **values: Any
    ) -> Response:
        """Return a page that nobody but its reader is to see."""
        headers = WITH_SCRIPT if scripts else PRIVATE
        said = reader.page(
            template, sheet=SHEET_PATH, icon=ICON_PATH, script=SCRIPT_PATH if scripts else None, **values
        )
        return HTMLResponse(said, status, headers=headers)

    def to_stranger(self, request: Request, template: str, status: int, **values: Any) -> Response:
        """See `entering.Door`."""
        language = reading.preferred(request.headers.get("accept-language", ""))
        return self.page(self._readers[language], template, status, **values)

    def to_guest(self, guest: Contact, template: str, status: int, **values: Any) -> Response:
        """See `entering.Door`."""
        return self.page(self._readers[guest.language], template, status, **values)

    def from_our_page(self, request: Request) -> bool:
        """See `entering.Door`."""
        return from_our_page(request, self._origin)

    def field(self, visitor: Visitor[Any]) -> str:
        """See `entering.Door`."""
        return self._seal.field(visitor)

    def is_ours(self, request: Request, visitor: Visitor[Any], field: str) -> bool:
        """See `entering.Door`."""
        return self.from_our_page(request) and self._seal.is_field(field, visitor)

    def failed(self, request: Request, error: Exception) -> Response:
        """See `entering.Door`."""
        self._log.warning("page_failed", error=describe(error))
        shown = our_path(request.url.path) if request.method == "GET" else None  # a form's path may show nothing
        return self.to_stranger(request, "failed.html", 503, again=shown or HOME)
