"""What a client may cost a service over a real connection: too slow, too long, or gone before its time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from services.runtime.bounds import Bounds, bounded

QUICK = Bounds(request_bytes=300_000, head_bytes=10_000, head_seconds=0.3, whole_seconds=0.6)
SECONDS = 10.0
GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Service:
    """Reads whole requests, and answers with their lengths."""

    def __init__(self) -> None:
        self.cut_off = 0
        self.work: Callable[[], Awaitable[Any]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            length = len(await Request(scope, receive).body())
        except ClientDisconnect:
            self.cut_off += 1
            return
        if self.work is not None:
            await self.work()
        await PlainTextResponse(str(length))(scope, receive, send)


@asynccontextmanager
async def serving(app: Any, **settings: Any) -> AsyncIterator[int]:
    """A port on which `app` is served."""
    config = uvicorn.Config(app, port=0, ws="none", lifespan="off", log_config=None, **settings)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(SECONDS):
        while not server.started:
            await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.fixture
async def connection(service: Service) -> AsyncIterator[Connection]:
    async with serving(service, http=bounded(QUICK)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield reader, writer
        writer.close()


async def everything(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes; fail if it does not."""
    async with asyncio.timeout(SECONDS):
        try:
            return await reader.read()
        except ConnectionResetError:  # it closed while we were sending
            return b""


async def pour(writer: asyncio.StreamWriter, chunk: bytes, most: int) -> int:
    """Send `chunk` again and again until the other side closes; return how much it took, at most `most`."""
    sent = 0
    try:
        while sent < most and not writer.is_closing():
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)
            await asyncio.sleep(0)
    except (ConnectionResetError, BrokenPipeError):
        pass
    return sent


async def test_who_says_nothing_is_hung_up_on(connection: Connection) -> None:
    assert await everything(connection[0]) == b""


@pytest.mark.parametrize("begun", [b"G", GET, GET + b"x-name: val"])
async def test_headers_that_never_end_are_waited_for_so_long(connection: Connection, begun: bytes) -> None:
    reader, writer = connection
    began = monotonic()
    writer.write(begun)
    assert (await everything(reader)).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert monotonic() - began >= QUICK.head_seconds / 2


async def test_headers_that_come_letter_by_letter_are_waited_for_no_longer(connection: Connection) -> None:
    reader, writer = connection

    async def drip() -> None:
        writer.write(GET)
        while not writer.is_closing():
            writer.write(b"x-slow: 1\r\n")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    assert (await everything(reader)).startswith(b"HTTP/1.1 408 ")
    dripping.cancel()


async def test_a_body_that_never_ends_is_waited_for_so_long_and_its_service_is_told(
    service: Service, connection: Connection
) -> None:
    reader, writer = connection
    writer.write(POST + b"content-length: 1000\r\n\r\n{")
    assert (await everything(reader)).startswith(b"HTTP/1.1 408 ")
    async with asyncio.timeout(SECONDS):
        while not service.cut_off:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("chunk", [b"x-many: 1\r\n" * 100, b"x" * 1_000], ids=["many headers", "one header"])
async def test_headers_without_end_are_not_kept(connection: Connection, chunk: bytes) -> None:
    _, writer = connection
    writer.write(GET + b"x-long: 1")
    # Besides what the service took, what both kernels keep on the way.
    assert await pour(writer, chunk, 100_000_000) < 20_000_000


async def test_headers_a_little_too_long_are_refused_in_words(connection: Connection) -> None:
    reader, writer = connection
    writer.write(GET + b"x-long: " + b"x" * QUICK.head_bytes)
    assert (await everything(reader)).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"transfer-encoding: chunked\r\n\r\n" + b"fffffff\r\n", id="body"),
        pytest.param(b"transfer-encoding: chunked\r\n\r\n0\r\nx-trailer: ", id="trailer"),
    ],
)
async def test_a_request_without_end_is_not_kept(connection: Connection, begun: bytes) -> None:
    _, writer = connection
    writer.write(POST + begun)
    assert await pour(writer, b"x" * 10_000, 100_000_000) < 20_000_000


async def test_requests_are_measured_one_by_one(connection: Connection) -> None:
    reader, writer = connection
    body = b"x" * (QUICK.request_bytes - 1_000)
    for _ in range(3):
        writer.write(POST + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert await reader.readexactly(len(str(len(body)))) == str(len(body)).encode()


async def test_a_service_may_take_its_time_to_answer(service: Service, connection: Connection) -> None:
    reader, writer = connection
    answering = asyncio.Event()
    service.work = answering.wait
    writer.write(POST + b"content-length: 1\r\n\r\n1")
    loop = asyncio.get_running_loop()
    loop.call_later(QUICK.head_seconds + QUICK.whole_seconds + 0.1, answering.set)
    async with asyncio.timeout(SECONDS):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_without_these_bounds_there_are_none(service: Service) -> None:
    """Why they are needed: the same connection, as uvicorn alone would have it."""
    async with serving(service) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET + b"x-long: ")
        assert await pour(writer, b"x" * 100_000, 40_000_000) == 40_000_000
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(QUICK.head_seconds + QUICK.whole_seconds):
                await reader.read()
        writer.close()
