"""Webhooks by the Standard Webhooks specification 1.0: signed, identified, bounded in time, never led elsewhere."""

import asyncio
import ipaddress
import json
import re
import socket
from datetime import timedelta
from typing import Any, Final

import httpx
from standardwebhooks.webhooks import Webhook

from schemas.ambassadors import Webhook as Target
from services.notifier.channels import Message, Notice, Outgoing, RefusedError, UnreachableError
from services.notifier.domain.described import described, moment
from services.notifier.domain.presentation import card
from services.notifier.domain.reaching import Fault

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 15.0
"""The specification asks for 15 to 30: a receiver should note the message and answer, not work on it first."""

FINAL_STATUSES: Final = frozenset({400, 405, 410, 413, 414, 415, 422, 431, 451, 501})
"""Answers that the same request will get for ever. Others (401, 403, 404, 429, 5xx) are also what a receiver says while
it is being set up, deployed or repaired."""

_GONE: Final = 410
"""The answer that asks for an end, of all messages: the channel is turned off."""


class WebhookChannel:
    """Posts a signed JSON message to the receiver's own address."""

    def __init__(self, *, allow_private: bool, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._allow_private = allow_private
        self._timeout = httpx.Timeout(answer_seconds, connect=CONNECT_SECONDS, pool=None)
        # One for all messages: reading the machine's certificates takes longer than all the rest of a delivery. No
        # client, which would keep cookies, follow redirects and ask the machine for proxies.
        self._transport = httpx.AsyncHTTPTransport(
            # A kept connection is one to an address, not to the name for which its certificate was checked.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            trust_env=False,
            verify=httpx.create_ssl_context(trust_env=False),
        )

    async def deliver(self, message: Outgoing) -> None:
        """See `Channel.deliver`."""
        if not isinstance(message, Message | Notice):
            raise RefusedError("only suggestions are told by webhook")
        target = message.to.webhook
        if target is None:
            raise RefusedError("the ambassador has no webhook any more")
        url = httpx.URL(str(target.url))
        if url.scheme != "https" and not self._allow_private:
            raise RefusedError("the webhook's address is not https", fault=Fault.OURS)
        address = await self._resolve(url)
        body = json.dumps(payload(message), ensure_ascii=False, separators=(",", ":"))
        headers = signed(message, target, body)
        try:
            async with asyncio.timeout(CONNECT_SECONDS + (self._timeout.read or 0.0)):
                answer = await self._post(url, address, body, headers)
        except (httpx.TimeoutException, TimeoutError):
            raise UnreachableError("the webhook did not answer in time") from None
        except (httpx.HTTPError, OSError) as error:
            raise UnreachableError(f"the webhook could not be reached ({type(error).__name__})") from None
        _judge(answer)

    async def close(self) -> None:
        """See `Channel.close`: nothing is kept open."""

    async def _resolve(self, url: httpx.URL) -> str:
        """Return the address to connect to: looked up once and kept, so that what was checked is what is reached."""
        # As it is on the wire. `url.host` is spelt out, and spelling that back by another edition of IDNA names
        # another host: xn--fa-hia.de would become fass.de.
        host = url.raw_host.decode()
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError):
            raise UnreachableError("the webhook's host name is not known") from None
        addresses = [str(entry[4][0]) for entry in found]
        allowed = addresses if self._allow_private else [one for one in addresses if is_public(one)]
        if not allowed:
            raise RefusedError("the webhook's address is in a private network", fault=Fault.OURS)
        return allowed[0]

    async def _post(self, url: httpx.URL, address: str, body: str, headers: dict[str, str]) -> httpx.Response:
        request = httpx.Request(
            "POST",
            url.copy_with(host=address),
            content=body.encode(),
            headers=headers | {"host": url.netloc.decode()},
            extensions={"sni_hostname": url.raw_host.decode(), "timeout": self._timeout.as_dict()},
        )
        if url.userinfo:
            request = next(httpx.BasicAuth(url.username, url.password).auth_flow(request))
        answer = await self._transport.handle_async_request(request)
        await answer.aclose()  # unread: whatever a receiver sends back, we want its status alone
        return answer


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet, also by the IPv4 address that it may wrap."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        wrapped = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if wrapped or ip in _NAT64:
            ip = wrapped or ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip not in _GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOT_PUBLIC)


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""All that is handed out (RFC 4291). Beside it lie local ways to wrap an IPv4 address: RFC 8215, 7915, 4291 2.5.5.1."""

_NOT_PUBLIC: Final = (
    ipaddress.ip_network("192.0.0.0/24"),  # a cloud's metadata among them
    ipaddress.ip_network("3fff::/20"),  # RFC 9637: for documents
)
"""What older versions of the standard library take for public."""


def signed(message: Message | Notice, target: Target, body: str) -> dict[str, str]:
    """Return the headers of the specification. While a secret is replaced, either verifies."""
    secrets = [target.secret, *([target.previous_secret] if target.previous_secret else [])]
    signatures = [Webhook(secret).sign(str(message.notification_id), message.now, body) for secret in secrets]
    return {
        "content-type": "application/json",
        "user-agent": "Maillage",
        "webhook-id": str(message.notification_id),
        "webhook-timestamp": str(int(message.now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def payload(message: Message | Notice) -> dict[str, Any]:
    """Return the body: the same at every try. `docs/notifying.md` describes it."""
    if isinstance(message, Notice):
        return {
            "type": "maillage.test",
            "timestamp": moment(message.at),
            "data": {"notification_id": str(message.notification_id), "url": message.link},
        }
    [item] = message.items  # a program need not be spared: it is told of each at once
    suggestion = item.suggestion
    shown = card(suggestion, now=suggestion.made_at)
    return {
        "type": "maillage.suggestion.told",
        "timestamp": moment(suggestion.made_at),
        "data": {
            "notification_id": str(message.notification_id),
            "suggestion_id": str(suggestion.suggestion_id),
            "revision": suggestion.revision,
            "url": item.link,
            "leads": item.leads,
            "told_with": [{"name": c.name, "city": c.city_name, "leads": c.leads} for c in item.colleagues],
            **described(shown),
        },
    }


def _judge(answer: httpx.Response) -> None:
    status = answer.status_code
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise RefusedError(f"the webhook leads elsewhere ({status}); give its final address")
    if status in FINAL_STATUSES:
        raise RefusedError(f"the webhook refused the message ({status})", gone=status == _GONE)
    raise UnreachableError(
        f"the webhook did not take the message for now ({status})",
        retry_after=_seconds(answer.headers),
        fault=Fault.THEIRS,
    )


def _seconds(headers: httpx.Headers) -> timedelta | None:
    """`Retry-After` in seconds. Its other form, a date, is rare and depends on the receiver's clock: ignored."""
    value = headers.get("retry-after", "")
    return timedelta(seconds=int(value)) if re.fullmatch(r"\d{1,7}", value) else None
