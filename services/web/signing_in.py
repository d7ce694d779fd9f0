"""Signing in: a link by e-mail that opens a session once, and sessions that open somebody's pages."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar
from uuid import UUID

from schemas.ids import derived_id
from services.runtime import logs
from services.runtime.clock import Clock
from services.runtime.outcome import describe
from services.web.entrance import LINK_LASTS, NOTED_EVERY, OF_ADDRESS, OF_CLIENT
from services.web.sessions import SECRET_BYTES, Link, Sessions, Signed, digest

_AT_ONCE: Final = 50
"""Requests for a link that are looked into at a time; what comes on top is not: whoever asked asks again."""


class Guest(Protocol):
    """Somebody who may sign in."""

    @property
    def name(self) -> str:
        """What they are called."""

    @property
    def whom(self) -> str:
        """Their key, as text."""

    @property
    def email(self) -> str | None:
        """Where they are reached."""

    @property
    def epoch(self) -> int:
        """Counts how often all that opens their pages was ended."""


G = TypeVar("G", bound=Guest)
G_co = TypeVar("G_co", bound=Guest, covariant=True)


class Guests(Protocol[G_co]):
    """Those who may sign in."""

    async def at(self, email: str) -> Sequence[G_co]:
        """Return who is reached at an e-mail address, by their keys' order."""

    async def guest(self, whom: str) -> G_co | None:
        """Return one of them by key; none: there is nobody of this key."""


class Seal(Protocol):
    """Signs what only this service may have written."""

    def sign_in(self, link_id: UUID) -> str:
        """Return the token of a link that is mailed to somebody who wants to sign in."""

    def signs_in(self, token: str) -> UUID | None:
        """Return which link `token` is; none unless it was signed here."""

    def mark(self, kind: str, text: str) -> str:
        """Return what tells one address or client from the next; whoever lacks our secret learns nothing from it."""


@dataclass(frozen=True, slots=True)
class Visitor(Generic[G]):
    """Somebody who is signed in. `chosen`: whether it is settled that these pages of theirs are meant."""

    session: str
    person: G
    chosen: bool


@dataclass(frozen=True, slots=True)
class Entered:
    """A session that just began. `secret` is for the browser alone; `to` is where they wanted to go."""

    secret: str
    to: str | None


class SigningIn(Generic[G]):
    """Has links mailed, begins sessions, tells whose they are, and ends them."""

    def __init__(
        self,
        *,
        guests: Guests[G],
        sessions: Sessions,
        seal: Seal,
        clock: Clock,
        mail: Callable[[G, UUID], Awaitable[None]],
    ) -> None:
        """`mail` has somebody sent a link, which is kept by then."""
        self._guests = guests
        self._sessions = sessions
        self._seal = seal
        self._clock = clock
        self._send = mail
        self._asked: set[asyncio.Task[None]] = set()
        self._log = logs.get()

    async def may_ask(self, client: str) -> bool:
        """Count that a client asks for a link, and return whether it may."""
        who = f"client {self._seal.mark('client', client)}"
        return await self._sessions.count(who, OF_CLIENT, now=self._clock()) <= OF_CLIENT.most

    async def ask(self, email: str, to: str | None) -> None:
        """Have a link mailed to whoever is known at an address, in a while: whoever waits for us learns nothing."""
        if len(self._asked) >= _AT_ONCE:
            self._log.warning("sign_in_not_looked_into")
            return
        task = asyncio.create_task(self._look_into(email, to), name="sign in")
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def looked_into(self) -> None:
        """Return when all that was asked for is mailed, or was not to be."""
        await asyncio.gather(*self._asked)

    async def _look_into(self, email: str, to: str | None) -> None:
        try:
            await self._mail(email, to)
        except Exception as error:  # nobody is there any more to be told: whoever asked asks again
            self._log.warning("sign_in_not_mailed", error=describe(error))

    async def _mail(self, email: str, to: str | None) -> None:
        now, address = self._clock(), self._seal.mark("address", email)
        times = [await self._sessions.count(f"address {address}", limit, now=now) for limit in OF_ADDRESS]
        people = await self._guests.at(email)
        if not people or any(asked > limit.most for asked, limit in zip(times, OF_ADDRESS, strict=True)):
            return
        # Counted over the longest stretch, so that each that is asked for is another one, and none is mailed twice.
        link_id = derived_id("sign-in", address, now.date().isoformat(), str(times[-1]))
        person = people[0]
        await self._sessions.add_link(Link(link_id, person.whom, address, to, now + LINK_LASTS))
        await self._send(person, link_id)
        if await self._guests.guest(person.whom) is None:  # erased between our reading of them and our rows for them
            await self._sessions.forget(person.whom)

    async def is_good(self, token: str) -> bool:
        """Return whether a link still opens a session. Asking changes nothing: programs look behind links."""
        link_id = self._seal.signs_in(token)
        return link_id is not None and await self._sessions.link(link_id, now=self._clock()) is not None

    async def enter(self, token: str) -> Entered | None:
        """Begin a session with a link, which is used up by that; none when it is not good any more."""
        link_id, now = self._seal.signs_in(token), self._clock()
        link = await self._sessions.use_link(link_id, now=now) if link_id else None
        person = await self._guests.guest(link.whom) if link else None
        if link is None or person is None or not self._is_at(person, link.address):
            return None
        known = await self._guests.at(person.email or "")
        secret = secrets.token_urlsafe(SECRET_BYTES)
        await self._sessions.begin(
            Signed(
                digest=digest(secret),
                whom=link.whom,
                address=link.address,
                epoch=person.epoch,
                chosen=len(known) == 1,
                begun_at=now,
                seen_at=now,
            )
        )
        if await self._guests.guest(link.whom) is None:  # erased meanwhile
            await self._sessions.forget(link.whom)
            return None
        return Entered(secret, link.to)

    async def visitor(self, secret: str) -> Visitor[G] | None:
        """Return who is signed in; none when the session has ended, or they are reached at another address by now."""
        now = self._clock()
        signed = await self._sessions.find(digest(secret), now=now) if secret else None
        person = await self._guests.guest(signed.whom) if signed else None
        if signed is None:
            return None
        if person is None or not self._is_at(person, signed.address) or person.epoch != signed.epoch:
            await self._sessions.end(signed.digest)
            return None
        if now - signed.seen_at >= NOTED_EVERY:
            await self._sessions.seen(signed, now=now)
        return Visitor(signed.digest, person, signed.chosen)

    async def known(self, visitor: Visitor[G]) -> Sequence[G]:
        """Return all who are reached at the address of somebody: whose pages they may open."""
        return await self._guests.at(visitor.person.email or "")

    async def choose(self, visitor: Visitor[G], whom: str) -> bool:
        """Settle whose pages a session opens; False: they are none of theirs."""
        chosen = next((one for one in await self.known(visitor) if one.whom == whom), None)
        if chosen is not None:
            await self._sessions.choose(visitor.session, chosen.whom, chosen.epoch)
        return chosen is not None

    async def leave(self, visitor: Visitor[G], *, everywhere: bool) -> None:
        """End a session, or all of whoever is reached at this address."""
        await self._sessions.end(visitor.session)
        if everywhere:
            await self.end_all(visitor.person)

    async def end_all(self, person: G) -> None:
        """End all sessions of whoever is reached where somebody is."""
        if person.email is not None:
            await self._sessions.end_all(self._seal.mark("address", person.email))

    def _is_at(self, person: G, address: str) -> bool:
        return person.email is not None and self._seal.mark("address", person.email) == address
