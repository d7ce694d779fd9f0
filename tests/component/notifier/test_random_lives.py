"""A notifier's life by chance: what comes, what people do, crashes, and a clock that jumps, back as well."""

import email.utils
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from email.message import EmailMessage

import pytest

from schemas.ambassadors import Alerting, AmbassadorPublished
from schemas.feedback import Act, FeedbackGiven, Side
from schemas.suggestions import SuggestionMade
from services.notifier.domain.introduction import Phase, Purpose, introduction
from services.notifier.domain.pace import pace_of
from tests.component.notifier import introductions
from tests.component.notifier.introductions import NO, YES
from tests.component.notifier.letters import HOUSE, due_by, names_of, paced
from tests.component.notifier.world import LEASE, CrashError, Process, World, answer_address, inbox
from tests.unit.notifier.samples import changed, contact, made, sid

NAMES = "abcdefghijklmnop"

# Calls of the store before a process ends: from the first to more than a batch and its e-mails take.
LIVES_FOR = 90

# The least that a digest, a night and the jumps of this clock leave time for.
DEADLINES_FROM = timedelta(hours=36)

# Beyond the question what came of an introduction, which is a month after it.
THE_REST = (*(timedelta(hours=7) for _ in range(24)), *(timedelta(days=8, hours=5) for _ in range(6)))


@pytest.fixture(autouse=True)
def house(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)


class Life:
    """What happens, by chance, and what is known of it afterwards."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.people = [
            paced("amina", rhythm=self.chance.choice(["hourly", "daily"]), days=["MO", "TU", "WE", "TH", "FR"]),
            paced("badr", rhythm=self.chance.choice(["at_once", "daily"]), time_zone="Asia/Dubai", most_per_day=2),
            paced("driss", rhythm=self.chance.choice(["daily", "weekly"]), most_per_day=100),
        ]
        self.come: dict[str, SuggestionMade] = {}
        self.crashes = 0
        self.left = 0
        """Calls of the store that the process of now lives for."""

    async def happen(self) -> None:
        """Let all of it come, then time pass until nothing more is due."""
        await self._through(lambda process: process.take(*self.people, contact("atlas"), contact("sensors-lab")))
        names = list(NAMES)
        while names:
            some = [self._new(names.pop()) for _ in range(min(len(names), self.chance.randrange(4)))]
            old = self.chance.sample(sorted(self.come), min(len(self.come), 2))
            corrected = [changed(self.come[name], rev=self.come[name].rev + 1) for name in old]
            self.come |= dict(zip(old, corrected, strict=True)) | dict(some)
            await self._through(lambda process, new=[e for _, e in some] + corrected: process.take(*new))
            for act in self.chance.sample([self._introduce, self._answer, self._answer], 2):
                await self._through(act)
            await self._through(lambda process: process.run(self._over(process)))
            self.world.now += timedelta(minutes=self.chance.choice([-50, 1, 20, 200, 700]))
        for step in THE_REST:
            self.world.now += step
            await (await self.world.start()).run()

    def _new(self, name: str) -> tuple[str, SuggestionMade]:
        deadline = self.world.now + DEADLINES_FROM + timedelta(hours=self.chance.randrange(240))
        score = self.chance.random()
        event = due_by(name, deadline) if self.chance.random() < 0.5 else made(name)
        return name, event.model_copy(update={"score": score})

    async def _through(self, work: Callable[[Process], Awaitable[None]]) -> None:
        """Have a process do something; it may end anywhere in it, and another one does it again."""
        self.left = self.chance.randrange(LIVES_FOR)

        def dying_at(_: str) -> bool:
            self.left -= 1
            return self.left <= 0

        process = await self.world.start(dying_at)
        with suppress(CrashError):
            await work(process)
        if self.left > 0:
            return
        self.crashes += 1
        self.left = 1_000_000
        self.world.now += LEASE
        await work(await self.world.start())

    def _over(self, process: Process) -> Callable[[], Awaitable[bool]]:
        async def over() -> bool:
            return self.left <= 0 or await process.quiet()

        return over

    async def _introduce(self, process: Process) -> None:
        """Driss introduces the two of something that he was told of."""
        if not self.come:
            return
        item = inbox("souss/driss") + f"/s/{sid(self.chance.choice(sorted(self.come)))}"
        page = await process.see(item)
        if 'value="introduced"' in page.text:
            await introductions.act(process, introductions.INTRODUCE, item=item)

    async def _answer(self, process: Process) -> None:
        """A side answers, whether its letter has come or not."""
        kept = await process.store.suggestions.load([sid(name) for name in self.come])
        for one in kept:
            if (found := introduction(one.acts)) is not None and found.phase is Phase.ASKED:
                said = YES if self.chance.random() < 0.8 else NO
                address = answer_address(one.suggestion_id, self.chance.choice(list(Side)), found.rev)
                async with process.browser() as client:
                    await client.post(address, data=said)
                return


@pytest.mark.parametrize("seed", range(1))
async def test_a_random_life_tells_everything_once_in_time_and_at_open_hours(world: World, seed: int) -> None:
    life = Life(world, seed)
    await life.happen()
    assert life.crashes > 3
    letters = {str(row["_id"]): row for row in await world.rows()}
    by_id = {str(mail["Message-ID"]): (recipient, mail) for recipient, mail in world.mail.mails}
    told = {id_: mail for id_, mail in by_id.items() if not _about_an_introduction(letters, id_)}
    for whom in life.people:
        _told_once_at_its_pace(world, whom, [mail for recipient, mail in told.values() if recipient == whom.email])
    _in_time(life, [mail for recipient, mail in told.values() if recipient == life.people[-1].email])
    await _introduced_once(world, letters)


def _about_an_introduction(letters: dict[str, dict[str, object]], message_id: str) -> bool:
    return letters[message_id.strip("<>").partition("@")[0]].get("purpose") is not None


def _told_once_at_its_pace(world: World, whom: AmbassadorPublished, mails: list[EmailMessage]) -> None:
    # What was introduced before it was told is not told any more.
    told = Counter("".join(names_of(mail) for mail in mails))
    assert max(told.values()) == 1
    pace = pace_of(Alerting.model_validate(whom.alerting), world.settings.house)
    days: Counter[object] = Counter()
    for mail in mails:
        sent = _sent(mail)
        assert pace.open_from(sent) == sent
        days[pace.day(sent)] += len(names_of(mail))
    assert max(days.values()) <= pace.most_per_day


def _sent(mail: EmailMessage) -> datetime:
    return email.utils.parsedate_to_datetime(str(mail["Date"]))


def _in_time(life: Life, mails: list[EmailMessage]) -> None:
    told_at = {name: _sent(mail) for mail in mails for name in names_of(mail)}
    assert told_at.keys() == set(NAMES)
    deadlines = {name: event.request.deadline for name, event in life.come.items() if event.request.deadline}
    assert all(told_at[name] < deadline for name, deadline in deadlines.items())


async def _introduced_once(world: World, letters: dict[str, dict[str, object]]) -> None:
    store = (await world.start()).store
    kept = await store.suggestions.load([sid(name) for name in NAMES])
    found = {one.suggestion_id: introduction(one.acts) for one in kept}
    introduced = {key: one for key, one in found.items() if one is not None}
    assert introduced
    said = Counter((one.suggestion_id, one.act, one.side) for one in world.log.of(FeedbackGiven))
    assert max(said.values()) == 1
    assert {key for key, act, _ in said if act is Act.INTRODUCED} == introduced.keys()
    for key, one in introduced.items():
        rows = [row for row in letters.values() if row["suggestion_id"] == key and row.get("purpose")]
        posts = Counter((row["purpose"], row["side"]) for row in rows if row["state"] == "delivered")
        assert max((count for (purpose, _), count in posts.items() if purpose != Purpose.REMIND), default=0) <= 1
        met = [posts[Purpose.MET.value, side.value] for side in Side]
        assert met == ([1, 1] if one.met else [0, 0])
        assert posts[Purpose.OUTCOME.value, None] == one.met
