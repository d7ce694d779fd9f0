"""Many who ask at the same time."""

import asyncio
from collections.abc import Sequence

import pytest

from services.runtime.together import Together


class Oracle:
    """Doubles numbers once `open`; knows nothing of odd ones, and breaks at zero."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.goes: list[list[int]] = []

    async def answer(self, questions: Sequence[int]) -> Sequence[int | Exception]:
        self.goes.append(list(questions))
        await self.open.wait()
        if 0 in questions:
            raise ZeroDivisionError
        return [KeyError(question) if question % 2 else 2 * question for question in questions]


async def test_who_asks_while_others_are_answered_goes_with_the_next() -> None:
    oracle = Oracle()
    ask = Together(oracle.answer)
    first = asyncio.create_task(ask(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = [asyncio.create_task(ask(number)) for number in (4, 6, 8)]
    await asyncio.sleep(0)
    oracle.open.set()
    assert await asyncio.gather(first, *later) == [4, 8, 12, 16]
    assert oracle.goes == [[2], [4, 6, 8]]
    assert await ask(10) == 20


async def test_what_is_wrong_with_one_is_told_to_that_one() -> None:
    oracle = Oracle()
    oracle.open.set()
    ask = Together(oracle.answer)
    assert [type(said) for said in await asyncio.gather(*map(ask, (2, 3, 4)), return_exceptions=True)] == [
        int,
        KeyError,
        int,
    ]


async def test_what_is_wrong_with_all_is_told_to_all_and_the_next_are_answered() -> None:
    oracle = Oracle()
    oracle.open.set()
    ask = Together(oracle.answer)
    said = await asyncio.gather(ask(0), ask(2), return_exceptions=True)
    assert [type(one) for one in said] == [ZeroDivisionError, ZeroDivisionError]
    assert await ask(2) == 4


async def test_who_is_cancelled_keeps_nobody_from_an_answer() -> None:
    oracle = Oracle()
    ask = Together(oracle.answer)
    gone, here = asyncio.create_task(ask(2)), asyncio.create_task(ask(4))
    await asyncio.sleep(0)
    gone.cancel()
    oracle.open.set()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await here == 8
