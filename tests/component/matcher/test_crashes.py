"""Wherever the process dies, nothing is lost and nothing is told twice."""

import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import pytest

from schemas.base import Event
from schemas.cloudevents import Envelope
from schemas.feedback import Act
from schemas.ids import derived_id
from schemas.members import Admission, MemberKind
from schemas.needs import NeedStatus
from services.runtime.errors import BrokerUnavailableError
from tests.component.matcher.actors import (
    FISH_ASSET,
    erased_member,
    feedback,
    grower,
    irrigation,
    member,
    need,
    others,
    soil_lab,
)
from tests.component.matcher.conftest import Crash, System
from tests.component.matcher.log import RecordingLog, compacted

STORY: list[list[Envelope]] = [
    [*others(), grower()],
    [irrigation(), soil_lab(alerts=False)],
    [
        member("conserverie", MemberKind.COMPANY, interests=["Chaîne du froid de la sardine", "Sondes de température"]),
        need(
            "froid", "conserverie", "Sondes de température pour caisses de sardine", "Chaîne du froid du quai à l’usine"
        ),
        soil_lab(member_id="labo-sol-2"),
    ],
    [
        irrigation(rev=2, text="Étalonnage de capteurs, tensiomètres et sondes de la serre."),
        irrigation(need_id="encore"),
    ],
    [
        feedback(
            derived_id("suggestion", "atlas/froid", "atlas/labo-peche"), Act.INTRODUCED, "conserverie", "labo-peche"
        ),
        member("labo-peche", MemberKind.LABORATORY, FISH_ASSET, rev=2, admission=Admission.SUSPENDED),
        need("froid", "conserverie", "Sondes de température pour caisses", rev=2, status=NeedStatus.WITHDRAWN),
    ],
    [erased_member("labo-sol-2", 2), member("labo-peche", MemberKind.LABORATORY, FISH_ASSET, rev=3)],
]


class Doom:
    """Dies at a step about every second time that it comes to it, in an order that is the same each run."""

    def __init__(self, step: str) -> None:
        self.deaths = 0
        self._step = step
        self._dice = random.Random(step)

    def __call__(self, step: str) -> bool:
        dies = step == self._step and self._dice.random() < 0.5
        self.deaths += dies
        return dies


async def live(
    system: System, batches: Sequence[Sequence[Envelope]], dying_at: Callable[[str], bool] = lambda _: False
) -> dict[str, Event | None]:
    """Have the batches handled, each as often as it takes; return what the log keeps."""
    await _insist(lambda: system.start(dying_at=dying_at))
    for batch in batches:
        while True:
            try:
                await system.give(*batch)
                break
            except Crash:
                await _insist(lambda: system.start(dying_at=dying_at))
    return compacted(system.log.envelopes)


async def _insist(start: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await start()
        except Crash:
            continue


@pytest.fixture
async def undisturbed(mongo_url: str) -> dict[str, Event | None]:
    system = System(url=mongo_url, log=RecordingLog())
    states = await live(system, STORY)
    await system.close()
    assert len(states) >= 4
    return states


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["told", "read_ahead", "commit", "unpublished", "published"])
async def test_a_crash_at_any_step_of_any_batch_changes_nothing(
    system: System, undisturbed: dict[str, Event | None], step: str, when: str
) -> None:
    doom = Doom(f"{when} {step}")
    assert await live(system, STORY, doom) == undisturbed
    assert doom.deaths


async def test_the_same_batches_again_tell_nothing(system: System) -> None:
    await live(system, STORY[:4])
    system.log.take()
    for batch in STORY[:4]:
        await system.give(*batch)
    assert system.log.take() == []
    await system.start()
    for batch in STORY[:4]:
        await system.give(*batch)
    assert system.log.take() == []


async def test_one_event_a_batch_or_all_in_one(system: System, mongo_url: str) -> None:
    arrivals = [*others(), grower(), soil_lab(), irrigation(), soil_lab(member_id="labo-sol-2")]
    single = await live(system, [[event] for event in arrivals])
    other = System(url=mongo_url, log=RecordingLog())
    await other.start()
    together = await live(other, [arrivals])
    await other.close()
    assert single.keys() == together.keys()


@pytest.mark.parametrize("lost", ["lost_before", "lost_after"])
async def test_what_the_broker_did_not_confirm_is_published_later(system: System, lost: str) -> None:
    await system.give(*others(), grower(), soil_lab(), soil_lab(member_id="labo-sol-2"))
    setattr(system.log, lost, 1)
    with pytest.raises(BrokerUnavailableError):
        await system.give(irrigation())
    await system.start()
    told = {made.offer.party.member_id for made in system.log.made()}
    assert told == {"labo-sol", "labo-sol-2"}
    await system.start()
    assert system.log.take() == []


async def test_an_expiry_that_a_crash_cut_short_is_completed(system: System) -> None:
    await system.give(*others(), soil_lab(), grower(interests=["Humidité du sol, étalonnage"]))
    await system.give(irrigation(deadline=system.now + timedelta(hours=1)))
    await system.start(dying_at=lambda place: place == "before commit")
    system.log.take()
    with pytest.raises(Crash):
        await system.pass_time(timedelta(hours=2))
    await system.start()
    await system.pass_time(timedelta(seconds=1))
    assert len(system.log.lapsed()) == 1
    await system.start()
    await system.pass_time(timedelta(seconds=1))
    assert system.log.take() == []


async def test_a_new_log_gets_every_suggestion_with_its_id_and_rev(system: System) -> None:
    await live(system, STORY)
    before = {str(envelope.key): (envelope.rev, envelope.event_id) for envelope in system.log.take()}
    await system.relay.publish_all_again()
    assert {str(envelope.key): (envelope.rev, envelope.event_id) for envelope in system.log.take()} == before


async def test_the_view_after_a_restart_is_that_of_before(system: System) -> None:
    await live(system, STORY[:3])
    before = await system.words_left()
    await system.start()
    await system.give(*STORY[2])
    await system.relay.publish_due()
    assert _rows(await system.words_left()) == _rows(before)


def _rows(dump: str) -> list[str]:
    return sorted(line for line in dump.splitlines() if "'session'" not in line)
