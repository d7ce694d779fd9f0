"""A mail server that delivers to a folder: real SMTP on loopback, nothing leaves the machine.

`python -m services.console.embedded.mail --maildir DIR [--port PORT]` prints {"smtp": "127.0.0.1:PORT"} when it is
ready and runs until SIGTERM or SIGINT. Messages appear in DIR/new, one .eml file each, whole or not at all.
"""

import argparse
import asyncio
import email
import email.policy
import itertools
import json
import os
import signal
import time
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One stored message.

    `recipients` are those of the SMTP conversation, who really get it; `sender` and `to` are what its headers claim.
    """

    path: Path
    sender: str
    to: str
    recipients: tuple[str, ...]
    subject: str
    message_id: str
    text: str


def read_mails(maildir: Path) -> list[Mail]:
    """All messages stored so far, oldest first; none when the folder does not exist yet."""
    return [_read(path) for path in sorted((maildir / "new").glob("*.eml"))]


def _read(path: Path) -> Mail:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    return Mail(
        path=path,
        sender=str(message.get("From", "")),
        to=str(message.get("To", "")),
        recipients=tuple(str(value) for value in message.get_all("Delivered-To", [])),
        subject=str(message.get("Subject", "")),
        message_id=str(message.get("Message-ID", "")).strip(),
        text=body.get_content() if isinstance(body, EmailMessage) else "",
    )


class Mailbox:
    """Receives messages for aiosmtpd and stores them in a folder laid out like a Maildir."""

    def __init__(self, maildir: Path) -> None:
        self._unfinished = maildir / "tmp"
        self._stored = maildir / "new"
        self._unfinished.mkdir(parents=True, exist_ok=True)
        self._stored.mkdir(parents=True, exist_ok=True)
        self._count = itertools.count()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 (its name)
        """Stores one message; answers 250 only once it is on the disk, 451 (try again) when it could not be stored."""
        content = envelope.original_content or b""
        trace = [f"Return-Path: <{envelope.mail_from}>", *(f"Delivered-To: {to}" for to in envelope.rcpt_tos)]
        header = "".join(f"{line}\r\n" for line in trace).encode("utf-8", "surrogateescape")
        try:
            await asyncio.to_thread(self._store, header + content)
        except OSError as error:
            return f"451 4.3.0 not stored: {error.strerror}"
        return "250 2.0.0 stored"

    def _store(self, content: bytes) -> None:
        # Sorts by arrival; process and count tell apart what the clock does not.
        name = f"{time.time_ns():020d}.{os.getpid()}.{next(self._count):06d}.eml"
        with (self._unfinished / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        (self._unfinished / name).replace(self._stored / name)


async def serve(maildir: Path, port: int) -> None:
    """Receives mail until SIGTERM or SIGINT; `port` 0 lets the system choose."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    mailbox = Mailbox(maildir)
    # The host name is given because aiosmtpd would look it up in the DNS, which can take seconds.
    server = await loop.create_server(
        lambda: SMTP(mailbox, hostname="localhost", enable_SMTPUTF8=True, loop=loop), LOOPBACK, port
    )
    async with server:
        print(json.dumps({"smtp": f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"}), flush=True)
        await ended.wait()


def main() -> None:
    """Runs the mail server until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="Receive mail on loopback and store it in a folder.")
    parser.add_argument("--maildir", type=Path, required=True, help="folder for the messages")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any that is free)")
    options = parser.parse_args()
    asyncio.run(serve(options.maildir, options.port))


if __name__ == "__main__":
    main()
