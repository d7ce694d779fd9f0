"""Where deliveries end: a webhook receiver that checks signatures, and the folder of the mail catcher."""

import base64
import json
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from schemas.notifications import Channel
from services.console.embedded.mail import Mail, read_mails
from services.console.embedded.process import LOOPBACK, PartError, free_port

START_SECONDS = 10.0

_Message = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message at a receiver.

    Attributes:
        notification: id that the sender gave it.
        at: when the receiver had all of it, seconds since 1970.
        recipient: whom it reached: an e-mail address, or the path of a webhook.
    """

    channel: Channel
    notification: str
    recipient: str
    at: float


class Receiver:
    """Takes webhooks, in a thread of its own so that whoever posts at the same time does not delay their arrival."""

    def __init__(self) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.port = free_port()
        self.arrivals: list[Arrival] = []
        self.refused: list[str] = []
        """Why messages were not taken: a wrong signature, or no JSON."""

    def url(self, path: str) -> str:
        """Return the address at which messages are taken for `path`."""
        return f"http://{LOOPBACK}:{self.port}/{path}"

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen until left.

        Raises:
            PartError: it did not start.
        """
        config = uvicorn.Config(
            self._take, host=LOOPBACK, port=self.port, log_config=None, lifespan="off", interface="asgi3"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, name="webhook receiver", daemon=True)
        thread.start()
        try:
            deadline = time.monotonic() + START_SECONDS
            while not server.started:
                if not thread.is_alive() or time.monotonic() > deadline:
                    raise PartError("the webhook receiver did not start")
                time.sleep(0.01)
            yield
        finally:
            server.should_exit = True
            thread.join()

    async def _take(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        status = self._judge(str(scope["path"]), {k.decode(): v.decode() for k, v in scope["headers"]}, body)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    def _judge(self, path: str, headers: dict[str, str], body: bytes) -> int:
        at = time.time()
        try:
            Webhook(self.secret).verify(body, headers)
            json.loads(body)
        except (WebhookVerificationError, ValueError) as error:
            self.refused.append(f"{type(error).__name__}: {error}")
            return 401
        self.arrivals.append(Arrival(Channel.WEBHOOK, headers["webhook-id"], path.strip("/"), at))
        return 204


def mailed(maildir: Path, address: Callable[[str], bool]) -> list[Arrival]:
    """Return the messages in the folder that reached an address of ours."""
    return [
        Arrival(Channel.EMAIL, mail.message_id.strip("<>").partition("@")[0], recipient, _arrived(mail))
        for mail in read_mails(maildir)
        for recipient in mail.recipients
        if address(recipient)
    ]


def _arrived(mail: Mail) -> float:
    # The catcher names a file by its arrival, in nanoseconds.
    return int(mail.path.name.partition(".")[0]) / 1e9
