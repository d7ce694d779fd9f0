"""The portal over HTTP: pages that only read, and forms that act as the organisation's own key would."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from starlette.datastructures import FormData

from schemas.codes import Stage
from schemas.members import AssetKind, MemberKey, MemberKind, MemberProfile
from schemas.needs import Direction, NeedKey, NeedStatus
from schemas.previews import NeedPreview
from services.ingest.edge import parse_value
from services.ingest.entities import NeedBody, NeedPosted, State, Value
from services.ingest.keys import Organisation, Scope
from services.ingest.ledger import Asked
from services.ingest.portal import forms, messages
from services.ingest.portal.door import HOME, ICON, ICON_PATH, SCRIPT, SCRIPT_PATH, SHEET, SHEET_PATH, Door
from services.ingest.portal.guests import Contact
from services.ingest.problems import Problem, not_found
from services.ingest.refusals import problem_of
from services.ingest.service import IngestService
from services.ingest.store import EntityStore
from services.runtime.clock import Clock
from services.runtime.errors import TransientError
from services.runtime.requests import traceparent_of
from services.runtime.store import StoreError
from services.web.entering import go
from services.web.private import FOR_EVER
from services.web.reading import Reader
from services.web.signing_in import Visitor
from services.web.words import KINDS, STAGES

NEEDS_SHOWN: Final = 50
"""Of an organisation, those changed last: a page that is read on a telephone."""

MAY: Final = (Scope.PROFILE, Scope.NEEDS)
"""What the pages change of a member: no contact, by which one signs in, and no keys."""

NO_KEY: Final = ""
"""In the place of a key's id: whoever is signed in calls with none."""

REFUSALS: Final = (Problem, TransientError, StoreError)
"""What a form is shown again for, with all that was written into it: it may be sent once more."""

Do = Callable[["_Turn"], Awaitable[Response]]


def portal_routes(
    app: FastAPI, *, service: IngestService, entities: EntityStore, door: Door, zone: ZoneInfo, clock: Clock
) -> None:
    """Add the portal to `app`."""
    pages = _Pages(service=service, entities=entities, door=door, zone=zone, clock=clock)
    _static(app)
    _organisation(app, pages)
    _needs(app, pages)

    @app.get(HOME, include_in_schema=False)
    async def home(request: Request, said: str = "") -> Response:
        """The organisation, and its needs."""
        return await pages.turn(request, lambda turn: pages.home(turn, said))


def _static(app: FastAPI) -> None:
    @app.get(SHEET_PATH, include_in_schema=False)
    def sheet() -> Response:
        """The style sheet; its path changes with it."""
        return Response(SHEET, media_type="text/css", headers=FOR_EVER)

    @app.get(SCRIPT_PATH, include_in_schema=False)
    def script() -> Response:
        """What shows the preview while somebody writes; its path changes with it."""
        return Response(SCRIPT, media_type="text/javascript", headers=FOR_EVER)

    @app.get(ICON_PATH, include_in_schema=False)
    def icon() -> Response:
        """The mark of Maillage."""
        return Response(ICON, media_type="image/svg+xml", headers=FOR_EVER)


def _organisation(app: FastAPI, pages: "_Pages") -> None:
    path = f"{HOME}/organisation"

    @app.get(path, include_in_schema=False)
    async def organisation(request: Request) -> Response:
        """The form in which an organisation describes itself."""
        return await pages.turn(request, pages.organisation)

    @app.post(path, include_in_schema=False)
    async def describe(request: Request) -> Response:
        """Publish the description."""
        return await pages.act(request, pages.describe)

    @app.get(f"{path}/assets/{{asset_id}}", include_in_schema=False)
    async def asset(request: Request, asset_id: str) -> Response:
        """The form of one asset; `new` is that of one more."""
        return await pages.turn(request, lambda turn: pages.asset(turn, asset_id))

    @app.post(f"{path}/assets/{{asset_id}}", include_in_schema=False)
    async def keep(request: Request, asset_id: str) -> Response:
        """Publish an asset, or take it away."""
        return await pages.act(request, lambda turn: pages.keep(turn, asset_id))


def _needs(app: FastAPI, pages: "_Pages") -> None:
    path = f"{HOME}/needs"

    @app.post(f"{path}/preview", include_in_schema=False)
    async def preview(request: Request) -> Response:
        """What would come of a need, as a part of its page."""
        return await pages.act(request, pages.preview)

    @app.get(f"{path}/new", include_in_schema=False)
    async def new(request: Request) -> Response:
        """The form of a new need."""
        return await pages.turn(request, lambda turn: pages.need_form(turn, None))

    @app.post(f"{path}/new", include_in_schema=False)
    async def post(request: Request) -> Response:
        """Post a need, or show what would come of it."""
        return await pages.act(request, lambda turn: pages.put_need(turn, None))

    @app.get(f"{path}/{{need_id}}", include_in_schema=False)
    async def need(request: Request, need_id: str) -> Response:
        """The form in which a need is changed, withdrawn, or renewed."""
        return await pages.turn(request, lambda turn: pages.need_form(turn, need_id))

    @app.post(f"{path}/{{need_id}}", include_in_schema=False)
    async def change(request: Request, need_id: str) -> Response:
        """Change a need, or show what would come of that."""
        return await pages.act(request, lambda turn: pages.put_need(turn, need_id))

    @app.post(f"{path}/{{need_id}}/withdrawal", include_in_schema=False)
    async def withdraw(request: Request, need_id: str) -> Response:
        """Withdraw a need."""
        return await pages.act(request, lambda turn: pages.withdraw(turn, need_id))

    @app.post(f"{path}/{{need_id}}/deadline", include_in_schema=False)
    async def renew(request: Request, need_id: str) -> Response:
        """Give a need another deadline, and have it stand again."""
        return await pages.act(request, lambda turn: pages.renew(turn, need_id))


class _Turn:
    """One request of somebody who is signed in. `form` is empty where nothing was sent."""

    def __init__(self, request: Request, visitor: Visitor[Contact], reader: Reader, form: FormData) -> None:
        self.visitor = visitor
        self.reader = reader
        self.form = form
        self.member: MemberKey = visitor.person.member
        self.caller = Organisation(self.member, NO_KEY, MAY)
        self.traceparent = traceparent_of(request.scope)

    def sent(self, name: str) -> str:
        """Return a field of the form."""
        value = self.form.get(name, "")
        return value if isinstance(value, str) else ""

    @property
    def asked(self) -> Asked:
        """How a write is asked for: of the state that the form was made of, if it says which."""
        rev = self.sent("rev")
        return Asked(if_match=frozenset({int(rev)}) if rev.isdecimal() else None, traceparent=self.traceparent)


class _Pages:
    """Answers, each with the headers of a private page."""

    def __init__(
        self, *, service: IngestService, entities: EntityStore, door: Door, zone: ZoneInfo, clock: Clock
    ) -> None:
        self._service = service
        self._entities = entities
        self._door = door
        self._zone = zone
        self._clock = clock

    async def turn(self, request: Request, do: Do) -> Response:
        """Return what `do` answers to whoever is signed in."""

        async def then(visitor: Visitor[Contact], reader: Reader) -> Response:
            turn = _Turn(request, visitor, reader, FormData())
            try:
                return await do(turn)
            except Problem as problem:
                return self._page(turn, "gone.html", problem.status)

        return await self._door.open(request, then)

    async def act(self, request: Request, do: Do) -> Response:
        """Return what `do` answers to a form of ours; others do nothing."""

        async def then(visitor: Visitor[Contact], reader: Reader) -> Response:
            form = await request.form(max_files=0)
            turn = _Turn(request, visitor, reader, form)
            if not self._door.is_ours(request, visitor, turn.sent("form")):
                return self._page(turn, "not_ours.html", 403)
            try:
                return await do(turn)
            except Problem as problem:
                return self._page(turn, "gone.html", problem.status)

        return await self._door.open(request, then)

    # The organisation

    async def home(self, turn: _Turn, said: str) -> Response:
        """Show the organisation, and its needs."""
        member = (await self._service.get_member(turn.caller, turn.member)).value or {}
        needs = await self._service.needs_of(turn.caller, turn.member, NEEDS_SHOWN)
        return self._page(
            turn,
            "home.html",
            member=member,
            needs=[(key, state.value, self._stands(state)) for key, state in needs],
            said=messages.SAID.get(said),
        )

    async def organisation(self, turn: _Turn) -> Response:
        """Show the form in which the organisation describes itself."""
        state = await self._service.get_member(turn.caller, turn.member)
        return await self._describe(turn, state, forms.filled(state.value or {}, zone=self._zone))

    async def describe(self, turn: _Turn) -> Response:
        """Publish the description."""
        state = await self._service.get_member(turn.caller, turn.member)
        try:
            await self._put_member(turn, forms.profile_of(turn.form, state.value or {}))
        except REFUSALS as error:
            return await self._describe(turn, state, forms.refilled(turn.form), problem_of(error))
        return go(f"{HOME}?said=described#said")

    async def asset(self, turn: _Turn, asset_id: str) -> Response:
        """Show the form of one asset."""
        state = await self._service.get_member(turn.caller, turn.member)
        asset = _asset(state.value or {}, asset_id)
        if asset is None and asset_id != "new":
            return self._page(turn, "gone.html", 404)
        empty = {"kind": AssetKind.COMPETENCE.value, "asset_id": str(uuid4())}
        return self._asset(turn, state, forms.filled(asset or empty, zone=self._zone), asset is not None)

    async def keep(self, turn: _Turn, asset_id: str) -> Response:
        """Publish an asset, or take it away."""
        state = await self._service.get_member(turn.caller, turn.member)
        value, own_id = state.value or {}, turn.sent("asset_id") if asset_id == "new" else asset_id
        removes = turn.sent("act") == "remove"
        numbers = [asset["asset_id"] for asset in value["assets"]]
        place = numbers.index(own_id) if own_id in numbers else len(numbers)
        try:
            if asset_id != "new" and not removes and own_id not in numbers:
                return self._page(turn, "gone.html", 404)  # what somebody else took away is not put back unseen
            changed = forms.without_asset(value, own_id) if removes else forms.with_asset(value, own_id, turn.form)
            await self._put_member(turn, changed)
        except REFUSALS as error:
            problem = problem_of(error)
            shown = {**forms.refilled(turn.form), "asset_id": own_id}
            return self._asset(turn, state, shown, own_id in numbers, problem, inside=f"assets.{place}.")
        return go(f"{HOME}?said={'removed' if removes else 'described'}#said")

    async def _put_member(self, turn: _Turn, value: Value) -> None:
        profile = parse_value(MemberProfile, value)
        await self._service.put_member(turn.caller, turn.member, profile, turn.asked)

    async def _describe(
        self, turn: _Turn, state: State, shown: Mapping[str, Any], problem: Problem | None = None
    ) -> Response:
        return self._form(
            turn, "organisation.html", shown, problem, published=state.value or {}, words={"kind": KINDS},
            rev=state.rev, kinds=list(MemberKind), assets=(state.value or {}).get("assets", ()),
            cities=await self._entities.cities_of(turn.member.cluster),
        )  # fmt: skip

    def _asset(
        self,
        turn: _Turn,
        state: State,
        shown: Mapping[str, Any],
        known: bool,
        problem: Problem | None = None,
        *,
        inside: str = "",
    ) -> Response:
        return self._form(
            turn, "asset.html", shown, problem, inside=inside,
            published=_asset(state.value or {}, shown["asset_id"]) or {}, words={"kind": messages.ASSETS},
            rev=state.rev, kinds=list(AssetKind), stages=list(Stage), known=known, languages=messages.LANGUAGES,
        )  # fmt: skip

    # Needs

    async def need_form(self, turn: _Turn, need_id: str | None) -> Response:
        """Show the form of a need."""
        state = await self._need(turn, need_id)
        if state is None:
            shown = {"need_id": str(uuid4()), "direction": Direction.REQUEST.value, "kinds_sought": []}
        else:
            shown = forms.filled(state.value or {}, zone=self._zone) | {"need_id": need_id or ""}
        return self._need_form(turn, state, shown)

    async def put_need(self, turn: _Turn, need_id: str | None) -> Response:
        """Post or change a need, or show what would come of that."""
        state, shown = await self._need(turn, need_id), forms.refilled(turn.form)
        own_id = turn.sent("need_id") if need_id is None else need_id
        shown["need_id"] = own_id
        try:
            value = self._described(turn, state)
            if turn.sent("act") == "preview":
                found = await self._preview(turn, value, own_id)
                return self._need_form(turn, state, shown, preview=found)
            if need_id is None:
                posted = parse_value(NeedPosted, value | {"need_id": own_id})
                await self._service.post_need(turn.caller, turn.member.cluster, posted, turn.asked)
            else:
                key = _need_key(turn, need_id)
                await self._service.put_need(turn.caller, key, parse_value(NeedBody, value), turn.asked)
        except REFUSALS as error:
            return self._need_form(turn, state, shown, problem_of(error))
        except forms.WrongDayError:
            return self._need_form(turn, state, shown, wrong={"deadline"})
        return go(f"{HOME}?said={'posted' if need_id is None else 'changed'}#said")

    async def preview(self, turn: _Turn) -> Response:
        """Show what would come of a need, as a part of its page."""
        need_id = turn.sent("need_id")
        try:
            state = await self._entities_need(turn, need_id)
            found = await self._preview(turn, self._described(turn, state), need_id)
        except REFUSALS as error:
            return self._part(turn, None, problem_of(error))
        except forms.WrongDayError:
            return self._part(turn, None, None)
        return self._part(turn, found, None)

    async def withdraw(self, turn: _Turn, need_id: str) -> Response:
        """Withdraw a need."""
        state = await self._need(turn, need_id)
        try:
            await self._service.withdraw_need(turn.caller, _need_key(turn, need_id), turn.asked)
        except REFUSALS as error:
            return await self._refused(turn, need_id, state, error)
        return go(f"{HOME}?said=withdrawn#said")

    async def renew(self, turn: _Turn, need_id: str) -> Response:
        """Give a need another deadline, and have it stand again."""
        state = await self._need(turn, need_id)
        value = dict((state and state.value) or {})
        shown = {"until": turn.sent("until")}
        try:
            now = self._clock()
            value["deadline"] = forms.deadline_of(shown["until"], zone=self._zone, now=now, needed=True)
            value["status"] = NeedStatus.OPEN.value
            await self._service.put_need(
                turn.caller, _need_key(turn, need_id), parse_value(NeedBody, value), turn.asked
            )
        except forms.WrongDayError:
            shown = forms.filled((state and state.value) or {}, zone=self._zone) | {"need_id": need_id} | shown
            return self._need_form(turn, state, shown, wrong={"until"})
        except REFUSALS as error:
            return await self._refused(turn, need_id, state, error, **shown)
        return go(f"{HOME}?said=renewed#said")

    async def _refused(
        self, turn: _Turn, need_id: str, state: State | None, error: Exception, **shown: Any
    ) -> Response:
        """Show a need as it is published, and why what was asked of it was not done."""
        filled = forms.filled((state and state.value) or {}, zone=self._zone)
        return self._need_form(turn, state, filled | {"need_id": need_id} | shown, problem_of(error))

    async def _need(self, turn: _Turn, need_id: str | None) -> State | None:
        if need_id is None:
            return None
        return await self._service.get_need(turn.caller, _need_key(turn, need_id))

    async def _entities_need(self, turn: _Turn, need_id: str) -> State | None:
        """Return a need if it is there: the form of a new one names one that is not yet."""
        try:
            return await self._need(turn, need_id)
        except Problem:
            return None

    def _described(self, turn: _Turn, state: State | None) -> Value:
        before = None if state is None else state.value
        return forms.need_of(turn.form, before, member_id=turn.member.member_id, zone=self._zone, now=self._clock())

    async def _preview(self, turn: _Turn, value: Value, need_id: str) -> NeedPreview:
        posted = parse_value(NeedPosted, value | {"need_id": need_id})
        return await self._service.preview_need(turn.caller, turn.member.cluster, posted)

    def _part(self, turn: _Turn, found: NeedPreview | None, problem: Problem | None) -> Response:
        return self._page(
            turn, "preview_part.html", 200 if problem is None else problem.status, preview=found, problem=problem
        )

    def _need_form(
        self,
        turn: _Turn,
        state: State | None,
        shown: Mapping[str, Any],
        problem: Problem | None = None,
        *,
        wrong: set[str] | None = None,
        preview: NeedPreview | None = None,
    ) -> Response:
        return self._form(
            turn, "need.html", shown, problem, wrong=wrong, scripts=True, preview=preview,
            published=(state and state.value) or {}, words={"kinds_sought": KINDS, "direction": messages.DIRECTIONS},
            rev=None if state is None else state.rev, stands=None if state is None else self._stands(state),
            kinds=list(MemberKind), stages=list(Stage), languages=messages.LANGUAGES,
            today=self._clock().astimezone(self._zone).date().isoformat(),
        )  # fmt: skip

    def _stands(self, state: State) -> str:
        """Return how a need stands: `open`, `over` or `withdrawn`."""
        value = state.value or {}
        if value.get("status") != NeedStatus.OPEN.value:
            return "withdrawn"
        body = NeedBody.model_validate(value)
        return "over" if body.deadline is not None and body.deadline <= self._clock() else "open"

    # All of them

    def _form(
        self,
        turn: _Turn,
        template: str,
        shown: Mapping[str, Any],
        problem: Problem | None,
        *,
        published: Value,
        words: Mapping[str, Mapping[Any, str]],
        wrong: set[str] | None = None,
        inside: str = "",
        scripts: bool = False,
        **values: Any,
    ) -> Response:
        """Return a form, with what is wrong in it at its fields, and what another wrote there meanwhile.

        Args:
            words: for the codes of some fields.
        """
        now: dict[str, str] = {}
        if problem is not None and problem.status == HTTPStatus.PRECONDITION_FAILED:
            words = {"stage": STAGES, **words}
            for name, content in forms.differing(shown, forms.filled(published, zone=self._zone)).items():
                codes = content if isinstance(content, list) else [content]
                said_now = [turn.reader.say(words[name][code]) if name in words and code else code for code in codes]
                now[name] = turn.reader.say(", ").join(said_now)
        fields = wrong if wrong is not None else forms.wrong_fields(problem, inside=inside) if problem else set()
        said = {name: turn.reader.say(messages.WRONG[name]) for name in sorted(fields) if name in messages.WRONG}
        status = problem.status if problem else 422 if wrong else 200
        return self._page(
            turn, template, status, scripts=scripts, shown=shown, wrong=said, now=now, problem=problem, **values
        )

    def _page(self, turn: _Turn, template: str, status: int = 200, **values: Any) -> Response:
        return self._door.page(
            turn.reader, template, status, person=turn.visitor.person, form=self._door.field(turn.visitor), **values
        )


def _need_key(turn: _Turn, need_id: str) -> NeedKey:
    try:
        return NeedKey(cluster=turn.member.cluster, need_id=need_id)
    except ValidationError:
        raise not_found("such need") from None


def _asset(member: Value, asset_id: str) -> Value | None:
    found: Value | None = next((asset for asset in member.get("assets", ()) if asset["asset_id"] == asset_id), None)
    return found
