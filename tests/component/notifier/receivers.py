"""What stands at the other end: an SMTP server and an HTTP receiver on loopback, which answer as they are told."""

import asyncio
import email
import email.policy
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

LOOPBACK = "127.0.0.1"
TAKEN = "250 2.0.0 taken"


class MailServer:
    """Keeps what it is sent, from where, and which recipients it was asked for.

    `answer_recipient` and `answer_message` decide what it says; `gate` delays it.
    """

    def __init__(self) -> None:
        self.mails: list[tuple[str, EmailMessage]] = []
        self.raw: list[bytes] = []
        self.senders: list[str] = []
        self.asked: list[str] = []
        self.answer_recipient: Callable[[str], str] = lambda _: TAKEN
        self.answer_message: Callable[[EmailMessage], str] = lambda _: TAKEN
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once = 0
        self.most_at_once = 0
        self.sessions: list[SMTP] = []
        self.hangs_up = False

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self._session(loop), LOOPBACK, 0)
        self.address = f"{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()

    def hang_up(self) -> None:
        """Close every connection that is open."""
        for session in self.sessions:
            if session.transport is not None:
                session.transport.close()

    def _session(self, loop: asyncio.AbstractEventLoop) -> SMTP:
        self.sessions.append(SMTP(self, hostname="localhost", enable_SMTPUTF8=True, loop=loop))
        return self.sessions[-1]

    def ids(self) -> list[str]:
        """The Message-IDs taken so far. No property: aiosmtpd reads every attribute for each connection."""
        return [str(mail["Message-ID"]) for _, mail in self.mails]

    async def handle_RCPT(  # noqa: N802 - its name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        self.asked.append(address)
        answer = self.answer_recipient(address)
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        if self.hangs_up:
            self.hang_up()
            return "421 4.3.2 nobody reads this"
        mail = email.message_from_bytes(envelope.original_content or b"", policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        answer = self.answer_message(mail)
        if answer.startswith("2"):
            self.mails.append((envelope.rcpt_tos[0], mail))
            self.raw.append(envelope.original_content or b"")
            self.senders.append(envelope.mail_from or "")
        return answer


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class HookReceiver:
    """Takes webhooks over plain HTTP/1.1, one request a connection. `answer` decides status and headers."""

    requests: list[Request] = field(default_factory=list)
    taken: list[Request] = field(default_factory=list)
    answer: Callable[[Request], tuple[int, dict[str, str]]] = lambda _: (204, {})
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    hangs_up: bool = False
    address: str = ""

    async def start(self) -> None:
        self.gate.set()
        self._server = await asyncio.start_server(self._take, LOOPBACK, 0)
        self.address = f"{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()

    @property
    def url(self) -> str:
        return f"http://{self.address}/hook"

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(line=head[0], headers=headers, body=body)
        await self.gate.wait()
        self.requests.append(request)
        if self.hangs_up:
            writer.close()
            return
        status, extra = self.answer(request)
        if 200 <= status < 300:
            self.taken.append(request)
        lines = [f"HTTP/1.1 {status} x", "connection: close", "content-length: 0"]
        lines += [f"{name}: {value}" for name, value in extra.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await writer.drain()
        writer.close()


def parts_of(mail: EmailMessage) -> tuple[str, str]:
    """The text and the HTML of a message."""
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    content: list[Any] = [text.get_content(), html.get_content()]
    return str(content[0]), str(content[1])
