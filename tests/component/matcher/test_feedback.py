"""What ambassadors say of a suggestion lowers others, shows in them, and is undone by time."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from schemas.cloudevents import Envelope
from schemas.feedback import Act, NotRelevantReason
from schemas.suggestions import AdjustmentScope, SuggestionMade
from services.matcher.domain.holding import slot
from services.matcher.domain.pairing import Bar
from services.matcher.store import MatcherStore
from services.runtime.errors import TransientError
from tests.component.matcher.actors import (
    ABOUT_IRRIGATION,
    AT,
    erased_member,
    erased_need,
    feedback,
    grower,
    irrigation,
    member,
    others,
    soil_lab,
)
from tests.component.matcher.conftest import BAR, System
from tests.component.matcher.log import compacted
from tests.component.matcher.test_replicas import Replica, replicas

__all__ = ["replicas"]  # a fixture

R = NotRelevantReason
OTHER_WORDS = {
    "title": "Étalonnage de tensiomètres et de capteurs d’humidité du sol",
    "text": "Pour notre verger d’agrumes, parcelle par parcelle, avant la saison chaude.",
}
MORE = ABOUT_IRRIGATION + " Nous cherchons aussi qui étalonne nos capteurs."
GREENHOUSE = {
    "title": "Étalonnage de tensiomètres pour la serre",
    "text": "Humidité du sol sous abri, goutte à goutte.",
}


def put_aside(suggestion: UUID, reason: NotRelevantReason) -> Envelope:
    return feedback(suggestion, Act.NOT_RELEVANT, "verger", "labo-sol", reason, revision=1)


async def told(system: System) -> SuggestionMade:
    """A suggestion of which something is to be said."""
    await system.give(*others(), grower(), soil_lab(), irrigation())
    [made] = system.log.made()
    return made


def weight(made: SuggestionMade) -> list[tuple[NotRelevantReason, AdjustmentScope, float, int]]:
    return [(each.reason, each.scope, round(each.factor, 6), each.count) for each in made.adjustments]


@pytest.mark.parametrize(
    ("reason", "weighs"),
    [
        (R.OTHER, []),
        (R.WRONG_TOPIC, [(R.WRONG_TOPIC, AdjustmentScope.PAIRING, 0.5, 1)]),
        (R.NOT_AVAILABLE, [(R.NOT_AVAILABLE, AdjustmentScope.CLUSTER, 0.8, 1)]),
    ],
)
async def test_what_was_put_aside_comes_back_once_its_text_is_another(
    system: System, reason: NotRelevantReason, weighs: list[object]
) -> None:
    made = await told(system)
    await system.give(put_aside(made.suggestion_id, reason))
    await system.give(irrigation(rev=2, countries=["MA"]), soil_lab(rev=2))  # the same words
    assert system.log.take() == []
    await system.start()
    await system.give(irrigation(rev=3, **OTHER_WORDS))
    [again] = system.log.made()
    assert (again.suggestion_id, again.revision, weight(again)) == (made.suggestion_id, 2, weighs)
    assert sum(term.share for term in again.evidence.terms) == pytest.approx(again.score, abs=1e-9)


async def test_what_misses_the_subject_needs_twice_as_much_to_show(system: System) -> None:
    made = await told(system)
    await system.start(bar=Bar(score=0.6 * made.score, posted=5, standing=3))
    await system.give(put_aside(made.suggestion_id, R.WRONG_TOPIC))
    other = {
        "text": "Nous cherchons qui étalonne des tensiomètres et modélise le besoin en eau, avant la prochaine saison."
    }
    await system.give(irrigation(rev=2, **other))
    await system.pass_time(timedelta(days=178))
    assert system.log.take() == []  # what was told stands: it does not lapse for what is said
    await system.pass_time(timedelta(days=1))
    [again] = system.log.made()
    assert (again.suggestion_id, again.revision, weight(again)) == (made.suggestion_id, 2, [])


async def test_what_stands_does_not_lapse_for_what_is_said_of_its_member(system: System) -> None:
    made = await told(system)
    await system.give(member("voisin", "company"), irrigation(need_id="voisine", member_id="voisin", **OTHER_WORDS))
    [other] = system.log.made()
    await system.start(bar=Bar(score=0.9 * made.score, posted=5, standing=3))
    await system.give(put_aside(other.suggestion_id, R.NOT_AVAILABLE))
    await system.give(irrigation(rev=2, text=MORE))
    [again] = system.log.made()
    assert (again.suggestion_id, again.revision, len(weight(again))) == (made.suggestion_id, 2, 1)
    assert again.score < 0.9 * made.score


async def test_the_same_words_in_another_request_weigh_less(system: System) -> None:
    made = await told(system)
    await system.give(put_aside(made.suggestion_id, R.WRONG_TOPIC))
    await system.start()
    await system.give(
        irrigation(need_id="serre", **GREENHOUSE),
        member("voisin", "company"),
        irrigation(need_id="voisine", member_id="voisin", **GREENHOUSE),
    )
    serre, voisine = sorted(system.log.made(), key=lambda made: made.request.request_id)
    assert weight(serre) == [(R.WRONG_TOPIC, AdjustmentScope.ASKER, 0.8, 1)]
    assert weight(voisine) == []
    assert serre.score == pytest.approx(0.8 * voisine.score)


async def test_what_was_not_relevant_is_told_anew_once_its_need_was_erased_and_posted_again(system: System) -> None:
    made = await told(system)
    said = put_aside(made.suggestion_id, R.OTHER)
    await system.give(said)
    await system.give(erased_need("irrigation", 2))
    await system.start()
    await system.give(said)  # which is read again
    system.log.take()
    await system.give(irrigation(rev=3, **OTHER_WORDS))
    [again] = system.log.made()
    assert (again.suggestion_id, again.revision) == (made.suggestion_id, 2)


async def test_who_comes_back_under_the_id_of_who_was_erased_inherits_nothing(system: System) -> None:
    made = await told(system)
    await system.give(*(put_aside(made.suggestion_id, reason) for reason in (R.NOT_AVAILABLE, R.ALREADY_IN_TOUCH)))
    assert await system.database["pairs"].count_documents({"reason": {"$exists": True}}) == 2
    await system.give(erased_member("labo-sol", 2))
    assert await system.database["pairs"].count_documents({"reason": {"$exists": True}}) == 0
    for _ in range(2):
        assert list(system.matcher._view.directory.decisions.sayings) == []
        await system.start()
    system.log.take()
    await system.give(soil_lab(rev=3))
    [again] = system.log.made()
    assert (again.suggestion_id, again.revision, weight(again)) == (made.suggestion_id, 2, [])


async def test_words_are_those_of_the_revision_of_which_it_was_said(system: System) -> None:
    made = await told(system)
    await system.give(irrigation(rev=2, **OTHER_WORDS))
    assert [again.revision for again in system.log.made()] == [2]
    await system.give(put_aside(made.suggestion_id, R.WRONG_TOPIC))  # of the first, and read after the second
    [said] = system.matcher._view.directory.decisions.sayings
    assert said.carriers == frozenset()


async def test_erased_words_do_not_come_back_though_an_answer_of_the_database_is_lost(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await told(system)
    said = put_aside(made.suggestion_id, R.WRONG_TOPIC)
    await system.give(said)
    commit = MatcherStore.commit

    async def lost(*given: Any) -> None:
        await commit(*given)
        raise TransientError("the answer is lost")

    with monkeypatch.context() as patched:
        patched.setattr(MatcherStore, "commit", lost)
        with pytest.raises(TransientError):
            await system.give(erased_need("irrigation", 2))
    await system.give(erased_need("irrigation", 2), said)
    [row] = await system.database["pairs"].find({"reason": {"$exists": True}}).to_list()
    assert row["carriers"] == []


async def test_words_that_missed_the_subject_go_with_the_text_that_held_them(system: System) -> None:
    made = await told(system)
    await system.give(put_aside(made.suggestion_id, R.WRONG_TOPIC))
    [said] = system.matcher._view.directory.decisions.sayings
    assert len(said.carriers) == 3
    await system.give(erased_need("irrigation", 2))
    for _ in range(2):
        [left] = system.matcher._view.directory.decisions.sayings
        assert left.carriers == frozenset()
        await system.start()


async def test_who_is_not_available_counts_for_less_for_all_until_time_has_passed(system: System) -> None:
    made = await told(system)
    await system.give(*(put_aside(made.suggestion_id, R.NOT_AVAILABLE) for _ in range(2)))
    await system.start()
    neighbours = [member(f"voisin-{number}", "company") for number in range(3)]
    await system.give(*neighbours, irrigation(need_id="voisine", member_id="voisin-0"))
    [meanwhile] = system.log.made()
    assert weight(meanwhile) == [(R.NOT_AVAILABLE, AdjustmentScope.CLUSTER, 0.64, 2)]
    assert meanwhile.adjustments[0].until == AT + timedelta(days=30)
    await system.pass_time(timedelta(days=30))
    assert system.log.take() == []
    await system.give(irrigation(need_id="plus-tard", member_id="voisin-1"))
    [later] = system.log.made()
    assert weight(later) == []
    assert meanwhile.score == pytest.approx(0.64 * later.score, rel=0.05)


async def test_what_was_held_back_is_told_when_nothing_weighs_any_more(system: System) -> None:
    made = await told(system)
    await system.give(put_aside(made.suggestion_id, R.NOT_AVAILABLE))
    await system.start(bar=Bar(score=0.9 * made.score, posted=5, standing=3))
    await system.give(member("voisin", "company"), irrigation(need_id="voisine", member_id="voisin"))
    await system.give(irrigation(rev=2, text=MORE))  # of the very pair it was said of
    await system.pass_time(timedelta(days=28))
    assert system.log.take() == []
    await system.pass_time(timedelta(days=1))
    came = {(made.request.request_id, made.offer.party.member_id, made.revision) for made in system.log.made()}
    assert came == {("voisine", "labo-sol", 1), ("irrigation", "labo-sol", 2)}
    await system.pass_time(timedelta(days=1))
    assert system.log.take() == []


async def test_who_knows_each_other_is_left_alone_for_half_a_year(system: System) -> None:
    made = await told(system)
    await system.give(put_aside(made.suggestion_id, R.ALREADY_IN_TOUCH))
    await system.start()
    await system.give(irrigation(rev=2, **OTHER_WORDS), irrigation(need_id="serre", **GREENHOUSE))
    await system.pass_time(timedelta(days=178))
    assert system.log.take() == []
    await system.pass_time(timedelta(days=1))
    came = {(made.request.request_id, made.revision, *weight(made)) for made in system.log.made()}
    assert came == {("serre", 1), ("irrigation", 2)}


async def test_an_heir_knows_what_weighs_on_the_requests_that_it_takes_over(
    replicas: tuple[Replica, Replica],
) -> None:
    one, other = replicas
    owner, heir = (one, other) if slot("atlas/verger") % 2 in one.group.held else (other, one)
    log = [[*others(), grower(), soil_lab(), irrigation()]]
    for replica in replicas:
        await replica.follow(log)
    [made] = owner.system.log.made()
    log.append([put_aside(made.suggestion_id, R.WRONG_TOPIC)])
    for replica in (heir, owner):
        await replica.follow(log)
    owner.group.give()
    heir.group.give(0, 1)
    log.append([irrigation(need_id="serre", **GREENHOUSE)])
    for replica in (owner, heir):
        await replica.follow(log)
    [serre] = compacted(heir.system.log.take()).values()
    assert isinstance(serre, SuggestionMade)
    assert weight(serre) == [(R.WRONG_TOPIC, AdjustmentScope.ASKER, 0.8, 1)]


async def test_what_an_earlier_version_settled_stays_settled(system: System) -> None:
    made = await told(system)
    pairs = system.database["pairs"]
    await pairs.insert_many([{"_id": str(made.suggestion_id)}, {"_id": "x", "in_touch": ["atlas/labo-sol", "atlas/b"]}])
    await system.start(bar=BAR)
    await system.give(irrigation(rev=2, **OTHER_WORDS))
    await system.give(member("b", "company"), irrigation(need_id="serre", member_id="b"))
    assert system.log.take() == []
