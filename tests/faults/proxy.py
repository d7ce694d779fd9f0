"""A TCP proxy on loopback between two parts of the system, which can stand for a bad network."""

import asyncio
import contextlib
from collections.abc import Callable
from enum import Enum, auto
from typing import Self

from services.console.embedded.process import LOOPBACK, free_port

_CHUNK = 65_536

Intercept = Callable[[bytes], bytes | None]
"""Given a frame of Kafka's protocol that a client sends: the frame to answer it with; none: it goes through."""


class Network(Enum):
    """How the network between the two parts is."""

    WHOLE = auto()
    CUT = auto()
    """Connections break, new ones are refused."""
    SLOW = auto()
    """All that is said arrives late, in both directions."""
    HALF_OPEN = auto()
    """Connections swallow what is said and nobody is told; those that were open then stay so, also afterwards."""


class Proxy:
    """Carries connections to `target`.

    Attributes:
        address: where clients connect to.
        target: where connections go, `host:port`.
        network: how the network is now; see `be`.
        late: seconds that a message takes each way while the network is slow.
        intercept: looks at what clients say to a Kafka; see `frames`.
        stopped: set once what `stop_at` waits for was said.

    Args:
        frames: what clients say is in frames of Kafka's protocol.
    """

    def __init__(self, target: str = "", *, frames: bool = False) -> None:
        self.target = target
        self._frames = frames
        self.address = f"{LOOPBACK}:{free_port()}"
        self.network = Network.WHOLE
        self.late = 0.2
        self.intercept: Intercept | None = None
        self.stopped = asyncio.Event()
        self._stop_at = b""
        self._open: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def be(self, network: Network) -> None:
        """Change how the network is."""
        if network is Network.CUT:
            await self._close()
        elif self.network is Network.CUT:
            await self._listen()
        self.network = network
        if network is Network.HALF_OPEN:
            for connection in self._open:
                connection.lost = True

    def stop_at(self, words: bytes) -> None:
        """Have the network half-open from the moment at which a client says `words`, which do not arrive."""
        self._stop_at = words

    async def _listen(self) -> None:
        host, _, port = self.address.partition(":")
        self._server = await asyncio.start_server(self._take, host, int(port))

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._open):
            connection.break_off()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer, lost=self.network is Network.HALF_OPEN)
        self._open.add(connection)
        try:
            host, _, port = self.target.partition(":")
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                back, forth = await asyncio.open_connection(host, int(port))
                connection.ends.append(forth)
                await asyncio.gather(
                    self._carry(reader, forth, connection, asked=writer), self._carry(back, writer, connection)
                )
        finally:
            connection.break_off()
            self._open.discard(connection)

    async def _carry(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        connection: "_Connection",
        asked: asyncio.StreamWriter | None = None,
    ) -> None:
        while data := await self._next(source, asked):
            if self.network is Network.SLOW:
                await asyncio.sleep(self.late)
            if asked is not None and self._stop_at and self._stop_at in data:
                self._stop_at = b""
                await self.be(Network.HALF_OPEN)
                self.stopped.set()
            if not connection.lost:
                sink.write(data)
                await sink.drain()
        if not connection.lost:  # the end of one side is news, too
            sink.close()

    async def _next(self, source: asyncio.StreamReader, asked: asyncio.StreamWriter | None) -> bytes:
        if asked is None or not self._frames:
            return await source.read(_CHUNK)
        while True:
            size = await source.readexactly(4)
            frame = size + await source.readexactly(int.from_bytes(size))
            answer = self.intercept(frame) if self.intercept else None
            if answer is None:
                return frame
            asked.write(answer)


class _Connection:
    """Both ends of one connection. `lost`: nothing that is said on it arrives any more."""

    def __init__(self, end: asyncio.StreamWriter, *, lost: bool) -> None:
        self.ends = [end]
        self.lost = lost

    def break_off(self) -> None:
        for end in self.ends:
            end.transport.abort()
