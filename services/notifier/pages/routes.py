"""The inbox over HTTP: a private address for each ambassador, pages that only read, forms that act."""

import re
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from fastapi import FastAPI, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from schemas.ambassadors import AmbassadorPublished
from schemas.base import SLUG_PATTERN
from schemas.feedback import Act, NotRelevantReason, Result, Side
from schemas.members import MemberKind
from services.notifier.address import Tokens
from services.notifier.domain.finding import Sought, asked_words
from services.notifier.domain.preferences import Person
from services.notifier.domain.standing import Standing
from services.notifier.inbox import MOST_FOUND, Inbox, Wanted
from services.notifier.live import Live
from services.notifier.pages import messages
from services.notifier.pages.private import ICON, SHEET, SHEET_PATH, Doorkeeper, private_page
from services.notifier.pages.reader import Reader
from services.notifier.store import View
from services.web.private import PRIVATE, by_a_person
from services.web.words import KINDS

_PAGE: Final = re.compile(r"[1-9][0-9]{0,3}")
_QUERY_CHARACTERS: Final = 200
_SLUG: Final = re.compile(SLUG_PATTERN)
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")
_FOR_EVER: Final = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}


class Asked(BaseModel):
    """What an address of an inbox asks for, as text; whatever cannot be is as if it were not asked for."""

    view: str = ""
    page: str = ""
    q: str = ""
    kind: str = ""
    city: str = ""
    lead: str = ""
    soon: str = ""

    @property
    def part(self) -> View:
        """Which part of the inbox."""
        return View(self.view) if self.view in list(View) else View.TO_DO

    @property
    def number(self) -> int:
        """Which page of it, from 1."""
        return int(self.page) if _PAGE.fullmatch(self.page) else 1

    @property
    def sought(self) -> Sought | None:
        """What is looked for in it; none: nothing in particular."""
        sought = Sought(
            words=asked_words(self.q[:_QUERY_CHARACTERS]),
            kind=MemberKind(self.kind) if self.kind in set(MemberKind) else None,
            city=self.city if _SLUG.fullmatch(self.city) else None,
            leads=self.lead == "1",
            soon=self.soon == "1",
        )
        return None if sought.everything else sought

    def here(self, **changes: str | int) -> str:
        """Return the query of this address with some of it changed: pages and parts keep what is looked for."""
        said = self.model_dump() | {name: str(value) for name, value in changes.items()}
        kept = {name: value for name, value in said.items() if value and (name, value) != ("view", View.TO_DO)}
        return f"?{urlencode(kept)}" if kept else ""


class Undo(NamedTuple):
    """The wish to take back the act `rev`."""

    rev: int


def inbox_routes(app: FastAPI, *, inbox: Inbox, live: Live, tokens: Tokens, door: Doorkeeper) -> None:
    """Add the inbox to `app`."""
    pages = _Pages(inbox=inbox, live=live, tokens=tokens, door=door)

    @app.get(SHEET_PATH, include_in_schema=False)
    def sheet() -> Response:
        """The style sheet; its path changes with it."""
        return Response(SHEET, media_type="text/css", headers=_FOR_EVER)

    @app.get("/inbox-static/icon.svg", include_in_schema=False)
    def icon() -> Response:
        """The mark of Maillage."""
        return Response(ICON, media_type="image/svg+xml", headers=_FOR_EVER)

    @app.get("/inbox/{token}", include_in_schema=False)
    @app.get("/inbox/{token}/", include_in_schema=False)
    async def index(request: Request, token: str, asked: Annotated[Asked, Query()]) -> Response:
        """One part of an inbox, newest first; what is no part and no page is the first of them."""
        return await pages.index(request, token, asked)

    @app.get("/inbox/{token}/s/{suggestion_id}", include_in_schema=False)
    async def suggestion(request: Request, token: str, suggestion_id: str) -> Response:
        """One suggestion, whole."""
        return await pages.suggestion(request, token, suggestion_id)

    @app.get("/inbox/{token}/l/{letter_id}", include_in_schema=False)
    async def letter(request: Request, token: str, letter_id: str) -> Response:
        """Just what one e-mail told."""
        return await pages.letter(request, token, letter_id)

    @app.post("/inbox/{token}/s/{suggestion_id}", include_in_schema=False)
    async def act(
        request: Request,
        token: str,
        suggestion_id: str,
        form: Annotated[str, Form()] = "",
        act: Annotated[str, Form()] = "",
        reason: Annotated[str, Form()] = "",
        result: Annotated[str, Form()] = "",
        rev: Annotated[str, Form()] = "",
    ) -> Response:
        """Do what a form of the suggestion's page says, then lead back to it."""
        wanted = Undo(int(rev)) if act == "undo" and _NUMBER.fullmatch(rev) else _wanted(act, reason, result)
        return await pages.act(request, token, suggestion_id, form=form, wanted=wanted)


class _Pages:
    """Answers, each with the headers of a private page."""

    def __init__(self, *, inbox: Inbox, live: Live, tokens: Tokens, door: Doorkeeper) -> None:
        self._inbox = inbox
        self._live = live
        self._tokens = tokens
        self._door = door

    async def index(self, request: Request, token: str, asked: Asked) -> Response:
        async def show(person: Person, reader: Reader) -> Response:
            place = self._live.place(str(person.key))
            listing = await self._inbox.listing(person, asked.part, asked.number, asked.sought)
            return private_page(
                reader, "index.html", 200, live=place, token=token, person=person, listing=listing, View=View,
                asked=asked, kinds=KINDS, most=MOST_FOUND,
            )  # fmt: skip

        return await self._door.open(request, token, show)

    async def suggestion(self, request: Request, token: str, suggestion_id: str) -> Response:
        async def show(person: AmbassadorPublished, reader: Reader) -> Response:
            place = self._live.place(str(person.key))
            item = await self._inbox.item(person.key, _uuid(suggestion_id))
            if item is None:
                return private_page(reader, "gone.html", 404, token=token)
            if by_a_person(request):
                await self._inbox.opened(person.key, item.suggestion_id)
            missing = request.query_params.get("missing") == "reason"
            said = request.query_params.get("said", "")
            form = self._tokens.form(person.key, item.suggestion_id, item.revision)
            own = item.card.request.party.cluster == person.cluster
            consequences = messages.CONSEQUENCES if own else messages.CONSEQUENCES_ELSEWHERE
            return private_page(
                reader, "suggestion.html", 200, live=place, token=token, person=person, item=item, form=form,
                missing=missing, said=said, reasons=messages.REASONS, consequences=consequences,
                lapses=messages.LAPSES, results=messages.RESULTS,
                answers=messages.ANSWERS, Side=Side,
            )  # fmt: skip

        return await self._door.open(request, token, show)

    async def letter(self, request: Request, token: str, letter_id: str) -> Response:
        async def show(person: AmbassadorPublished, reader: Reader) -> Response:
            items = await self._inbox.told_in(person.key, _uuid(letter_id))
            if not items:
                return private_page(reader, "gone.html", 404, token=token)
            waiting = sum(item.where is Standing.OPEN for item in items)
            return private_page(reader, "told.html", 200, token=token, items=items, waiting=waiting)

        return await self._door.open(request, token, show)

    async def act(
        self, request: Request, token: str, suggestion_id: str, *, form: str, wanted: Wanted | Undo | None
    ) -> Response:
        async def do(person: AmbassadorPublished, reader: Reader) -> Response:
            uuid = _uuid(suggestion_id)
            revision = self._tokens.revision(form, person.key, uuid) if uuid else None
            if uuid is None or revision is None or not self._door.from_our_page(request):
                return private_page(reader, "not_ours.html", 403, token=token)
            if wanted is None:
                return RedirectResponse(f"/inbox/{token}/s/{uuid}?missing=reason#acts", 303, headers=PRIVATE)
            if isinstance(wanted, Undo):
                said = "undone" if await self._inbox.undo(person.key, uuid, wanted.rev) else "final"
                return RedirectResponse(f"/inbox/{token}/s/{uuid}?said={said}#undone", 303, headers=PRIVATE)
            await self._inbox.act(person.key, uuid, revision, wanted)
            return RedirectResponse(f"/inbox/{token}/s/{uuid}#said", 303, headers=PRIVATE)

        return await self._door.open(request, token, do)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _wanted(act: str, reason: str, result: str) -> Wanted | None:
    """Return what a form asks for; none when it is not complete."""
    if act in (Act.TAKEN, Act.INTRODUCED, Act.PASSED):
        return Wanted(Act(act))
    if act == Act.NOT_RELEVANT and reason in set(NotRelevantReason):
        return Wanted(Act.NOT_RELEVANT, reason=NotRelevantReason(reason))
    if act == Act.OUTCOME and result in set(Result):
        return Wanted(Act.OUTCOME, result=Result(result))
    return None
