"""Connections to one mail server, kept for some seconds: greeting, encryption and login cost more than a message."""

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, Final, Literal

import aiosmtplib

TIMEOUT_SECONDS: Final = 6.0
"""For each step until the server knows who we are. Nothing has been sent yet: it may be tried again without harm."""

GOODBYE_SECONDS: Final = 1.0
"""A server that took the message and does not answer the goodbye must not use up the time of the try."""

KEEP_SECONDS: Final = 5.0
"""How long a connection without a message is kept: longer than messages of one burst are apart, far shorter than the
five minutes that a server should wait for us (RFC 5321, 4.5.3.2.7)."""

MESSAGES: Final = 50
"""Through one connection: servers end it after 100 or so, and a new one may lead to a machine that is less busy."""

CHECK_SECONDS: Final = 2.0
"""For a kept connection to say that it is well. What does not is given up, and the message goes by a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where messages are handed over. `security` says when encryption starts: never, after a greeting, at once."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"] = "none"
    user: str = ""
    password: str = field(default="", repr=False)


SOON_SECONDS: Final = 2.0
"""How soon a kept one must have failed for the message to go on by a new one: later, a try would last too long."""

_CLOSING: Final = 421
"""What a server answers to any command when it ends the connection (RFC 5321, 3.8)."""


class _Client(aiosmtplib.SMTP):
    """Knows whether the server may have the message."""

    handing_over = False

    async def data(self, *args: Any, **kwargs: Any) -> aiosmtplib.SMTPResponse:
        """Hand the message over, sender and recipient being taken."""
        self.handing_over = True
        return await super().data(*args, **kwargs)


@dataclass(slots=True, eq=False)
class _Kept:
    client: _Client
    messages: int = 0
    ends: asyncio.TimerHandle | None = None


class Connections:
    """Lends each connection to one message at a time, and ends those on which anything went wrong."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        # Reading the machine's certificates takes longer than all the rest of a message: once, not for each connection.
        self._certificates = None if server.security == "none" else ssl.create_default_context()
        self._idle: list[_Kept] = []  # the one used last comes last
        self._leaving: set[asyncio.Task[None]] = set()

    async def send(self, mail: EmailMessage, *, sender: str, recipient: str, seconds: float) -> None:
        """Hand a message over.

        A server may end a kept connection at any moment, also after it said that it is well. When that is so before
        the message itself was begun, it is no failed try: it goes by a new one.

        Args:
            mail: the message.
            sender: as the envelope says.
            recipient: as the envelope says.
            seconds: for each step with the message.

        Raises:
            aiosmtplib.SMTPException: the server let us in on no connection, or did not take it.
            OSError: it is away.
        """
        if (kept := await self._kept()) is not None:
            soon = asyncio.get_running_loop().time() + SOON_SECONDS
            try:
                return await self._send(kept, mail, sender=sender, recipient=recipient, seconds=seconds)
            except (aiosmtplib.SMTPException, OSError) as error:
                late = asyncio.get_running_loop().time() > soon
                if kept.client.handing_over or late or not _ended(error):
                    raise
        new = _Kept(await self._connected())
        return await self._send(new, mail, sender=sender, recipient=recipient, seconds=seconds)

    async def _send(self, kept: _Kept, mail: EmailMessage, *, sender: str, recipient: str, seconds: float) -> None:
        kept.client.handing_over = False
        try:
            await kept.client.send_message(mail, sender=sender, recipients=[recipient], timeout=seconds)
        except BaseException:
            await _leave(kept.client)
            raise
        kept.messages += 1
        if kept.messages < MESSAGES:
            self._keep(kept)
        else:
            self._end(kept)

    async def close(self) -> None:
        """End all that are kept, politely."""
        while self._idle:
            self._end(self._idle[-1])
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _connected(self) -> _Client:
        client = _Client(
            hostname=self._server.host,
            port=self._server.port,
            use_tls=self._server.security == "tls",
            start_tls=self._server.security == "starttls",
            tls_context=self._certificates,
            username=self._server.user or None,
            password=self._server.password or None,
            # The library would look up the full name in the DNS, and wait for it.
            local_hostname=socket.gethostname(),
            timeout=TIMEOUT_SECONDS,
        )
        await client.connect()
        return client

    async def _kept(self) -> _Kept | None:
        """Return a kept connection that is well. One that was lost while nobody used it is nobody's failed try."""
        while self._idle:
            kept = self._idle.pop()
            if kept.ends is not None:
                kept.ends.cancel()
            try:
                await kept.client.rset(timeout=CHECK_SECONDS)
            except (aiosmtplib.SMTPException, OSError, TimeoutError):
                kept.client.close()
            except BaseException:
                kept.client.close()
                raise
            else:
                return kept
        return None

    def _keep(self, kept: _Kept) -> None:
        kept.ends = asyncio.get_running_loop().call_later(KEEP_SECONDS, self._end, kept)
        self._idle.append(kept)

    def _end(self, kept: _Kept) -> None:
        if kept in self._idle:
            self._idle.remove(kept)
        if kept.ends is not None:
            kept.ends.cancel()
        task = asyncio.create_task(_leave(kept.client), name="leave the mail server")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def deliverable(address: str) -> str:
    """Return `address` with its domain as the DNS writes it, so that only a local part beyond ASCII needs SMTPUTF8."""
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{domain.encode('idna').decode()}"
    except UnicodeError:
        return address


def _ended(error: Exception) -> bool:
    """Return whether the server ended the connection, rather than refused what was said over it."""
    match error:
        case aiosmtplib.SMTPRecipientsRefused(recipients=[refused, *_]):
            return refused.code == _CLOSING
        case aiosmtplib.SMTPResponseException():
            return error.code == _CLOSING
        case _:
            return isinstance(error, ConnectionError)


async def _leave(client: aiosmtplib.SMTP) -> None:
    """Say goodbye. Whatever comes of it, what was taken before is taken, and must not be sent again."""
    try:
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await client.quit()
    finally:
        client.close()
