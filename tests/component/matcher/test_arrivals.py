"""Whoever arrives second finds the other."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.ids import derived_id
from schemas.members import MemberKind
from schemas.needs import Direction
from schemas.suggestions import RequestSource, SuggestionMade
from tests.component.matcher.actors import AT, SOIL_ASSET, grower, irrigation, member, need, others, soil_lab
from tests.component.matcher.conftest import BAR, System

IRRIGATION_FACES_LAB = derived_id("suggestion", "atlas/irrigation", "atlas/labo-sol")


async def test_a_need_finds_the_member_that_was_there(system: System) -> None:
    await system.give(*others(), grower(), soil_lab())
    system.log.take()
    await system.give(irrigation())
    [made] = system.log.made()
    assert made.suggestion_id == IRRIGATION_FACES_LAB
    assert made.request.request_id == "irrigation"
    assert made.request.source is RequestSource.NEED
    assert made.offer.party.member_id == "labo-sol"
    assert [document.document_id for document in made.offer.documents] == ["sol"]
    assert sum(term.share for term in made.evidence.terms) == pytest.approx(made.score, abs=1e-9)
    assert made.corpus_size == 4


async def test_a_member_finds_the_need_that_was_there(system: System) -> None:
    await system.give(*others(), grower(), irrigation())
    system.log.take()
    await system.give(soil_lab())
    [made] = system.log.made()
    assert made.suggestion_id == IRRIGATION_FACES_LAB


async def test_a_need_whose_owner_is_unknown_is_paired_when_the_owner_arrives(system: System) -> None:
    await system.give(*others(), soil_lab())
    await system.give(irrigation())
    system.log.take()
    await system.give(grower())
    assert [made.suggestion_id for made in system.log.made()] == [IRRIGATION_FACES_LAB]


async def test_a_member_that_replaces_its_assets_is_found_by_what_it_brings_now(system: System) -> None:
    await system.give(*others(), grower(), irrigation(), member("labo-sol", MemberKind.LABORATORY))
    assert not [made for made in system.log.made() if made.offer.party.member_id == "labo-sol"]
    await system.give(soil_lab(rev=2))
    assert [made.suggestion_id for made in system.log.made()] == [IRRIGATION_FACES_LAB]


async def test_what_a_member_put_on_offer_for_a_time_answers_a_need(system: System) -> None:
    offer = need("banc", "labo-vide", SOIL_ASSET["title"], SOIL_ASSET["text"], direction=Direction.OFFER)
    await system.give(*others(), grower(), irrigation(), member("labo-vide"))
    system.log.take()
    await system.give(offer)
    [made] = system.log.made()
    assert [document.document_id for document in made.offer.documents] == ["banc"]


async def test_a_member_without_need_asks_for_what_interests_it(system: System) -> None:
    await system.give(*others(), soil_lab())
    system.log.take()
    await system.give(grower(interests=["Capteurs d’humidité du sol", "Étalonnage de tensiomètres"]))
    [made] = system.log.made()
    assert made.request.source is RequestSource.INTERESTS
    assert made.request.request_id == "verger"
    assert made.suggestion_id == derived_id("suggestion", "member:atlas/verger", "atlas/labo-sol")


async def test_a_posted_need_takes_the_place_of_the_standing_request_and_leaves_its_suggestions(system: System) -> None:
    await system.give(*others(), soil_lab(), grower(interests=["Capteurs d’humidité du sol, étalonnage"]))
    assert system.log.made()
    await system.give(need("toile", "verger", "Teinture sans eau de fibres de polyester"))
    assert {made.request.request_id for made in system.log.made()} == {"toile"}
    await system.give(soil_lab(member_id="labo-sol-2"))
    assert not [made for made in system.log.made() if made.request.request_id == "verger"]


async def test_only_the_best_members_are_told_ties_by_key(system: System) -> None:
    await system.start(bar=replace(BAR, posted=3))
    await system.give(*others(), grower(), *(soil_lab(member_id=f"labo-{n}") for n in (4, 2, 1, 3, 5)))
    system.log.take()
    await system.give(irrigation())
    assert {made.offer.party.member_id for made in system.log.made()} == {"labo-1", "labo-2", "labo-3"}


async def test_one_shared_word_is_not_enough(system: System) -> None:
    await system.give(*others(), soil_lab(), grower())
    system.log.take()
    await system.give(need("banque", "verger", "Tensiomètres", "Assurance et comptabilité de notre société."))
    assert system.log.made() == []


async def test_parties_name_their_city(system: System) -> None:
    city = member("cite-anzar", MemberKind.INNOVATION_CITY, name="Cité Anzar")
    await system.give(city, *others(), grower(), soil_lab(city="cite-anzar"), irrigation())
    made = next(made for made in system.log.made() if made.offer.party.member_id == "labo-sol")
    assert (made.offer.party.city, made.offer.party.city_name) == ("cite-anzar", "Cité Anzar")


async def test_a_suggestion_tells_when_the_later_of_the_two_was_posted(system: System) -> None:
    """In whatever guise it comes: as a need, as a member, as a need with something on offer."""
    later, trace = AT + timedelta(hours=1), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    offer = need(
        "banc", "labo-vide", SOIL_ASSET["title"], SOIL_ASSET["text"], direction=Direction.OFFER, published_at=later
    )
    await system.give(*others(), grower(), irrigation(), member("labo-vide"))
    system.log.take()
    await system.give(replace(offer, traceparent=trace))
    [made] = system.log.envelopes
    assert isinstance(made.value, SuggestionMade)
    assert (made.value.posted_at, made.traceparent) == (later, trace)

    await system.give(replace(soil_lab(published_at=later), traceparent=trace))
    found = [(made.value.posted_at, made.traceparent) for made in system.log.envelopes[1:]]  # type: ignore[union-attr]
    assert found == [(later, trace)]
    system.log.take()

    await system.give(irrigation(rev=2, title="Étalonner des tensiomètres pour les agrumes", published_at=later))
    assert {made.posted_at for made in system.log.made()} == {later}


async def test_of_two_that_come_together_the_later_counts(system: System) -> None:
    later = AT + timedelta(hours=1)
    await system.give(*others(), grower(), soil_lab(published_at=later), irrigation())
    assert [made.posted_at for made in system.log.made()] == [later]


async def test_what_a_deadline_brings_about_was_posted_by_nobody(system: System) -> None:
    await system.give(*others(), grower(interests=("Étalonnage de tensiomètres en irrigation goutte à goutte",)))
    await system.give(soil_lab(), irrigation(deadline=system.now + timedelta(hours=1)))
    assert all(made.posted_at == AT for made in system.log.made())
    await system.pass_time(timedelta(hours=2))
    standing = [e.value for e in system.log.take() if isinstance(e.value, SuggestionMade)]
    assert [made.posted_at for made in standing] == [None]
