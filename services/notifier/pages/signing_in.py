"""Signing in to inboxes by a mailed link, choosing among them, signing out."""

from typing import Any, Final

from fastapi import FastAPI, Request, Response

from services.notifier.domain.entrance import HOME, ME, our_path
from services.notifier.domain.preferences import Person
from services.notifier.pages.private import Doorkeeper, private_page
from services.notifier.signing_in import SigningIn, Visitor
from services.web.entering import Entrance, entrance_routes

AT: Final = Entrance(sign_in="/sign-in", sign_out="/sign-out", choices="/sign-in/inboxes", home=HOME, our_path=our_path)


def signing_in_routes(app: FastAPI, *, signing_in: SigningIn, door: Doorkeeper) -> None:
    """Add the pages on which ambassadors sign in and out to `app`."""
    entrance_routes(app, at=AT, signing_in=signing_in, door=_Door(door), cookie=door.cookie)


class _Door:
    """The doorkeeper, as the pages of signing in ask it."""

    def __init__(self, door: Doorkeeper) -> None:
        self._door = door

    def to_stranger(self, request: Request, template: str, status: int, **values: Any) -> Response:
        return private_page(self._door.stranger(request), template, status, **values)

    def to_guest(self, guest: Person, template: str, status: int, **values: Any) -> Response:
        return private_page(self._door.reader(guest), template, status, token=ME, **values)

    def from_our_page(self, request: Request) -> bool:
        return self._door.from_our_page(request)

    def field(self, visitor: Visitor) -> str:
        return self._door.field(visitor.person)

    def is_ours(self, request: Request, visitor: Visitor, field: str) -> bool:
        return self._door.is_ours(request, visitor.person, field)

    def failed(self, request: Request, error: Exception) -> Response:
        return self._door.failed(request, self._door.stranger(request), error)
