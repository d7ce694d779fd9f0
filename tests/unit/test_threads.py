"""What runs in a thread is over when its caller goes on, however the caller came to that."""

import asyncio
from threading import Event

import pytest

from services.runtime.threads import in_thread


async def test_it_returns_what_the_work_returns_or_raises() -> None:
    assert await in_thread(max, 3, 7) == 7
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 1, 0)


async def test_whoever_is_cancelled_waits_until_the_work_is_done() -> None:
    begun, may_end, done = Event(), Event(), Event()

    def work() -> None:
        begun.set()
        may_end.wait(10)
        done.set()

    caller = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, 10)
    caller.cancel()
    waiting, _ = await asyncio.wait({caller}, timeout=0.05)
    assert not waiting
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done.is_set()
