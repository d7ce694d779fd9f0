"""E-mails that come back: each has a return address of its own, and what arrives there is about it and nothing else.

The operator's mail server passes on what is for `bounces+TOKEN@` the domain of the sender. Here is no mail server: what
is for any other address is refused, and nothing is sent on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from aiosmtpd.smtp import SMTP, Envelope, Session

from services.notifier import metrics
from services.notifier.address import Returned, Tokens
from services.notifier.channels import Outgoing
from services.notifier.domain.bounces import Bounce, bounce_in
from services.notifier.store import Deliveries
from services.runtime import logs
from services.runtime.clock import Clock
from services.runtime.errors import RefusedError
from services.runtime.outcome import describe
from services.runtime.smtp import deliverable

_LOCAL_PART: Final = "bounces+"

LARGEST: Final = 512 * 1024
"""Bytes of a report: it may bring all of our e-mail back, which is a tenth of that."""

_RECEIVED: Final = 2 * LARGEST
"""Bytes that are received for one report, whatever they are: who sends more, in one line or many, is cut off. Twice
as many as are taken, so that who sends a little too much hears so."""

_COMMAND_SECONDS: Final = 30.0
"""For a command, or all of a report, to arrive and be answered: it is with a mail server that has its message in
hand."""

LONGEST_SECONDS: Final = 300.0
"""Of a whole conversation, however many commands it has."""

AT_ONCE: Final = 20
"""Conversations at a time: a mail server that finds no room comes again."""

_RECIPIENTS: Final = 20
"""Return addresses of one report. There is one; a server may well pass several on together."""


Take = Callable[[Returned, bytes], Awaitable[bool]]
"""Notes that an e-mail came back, if what arrived says so; false: it is to come again."""


def returning(tokens: Tokens, sender: str) -> Callable[[Outgoing], str]:
    """Return what gives an e-mail from `sender` its return address."""
    domain = deliverable(sender).rpartition("@")[2]
    return lambda mail: f"{_LOCAL_PART}{tokens.bouncing(mail.notification_id, mail.to.email or '')}@{domain}"


class Bouncing:
    """Listens for what comes back, and notes it with the delivery."""

    def __init__(
        self,
        *,
        listen: str,
        deliveries: Deliveries,
        tokens: Tokens,
        clock: Clock,
        came_back: Callable[[], None],
        at_once: int = AT_ONCE,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        """`listen` is host:port; `came_back` is called when a delivery turned out to have failed.

        `at_once` and `longest_seconds` bound conversations.
        """
        host, _, port = listen.rpartition(":")
        self._host, self._port = host, int(port)
        self._deliveries = deliveries
        self._tokens = tokens
        self._clock = clock
        self._came_back = came_back
        self._at_once = at_once
        self._longest_seconds = longest_seconds
        self._open: set[_Conversation] = set()
        self._server: asyncio.Server | None = None
        self._log = logs.get()

    async def listen(self) -> None:
        """Begin to listen; may be repeated.

        Raises:
            RefusedError: the address cannot be listened at.
        """
        if self._server is not None:
            return
        # It logs senders and recipients, who are people.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._conversation, self._host, self._port)
        except OSError as error:
            where, why = f"{self._host}:{self._port}", error.strerror or type(error).__name__
            raise RefusedError(f"cannot listen at {where} for e-mails ({why}). Correct MAILLAGE_BOUNCES") from None

    async def run(self) -> None:
        """Listen until cancelled. Raises as `listen` does."""
        await self.listen()
        try:
            await asyncio.Event().wait()
        finally:
            if self._server is not None:
                self._server.close()
                self._server = None
            for one in tuple(self._open):
                one.end()

    def _conversation(self) -> asyncio.Protocol:
        return _Conversation(
            _Handler(self._bounced_as, self._take, self._log),
            among=self._open,
            at_once=self._at_once,
            longest_seconds=self._longest_seconds,
            data_size_limit=LARGEST,
            enable_SMTPUTF8=True,
            hostname="maillage",
            ident="Maillage",
            timeout=_COMMAND_SECONDS,
            loop=asyncio.get_running_loop(),
        )

    def _bounced_as(self, address: str) -> Returned | None:
        """Return which e-mail was sent with a return address of ours; none for any other address."""
        local = address.rpartition("@")[0].lower()
        return self._tokens.bounced(local.removeprefix(_LOCAL_PART)) if local.startswith(_LOCAL_PART) else None

    async def _take(self, mail: Returned, raw: bytes) -> bool:
        bounce = await asyncio.to_thread(self._read, mail, raw)  # the library may take a while over it
        if bounce is None:
            return True
        reason = f"it was taken and came back ({bounce.status or 'no code'})"
        noted = await self._deliveries.bounced(
            mail.notification_id, reason, to=mail.to, gone=bounce.gone, now=self._clock()
        )
        if noted:
            metrics.BOUNCES.labels("yes" if bounce.gone else "no").inc()
            self._log.warning("came_back", notification_id=str(mail.notification_id), reason=reason)
            self._came_back()
        return noted

    def _read(self, mail: Returned, raw: bytes) -> Bounce | None:
        def sent_to(address: str) -> bool:
            return any(self._tokens.digest(one).startswith(mail.to) for one in _spellings(address))

        try:
            return bounce_in(raw, sent_to)
        except Exception as error:  # whatever cannot be read is no report
            self._log.info("report_not_read", error=type(error).__name__)
            return None


def _spellings(address: str) -> set[str]:
    """Return how an address that a server names may have been written to it: its domain is the DNS's by now."""
    local, _, domain = address.rpartition("@")
    domains = {domain, domain.lower()}
    with suppress(UnicodeError):
        domains.add(domain.encode().decode("idna"))
    return {f"{local}@{one}" for one in domains}


class _Conversation(SMTP):
    """One mail server that passes something on: cut off when it sends too much, or is too long about it."""

    def __init__(
        self, handler: "_Handler", *, among: "set[_Conversation]", at_once: int, longest_seconds: float, **how: Any
    ) -> None:
        """`among` holds those that are open, at most `at_once`."""
        super().__init__(handler, **how)
        self._among = among
        self._at_once = at_once
        self._longest_seconds = longest_seconds
        self._received = 0
        self._socket: asyncio.Transport | None = None
        self._end_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or say that there is no room for another one."""
        if not isinstance(transport, asyncio.Transport):
            return
        if len(self._among) >= self._at_once:
            transport.write(b"421 4.3.2 too many conversations; come again\r\n")
            transport.close()
            return
        self._socket = transport
        self._among.add(self)
        self._end_timer = self.loop.call_later(self._longest_seconds, self.end)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take what arrives, as long as it is not too much for one report."""
        if self._socket is None:
            return
        self._received += len(data)
        if self._received > _RECEIVED:
            self.end()
        else:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        """Nothing more will arrive."""
        return super().eof_received() if self._socket is not None else None

    def connection_lost(self, error: Exception | None) -> None:
        """Leave nothing behind."""
        if self._socket is None:
            return
        self._among.discard(self)
        if self._end_timer is not None:
            self._end_timer.cancel()
        super().connection_lost(error)

    def end(self) -> None:
        """End it at once, also when the other side reads nothing of what it is answered."""
        if self._socket is not None:
            self._socket.abort()

    def _timeout_cb(self) -> None:
        self.end()

    def _create_envelope(self) -> Envelope:
        self._received = 0
        return super()._create_envelope()


class _Handler:
    """What a conversation is answered."""

    def __init__(self, bounced_as: Callable[[str], Returned | None], take: Take, log: logs.Logger) -> None:
        self._bounced_as = bounced_as
        self._take = take
        self._log = log

    async def handle_RCPT(  # noqa: N802 - its name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self._bounced_as(address) is None:
            return "550 5.1.1 no such address here"
        if len(envelope.rcpt_tos) >= _RECIPIENTS:
            return "452 4.5.3 too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 yes"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        about = [found for one in envelope.rcpt_tos if (found := self._bounced_as(one)) is not None]
        if not all([await self._take(one, envelope.original_content or b"") for one in about]):
            return "451 4.3.0 it is not noted yet that it was sent; come again"
        return "250 2.0.0 taken"

    async def handle_exception(self, error: Exception) -> str:
        self._log.warning("bounce_not_taken", error=describe(error))
        return "451 4.3.0 not now; come again"
