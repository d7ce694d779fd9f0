"""What many ask at the same time, asked in one go: one question to the database instead of hundreds.

Nobody is kept waiting for company: who asks first is answered at once, and who asks meanwhile in the next go.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

_MOST: Final = 500
"""Questions in one go: most of what can be won is won, and who comes next does not wait long."""


class Together(Generic[Q, A]):
    """One question of many.

    Args:
        answer: answers several questions, in their order. An exception in an answer's place is raised to whoever
            asked that; one that it raises, to all of them.
    """

    def __init__(self, answer: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]]) -> None:
        self._answer = answer
        self._asked: list[tuple[Q, asyncio.Future[A]]] = []
        self._answering: asyncio.Task[None] | None = None

    async def __call__(self, question: Q) -> A:
        """Return the answer. Who is cancelled meanwhile may have been answered all the same."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._asked.append((question, future))
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer_all(), name="together")
        return await future

    async def _answer_all(self) -> None:
        try:
            while self._asked:
                some, self._asked = self._asked[:_MOST], self._asked[_MOST:]
                await self._answer_some(some)
        finally:
            self._answering = None

    async def _answer_some(self, some: Sequence[tuple[Q, "asyncio.Future[A]"]]) -> None:
        try:
            _tell(some, await self._answer([question for question, _ in some]))
        except BaseException as error:  # whatever it is, it is for those who asked, each of whom waits
            _tell(some, [error] * len(some))
            if not isinstance(error, Exception):
                raise


def _tell(some: Sequence[tuple[Q, "asyncio.Future[A]"]], answers: Sequence[A | BaseException]) -> None:
    for (_, future), answer in zip(some, answers, strict=True):
        if future.done():  # who asked has gone
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
