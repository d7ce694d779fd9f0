"""What one client may cost: bounds on a request's size and on the time that it takes to come.

uvicorn has none of its own: a connection that says nothing is kept for ever, and a header without end in memory. A
reverse proxy bounds most of this too, and by client, which these cannot: see `docs/security.md`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SMALL_BYTES: Final = 64 * 1024
"""Longest request of a service to which people send forms."""

CONNECTIONS: Final = 1_000
"""Beyond these a service answers 503. A reverse proxy keeps far fewer; each may hold a request in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a request may be.

    Attributes:
        request_bytes: the longest, head and body with its framing.
        head_bytes: the longest request line with its headers; what people and proxies send has a tenth of this.
        head_seconds: how long these may take to come, also where nothing is said at all; they fit into a few packets.
        whole_seconds: how long the rest may take; the largest profile needs 20 kB/s for this.
        paths: what the body may be at single paths; their heads are bounded as all are.
    """

    request_bytes: int = SMALL_BYTES
    head_bytes: int = 32 * 1024
    head_seconds: float = 10.0
    whole_seconds: float = 60.0
    paths: Mapping[str, "Bounds"] = field(default_factory=dict)


def bounded(within: Bounds) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol within bounds."""

    class Bounded(_Bounded):
        bounds = within

    return Bounded


class _Bounded(HttpToolsProtocol):
    bounds: Bounds

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = True
        self._body = self.bounds
        self._received = 0
        """Bytes of the request that is coming, up to the end of what came last."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_within(self.bounds.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_within(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._received > self.bounds.head_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._received > self._body.request_bytes:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._body = self.bounds
        self._expect_within(self.bounds.head_seconds)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False
        path = self.url.partition(b"?")[0].decode("latin-1")
        self._body = self.bounds.paths.get(path, self.bounds)
        self._expect_within(self._body.whole_seconds)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._received = 0
        # One who has the answer already, and finishes the request late, is not waited for any longer than others.
        answered = self.cycle is not None and self.cycle.response_complete
        self._expect_within(self.bounds.head_seconds if answered else None)

    def _expect_within(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer, unless the service answers already, and hear no more."""
        if self.transport.is_closing():
            return
        answering = self.cycle is not None and not self.cycle.response_complete and self.cycle.response_started
        if not answering and self._received:  # who said nothing is told nothing
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            self.transport.write(head.encode())
        self.transport.close()
