"""What is understood of a need before it is posted, and what would help it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from schemas.feedback import Act, FeedbackGiven, NotRelevantReason
from schemas.members import Admission, MemberKind, MemberPublished, MemberRef, Reach, Visibility
from schemas.previews import AdviceCode, NeedPreview
from services.matcher.domain.decisions import suggestion_id
from services.matcher.domain.directory import Directory
from services.matcher.domain.pairing import Pairing
from services.matcher.domain.previewing import UnknownAskerError, preview
from tests.unit.matcher.actors import NOW, asset, member, need
from tests.unit.matcher.test_pairing import arrive, pairing

SUBJECT = "Étalonnage de tensiomètres pour sols salins et parcelles irriguées"
GERMAN = "Wir suchen ein Labor zur Kalibrierung unserer Bodensonden"
TEXT = "Nous cherchons un banc pour étalonner les tensiomètres de nos parcelles, et une glockenspiel."


def world(*more: MemberPublished, asker: dict[str, Any] | None = None) -> tuple[Directory, Pairing]:
    directory, matched = Directory(), pairing(0.1)
    city = member("agadir", MemberKind.INNOVATION_CITY, name="Cité d’Agadir")
    sols = member("sols", name="Labo Sols", city="agadir", assets=[asset("a", SUBJECT, "Banc pour sols salins")])
    tissu = member("tissu", assets=[asset("a", "Teinture de fibres", "Polyester et coton, pour le fil")])
    fonds = member("fonds", MemberKind.FUNDER, assets=[asset("a", "Amorçage de jeunes pousses")])
    verger = member("verger", MemberKind.COMPANY, **(asker or {}))
    arrive(directory, matched, city, sols, tissu, fonds, verger, *more)
    return directory, matched


def look(world: tuple[Directory, Pairing], **fields: Any) -> NeedPreview:
    return preview(need(**({"title": SUBJECT, "text": TEXT} | fields)), *world, NOW)


def reached(found: NeedPreview) -> dict[str, int]:
    return {kind.kind.value: kind.members for kind in found.reached.by_kind}


def test_it_says_which_words_count_and_which_nobody_else_uses() -> None:
    own = {"assets": [asset("own", "Glockenspiel", "Essai de glockenspiel")]}
    found = look(world(asker=own))
    words = [word.word for word in found.words]
    assert {"Étalonnage", "tensiomètres", "sols", "salins"} <= set(words)
    assert "pour" not in words
    weights = [word.weight for word in found.words]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == 1
    assert set(weights) <= {0.25, 0.5, 0.75, 1}
    assert "glockenspiel" in found.unshared  # the asker's own asset is nobody else's
    assert found.language == "fr"


def test_what_nobody_may_see_of_a_member_is_not_learned_from_words() -> None:
    text = "Nous cherchons des zarzamoras, un glockenspiel et un banc pour étalonner nos tensiomètres."
    to_all = Visibility(reach=Reach.ALL)
    shown = []
    for kept in (False, True):
        seen = Visibility(reach=Reach.OWN_CLUSTER) if kept else to_all
        about = asset("a", "Zarzamora", "Culture de zarzamoras et de glockenspiel")
        hidden = member("secret", cluster="rif", visibility=seen, assets=[about])
        shown.append(look(world(hidden), text=text, visibility=to_all))
    seen_by_all, hidden_from_us = shown
    nobody = look(world(), text=text, visibility=to_all)
    assert not {"zarzamoras", "glockenspiel"} & set(seen_by_all.unshared)
    assert {"zarzamoras", "glockenspiel"} <= set(hidden_from_us.unshared)
    assert hidden_from_us.unshared == nobody.unshared
    assert [word.word for word in hidden_from_us.words] == [word.word for word in nobody.words]


def test_who_is_not_admitted_is_told_of_no_words_and_no_kinds() -> None:
    found = look(world(asker={"admission": Admission.CANDIDATE}), kinds_sought=[MemberKind.LABORATORY])
    assert (found.words, found.unshared, found.nearest, found.reached.members) == ((), (), (), 0)
    assert [advice.code for advice in found.advice] == [AdviceCode.NOT_ADMITTED]


def test_a_kind_that_hides_is_as_absent_as_one_that_is_not_there() -> None:
    seen = Visibility(reach=Reach.OWN_CLUSTER)
    hidden = member("u", MemberKind.UNIVERSITY, cluster="rif", visibility=seen, kinds_sought=[MemberKind.FUNDER])
    for some in (world(), world(hidden)):
        codes = {advice.code: advice.kinds for advice in look(some, kinds_sought=[MemberKind.UNIVERSITY]).advice}
        assert codes[AdviceCode.KINDS_ABSENT] == (MemberKind.UNIVERSITY,)


def test_it_says_who_is_near_and_whether_they_would_be_told_of() -> None:
    found = look(world())
    [first, *_] = found.nearest
    assert (first.name, first.member) == ("Labo Sols", MemberRef(cluster="atlas", member_id="sols"))
    assert first.city is not None
    assert first.city.name == "Cité d’Agadir"
    assert first.suggested
    assert first.score >= found.bar
    assert {"Étalonnage", "tensiomètres"} <= set(first.words)
    assert found.suggested == 1
    assert look(world(), title="Teinture rapide", text="").nearest[0].suggested is False


def test_it_counts_those_whom_it_may_face_and_nobody_else() -> None:
    found = look(world())
    assert reached(found) == {"laboratory": 2, "innovation_city": 1}  # no funder, unless it is sought
    assert found.reached.members == 3
    cities = {city.city.name if city.city else None: city.members for city in found.reached.by_city}
    assert cities == {"Cité d’Agadir": 2, None: 1}
    assert reached(look(world(), kinds_sought=["funder"])) == {"funder": 1}
    excluded = [MemberRef(cluster="atlas", member_id="sols")]
    assert reached(look(world(), excluded=excluded)) == {"laboratory": 1, "innovation_city": 1}
    assert look(world(), countries=["FR"]).reached.members == 0


def test_it_counts_no_one_whom_the_asker_knows_or_was_told_of_by_a_need_that_this_repeats() -> None:
    directory, matched = world()
    two = {"requesting": MemberRef(cluster="atlas", member_id="verger")}
    arrive(directory, matched, need(title=SUBJECT, text=TEXT))
    for lab, reason in (("sols", None), ("tissu", NotRelevantReason.ALREADY_IN_TOUCH)):
        told = UUID(suggestion_id("atlas/besoin", f"atlas/{lab}"))
        given = FeedbackGiven(
            feedback_id=told, suggestion_id=told, cluster="atlas", ambassador_id="amina", rev=1, given_at=NOW,
            act=Act.NOT_RELEVANT if reason else Act.INTRODUCED, reason=reason,
            offering=MemberRef(cluster="atlas", member_id=lab), **two,
        )  # fmt: skip
        arrive(directory, matched, given)
    repeated = look((directory, matched), need_id="encore")
    assert reached(repeated) == {"innovation_city": 1}
    assert [near.member for near in repeated.nearest if near.suggested] == []
    assert reached(look((directory, matched), need_id="autre", title="Un tout autre sujet", text="")) == {
        "laboratory": 1,
        "innovation_city": 1,
    }


@pytest.mark.parametrize(
    ("visibility", "named"),
    [
        (Visibility(), False),
        (Visibility(reach=Reach.ALL), True),
        (Visibility(reach=Reach.NAMED_CLUSTERS, clusters=("atlas",)), True),
    ],
)
def test_across_clusters_only_those_who_opened_themselves_are_named(visibility: Visibility, named: bool) -> None:
    ways = [
        member("vers-rif", MemberKind.PARTNER_CLUSTER, represents="rif"),
        member("vers-atlas", MemberKind.PARTNER_CLUSTER, cluster="rif", represents="atlas"),
    ]
    tanger = member("tanger", MemberKind.INNOVATION_CITY, cluster="rif", name="Cité de Tanger", visibility=visibility,
                    assets=[asset("a", SUBJECT, TEXT)])  # fmt: skip
    autre = member("autre", cluster="rif", city="tanger", name="Labo du Rif", visibility=visibility,
                   assets=[asset("a", SUBJECT)])  # fmt: skip
    found = look(world(*ways, tanger, autre))
    near = [one for one in found.nearest if one.score > 0 and one.kind in ("innovation_city", "laboratory")]
    names = {one.name for one in near}
    assert ("Cité de Tanger" in names, "Labo du Rif" in names) == (named, named)
    said = found.model_dump_json()
    assert ("tanger" in said.casefold()) == named
    assert "autre" not in said or named


@pytest.mark.parametrize(
    ("fields", "code", "more"),
    [
        ({"title": "Besoin", "text": ""}, AdviceCode.FEW_WORDS, {"found": 0, "wanted": 5}),
        ({"title": "Glockenspiel et marimba", "text": ""}, AdviceCode.NOTHING_SHARED, {}),
        ({"title": "Teinture", "text": ""}, AdviceCode.BELOW_BAR, {}),
        ({"title": "Bodensonden", "text": GERMAN}, AdviceCode.LANGUAGE_UNCLEAR, {}),
        ({"language": "de"}, AdviceCode.LANGUAGE_NOT_READ, {"language": "de"}),
        ({"deadline": NOW - timedelta(days=1)}, AdviceCode.DEADLINE_PAST, {}),
        ({"deadline": NOW + timedelta(days=2, hours=3)}, AdviceCode.DEADLINE_NEAR, {"found": 2, "wanted": 7}),
        ({"kinds_sought": ["university", "laboratory"]}, AdviceCode.KINDS_ABSENT, {"kinds": (MemberKind.UNIVERSITY,)}),
        ({"countries": ["FR"]}, AdviceCode.NOBODY_REACHED, {}),
        ({"status": "withdrawn"}, AdviceCode.WITHDRAWN, {}),
        ({"direction": "offer"}, AdviceCode.OFFER, {}),
    ],
)
def test_what_would_help_is_said(fields: dict[str, Any], code: AdviceCode, more: dict[str, Any]) -> None:
    advice = {one.code: one for one in look(world(), **fields).advice}
    assert code in advice, advice
    assert {name: getattr(advice[code], name) for name in more} == more
    assert not [one for one in look(world()).advice if one.code is code]


def test_a_good_need_gets_no_advice() -> None:
    assert look(world()).advice == ()


def test_who_is_not_admitted_reaches_nobody_and_is_told_so() -> None:
    found = look(world(asker={"admission": Admission.CANDIDATE}))
    assert [one.code for one in found.advice] == [AdviceCode.NOT_ADMITTED]
    assert (found.reached.members, found.nearest) == (0, ())


def test_of_an_unknown_member_nothing_is_said() -> None:
    with pytest.raises(UnknownAskerError):
        look(world(), member_id="inconnu")
