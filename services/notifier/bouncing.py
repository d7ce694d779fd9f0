"""E-mails that come back: each has a return address of its own, and what arrives there is about it and nothing else.

The operator's mail server passes on what is for `bounces+TOKEN@` the domain of the sender. Here is no mail server: what
is for any other address is refused, and nothing is sent on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final
from weakref import WeakSet

from aiosmtpd.smtp import SMTP, Envelope, Session

from services.notifier.address import Returned, Tokens
from services.notifier.channels import Outgoing
from services.notifier.channels.email import deliverable
from services.notifier.domain.bounces import Bounce, bounce_in
from services.notifier.store import Deliveries
from services.runtime import logs
from services.runtime.clock import Clock
from services.runtime.outcome import describe

_LOCAL_PART: Final = "bounces+"

LARGEST: Final = 512 * 1024
"""Bytes of a report: it may bring all of our e-mail back, which is a tenth of that."""

_IDLE_SECONDS: Final = 30.0
"""Between two lines of a conversation: it is with a mail server that has its message in hand."""

LONGEST_SECONDS: Final = 300.0
"""Of a whole conversation, however many lines it has."""

AT_ONCE: Final = 20
"""Conversations at a time: a mail server that finds no room comes again."""

_RECIPIENTS: Final = 20
"""Return addresses of one report. There is one; a server may well pass several on together."""


Take = Callable[[Returned, Bounce], Awaitable[bool]]
"""Notes that an e-mail came back; false: it is to come again."""


def returning(tokens: Tokens, sender: str) -> Callable[[Outgoing], str]:
    """Return what gives an e-mail from `sender` its return address."""
    domain = deliverable(sender).rpartition("@")[2]
    return lambda mail: f"{_LOCAL_PART}{tokens.bouncing(mail.notification_id, mail.to.email or '')}@{domain}"


class Bouncing:
    """Listens for what comes back, and notes it with the delivery."""

    def __init__(
        self, *, listen: str, deliveries: Deliveries, tokens: Tokens, clock: Clock, came_back: Callable[[], None]
    ) -> None:
        """`listen` is host:port; `came_back` is called when a delivery turned out to have failed."""
        host, _, port = listen.rpartition(":")
        self._host, self._port = host, int(port)
        self._deliveries = deliveries
        self._tokens = tokens
        self._clock = clock
        self._came_back = came_back
        self._open: WeakSet[SMTP] = WeakSet()
        self._log = logs.get()

    async def run(self) -> None:
        """Listen until cancelled.

        Raises:
            OSError: the address cannot be listened at.
        """
        # It logs senders and recipients, who are people.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        server = await asyncio.get_running_loop().create_server(self._conversation, self._host, self._port)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            for one in self._open:
                _end(one)

    def _conversation(self) -> asyncio.Protocol:
        if sum(one.transport is not None for one in self._open) >= AT_ONCE:
            return _Full()
        loop = asyncio.get_running_loop()
        one = SMTP(
            _Handler(self._bounced_as, self._take, self._log),
            data_size_limit=LARGEST,
            enable_SMTPUTF8=True,
            hostname="maillage",
            ident="Maillage",
            timeout=_IDLE_SECONDS,
            loop=loop,
        )
        self._open.add(one)
        loop.call_later(LONGEST_SECONDS, _end, one)
        return one

    def _bounced_as(self, address: str) -> Returned | None:
        """Return which e-mail was sent with a return address of ours; none for any other address."""
        local = address.rpartition("@")[0].lower()
        return self._tokens.bounced(local.removeprefix(_LOCAL_PART)) if local.startswith(_LOCAL_PART) else None

    async def _take(self, mail: Returned, bounce: Bounce) -> bool:
        reason = f"it was taken and came back ({bounce.status or 'no code'})"
        noted = await self._deliveries.bounced(
            mail.notification_id, reason, to=mail.to, gone=bounce.gone, now=self._clock()
        )
        if noted:
            self._log.warning("came_back", notification_id=str(mail.notification_id), reason=reason)
            self._came_back()
        return noted


def _end(conversation: SMTP) -> None:
    if conversation.transport is not None:
        conversation.transport.close()


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
        bounce = None
        with suppress(Exception):  # whatever cannot be read is no report
            bounce = bounce_in(envelope.original_content or b"")
        if bounce is not None:
            about = [found for one in envelope.rcpt_tos if (found := self._bounced_as(one)) is not None]
            if not all([await self._take(one, bounce) for one in about]):
                return "451 4.3.0 it is not noted yet that it was sent; come again"
        return "250 2.0.0 taken"

    async def handle_exception(self, error: Exception) -> str:
        self._log.warning("bounce_not_taken", error=describe(error))
        return "451 4.3.0 not now; come again"


class _Full(asyncio.Protocol):
    """There is no room for another conversation."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(b"421 4.3.2 too many conversations; come again\r\n")
            transport.close()
