"""Chat and telephone services, through Apprise: a short message with a link, to addresses that name a service.

An Apprise address can reach almost anything: local programs, files, hosts in our own network. So only services that
the operator allows are asked, and their addresses cannot lead them elsewhere.
"""

import asyncio
import logging
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from services.notifier.channels import Message, Notice, Outgoing, RefusedError, UnreachableError
from services.notifier.domain.chat import PUBLIC, SELF_HOSTED, service_of
from services.notifier.domain.reaching import Fault
from services.runtime import logs
from services.runtime.outcome import describe

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 15.0
TRY_SECONDS: Final = 60.0
"""For one address. Services that need two requests, and wait between them, have time for both."""

AT_ONCE: Final = 48
"""Requests under way: three addresses for each message that may be in hand. One that never ends keeps its place."""


class Writer(Protocol):
    """Writes what is said by chat."""

    def chat(self, message: Message | Notice) -> str:
        """Return a few lines of plain text, in the reader's language, the link among them."""


class ChatChannel:
    """Asks each service of a reader to tell them."""

    def __init__(
        self,
        *,
        services: Collection[str],
        allow_private: bool,
        writer: Writer,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """`services` are those of `PUBLIC` that may be asked; `allow_private` adds `SELF_HOSTED`."""
        self._allowed = frozenset(services) & PUBLIC | (SELF_HOSTED if allow_private else frozenset())
        self._writer = writer
        self._answer_seconds = answer_seconds
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="chat")
        self._log = logs.get()
        # Both write addresses, which are secrets, into their lines.
        for name in ("apprise", "urllib3"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    async def deliver(self, message: Outgoing) -> None:
        """See `Channel.deliver`. It is taken when one of the reader's services took it: they all ring for one person.

        What a service answers is not known to us, only whether it took the message. So all that it does not take is
        tried again: its refusals, its pauses, a wrong address.
        """
        if not isinstance(message, Message | Notice):
            raise RefusedError("letters about introductions do not go by chat")
        if not message.to.chat:
            raise RefusedError("the ambassador has no chat address any more")
        allowed = [address for address in message.to.chat if service_of(address) in self._allowed]
        if not allowed:
            raise RefusedError(
                "the chat service is not one that this notifier may ask; see MAILLAGE_CHAT_SERVICES, and for one that "
                "you run yourself MAILLAGE_ALLOW_PRIVATE_WEBHOOKS",
                fault=Fault.OURS,
            )
        text = self._writer.chat(message)
        errors = [error for error in await asyncio.gather(*(self._ask(one, text) for one in allowed)) if error]
        if len(errors) == len(allowed):
            # The one that may still come about, if there is one.
            raise next((error for error in errors if isinstance(error, UnreachableError)), errors[0])
        for error in errors:
            self._log.warning(
                "chat_service_did_not_take", notification_id=str(message.notification_id), reason=str(error)
            )

    async def close(self) -> None:
        """See `Channel.close`: nothing is kept open."""

    async def _ask(self, address: str, text: str) -> RefusedError | UnreachableError | None:
        try:
            async with asyncio.timeout(TRY_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._tell, address, text)
        except TimeoutError:
            return UnreachableError("the chat service did not answer in time")
        except Exception as error:  # a fault of the library's with one address: the others are asked all the same
            return UnreachableError(f"the chat service could not be asked ({describe(error)})", fault=Fault.OURS)

    def _tell(self, address: str, text: str) -> RefusedError | UnreachableError | None:
        """Ask one service, in a thread: the library waits for its answers."""
        # Here, because it takes two seconds and many a notifier has nobody to tell by chat.
        from apprise import Apprise, AppriseAsset, NotifyFormat

        asset = AppriseAsset(
            app_id="Maillage",
            app_desc="Maillage",
            app_url="",
            image_url_mask="",  # pictures are links to somebody else's site
            image_url_logo="",
            http_redirects=False,  # they may lead into our network
        )
        service = Apprise.instantiate(address, asset=asset)
        if service is None:
            return RefusedError("the chat address is not one that Apprise understands")
        # Whatever the address says of it.
        service.redirects = False
        service.verify_certificate = True
        service.socket_connect_timeout = CONNECT_SECONDS
        service.socket_read_timeout = self._answer_seconds
        if service.notify(body=text, body_format=NotifyFormat.TEXT):
            return None
        return UnreachableError("the chat service did not take the message")
