"""Letters, and what crashes, neighbours and chance do to them: each suggestion is told once all the same."""

import asyncio
import email.utils
import random
from collections import Counter
from datetime import timedelta

import pytest

from schemas.ambassadors import Alerting
from schemas.suggestions import SuggestionMade
from services.notifier.domain.pace import pace_of
from tests.component.notifier.letters import EVENING, HOUSE, MORNING, names_of, paced, some
from tests.component.notifier.world import LEASE, CrashError, Death, Process, World, crashing
from tests.unit.notifier.samples import made, person


@pytest.fixture(autouse=True)
def house(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)


STEPS = [
    f"{when} {call}"
    for call in (
        *("states", "told_on", "add", "expect"),
        *("next_agenda", "best", "write", "look_again", "in_letter", "delivered"),
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


@pytest.mark.parametrize("seed", range(2))
async def test_a_random_life_tells_everything_once_at_open_hours(world: World, seed: int) -> None:
    """Arrivals, corrections, crashes and jumps of the clock, by chance."""
    chance = random.Random(seed)
    people = [
        paced("amina", rhythm=chance.choice(["at_once", "hourly", "daily"]), days=["MO", "TU", "WE", "TH", "FR"]),
        paced("badr", rhythm=chance.choice(["at_once", "daily"]), time_zone="Asia/Dubai", most_per_day=2),
    ]
    alphabet = list("abcdefghijklmnop")
    process = await world.start()
    await process.take(*people)
    while alphabet:
        come = [made(alphabet.pop(), score=chance.random()) for _ in range(min(len(alphabet), chance.randrange(4)))]
        await _crash_or_not(world, chance, come)
        world.now += timedelta(minutes=chance.choice([1, 20, 200, 700]))
    for _ in range(24):
        world.now += timedelta(hours=7)
        await (await world.start()).run()
    for whom in people:
        mails = [mail for recipient, mail in world.mail.mails if recipient == whom.email]
        told = Counter("".join(names_of(mail) for mail in {str(mail["Message-ID"]): mail for mail in mails}.values()))
        assert told == Counter("abcdefghijklmnop")
        pace = pace_of(Alerting.model_validate(whom.alerting), world.settings.house)
        days: Counter[object] = Counter()
        for mail in mails:
            sent = email.utils.parsedate_to_datetime(str(mail["Date"]))
            assert pace.open_from(sent) == sent
            days[pace.day(sent)] += len(names_of(mail))
        assert max(days.values()) <= pace.most_per_day


async def _crash_or_not(world: World, chance: random.Random, events: list[SuggestionMade]) -> None:
    """Have a process take events and deliver; it may end anywhere, and another goes on."""
    ends_in = chance.randrange(60)

    def dying_at(_: str) -> bool:
        nonlocal ends_in
        ends_in -= 1
        return ends_in == 0

    process: Process = await world.start(dying_at)
    try:
        await process.take(*events)
        await process.parts.pacing.write_letters()
    except CrashError:
        await (await world.start()).take(*events)
    world.now += LEASE
    await (await world.start()).run()
