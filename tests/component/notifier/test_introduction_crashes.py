"""Introductions, and what crashes and neighbours do to them: each side is asked and told once all the same."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from schemas.feedback import Act
from tests.component.notifier.introductions import (
    ASKING,
    ATLAS,
    INTRODUCE,
    ITEM,
    LAB,
    OFFERING,
    YES,
    act,
    answer,
    feedback,
    sent,
)
from tests.component.notifier.world import LEASE, CrashError, Death, World, crashing
from tests.unit.notifier.samples import contact, made, person

STEPS = [
    f"{when} {call}"
    for call in ("add_act", "due_steps", "add", "stepped", "lease", "delivered", "announced")
    for when in ("before", "after")
]


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_anywhere_asks_and_introduces_each_side_once(world: World, step: str) -> None:
    death = Death(step)
    setting = await world.start()
    await setting.take(person(), made(), contact("atlas"), contact("sensors-lab"))
    await setting.run()
    world.mail.mails.clear()
    first = await world.start(death)
    try:
        await act(first, INTRODUCE)
        await crashing(first.run(death.is_over))
    except CrashError:
        pass
    assert death.over
    world.now += LEASE
    second = await world.start()
    await act(second, INTRODUCE) if "introduced" in (await second.see(ITEM)).text else None
    await second.run()
    await answer(second, ASKING, YES)
    await answer(second, OFFERING, YES)
    await second.run()
    subjects = Counter(sent(world))
    assert len(subjects) == 4
    assert set(subjects.values()) == {1}
    ids = Counter(world.mail.ids())
    assert len(ids) == 4
    assert max(ids.values()) <= 2
    # Both letters may have been in hand: what ends together is noted together.
    assert ids.total() <= (6 if step.endswith("delivered") else 4)
    assert [one.act for one in feedback(world)] == [Act.INTRODUCED, Act.ACCEPTED, Act.ACCEPTED]


@pytest.mark.parametrize("step", [one for one in STEPS if one.startswith("after") and "lease" not in one])
async def test_a_crash_after_the_last_answer_tells_each_side_once(world: World, step: str) -> None:
    death = Death(step)
    setting = await world.start()
    await setting.take(person(), made(), contact("atlas"), contact("sensors-lab"))
    await act(setting, INTRODUCE)
    await answer(setting, ASKING, YES)
    await setting.run()
    world.mail.mails.clear()
    first = await world.start(death)
    try:
        await answer(first, OFFERING, YES)
        await crashing(first.run(death.is_over))
    except CrashError:
        pass
    assert death.over
    world.now += LEASE
    second = await world.start()
    await answer(second, OFFERING, YES)
    await second.run()
    by_id = {str(mail["Message-ID"]): recipient for recipient, mail in world.mail.mails}
    assert sorted(by_id.values()) == [ATLAS, LAB]
    assert [one.act for one in feedback(world)] == [Act.INTRODUCED, Act.ACCEPTED, Act.ACCEPTED]


async def test_replicas_that_step_at_once_write_each_letter_once(world: World) -> None:
    replicas = [await world.start() for _ in range(3)]
    await replicas[0].take(person(), made(), contact("atlas"), contact("sensors-lab"))
    await replicas[0].run()
    world.mail.mails.clear()
    await act(replicas[0], INTRODUCE)
    for days in (0, 3, 4, 7):
        world.now += timedelta(days=days)
        await asyncio.gather(*(replica.parts.stepping.take_steps() for replica in replicas))
        await asyncio.gather(*(replica.run() for replica in replicas))
    ids = world.mail.ids()
    assert len(ids) == len(set(ids)) == 6
    assert Counter(one.act for one in feedback(world)) == {Act.INTRODUCED: 1, Act.DECLINED: 2}
