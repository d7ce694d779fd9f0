"""The page on which ambassadors set how they are told, and the address that ends their e-mails by one click."""

from typing import Annotated, Any, Final

from fastapi import FastAPI, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ValidationError

from schemas.ambassadors import Absence
from services.notifier.address import Tokens
from services.notifier.domain.preferences import Person, Preferences
from services.notifier.domain.reaching import Way
from services.notifier.pages import messages
from services.notifier.pages.feed import ENTRIES, feed_url
from services.notifier.pages.private import Doorkeeper, private_page
from services.notifier.pages.reader import Reader
from services.notifier.preferring import Preferring
from services.notifier.reaching import Reaching
from services.notifier.signing_in import SigningIn
from services.web.private import PRIVATE

_NEVER: Final = "never"
"""The choice of no e-mails at all, beside the rhythms."""


class Filled(BaseModel):
    """The form, as text. `mail`: whether there were e-mails when it was shown; `form`: that it is ours."""

    form: str = ""
    mail: str = ""
    rhythm: str = ""
    at: str = ""
    days: list[str] = []
    quiet_from: str = ""
    quiet_to: str = ""
    most: str = ""
    plain: str = ""
    away_from: str = ""
    away_to: str = ""
    deputy: str = ""
    digits: str = ""


def preferences_routes(
    app: FastAPI,
    *,
    preferring: Preferring,
    reaching: Reaching,
    signing_in: SigningIn,
    tokens: Tokens,
    door: Doorkeeper,
    base: str,
) -> None:
    """Add the page of preferences, test messages, and the address that ends e-mails, to `app`."""
    pages = _Pages(preferring=preferring, reaching=reaching, signing_in=signing_in, tokens=tokens, door=door, base=base)

    @app.get("/inbox/{token}/preferences", include_in_schema=False)
    async def preferences(request: Request, token: str) -> Response:
        """How and when an ambassador is told."""
        return await pages.preferences(request, token)

    @app.post("/inbox/{token}/preferences", include_in_schema=False)
    async def prefer(request: Request, token: str, form: Annotated[Filled, Form()]) -> Response:
        """Keep what the form says, then lead back to the page."""
        return await pages.prefer(request, token, form)

    @app.post("/inbox/{token}/address", include_in_schema=False)
    async def renew(request: Request, token: str, form: Annotated[str, Form()] = "") -> Response:
        """End the private address of an inbox, and all sessions with it."""
        return await pages.renew(request, token, form)

    @app.post("/inbox/{token}/test", include_in_schema=False)
    async def test(
        request: Request, token: str, way: Annotated[str, Form()] = "", form: Annotated[str, Form()] = ""
    ) -> Response:
        """Send a test message, then lead back to the page."""
        return await pages.test(request, token, way, form)

    @app.get("/unsubscribe/{token}", include_in_schema=False)
    async def unsubscribe(request: Request, token: str) -> Response:
        """Ask whether to end e-mails: what follows links must not do it."""
        return await pages.unsubscribe(request, token, wanted=None)

    @app.post("/unsubscribe/{token}", include_in_schema=False)
    async def unsubscribed(request: Request, token: str, mail: Annotated[str, Form()] = "") -> Response:
        """End e-mails, also for a mail program (RFC 8058); or have them again."""
        return await pages.unsubscribe(request, token, wanted=mail == "again")


class _Pages:
    """Answers, each with the headers of a private page."""

    def __init__(
        self,
        *,
        preferring: Preferring,
        reaching: Reaching,
        signing_in: SigningIn,
        tokens: Tokens,
        door: Doorkeeper,
        base: str,
    ) -> None:
        self._preferring = preferring
        self._reaching = reaching
        self._signing_in = signing_in
        self._tokens = tokens
        self._door = door
        self._base = base

    async def preferences(self, request: Request, token: str) -> Response:
        async def show(person: Person, reader: Reader) -> Response:
            said = request.query_params.get("kept") == "1"
            return await self._form(reader, token, person, await self._as_filled(person), kept=said)

        return await self._door.open(request, token, show)

    async def prefer(self, request: Request, token: str, form: Filled) -> Response:
        async def keep(person: Person, reader: Reader) -> Response:
            if not self._door.is_ours(request, person, form.form):
                return private_page(reader, "not_ours.html", 403, token=token)
            try:
                shown = await self._as_filled(person)
                wanted = _preferences(form, shown, await self._preferring.of(person.key))
            except ValidationError as error:
                wrong = {str(part["loc"][0]) if part["loc"] else "" for part in error.errors()}
                return await self._form(reader, token, person, form, wrong=wrong)
            chosen = (form.rhythm == _NEVER) is (form.mail == "on")
            await self._preferring.prefer(person.key, wanted, with_mail=chosen)
            return RedirectResponse(f"/inbox/{token}/preferences?kept=1#said", 303, headers=PRIVATE)

        return await self._door.open(request, token, keep)

    async def renew(self, request: Request, token: str, form: str) -> Response:
        async def do(person: Person, reader: Reader) -> Response:
            if not self._door.is_ours(request, person, form):
                return private_page(reader, "not_ours.html", 403, token=token)
            await self._signing_in.renew_address(person)
            if person.email is not None:  # shown here, the new one would come into the same hands
                return self._door.cookie.let_out(RedirectResponse("/sign-in?renewed=1", 303, headers=PRIVATE))
            new = self._tokens.inbox(person.key, person.epoch + 1)
            return RedirectResponse(f"/inbox/{new}/preferences", 303, headers=PRIVATE)

        return await self._door.open(request, token, do)

    async def test(self, request: Request, token: str, way: str, form: str) -> Response:
        async def send(person: Person, reader: Reader) -> Response:
            if not self._door.is_ours(request, person, form):
                return private_page(reader, "not_ours.html", 403, token=token)
            if way in list(Way):
                await self._reaching.test(person, Way(way))
            return RedirectResponse(f"/inbox/{token}/preferences#ways", 303, headers=PRIVATE)

        return await self._door.open(request, token, send)

    async def unsubscribe(self, request: Request, token: str, *, wanted: bool | None) -> Response:
        async def answer(person: Person, reader: Reader) -> Response:
            if wanted is not None:
                await self._preferring.want_mail(person.key, wanted=wanted)
            mail = person.mail if wanted is None else wanted
            return private_page(reader, "unsubscribe.html", 200, token=token, mail=mail, done=wanted is not None)

        return await self._door.open_for(request, self._tokens.unsubscribing(token), answer)

    async def _form(
        self, reader: Reader, token: str, person: Person, filled: Filled, *, wrong: set[str] | None = None, **said: Any
    ) -> Response:
        deputies, pace = await self._preferring.deputies(person.key), self._preferring.pace(person)
        return private_page(
            reader, "preferences.html", 422 if wrong else 200, token=token, person=person, filled=filled,
            deputies=deputies, wrong=wrong or set(), zone=pace.zone.key, most=pace.most_per_day,
            rhythms=messages.RHYTHMS, days=reader.weekdays(), kept=said.get("kept", False),
            feed=feed_url(self._base, self._tokens, person), entries=ENTRIES,
            form=self._door.field(person),
            ways=await self._reaching.ways(person), reasons=messages.OFF, names=messages.WAYS,
        )  # fmt: skip

    async def _as_filled(self, person: Person) -> Filled:
        pace, absence = self._preferring.pace(person), (await self._preferring.of(person.key)).absence
        return Filled(
            mail="on" if person.mail else "off",
            rhythm=person.alerting.rhythm.value if person.mail else _NEVER,
            at=person.alerting.at,
            days=[day.value for day in person.alerting.days],
            quiet_from=pace.quiet.start,
            quiet_to=pace.quiet.end,
            most=str(person.alerting.most_per_day or ""),
            plain="on" if person.alerting.plain else "",
            away_from=absence.first_day.isoformat() if absence else "",
            away_to=absence.last_day.isoformat() if absence else "",
            deputy=(absence.deputy if absence else None) or "",
            digits=person.digits.value,
        )


def _preferences(form: Filled, shown: Filled, kept: Preferences) -> Preferences:
    """Return what is to be kept: what was kept, and what the form says otherwise than it was shown.

    Raises:
        ValidationError: something in it cannot be; the first part of each place names the field of the form.
    """
    said: dict[str, Any] = kept.model_dump()
    if form.rhythm not in (shown.rhythm, _NEVER):
        said["rhythm"] = form.rhythm
    if form.at != shown.at:
        said["at"] = form.at
    if form.days != shown.days:
        said["days"] = form.days
    if (form.quiet_from, form.quiet_to) != (shown.quiet_from, shown.quiet_to):
        said["quiet"] = {"start": form.quiet_from, "end": form.quiet_to}
    if form.most != shown.most:
        said["most_per_day"] = form.most or None
    if form.digits:  # asked of those alone who read Arabic
        said["digits"] = form.digits
    if form.plain != shown.plain:
        said["plain"] = form.plain == "on"
    # A page that was opened before a click ended e-mails, and is sent after it, must not begin them again.
    never = form.rhythm == _NEVER
    said["mail"] = False if never else kept.mail if form.mail == "on" else True
    away = {"first_day": form.away_from, "last_day": form.away_to or form.away_from, "deputy": form.deputy or None}
    said["absence"] = Absence.model_validate(away) if form.away_from or form.away_to else None
    return Preferences.model_validate(said)
