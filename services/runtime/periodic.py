"""Work that the store drives: done at once when woken, and now and then in any case."""

import asyncio
from collections.abc import Awaitable, Callable

from services.runtime import logs
from services.runtime.outcome import describe

# Failures in a row between two lines in the log: an outage is one story, not a line a second.
_SAID_EVERY = 60


class Periodic:
    """Repeats `work` every `seconds`, and at once after `wake`. A failure is logged and does not end it."""

    def __init__(self, name: str, work: Callable[[], Awaitable[None]], *, seconds: float) -> None:
        self.name = name
        self._work = work
        self._seconds = seconds
        self._woken = asyncio.Event()
        self._log = logs.get(work=name)

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    async def run(self) -> None:
        """Repeat until cancelled."""
        failures = 0
        while True:
            try:
                await self._work()
                failures = 0
            except Exception as error:  # what is due stays due in the store; the next round finds it
                failures += 1
                if failures == 1 or failures % _SAID_EVERY == 0:
                    self._log.warning("failed", error=describe(error), failures=failures)
            try:
                # Not `wait_for`: before Python 3.12 it swallows a cancellation that comes together with the wake.
                async with asyncio.timeout(self._seconds):
                    await self._woken.wait()
            except TimeoutError:
                continue
            self._woken.clear()
