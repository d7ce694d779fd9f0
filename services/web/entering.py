"""The pages of signing in and out: pages that only read, forms that act.

A service says under which path they are, where they lead, and in which words: the templates are its own.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Protocol, TypeVar
from urllib.parse import quote

from fastapi import FastAPI, Form, Request, Response
from fastapi.responses import RedirectResponse
from starlette.background import BackgroundTask

from schemas.ambassadors import EMAIL_PATTERN
from services.runtime.errors import TransientError
from services.runtime.store import StoreError
from services.web.entrance import LINK_LASTS, client_of
from services.web.private import PRIVATE, SessionCookie
from services.web.signing_in import Guest, SigningIn, Visitor

_EMAIL: Final = re.compile(EMAIL_PATTERN)
_MINUTES: Final = int(LINK_LASTS.total_seconds() // 60)

G = TypeVar("G", bound=Guest)
G_contra = TypeVar("G_contra", bound=Guest, contravariant=True)


class Door(Protocol[G_contra]):
    """What the pages need of the service that they are of."""

    def to_stranger(self, request: Request, template: str, status: int, **values: Any) -> Response:
        """Return a page for somebody who is not known yet."""

    def to_guest(self, guest: G_contra, template: str, status: int, **values: Any) -> Response:
        """Return a page for somebody who is known."""

    def from_our_page(self, request: Request) -> bool:
        """Return whether a form was sent from a page of ours, as far as the browser says."""

    def field(self, visitor: Visitor[Any]) -> str:
        """Return the hidden field of a form that concerns nothing but its reader."""

    def is_ours(self, request: Request, visitor: Visitor[Any], field: str) -> bool:
        """Return whether a form came from a page that was made for this reader."""

    def failed(self, request: Request, error: Exception) -> Response:
        """Return the page that says that the store is away, and note it."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where the pages are. `choices`: path of the page on which one of several is chosen.

    Attributes:
        home: where one arrives.
        our_path: returns a path that one may be led to; none for whatever else somebody asked for.
    """

    sign_in: str
    sign_out: str
    choices: str
    home: str
    our_path: Callable[[str], str | None]


def entrance_routes(
    app: FastAPI, *, at: Entrance, signing_in: SigningIn[G], door: Door[G], cookie: SessionCookie
) -> None:
    """Add the pages on which people sign in and out to `app`."""
    pages = _Pages(at=at, signing_in=signing_in, door=door, cookie=cookie)

    @app.get(at.sign_in, include_in_schema=False)
    async def sign_in(request: Request, to: str = "", renewed: str = "") -> Response:
        """Ask for an e-mail address; `renewed` says that a private address has just ended."""
        return await pages.sign_in(request, at.our_path(to), renewed=renewed == "1")

    @app.post(at.sign_in, include_in_schema=False)
    async def ask(request: Request, email: Annotated[str, Form()] = "", to: Annotated[str, Form()] = "") -> Response:
        """Have a link mailed, if the address is known; the answer is the same if it is not."""
        return await pages.ask(request, email.strip(), at.our_path(to))

    @app.get(f"{at.sign_in}/sent", include_in_schema=False)
    async def sent(request: Request) -> Response:
        """Say where the link is."""
        return door.to_stranger(request, "sign_in_sent.html", 200, minutes=_MINUTES)

    @app.get(at.choices, include_in_schema=False)
    async def choices(request: Request, to: str = "") -> Response:
        """Ask whose pages somebody means who may open several."""
        return await pages.choices(request, at.our_path(to))

    @app.post(at.choices, include_in_schema=False)
    async def choose(
        request: Request,
        form: Annotated[str, Form()] = "",
        whom: Annotated[str, Form(alias="inbox")] = "",
        to: Annotated[str, Form()] = "",
    ) -> Response:
        """Settle it, then lead there."""
        return await pages.choose(request, form=form, whom=whom, to=at.our_path(to))

    @app.get(at.sign_in + "/{token}", include_in_schema=False)
    async def link(request: Request, token: str) -> Response:
        """Ask whoever opened a mailed link to press a button: what follows links must not use it up."""
        return await pages.link(request, token)

    @app.post(at.sign_in + "/{token}", include_in_schema=False)
    async def enter(request: Request, token: str) -> Response:
        """Begin a session with a mailed link."""
        return await pages.enter(request, token)

    @app.get(at.sign_out, include_in_schema=False)
    async def ask_to_leave(request: Request) -> Response:
        """Ask where to sign out."""
        return await pages.ask_to_leave(request)

    @app.post(at.sign_out, include_in_schema=False)
    async def leave(
        request: Request, form: Annotated[str, Form()] = "", where: Annotated[str, Form()] = ""
    ) -> Response:
        """End this session, or all of them."""
        return await pages.leave(request, form=form, everywhere=where == "everywhere")


class _Pages(Generic[G]):
    """Answers, each with the headers of a private page."""

    def __init__(self, *, at: Entrance, signing_in: SigningIn[G], door: Door[G], cookie: SessionCookie) -> None:
        self._at = at
        self._signing_in = signing_in
        self._door = door
        self._cookie = cookie

    async def sign_in(self, request: Request, to: str | None, *, renewed: bool) -> Response:
        async def show() -> Response:
            visitor = await self._visitor(request)
            if visitor is not None:
                return go(self._choices(to) if not visitor.chosen else to or self._at.home)
            return self._form(request, 200, to=to, renewed=renewed)

        return await self._patiently(request, show)

    async def ask(self, request: Request, email: str, to: str | None) -> Response:
        async def answer() -> Response:
            if not self._door.from_our_page(request):
                return self._form(request, 403, to=to)
            if not _EMAIL.fullmatch(email):
                return self._form(request, 422, to=to, wrong=True, email=email)
            peer = request.client.host if request.client else ""
            if not await self._signing_in.may_ask(client_of(peer, request.headers.get("x-forwarded-for", ""))):
                return self._door.to_stranger(request, "too_many.html", 429)
            # Once the answer is sent, and without holding up what comes next on the connection: how long it takes to
            # look says whether the address is known.
            later = BackgroundTask(self._signing_in.ask, email, to)
            return RedirectResponse(f"{self._at.sign_in}/sent", 303, headers=PRIVATE, background=later)

        return await self._patiently(request, answer)

    def _form(self, request: Request, status: int, *, to: str | None, **said: Any) -> Response:
        values: dict[str, Any] = {"wrong": False, "email": "", "renewed": False} | said
        return self._door.to_stranger(request, "sign_in.html", status, to=to, **values)

    async def link(self, request: Request, token: str) -> Response:
        async def show() -> Response:
            good = await self._signing_in.is_good(token)
            return self._link(request, 200 if good else 404, good=good)

        return await self._patiently(request, show)

    def _link(self, request: Request, status: int, *, good: bool) -> Response:
        return self._door.to_stranger(request, "sign_in_link.html", status, good=good, minutes=_MINUTES)

    async def enter(self, request: Request, token: str) -> Response:
        async def begin() -> Response:
            entered = await self._signing_in.enter(token) if self._door.from_our_page(request) else None
            if entered is None:
                return self._link(request, 404, good=False)
            if (before := await self._visitor(request)) is not None:
                await self._signing_in.leave(before, everywhere=False)
            return self._cookie.let_in(go(entered.to or self._at.home), entered.secret)

        return await self._patiently(request, begin)

    async def choices(self, request: Request, to: str | None) -> Response:
        async def show(visitor: Visitor[G]) -> Response:
            return self._door.to_guest(
                visitor.person, "inboxes.html", 200, to=to, form=self._door.field(visitor),
                inboxes=await self._signing_in.known(visitor),
            )  # fmt: skip

        return await self._for_visitor(request, show)

    async def choose(self, request: Request, *, form: str, whom: str, to: str | None) -> Response:
        async def do(visitor: Visitor[G]) -> Response:
            if not self._door.is_ours(request, visitor, form):
                return self._door.to_guest(visitor.person, "not_ours.html", 403)
            chosen = await self._signing_in.choose(visitor, whom)
            return go((to or self._at.home) if chosen else self._choices(to))

        return await self._for_visitor(request, do)

    async def ask_to_leave(self, request: Request) -> Response:
        async def show(visitor: Visitor[G]) -> Response:
            several = len(await self._signing_in.known(visitor)) > 1
            return self._door.to_guest(
                visitor.person, "sign_out.html", 200, person=visitor.person, several=several,
                form=self._door.field(visitor),
            )  # fmt: skip

        return await self._for_visitor(request, show)

    async def leave(self, request: Request, *, form: str, everywhere: bool) -> Response:
        async def do(visitor: Visitor[G]) -> Response:
            if not self._door.is_ours(request, visitor, form):
                return self._door.to_guest(visitor.person, "not_ours.html", 403)
            await self._signing_in.leave(visitor, everywhere=everywhere)
            return self._cookie.let_out(go(self._at.sign_in))

        return await self._for_visitor(request, do)

    async def _visitor(self, request: Request) -> Visitor[G] | None:
        return await self._signing_in.visitor(self._cookie.of(request))

    async def _for_visitor(self, request: Request, then: Callable[[Visitor[G]], Awaitable[Response]]) -> Response:
        async def answer() -> Response:
            visitor = await self._visitor(request)
            return go(self._at.sign_in) if visitor is None else await then(visitor)

        return await self._patiently(request, answer)

    async def _patiently(self, request: Request, answer: Callable[[], Awaitable[Response]]) -> Response:
        try:
            return await answer()
        except (StoreError, TransientError) as error:
            return self._door.failed(request, error)

    def _choices(self, to: str | None) -> str:
        return f"{self._at.choices}?to={quote(to)}" if to else self._at.choices


def go(path: str) -> Response:
    """Lead to a page of ours."""
    return RedirectResponse(path, 303, headers=PRIVATE)
