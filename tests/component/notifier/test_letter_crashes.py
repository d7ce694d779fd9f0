"""Letters, and what crashes, neighbours and chance do to them: each suggestion is told once all the same."""

import asyncio
from datetime import timedelta

import pytest

from tests.component.notifier.letters import EVENING, HOUSE, MORNING, names_of, some
from tests.component.notifier.world import LEASE, CrashError, Death, World, crashing
from tests.unit.notifier.samples import person


@pytest.fixture(autouse=True)
def house(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)


STEPS = [
    f"{when} {call}"
    for call in (
        *("states", "told_on", "add", "expect"),
        *("next_agenda", "best", "write", "look_again", "in_letters", "delivered"),
    )
    for when in ("before", "after")
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_anywhere_leaves_every_suggestion_in_one_letter(world: World, step: str) -> None:
    death = Death(step)
    events = (person(), *some("abcde"))
    world.now = EVENING
    first = await world.start(death)
    taken = False
    try:
        await first.take(*events)
        taken = True
        world.now = MORNING
        await first.parts.pacing.write_letters()
        await crashing(first.run(death.is_over))
    except CrashError:
        pass
    assert death.over
    world.now = MORNING + LEASE
    second = await world.start()
    if not taken:  # its offset was not committed
        await second.take(*events)
    await second.run()
    world.now += timedelta(days=1)
    await second.run()
    by_id = {str(mail["Message-ID"]): names_of(mail) for _, mail in world.mail.mails}
    assert sorted("".join(by_id.values())) == list("abcde")
    assert sorted(map(len, by_id.values())) in ([2, 3], [1, 1, 1, 2])
    # Only a crash between sending and noting it sends a letter again, under the same id.
    assert len(world.mail.mails) - len(by_id) <= (1 if step.endswith("delivered") else 0)
    assert {row["state"] for row in await world.rows()} == {"delivered"}


async def test_replicas_that_write_letters_at_once_write_each_once(world: World) -> None:
    world.now = EVENING
    replicas = [await world.start() for _ in range(4)]
    people = [person(f"p{number}") for number in range(6)]
    await replicas[0].take(*people, *some("abcdefg"))
    for day in range(3):
        world.now = MORNING + timedelta(days=day)
        await asyncio.gather(*(replica.parts.pacing.write_letters() for replica in replicas))
        await asyncio.gather(*(replica.run() for replica in replicas))
    told_to: dict[str, list[str]] = {}
    for recipient, mail in world.mail.mails:
        told_to.setdefault(recipient, []).append(names_of(mail))
    assert len(told_to) == 6
    assert all(letters == ["abc", "def", "g"] for letters in told_to.values())
