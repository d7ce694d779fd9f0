"""Who is alerted, what feedback settles, and what crosses from one cluster into another."""

from datetime import timedelta

import pytest

from schemas.cloudevents import Envelope
from schemas.feedback import Act, NotRelevantReason
from schemas.members import Admission, MemberKind, Reach, Visibility
from schemas.suggestions import LapseReason
from tests.component.matcher.actors import (
    AT,
    SOIL_ASSET,
    erased_member,
    feedback,
    grower,
    irrigation,
    member,
    others,
    soil_lab,
)
from tests.component.matcher.conftest import System

LATER = AT + timedelta(hours=1)


@pytest.mark.parametrize(
    ("first", "second", "alerts"),
    [
        (soil_lab(alerts=False), irrigation(published_at=LATER), True),
        (soil_lab(), irrigation(alerts=False, published_at=LATER), False),
        (irrigation(alerts=False), soil_lab(published_at=LATER), True),
        (irrigation(), soil_lab(alerts=False, published_at=LATER), False),
        (irrigation(), soil_lab(alerts=False), True),  # nobody knows which was first
    ],
)
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("in_order", [True, False])
async def test_the_arrival_that_completes_the_pair_decides_who_is_alerted(
    system: System, first: Envelope, second: Envelope, alerts: bool, together: bool, in_order: bool
) -> None:
    await system.give(*others(), grower())
    system.log.take()
    both = [first, second] if in_order else [second, first]
    for batch in (both,) if together else ([both[0]], [both[1]]):
        await system.give(*batch)
    assert [made.alerts for made in system.log.made()] == [alerts]


async def test_an_event_read_again_keeps_its_place(system: System) -> None:
    await system.give(*others(), grower())
    await system.give(irrigation(alerts=False), soil_lab(published_at=LATER))
    first = system.log.made()
    await system.database["suggestions"].delete_many({})  # as if the process had died before they were stored
    await system.start()
    await system.give(irrigation(alerts=False))
    await system.give(soil_lab(published_at=LATER))
    assert [(made.suggestion_id, made.alerts) for made in system.log.made()] == [(first[0].suggestion_id, True)]


@pytest.mark.parametrize(
    ("act", "comes_back"),
    [
        (Act.INTRODUCED, False),
        (Act.DECLINED, False),
        (Act.NOT_RELEVANT, False),
        (Act.TAKEN, True),
        (Act.PASSED, True),
    ],
)
async def test_what_feedback_settled_is_not_told_again(system: System, act: Act, comes_back: bool) -> None:
    await system.give(*others(), grower(), soil_lab(), irrigation())
    [made] = [made for made in system.log.made() if made.offer.party.member_id == "labo-sol"]
    await system.give(feedback(made.suggestion_id, act, "verger", "labo-sol"))
    await system.start()
    other = {"title": "Étalonnage de tensiomètres et capteurs d’humidité", "text": "Pour notre verger d’agrumes."}
    await system.give(irrigation(rev=2, **other))
    assert [told.revision for told in system.log.made()] == ([2] if comes_back else [])


async def test_a_repeated_need_does_not_bring_back_what_was_declined(system: System) -> None:
    await system.give(*others(), grower(), soil_lab(), irrigation())
    [made] = system.log.made()
    await system.give(feedback(made.suggestion_id, Act.DECLINED, "verger", "labo-sol"))
    await system.give(irrigation(need_id="encore"))
    assert system.log.take() == []


async def test_members_in_touch_are_never_paired_whatever_they_ask(system: System) -> None:
    await system.give(*others(), grower(), soil_lab(), irrigation())
    [made] = system.log.made()
    reason = NotRelevantReason.ALREADY_IN_TOUCH
    await system.give(feedback(made.suggestion_id, Act.NOT_RELEVANT, "verger", "labo-sol", reason))
    await system.start()
    await system.give(irrigation(need_id="serre", title="Tensiomètres pour la serre : étalonnage", text="Humidité."))
    assert system.log.take() == []


def abroad(rev: int = 1, **fields: object) -> Envelope:
    return member("labo-sol", MemberKind.LABORATORY, SOIL_ASSET, rev=rev, cluster="sahara", **fields)


def convention(cluster: str, with_: str, rev: int = 1, admission: Admission = Admission.ADMITTED) -> Envelope:
    kind = MemberKind.PARTNER_CLUSTER
    return member(f"chez-{with_}", kind, rev=rev, cluster=cluster, represents=with_, admission=admission)


async def test_clusters_meet_once_each_has_opened_itself_to_the_other(system: System) -> None:
    await system.give(*others(), grower(), abroad(), irrigation())
    await system.give(convention("atlas", "sahara"))
    assert system.log.take() == []
    await system.give(convention("sahara", "atlas"))
    assert [made.offer.party.cluster for made in system.log.made()] == ["sahara"]


@pytest.mark.parametrize(
    "end",
    [convention("sahara", "atlas", 2, Admission.LEFT), erased_member("chez-atlas", 2, "sahara")],
    ids=["left", "erased"],
)
async def test_the_end_of_a_convention_ends_what_crossed_the_border(system: System, end: Envelope) -> None:
    await system.give(convention("atlas", "sahara"), convention("sahara", "atlas"))
    await system.give(*others(), grower(), abroad(), irrigation())
    assert system.log.made()
    await system.give(end)
    assert [lapsed.reason for lapsed in system.log.lapsed()] == [LapseReason.NOT_ELIGIBLE]


@pytest.mark.parametrize(
    ("need", "lab", "told"),
    [
        (Visibility(reach=Reach.ALL), Visibility(reach=Reach.ALL), True),
        (Visibility(reach=Reach.ALL), Visibility(reach=Reach.OWN_CLUSTER), False),
        (Visibility(reach=Reach.OWN_CLUSTER), Visibility(reach=Reach.ALL), False),
        (Visibility(reach=Reach.NAMED_CLUSTERS, clusters=("sahara",)), Visibility(reach=Reach.ALL), True),
        (Visibility(reach=Reach.NAMED_CLUSTERS, clusters=("rif",)), Visibility(reach=Reach.ALL), False),
    ],
)
async def test_both_sides_decide_how_far_they_are_seen(
    system: System, need: Visibility, lab: Visibility, told: bool
) -> None:
    await system.give(*others(), grower(), abroad(visibility=lab), irrigation(visibility=need))
    assert bool(system.log.made()) is told
