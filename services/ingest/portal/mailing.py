"""The e-mail that brings a link to the portal."""

from collections.abc import Callable
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final
from uuid import UUID

import aiosmtplib

from services.ingest.portal.guests import Contact
from services.runtime import logs
from services.runtime.outcome import describe
from services.runtime.smtp import Connections, deliverable
from services.web.entrance import LINK_LASTS
from services.web.reading import Reader

STEP_SECONDS: Final = 20.0
"""For each step with the message. Servers that check for spam answer late."""


class Postman:
    """Mails links. What the mail server does not take is noted, and whoever waits for it asks again."""

    def __init__(
        self,
        *,
        connections: Connections,
        sender: str,
        link: Callable[[UUID], str],
        reader: Callable[[str], Reader],
        clock: Callable[[], datetime],
    ) -> None:
        """`link` returns the address that a link leads to, `reader` that of a language."""
        self._connections = connections
        self._sender = sender
        self._link = link
        self._reader = reader
        self._clock = clock

    async def mail(self, contact: Contact, link_id: UUID) -> None:
        """Send somebody a link."""
        if contact.email is None:
            return
        recipient = deliverable(contact.email)
        mail = self._written(contact, link_id, recipient)
        try:
            await self._connections.send(mail, sender=self._sender, recipient=recipient, seconds=STEP_SECONDS)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            logs.get().warning("link_not_mailed", link=str(link_id), error=describe(error))

    async def close(self) -> None:
        """Let go of connections."""
        await self._connections.close()

    def _written(self, contact: Contact, link_id: UUID, recipient: str) -> EmailMessage:
        reader = self._reader(contact.language)
        # Without a name: it is what somebody wrote, and would be sent in ours to an address that they wrote as well.
        minutes = int(LINK_LASTS.total_seconds() // 60)
        mail = EmailMessage(policy=SMTP)
        mail["From"] = _address(self._sender, "Maillage")
        mail["To"] = _address(recipient)
        mail["Subject"] = " ".join(reader.plain("link_subject.txt").split())
        mail["Date"] = self._clock()
        mail["Message-ID"] = f"<{link_id}@{self._sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Auto-Response-Suppress"] = "OOF, AutoReply"
        mail.set_content(reader.plain("link.txt", link=self._link(link_id), minutes=minutes))
        mail["Content-Language"] = reader.language
        return mail


def _address(address: str, display_name: str = "") -> Address:
    local, _, domain = address.rpartition("@")
    return Address(display_name=display_name, username=local, domain=domain)
