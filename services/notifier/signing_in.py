"""Signing in to inboxes: ambassadors are mailed links by a row of deliveries, as all else that they are told."""

from collections.abc import Callable, Sequence
from typing import TypeAlias
from uuid import UUID

from schemas.notifications import Channel
from services.notifier.address import Tokens
from services.notifier.composing import key_of
from services.notifier.domain.entrance import Errand
from services.notifier.domain.preferences import Person
from services.notifier.store import NotifierStore, Row
from services.notifier.store.rows import State
from services.runtime.clock import Clock
from services.web import signing_in
from services.web.signing_in import Entered

__all__ = ["Entered", "SigningIn", "Visitor"]

Visitor: TypeAlias = signing_in.Visitor[Person]
"""An ambassador who is signed in."""


class SigningIn(signing_in.SigningIn[Person]):
    """Mails links, begins sessions, tells whose they are, and ends them."""

    def __init__(self, *, store: NotifierStore, tokens: Tokens, clock: Clock, queued: Callable[[], None]) -> None:
        """`queued` is called when a letter is due."""
        self._ambassadors = store.ambassadors
        self._deliveries = store.deliveries
        self._now = clock
        self._queued = queued
        super().__init__(
            guests=_Ambassadors(store), sessions=store.sessions, seal=tokens, clock=clock, mail=self._queue
        )

    async def renew_address(self, person: Person) -> None:
        """End a private address that came into other hands, and all sessions of whoever is reached there."""
        await self._ambassadors.renew_address(person.key, person.epoch)
        await self.end_all(person)

    async def _queue(self, person: Person, link_id: UUID) -> None:
        row = Row(
            notification_id=link_id,
            suggestion_id=None,
            revision=0,
            ambassador=person.whom,
            channel=Channel.EMAIL,
            made_at=self._now(),
            errand=Errand.SIGN_IN,
            receiver=str(link_id),
            state=State.TO_SERVE,
        )
        await self._deliveries.add([row], now=self._now())
        if await self._ambassadors.get(person.key) is None:  # erased between our reading of them and our row for them
            await self._deliveries.remove([link_id])
        self._queued()


class _Ambassadors:
    """Those who may sign in."""

    def __init__(self, store: NotifierStore) -> None:
        self._store = store

    async def at(self, email: str) -> Sequence[Person]:
        return await self._store.ambassadors.at(email)

    async def guest(self, whom: str) -> Person | None:
        return await self._store.ambassadors.get(key_of(whom))
