"""Signing in by a mailed link, choosing among inboxes, signing out: pages that only read, forms that act."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Form, Request, Response
from fastapi.responses import RedirectResponse
from starlette.background import BackgroundTask

from schemas.ambassadors import EMAIL_PATTERN, AmbassadorKey
from services.notifier.domain.entrance import HOME, LINK_LASTS, client_of, our_path
from services.notifier.pages.private import PRIVATE, Doorkeeper, private_page
from services.notifier.signing_in import SigningIn, Visitor
from services.runtime.errors import TransientError
from services.runtime.store import StoreError

_EMAIL: Final = re.compile(EMAIL_PATTERN)
_MINUTES: Final = int(LINK_LASTS.total_seconds() // 60)

Known = Callable[[Visitor], Awaitable[Response]]


def signing_in_routes(app: FastAPI, *, signing_in: SigningIn, door: Doorkeeper) -> None:
    """Add the pages on which ambassadors sign in and out to `app`."""
    pages = _Pages(signing_in=signing_in, door=door)

    @app.get("/sign-in", include_in_schema=False)
    async def sign_in(request: Request, to: str = "", renewed: str = "") -> Response:
        """Ask for an e-mail address; `renewed` says that the private address of an inbox has just ended."""
        return await pages.sign_in(request, our_path(to), renewed=renewed == "1")

    @app.post("/sign-in", include_in_schema=False)
    async def ask(request: Request, email: Annotated[str, Form()] = "", to: Annotated[str, Form()] = "") -> Response:
        """Have a link mailed, if the address is known; the answer is the same if it is not."""
        return await pages.ask(request, email.strip(), our_path(to))

    @app.get("/sign-in/sent", include_in_schema=False)
    async def sent(request: Request) -> Response:
        """Say where the link is."""
        return private_page(door.stranger(request), "sign_in_sent.html", 200, minutes=_MINUTES)

    @app.get("/sign-in/inboxes", include_in_schema=False)
    async def inboxes(request: Request, to: str = "") -> Response:
        """Ask which of their inboxes somebody means."""
        return await pages.inboxes(request, our_path(to))

    @app.post("/sign-in/inboxes", include_in_schema=False)
    async def choose(
        request: Request,
        form: Annotated[str, Form()] = "",
        inbox: Annotated[str, Form()] = "",
        to: Annotated[str, Form()] = "",
    ) -> Response:
        """Settle it, then lead to that inbox."""
        return await pages.choose(request, form=form, inbox=inbox, to=our_path(to))

    @app.get("/sign-in/{token}", include_in_schema=False)
    async def link(request: Request, token: str) -> Response:
        """Ask whoever opened a mailed link to press a button: what follows links must not use it up."""
        return await pages.link(request, token)

    @app.post("/sign-in/{token}", include_in_schema=False)
    async def enter(request: Request, token: str) -> Response:
        """Begin a session with a mailed link."""
        return await pages.enter(request, token)

    @app.get("/sign-out", include_in_schema=False)
    async def ask_to_leave(request: Request) -> Response:
        """Ask where to sign out."""
        return await pages.ask_to_leave(request)

    @app.post("/sign-out", include_in_schema=False)
    async def leave(
        request: Request, form: Annotated[str, Form()] = "", where: Annotated[str, Form()] = ""
    ) -> Response:
        """End this session, or all of them."""
        return await pages.leave(request, form=form, everywhere=where == "everywhere")


class _Pages:
    """Answers, each with the headers of a private page."""

    def __init__(self, *, signing_in: SigningIn, door: Doorkeeper) -> None:
        self._signing_in = signing_in
        self._door = door

    async def sign_in(self, request: Request, to: str | None, *, renewed: bool) -> Response:
        async def show() -> Response:
            visitor = await self._door.visitor(request)
            if visitor is not None:
                return _go(_inboxes(to) if not visitor.chosen else to or HOME)
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
                return private_page(self._door.stranger(request), "too_many.html", 429)
            # Once the answer is sent, and without holding up what comes next on the connection: how long it takes to
            # look says whether the address is known.
            later = BackgroundTask(self._signing_in.ask, email, to)
            return RedirectResponse("/sign-in/sent", 303, headers=PRIVATE, background=later)

        return await self._patiently(request, answer)

    def _form(self, request: Request, status: int, *, to: str | None, **said: Any) -> Response:
        values: dict[str, Any] = {"wrong": False, "email": "", "renewed": False} | said
        return private_page(self._door.stranger(request), "sign_in.html", status, to=to, **values)

    async def link(self, request: Request, token: str) -> Response:
        async def show() -> Response:
            good = await self._signing_in.is_good(token)
            return private_page(
                self._door.stranger(request), "sign_in_link.html", 200 if good else 404, good=good, minutes=_MINUTES
            )

        return await self._patiently(request, show)

    async def enter(self, request: Request, token: str) -> Response:
        reader = self._door.stranger(request)

        async def begin() -> Response:
            entered = await self._signing_in.enter(token) if self._door.from_our_page(request) else None
            if entered is None:
                return private_page(reader, "sign_in_link.html", 404, good=False, minutes=_MINUTES)
            if (before := await self._door.visitor(request)) is not None:
                await self._signing_in.leave(before, everywhere=False)
            return self._door.let_in(_go(entered.to or HOME), entered.secret)

        return await self._patiently(request, begin)

    async def inboxes(self, request: Request, to: str | None) -> Response:
        async def show(visitor: Visitor) -> Response:
            return private_page(
                self._door.reader(visitor.person), "inboxes.html", 200, to=to, form=self._door.field(visitor.person),
                inboxes=await self._signing_in.inboxes(visitor),
            )  # fmt: skip

        return await self._for_visitor(request, show)

    async def choose(self, request: Request, *, form: str, inbox: str, to: str | None) -> Response:
        async def do(visitor: Visitor) -> Response:
            if not self._door.is_ours(request, visitor.person, form):
                return private_page(self._door.reader(visitor.person), "not_ours.html", 403, token="me")  # noqa: S106
            chosen = await self._signing_in.choose(visitor, _key(inbox))
            return _go((to or HOME) if chosen else _inboxes(to))

        return await self._for_visitor(request, do)

    async def ask_to_leave(self, request: Request) -> Response:
        async def show(visitor: Visitor) -> Response:
            several = len(await self._signing_in.inboxes(visitor)) > 1
            return private_page(
                self._door.reader(visitor.person), "sign_out.html", 200, person=visitor.person, several=several,
                form=self._door.field(visitor.person),
            )  # fmt: skip

        return await self._for_visitor(request, show)

    async def leave(self, request: Request, *, form: str, everywhere: bool) -> Response:
        async def do(visitor: Visitor) -> Response:
            if not self._door.is_ours(request, visitor.person, form):
                return private_page(self._door.reader(visitor.person), "not_ours.html", 403, token="me")  # noqa: S106
            await self._signing_in.leave(visitor, everywhere=everywhere)
            return self._door.let_out(_go("/sign-in"))

        return await self._for_visitor(request, do)

    async def _for_visitor(self, request: Request, then: Known) -> Response:
        async def answer() -> Response:
            visitor = await self._door.visitor(request)
            return _go("/sign-in") if visitor is None else await then(visitor)

        return await self._patiently(request, answer)

    async def _patiently(self, request: Request, answer: Callable[[], Awaitable[Response]]) -> Response:
        try:
            return await answer()
        except (StoreError, TransientError) as error:
            return self._door.failed(request, self._door.stranger(request), error)


def _go(path: str) -> Response:
    return RedirectResponse(path, 303, headers=PRIVATE)


def _inboxes(to: str | None) -> str:
    return f"/sign-in/inboxes?to={quote(to)}" if to else "/sign-in/inboxes"


def _key(inbox: str) -> AmbassadorKey | None:
    try:
        return AmbassadorKey.decode(inbox.encode())
    except ValueError:
        return None
