"""Answers what many ask at the same time in one go: one question to the database instead of hundreds.

Nobody is kept waiting for company: who asks first is answered at once, and who asks meanwhile in the next go.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Together(Generic[Q, A]):
    """One question of many.

    Args:
        answer: answers several questions, in their order. An exception in an answer's place is raised to whoever
            asked that; one that it raises, to all of them.
        most: questions in one go.
    """

    def __init__(self, answer: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]], *, most: int = 500) -> None:
        self._answer = answer
        self._most = most
        self._asked: list[tuple[Q, asyncio.Future[A]]] = []
        self._answering: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """Return the answer. Who is cancelled meanwhile may have been answered all the same."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._asked.append((question, future))
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer_all())
        return await future

    async def _answer_all(self) -> None:
        try:
            while self._asked:
                some, self._asked = self._asked[: self._most], self._asked[self._most :]
                await self._answer_some([one for one in some if not one[1].done()])
        finally:
            self._answering = None

    async def _answer_some(self, some: Sequence[tuple[Q, "asyncio.Future[A]"]]) -> None:
        if not some:
            return
        try:
            answers = await self._answer([question for question, _ in some])
        except Exception as error:
            for _, future in some:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), answer in zip(some, answers, strict=True):
                if future.done():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
