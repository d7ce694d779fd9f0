"""The proxy by which networks are made bad, between a client and a server that repeats what it hears."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.faults.proxy import Network, Proxy

# An answer that does not come is waited for so long; one that comes takes a millisecond.
PATIENCE = 0.3


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(repeat, "127.0.0.1", 0)
    async with server, Proxy(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as proxy:
        yield proxy


async def connect(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = proxy.address.partition(":")
    return await asyncio.open_connection(host, int(port))


async def ask(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
    reader, writer = connection
    writer.write(b"hello")
    async with asyncio.timeout(PATIENCE):
        return await reader.read(100)


async def is_broken(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bool:
    try:
        return await ask(connection) == b""  # closed
    except ConnectionError:  # reset
        return True


async def test_a_whole_network_carries(proxy: Proxy) -> None:
    assert await ask(await connect(proxy)) == b"hello"


async def test_a_cut_breaks_connections_refuses_new_ones_and_heals(proxy: Proxy) -> None:
    connection = await connect(proxy)
    assert await ask(connection) == b"hello"
    await proxy.be(Network.CUT)
    assert await is_broken(connection)
    with pytest.raises(ConnectionError):
        await connect(proxy)
    await proxy.be(Network.WHOLE)
    assert await ask(await connect(proxy)) == b"hello"


async def test_what_was_open_in_a_half_open_network_stays_silent_after_it(proxy: Proxy) -> None:
    connection = await connect(proxy)
    assert await ask(connection) == b"hello"
    await proxy.be(Network.HALF_OPEN)
    for one in (connection, await connect(proxy)):
        with pytest.raises(TimeoutError):
            await ask(one)
    await proxy.be(Network.WHOLE)
    with pytest.raises(TimeoutError):
        await ask(connection)
    assert await ask(await connect(proxy)) == b"hello"


async def test_a_slow_network_carries_late(proxy: Proxy) -> None:
    connection = await connect(proxy)
    assert await ask(connection) == b"hello"
    proxy.late = PATIENCE
    await proxy.be(Network.SLOW)
    with pytest.raises(TimeoutError):
        await ask(connection)
    assert await connection[0].read(100) == b"hello"
