"""Signing in: a link by e-mail that opens a session once, and sessions that open inboxes."""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.ambassadors import AmbassadorKey
from schemas.ids import derived_id
from schemas.notifications import Channel
from services.notifier.address import Tokens
from services.notifier.composing import key_of
from services.notifier.domain.entrance import LINK_LASTS, NOTED_EVERY, OF_ADDRESS, OF_CLIENT, Errand
from services.notifier.domain.preferences import Person
from services.notifier.store import NotifierStore, Row
from services.notifier.store.rows import State
from services.notifier.store.sessions import Link, Signed
from services.runtime import logs
from services.runtime.clock import Clock
from services.runtime.outcome import describe

_BYTES: Final = 32
"""Of a session's secret: nobody guesses 256 bits."""

_AT_ONCE: Final = 50
"""Requests for a link that are looked into at a time; what comes on top is not: whoever asked asks again."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in. `chosen`: whether it is settled that this inbox of theirs is meant."""

    session: str
    person: Person
    chosen: bool


@dataclass(frozen=True, slots=True)
class Entered:
    """A session that just began. `secret` is for the browser alone; `to` is where they wanted to go."""

    secret: str
    to: str | None


class SigningIn:
    """Mails links, begins sessions, tells whose they are, and ends them."""

    def __init__(self, *, store: NotifierStore, tokens: Tokens, clock: Clock, queued: Callable[[], None]) -> None:
        """`queued` is called when a letter is due."""
        self._ambassadors = store.ambassadors
        self._deliveries = store.deliveries
        self._sessions = store.sessions
        self._tokens = tokens
        self._clock = clock
        self._queued = queued
        self._asked: set[asyncio.Task[None]] = set()
        self._log = logs.get()

    async def may_ask(self, client: str) -> bool:
        """Count that a client asks for a link, and return whether it may."""
        who = f"client {self._tokens.mark('client', client)}"
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
        """Return when all that was asked for is queued, or was not to be."""
        await asyncio.gather(*self._asked)

    async def _look_into(self, email: str, to: str | None) -> None:
        try:
            await self._mail(email, to)
        except Exception as error:  # nobody is there any more to be told: whoever asked asks again
            self._log.warning("sign_in_not_mailed", error=describe(error))

    async def _mail(self, email: str, to: str | None) -> None:
        now, address = self._clock(), self._tokens.mark("address", email)
        times = [await self._sessions.count(f"address {address}", limit, now=now) for limit in OF_ADDRESS]
        people = await self._ambassadors.at(email)
        if not people or any(asked > limit.most for asked, limit in zip(times, OF_ADDRESS, strict=True)):
            return
        # Counted over the longest stretch, so that each that is asked for is another one, and none is mailed twice.
        link_id = derived_id("sign-in", address, now.date().isoformat(), str(times[-1]))
        person = people[0]
        await self._sessions.add_link(Link(link_id, str(person.key), address, to, now + LINK_LASTS))
        row = Row(
            notification_id=link_id,
            suggestion_id=None,
            revision=0,
            ambassador=str(person.key),
            channel=Channel.EMAIL,
            made_at=now,
            errand=Errand.SIGN_IN,
            receiver=str(link_id),
            state=State.TO_SERVE,
        )
        await self._deliveries.add([row], now=now)
        if await self._ambassadors.get(person.key) is None:  # erased between our reading of them and our rows for them
            await self._sessions.forget_ambassador(str(person.key))
            await self._deliveries.remove([link_id])
        self._queued()

    async def is_good(self, token: str) -> bool:
        """Return whether a link still opens a session. Asking changes nothing: programs look behind links."""
        link_id = self._tokens.signs_in(token)
        return link_id is not None and await self._sessions.link(link_id, now=self._clock()) is not None

    async def enter(self, token: str) -> Entered | None:
        """Begin a session with a link, which is used up by that; none when it is not good any more."""
        link_id, now = self._tokens.signs_in(token), self._clock()
        link = await self._sessions.use_link(link_id, now=now) if link_id else None
        person = await self._ambassadors.get(key_of(link.ambassador)) if link else None
        if link is None or person is None or not self._is_at(person, link.address):
            return None
        inboxes = await self._ambassadors.at(person.email or "")
        secret = secrets.token_urlsafe(_BYTES)
        await self._sessions.begin(
            Signed(
                digest=_digest(secret),
                ambassador=link.ambassador,
                address=link.address,
                epoch=person.epoch,
                chosen=len(inboxes) == 1,
                begun_at=now,
                seen_at=now,
            )
        )
        if await self._ambassadors.get(person.key) is None:  # erased meanwhile
            await self._sessions.forget_ambassador(str(person.key))
            return None
        return Entered(secret, link.to)

    async def visitor(self, secret: str) -> Visitor | None:
        """Return who is signed in; none when the session has ended, or they are reached at another address by now."""
        now = self._clock()
        signed = await self._sessions.find(_digest(secret), now=now) if secret else None
        person = await self._ambassadors.get(key_of(signed.ambassador)) if signed else None
        if signed is None or person is None:
            return None
        if not self._is_at(person, signed.address) or person.epoch != signed.epoch:
            await self._sessions.end(signed.digest)
            return None
        if now - signed.seen_at >= NOTED_EVERY:
            await self._sessions.seen(signed, now=now)
        return Visitor(signed.digest, person, signed.chosen)

    async def inboxes(self, visitor: Visitor) -> Sequence[Person]:
        """Return whose inboxes somebody may open: all that are reached at their address."""
        return await self._ambassadors.at(visitor.person.email or "")

    async def choose(self, visitor: Visitor, key: AmbassadorKey | None) -> bool:
        """Settle which of their inboxes a session opens; False: it is none of theirs."""
        chosen = next((one for one in await self.inboxes(visitor) if one.key == key), None)
        if chosen is not None:
            await self._sessions.choose(visitor.session, str(chosen.key), chosen.epoch)
        return chosen is not None

    async def leave(self, visitor: Visitor, *, everywhere: bool) -> None:
        """End a session, or all of whoever is reached at this address."""
        await self._sessions.end(visitor.session)
        if everywhere:
            await self._end_all(visitor.person)

    async def renew_address(self, person: Person) -> None:
        """End a private address that came into other hands, and all sessions of whoever is reached there."""
        await self._ambassadors.renew_address(person.key, person.epoch)
        await self._end_all(person)

    async def _end_all(self, person: Person) -> None:
        if person.email is not None:
            await self._sessions.end_all(self._tokens.mark("address", person.email))

    def _is_at(self, person: Person, address: str) -> bool:
        return person.email is not None and self._tokens.mark("address", person.email) == address


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
