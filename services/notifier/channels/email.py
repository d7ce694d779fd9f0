"""E-mail over SMTP: the card in text and HTML, under a Message-ID that every try repeats."""

from collections.abc import Callable
from dataclasses import dataclass
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.policy import Policy
from functools import lru_cache
from typing import Any, Final, Protocol
from uuid import UUID

import aiosmtplib

from services.notifier.channels import Invitation, Message, Outgoing, RefusedError, UnreachableError
from services.notifier.domain.reaching import ENHANCED, address_gone
from services.runtime.smtp import Connections, SmtpServer, deliverable

MESSAGE_STEP_SECONDS: Final = 20.0
"""For each step with the message. Servers that check for spam answer late; giving up then sends it twice."""

_DISPLAY_NAME: Final = "Maillage"
_SUBJECT_CHARACTERS: Final = 160

_FULL_MAILBOX: Final = 552
"""The one 5xx that time mends."""


_RECIPIENT: Final = "the recipient"

_UNSUBSCRIBE: Final = "List-Unsubscribe"


class _Unfolded(UnstructuredHeader):
    """A header of one long word. Folded, it would be encoded, and no reader of mail would find the address in it."""

    def fold(self, *, policy: Policy) -> str:
        """Return the header as it is sent."""
        return f"{_UNSUBSCRIBE}: {self}{policy.linesep}"


class _Registry(HeaderRegistry):
    """Makes the class of each header once, and headers that say the same once.

    The library makes both for each header of each message: most of what putting a message together costs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._class = lru_cache(maxsize=64)(super().__getitem__)
        self._header = lru_cache(maxsize=256)(super().__call__)

    def __getitem__(self, name: str) -> type[BaseHeader]:
        return self._class(name)

    def __call__(self, name: str, value: Any) -> BaseHeader:
        return self._header(name, value) if type(value) is str else super().__call__(name, value)


_HEADERS: Final = _Registry()
_HEADERS.map_to_type(_UNSUBSCRIBE.lower(), _Unfolded)  # type: ignore[arg-type]  # the registry adds the base class
_POLICY: Final = SMTP_POLICY.clone(header_factory=_HEADERS)


@dataclass(frozen=True, slots=True)
class Letter:
    """The words of a message, in the reader's language; `html` is none for who wants text alone."""

    language: str
    subject: str
    text: str
    html: str | None


class Writer(Protocol):
    """Writes letters."""

    def letter(self, message: Outgoing) -> Letter:
        """Return what `message` says to its reader."""


class EmailChannel:
    """Hands messages over to one mail server, which brings them on their way."""

    def __init__(
        self,
        *,
        server: SmtpServer,
        sender: str,
        writer: Writer,
        answer_seconds: float = MESSAGE_STEP_SECONDS,
        returns_to: Callable[[Outgoing], str] | None = None,
    ) -> None:
        """`returns_to` says to which address an e-mail comes back that is not taken later; none: to `sender`."""
        self._connections = Connections(server)
        self._sender = sender
        self._writer = writer
        self._answer_seconds = answer_seconds
        self._returns_to = returns_to or (lambda _: sender)

    async def deliver(self, message: Outgoing) -> None:
        """See `Channel.deliver`."""
        if message.to.email is None:
            raise RefusedError("the ambassador has no e-mail address any more")
        recipient = deliverable(message.to.email)
        mail = compose(message, self._writer.letter(message), sender=self._sender, recipient=recipient)
        try:
            await self._connections.send(
                mail, sender=self._returns_to(message), recipient=recipient, seconds=self._answer_seconds
            )
        except aiosmtplib.SMTPException as error:
            raise _judged(error) from None
        except (OSError, TimeoutError) as error:
            raise UnreachableError(f"the mail server is away ({type(error).__name__})") from None

    async def close(self) -> None:
        """See `Channel.close`."""
        await self._connections.close()


def compose(message: Outgoing, letter: Letter, *, sender: str, recipient: str) -> EmailMessage:
    """Return the whole message. Its lines cannot break out of their headers: the policy refuses line breaks.

    What tells of suggestions can be ended by one click (RFC 8058). What is written to a side is in the name of who
    introduces it, to whom answers go.
    """
    mail = EmailMessage(policy=_POLICY)
    if isinstance(message, Message):
        mail[_UNSUBSCRIBE] = f"<{message.unsubscribe}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if isinstance(message, Invitation) and message.side is not None:
        mail["From"] = _address(sender, f"{message.introducer.name} · {_DISPLAY_NAME}")
        if message.introducer.email is not None:
            mail["Reply-To"] = _address(deliverable(message.introducer.email))
    else:
        mail["From"] = _address(sender, _DISPLAY_NAME)
    mail["To"] = _address(recipient)
    mail["Subject"] = _one_line(letter.subject)
    mail["Date"] = message.now
    mail["Message-ID"] = message_id(message.notification_id, sender)
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    mail.set_content(letter.text)
    if letter.html is not None:
        mail.add_alternative(letter.html, subtype="html")
    mail["Content-Language"] = letter.language  # last: the library moves content headers into the first part
    return mail


def message_id(notification_id: UUID, sender: str) -> str:
    """Return the Message-ID of a notification: the same at every try, so that a mailbox can tell a repetition."""
    return f"<{notification_id}@{sender.rpartition('@')[2]}>"


def _address(address: str, display_name: str = "") -> Address:
    local, _, domain = address.rpartition("@")
    return Address(display_name=_plain(display_name), username=local, domain=domain)


def _plain(text: str) -> str:
    """Return text that reads the same and is no encoded word (RFC 2047): the library would decode what is in it."""
    return text.replace("=?", "=\u200d?")


def _one_line(subject: str) -> str:
    line = _plain(" ".join(subject.split()))
    return line if len(line) <= _SUBJECT_CHARACTERS else line[: _SUBJECT_CHARACTERS - 1].rstrip() + "…"


def _judged(error: aiosmtplib.SMTPException) -> RefusedError | UnreachableError:
    """Tell what will never be taken from what may be later.

    Only what the server says of the recipient or of the message itself is final. What it says of its greeting, of our
    login or of our sender's address is for the operator to mend, and the message can wait for that.
    """
    match error:
        case aiosmtplib.SMTPRecipientsRefused(recipients=[refused, *_]):
            return _answered(refused.code, refused.message, _RECIPIENT)
        case aiosmtplib.SMTPDataError():
            return _answered(error.code, error.message, "the message")
        case aiosmtplib.SMTPResponseException():
            code = _code(error.code, error.message)
            return UnreachableError(f"the mail server did not take our greeting, login or sender ({code})")
        case aiosmtplib.SMTPNotSupported():
            return UnreachableError("the mail server lacks what is needed: STARTTLS, a login, or addresses in UTF-8")
        case _:
            return UnreachableError(f"the mail server is away ({type(error).__name__})")


def _answered(code: int, text: str, what: str) -> RefusedError | UnreachableError:
    # The text itself stays out: servers repeat the address in it.
    if 500 <= code < 600 and code != _FULL_MAILBOX:
        enhanced = ENHANCED.search(text)
        gone = what == _RECIPIENT and address_gone(enhanced[0] if enhanced else None)
        return RefusedError(f"the mail server refused {what} ({_code(code, text)})", gone=gone)
    return UnreachableError(f"the mail server did not take {what} for now ({_code(code, text)})")


def _code(code: int, text: str) -> str:
    enhanced = ENHANCED.search(text)
    return f"{code} {enhanced[0]}" if enhanced else str(code)
