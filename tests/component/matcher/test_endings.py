"""Withdrawal, expiry, suspension and erasure take effect at once, and are told."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.cloudevents import Envelope
from schemas.ids import derived_id
from schemas.members import Admission, MemberKind, MemberRef
from schemas.needs import NeedStatus
from schemas.suggestions import LapseReason, SuggestionLapsed
from tests.component.matcher.actors import (
    ABOUT_IRRIGATION,
    erased_member,
    erased_need,
    grower,
    irrigation,
    member,
    others,
    soil_lab,
)
from tests.component.matcher.conftest import BAR, System

SUGGESTION = derived_id("suggestion", "atlas/irrigation", "atlas/labo-sol")


async def tell(system: System, **fields: object) -> None:
    await system.give(*others(), grower(), soil_lab(), irrigation(**fields))
    assert "labo-sol" in {made.offer.party.member_id for made in system.log.made()}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (irrigation(rev=2, status=NeedStatus.WITHDRAWN), LapseReason.WITHDRAWN),
        (irrigation(rev=2, direction="offer"), LapseReason.WITHDRAWN),
        (soil_lab(rev=2, admission=Admission.SUSPENDED), LapseReason.NOT_ELIGIBLE),
        (grower(rev=2, admission=Admission.LEFT), LapseReason.NOT_ELIGIBLE),
        (soil_lab(rev=2, kinds_sought=[MemberKind.INNOVATION_CITY]), LapseReason.NOT_ELIGIBLE),
        (
            irrigation(rev=2, excluded=[MemberRef(cluster="atlas", member_id="labo-sol")]),
            LapseReason.NOT_ELIGIBLE,
        ),
        (member("labo-sol", rev=2), LapseReason.WITHDRAWN),
    ],
    ids=["withdrawn", "turned around", "member suspended", "asker left", "wishes", "excluded", "asset gone"],
)
async def test_what_does_not_stand_any_more_lapses(system: System, change: Envelope, reason: LapseReason) -> None:
    await tell(system)
    await system.give(change)
    lapses = [envelope.value for envelope in system.log.take() if isinstance(envelope.value, SuggestionLapsed)]
    assert [(lapsed.suggestion_id, lapsed.reason) for lapsed in lapses] == [(SUGGESTION, reason)]


@pytest.mark.parametrize(
    "change",
    [
        irrigation(rev=2, status=NeedStatus.WITHDRAWN),
        grower(rev=2, admission=Admission.SUSPENDED),
        erased_need("irrigation", 2),
        erased_member("verger", 2),
    ],
    ids=["withdrawn", "suspended", "need erased", "owner erased"],
)
async def test_a_request_that_ended_finds_nobody(system: System, change: Envelope) -> None:
    await system.give(*others(), grower(), irrigation())
    await system.give(change)
    system.log.take()
    await system.give(soil_lab())
    assert system.log.take() == []


@pytest.mark.parametrize("change", [soil_lab(rev=2, admission=Admission.SUSPENDED), erased_member("labo-sol", 2)])
async def test_a_member_that_is_gone_is_not_found(system: System, change: Envelope) -> None:
    await system.give(*others(), grower(), soil_lab())
    await system.give(change)
    system.log.take()
    await system.give(irrigation())
    assert system.log.take() == []


async def test_a_deadline_ends_a_need_without_an_event(system: System) -> None:
    await tell(system, deadline=system.now + timedelta(hours=1))
    await system.pass_time(timedelta(minutes=59))
    assert system.log.take() == []
    await system.pass_time(timedelta(minutes=1))
    assert [lapsed.reason for lapsed in system.log.lapsed()] == [LapseReason.EXPIRED]
    await system.pass_time(timedelta(days=1))
    await system.give(soil_lab(member_id="labo-sol-2"))
    assert system.log.take() == []


async def test_a_deadline_that_passed_while_nobody_looked(system: System) -> None:
    await tell(system, deadline=system.now + timedelta(hours=1))
    system.now += timedelta(days=1)
    await system.start()
    await system.pass_time(timedelta(seconds=1))
    assert [lapsed.reason for lapsed in system.log.lapsed()] == [LapseReason.EXPIRED]


async def test_when_its_last_need_ends_a_member_is_paired_by_its_interests_again(system: System) -> None:
    await system.give(*others(), soil_lab())
    await system.give(irrigation(deadline=system.now + timedelta(hours=1)), grower(interests=["Humidité du sol, eau"]))
    assert {made.request.request_id for made in system.log.made()} == {"irrigation"}
    await system.pass_time(timedelta(hours=1))
    made = [e.value for e in system.log.take() if e.value is not None and e.value.event_type.endswith("made.v1")]
    assert [suggestion.request.request_id for suggestion in made] == ["verger"]


async def test_an_expiry_is_not_repeated_after_a_restart(system: System) -> None:
    bar = replace(BAR, standing=1)
    await system.start(bar=bar)
    await system.give(*others(), soil_lab(), soil_lab(member_id="labo-sol-2"), grower(interests=["Humidité du sol"]))
    await system.give(irrigation(deadline=system.now + timedelta(hours=1)))
    await system.pass_time(timedelta(hours=1))
    await system.give(soil_lab(rev=2, admission=Admission.SUSPENDED))
    system.log.take()
    await system.start(bar=bar)
    await system.pass_time(timedelta(seconds=1))
    assert system.log.take() == []


async def test_a_member_that_is_admitted_again_stands_again_without_a_new_revision(system: System) -> None:
    await tell(system)
    await system.give(soil_lab(rev=2, admission=Admission.SUSPENDED))
    system.log.take()
    await system.give(soil_lab(rev=3))
    assert [(made.revision, made.rev) for made in system.log.made()] == [(1, 3)]


@pytest.mark.parametrize("rev", [2, None], ids=["ours", "foreign"])
@pytest.mark.parametrize("side", ["asker", "member", "need"])
async def test_erasure_leaves_no_words(system: System, side: str, rev: int | None) -> None:
    await tell(system)
    tombstone = {
        "asker": erased_member("verger", rev),
        "member": erased_member("labo-sol", rev),
        "need": erased_need("irrigation", rev),
    }[side]
    await system.give(tombstone)
    [envelope] = system.log.take()
    assert envelope.value is None
    assert envelope.rev == 2
    if side == "asker":
        await system.give(erased_need("irrigation", rev))
    left = await system.words_left()
    words = {"asker": ("nom de verger", "étalonner", "modéliser"), "member": ("nom de labo-sol", "banc", "parcelles")}
    assert [word for word in words.get(side, ("étalonner", "modéliser")) if word in left] == []


@pytest.mark.parametrize("rev", [2, None], ids=["ours", "foreign"])
async def test_what_was_erased_does_not_come_back_with_an_event_read_again(system: System, rev: int | None) -> None:
    await tell(system)
    await system.give(erased_member("labo-sol", rev), erased_need("irrigation", rev))
    system.log.take()
    await system.start()
    await system.give(soil_lab(), irrigation())
    await system.give(soil_lab(member_id="labo-sol-2"))
    assert system.log.take() == []
    assert "étalonner" not in await system.words_left()


async def test_a_member_that_comes_back_after_erasure_is_told_anew(system: System) -> None:
    await tell(system)
    await system.give(erased_member("labo-sol", 2))
    await system.give(soil_lab(rev=3))
    envelopes = system.log.take()
    assert [envelope.rev for envelope in envelopes] == [2, 3]
    assert envelopes[1].value is not None
    assert envelopes[1].value.model_dump()["revision"] == 2


async def test_erased_and_published_again_in_one_batch(system: System) -> None:
    await tell(system)
    await system.give(soil_lab(), erased_member("labo-sol", None), soil_lab(rev=2))
    await system.give(irrigation(need_id="autre", title="Tensiomètres, étalonnage, agrumes, humidité du sol", text=""))
    assert "labo-sol" in {made.offer.party.member_id for made in system.log.made()}


async def test_an_erased_city_loses_its_name_in_what_was_told_of_others(system: System) -> None:
    city = member("cite-anzar", MemberKind.INNOVATION_CITY, name="Cité Anzar")
    await system.give(city, *others(), grower(), soil_lab(city="cite-anzar"), irrigation())
    system.log.take()
    await system.give(erased_member("cite-anzar", 2))
    states = [envelope.value for envelope in system.log.take() if envelope.value is not None]
    assert [state.offer.party.city_name for state in states] == [""]
    assert "cité anzar" not in await system.words_left()


async def test_a_repeated_need_outlives_the_erased_one(system: System) -> None:
    await tell(system)
    await system.give(irrigation(need_id="encore"))
    await system.give(erased_need("irrigation", 2))
    [made] = system.log.made()
    assert (made.revision, made.request.request_id) == (1, "encore")


def test_the_words_looked_for_are_those_of_the_need() -> None:
    assert "étalonner" in ABOUT_IRRIGATION
    assert "modéliser" in ABOUT_IRRIGATION
