"""What a member's contact answers to an introduction: a page that only reads, a form that acts."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import FastAPI, Form, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import URL

from schemas.feedback import Act
from services.notifier.address import Invited, Tokens
from services.notifier.domain.introduction import Answer, Phase
from services.notifier.domain.presentation import card
from services.notifier.introducing import Introducing, Shown
from services.notifier.pages.private import private_page
from services.notifier.pages.reader import Reader, Readers
from services.runtime import logs
from services.runtime.clock import Clock
from services.runtime.errors import TransientError
from services.runtime.outcome import describe
from services.runtime.store import StoreError
from services.web.private import PRIVATE, from_our_page

Then = Callable[[Shown, Reader], Awaitable[Response]]


def answering_routes(
    app: FastAPI, *, introducing: Introducing, tokens: Tokens, readers: Readers, base: str, clock: Clock
) -> None:
    """Add the pages on which the two sides of an introduction answer to `app`."""
    pages = _Pages(introducing=introducing, tokens=tokens, readers=readers, base=base, clock=clock)

    @app.get("/introduction/{token}", include_in_schema=False)
    async def introduction(request: Request, token: str) -> Response:
        """Who introduces whom, and what was answered."""
        return await pages.introduction(request, token)

    @app.post("/introduction/{token}", include_in_schema=False)
    async def answer(request: Request, token: str, act: Annotated[str, Form()] = "") -> Response:
        """Note the answer of a side, then lead back to its page."""
        return await pages.answer(request, token, act)


class _Pages:
    """Answers, each with the headers of a private page."""

    def __init__(self, *, introducing: Introducing, tokens: Tokens, readers: Readers, base: str, clock: Clock) -> None:
        self._introducing = introducing
        self._tokens = tokens
        self._readers = readers
        self._origin = URL(base)
        self._clock = clock
        self._log = logs.get()

    async def introduction(self, request: Request, token: str) -> Response:
        async def show(shown: Shown, reader: Reader) -> Response:
            return private_page(
                reader, "introduction.html", 200, token=token, invited=shown,
                card=card(shown.suggestion, now=self._clock()), Answer=Answer, Phase=Phase,
            )  # fmt: skip

        return await self._for_side(request, self._tokens.answers(token), show)

    async def answer(self, request: Request, token: str, act: str) -> Response:
        invited = self._tokens.answers(token)

        async def do(_: Shown, reader: Reader) -> Response:
            if invited is None or act not in (Act.ACCEPTED, Act.DECLINED) or not from_our_page(request, self._origin):
                return private_page(reader, "not_answered.html", 403, token=token)
            await self._introducing.answer(invited, Act(act))
            return RedirectResponse(f"/introduction/{token}#said", 303, headers=PRIVATE)

        return await self._for_side(request, invited, do)

    async def _for_side(self, request: Request, invited: Invited | None, then: Then) -> Response:
        reader = self._readers.preferred(request.headers.get("accept-language", ""))
        try:
            shown = await self._introducing.shown(invited) if invited else None
            if shown is None:
                return private_page(reader, "no_introduction.html", 404)
            return await then(shown, self._readers.of(shown.language))
        except (StoreError, TransientError) as error:
            self._log.warning("page_failed", error=describe(error))
            return private_page(reader, "failed.html", 503, again=str(request.url.path))
