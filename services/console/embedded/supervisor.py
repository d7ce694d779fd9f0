"""Keeps parts running: starts them in order, restarts the one that dies, stops them in reverse order."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from services.console.embedded.process import PartError, say_status


class Part(Protocol):
    """What can be supervised: a `ChildProcess`, or something that wraps one."""

    name: str

    async def start(self) -> str:
        """Starts it, waits until it is ready and returns its address. Raises PartError when it cannot."""

    async def wait(self) -> int:
        """Waits until it ends and returns its exit status."""

    async def stop(self) -> None:
        """Stops it in order; harmless when it has ended."""


@dataclass(frozen=True, kw_only=True)
class PartDied:
    """A part ended although nobody stopped it, or could not be restarted; it is started again in `again_in` seconds."""

    part: str
    why: str
    again_in: float


@dataclass(frozen=True, kw_only=True)
class PartRestarted:
    """A part that had died is ready again, at `address`."""

    part: str
    address: str


@dataclass(frozen=True, kw_only=True)
class PartGivenUp:
    """A part stays down: it died too often in a row, or is not to be restarted."""

    part: str
    why: str


PartEvent = PartDied | PartRestarted | PartGivenUp


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait before a restart: doubling from `first` to at most `longest` seconds, less up to half by chance.

    The chance keeps parts that died together from starting together. A part that ran for `steady` seconds starts from
    `first` again; one that dies `tries` times without that is given up.
    """

    first: float = 0.5
    longest: float = 30.0
    steady: float = 60.0
    tries: int = 8

    def delay(self, deaths: int, chance: float) -> float:
        """Seconds to wait after the given number of deaths in a row (from 1); `chance` is drawn from [0, 1)."""
        return float(min(self.longest, self.first * 2 ** (deaths - 1)) * (1 - chance / 2))


class Supervisor:
    """Parts that run until it is left (`async with`), or `stop` is called.

    Args:
        tell: called, in the event loop, with what happens to the parts.
        backoff: when to restart, and when to give up.
    """

    def __init__(self, tell: Callable[[PartEvent], None], *, backoff: Backoff | None = None) -> None:
        self._tell = tell
        self._backoff = backoff or Backoff()
        self._watched: list[tuple[Part, asyncio.Task[PartGivenUp]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, part: Part, *, restart: bool = True) -> str:
        """Starts a part, waits until it is ready, watches it from then on, and returns its address.

        Args:
            part: what to start.
            restart: False gives it up at its first death, for a part whose restart would not bring back what it was.

        Raises:
            PartError: it could not start. It is not watched then; the others run on.
        """
        address = await part.start()
        tries = self._backoff.tries if restart else 0
        self._watched.append((part, asyncio.create_task(self._watch(part, tries), name=f"watch {part.name}")))
        return address

    def part(self, name: str) -> Part:
        """The part of this name that was started last.

        Raises:
            KeyError: none was.
        """
        return {part.name: part for part, _ in self._watched}[name]

    async def given_up(self) -> PartGivenUp:
        """Waits until one of the parts started so far is given up."""
        done, _ = await asyncio.wait([task for _, task in self._watched], return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    async def stop(self) -> None:
        """Stops all parts, the one that was started last first."""
        while self._watched:
            part, task = self._watched.pop()
            task.cancel()
            await asyncio.wait([task])  # unlike awaiting it, this raises nothing that would keep the others running
            await part.stop()

    async def _watch(self, part: Part, tries: int) -> PartGivenUp:
        deaths = 0
        while True:
            ready_at = time.monotonic()
            why = say_status(await part.wait())
            if time.monotonic() - ready_at >= self._backoff.steady:
                deaths = 0
            while True:
                deaths += 1
                if deaths > tries:
                    event = PartGivenUp(part=part.name, why=why)
                    self._tell(event)
                    return event
                pause = self._backoff.delay(deaths, random.random())  # noqa: S311 (spreads restarts, no secret)
                self._tell(PartDied(part=part.name, why=why, again_in=pause))
                await asyncio.sleep(pause)
                try:
                    address = await part.start()
                except PartError as error:
                    why = f"could not start again: {error}"
                else:
                    break
            self._tell(PartRestarted(part=part.name, address=address))
