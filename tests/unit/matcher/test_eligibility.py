"""Who may face whom, as a table: a pair that may meet, and each thing that keeps it from meeting."""

from datetime import timedelta
from typing import Any

import pytest

from schemas.feedback import Act
from schemas.members import Admission, MemberKind, MemberRef, Reach, Visibility
from services.matcher.domain.arrivals import SETTLING_ACTS
from services.matcher.domain.decisions import Decisions, suggestion_id
from services.matcher.domain.eligibility import USUAL_KINDS, Ineligible, ineligible
from services.matcher.domain.requests import posted_request
from tests.unit.matcher.actors import NOW, member, need

K = MemberKind
ABROAD = {"cluster": "sahara"}
EVERYWHERE = Visibility(reach=Reach.ALL)


def verdict(
    *,
    asking: dict[str, Any] | None = None,
    asks: dict[str, Any] | None = None,
    answering: dict[str, Any] | None = None,
    conventions: frozenset[tuple[str, str]] = frozenset(),
    decisions: Decisions | None = None,
) -> Ineligible | None:
    asker = member("verger", **{"kind": K.COMPANY, **(asking or {})})
    posted = need(**(asks or {}))
    return ineligible(
        posted_request(posted, str(posted.key)),
        asker,
        member(**(answering or {})),
        now=NOW,
        conventions=conventions,
        decisions=decisions or Decisions(),
    )


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({}, None),
        ({"answering": {"member_id": "verger"}}, Ineligible.ITSELF),
        ({"answering": {"admission": Admission.CANDIDATE}}, Ineligible.NOT_ADMITTED),
        ({"answering": {"admission": Admission.SUSPENDED}}, Ineligible.NOT_ADMITTED),
        ({"asking": {"admission": Admission.LEFT}}, Ineligible.NOT_ADMITTED),
        ({"answering": {"kind": K.FUNDER}}, Ineligible.KIND_NOT_SOUGHT),
        ({"asks": {"kinds_sought": [K.FUNDER]}, "answering": {"kind": K.FUNDER}}, None),
        ({"asks": {"kinds_sought": [K.FUNDER]}}, Ineligible.KIND_NOT_SOUGHT),
        ({"answering": {"kinds_sought": [K.COMPANY]}}, None),
        ({"answering": {"kinds_sought": [K.STARTUP]}}, Ineligible.ASKER_NOT_SOUGHT),
        ({"asks": {"countries": ["MA", "SN"]}}, None),
        ({"asks": {"countries": ["SN"]}}, Ineligible.COUNTRY),
        ({"asks": {"languages": ["ar"]}, "answering": {"languages": ["fr", "ar-MA"]}}, None),
        ({"asks": {"languages": ["ar", "en"]}, "answering": {"languages": ["fr"]}}, Ineligible.LANGUAGE),
        ({"asks": {"languages": ["ar"]}}, Ineligible.LANGUAGE),
        ({"asks": {"deadline": NOW + timedelta(seconds=1)}}, None),
        ({"asks": {"deadline": NOW}}, Ineligible.EXPIRED),
        ({"asks": {"excluded": [MemberRef(cluster="atlas", member_id="labo")]}}, Ineligible.EXCLUDED),
        ({"asks": {"excluded": [MemberRef(cluster="sahara", member_id="labo")]}}, None),
    ],
)
def test_what_keeps_a_request_from_a_member(case: dict[str, Any], expected: Ineligible | None) -> None:
    assert verdict(**case) is expected


@pytest.mark.parametrize(
    ("asks", "answering", "conventions", "expected"),
    [
        (EVERYWHERE, EVERYWHERE, [], None),
        (Visibility(reach=Reach.OWN_CLUSTER), EVERYWHERE, [], Ineligible.REQUEST_NOT_VISIBLE),
        (EVERYWHERE, Visibility(reach=Reach.OWN_CLUSTER), [], Ineligible.MEMBER_NOT_VISIBLE),
        (Visibility(reach=Reach.NAMED_CLUSTERS, clusters=("sahara",)), EVERYWHERE, [], None),
        (Visibility(reach=Reach.NAMED_CLUSTERS, clusters=("rif",)), EVERYWHERE, [], Ineligible.REQUEST_NOT_VISIBLE),
        (EVERYWHERE, Visibility(reach=Reach.NAMED_CLUSTERS, clusters=("atlas",)), [], None),
        (Visibility(), Visibility(), [], Ineligible.REQUEST_NOT_VISIBLE),
        (Visibility(), Visibility(), [("atlas", "sahara")], Ineligible.MEMBER_NOT_VISIBLE),
        (Visibility(), Visibility(), [("sahara", "atlas")], Ineligible.REQUEST_NOT_VISIBLE),
        (Visibility(), Visibility(), [("atlas", "sahara"), ("sahara", "atlas")], None),
        (Visibility(), EVERYWHERE, [("atlas", "sahara")], None),
    ],
)
def test_a_border_opens_from_both_sides(
    asks: Visibility, answering: Visibility, conventions: list[tuple[str, str]], expected: Ineligible | None
) -> None:
    case = verdict(
        asks={"visibility": asks},
        answering={**ABROAD, "visibility": answering},
        conventions=frozenset(conventions),
    )
    assert case is expected


def test_visibility_does_not_matter_at_home() -> None:
    own = Visibility(reach=Reach.OWN_CLUSTER)
    assert verdict(asks={"visibility": own}, answering={"visibility": own}) is None


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        (Decisions(suggestions={suggestion_id("atlas/besoin", "atlas/labo"): 1}), Ineligible.DECIDED),
        (Decisions(suggestions={suggestion_id("atlas/autre", "atlas/labo"): 1}), None),
        (Decisions(in_touch={frozenset(("atlas/labo", "atlas/verger"))}), Ineligible.DECIDED),
        (Decisions(in_touch={frozenset(("atlas/labo", "atlas/autre"))}), None),
    ],
)
def test_feedback_settles_pairs(decisions: Decisions, expected: Ineligible | None) -> None:
    assert verdict(decisions=decisions) is expected


def test_usual_kinds() -> None:
    assert USUAL_KINDS.keys() == set(K)
    assert {K.LABORATORY, K.UNIVERSITY, K.INNOVATION_CITY, K.STARTUP, K.COMPANY} == USUAL_KINDS[K.COMPANY]
    assert {K.COMPANY, K.STARTUP, K.INNOVATION_CITY} == USUAL_KINDS[K.LABORATORY] == USUAL_KINDS[K.UNIVERSITY]
    assert {K.COMPANY, K.STARTUP, K.LABORATORY, K.UNIVERSITY} == USUAL_KINDS[K.INNOVATION_CITY]
    assert all(kinds for kinds in USUAL_KINDS.values())


def test_acts_that_settle() -> None:
    assert {Act.INTRODUCED, Act.DECLINED, Act.NOT_RELEVANT} == SETTLING_ACTS
