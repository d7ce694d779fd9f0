"""Writes that come while one is under way are made together, by the next: nobody waits for company."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Together(Generic[T, R]):
    """Does one thing for several who ask for it, as soon as it is not being done for others."""

    def __init__(self, do: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> None:
        """`do` returns what comes of each, in their order; what it raises is raised to each."""
        self._do = do
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._doing: asyncio.Task[None] | None = None

    async def __call__(self, what: T) -> R:
        """Return what comes of `what`. Raises what `do` raises."""
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((what, result))
        if self._doing is None:
            self._doing = asyncio.create_task(self._do_all(), name="together")
        return await result

    async def _do_all(self) -> None:
        try:
            while self._waiting:
                now, self._waiting = self._waiting, []
                await self._do_some(now)
        finally:
            self._doing = None

    async def _do_some(self, asked: Sequence[tuple[T, "asyncio.Future[R]"]]) -> None:
        try:
            results = await self._do([what for what, _ in asked])
        except BaseException as error:  # whatever it is, it is for those who asked, each of whom waits
            for _, result in asked:
                if not result.done():
                    result.set_exception(error)
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        for (_, result), came in zip(asked, results, strict=True):
            if not result.done():
                result.set_result(came)
