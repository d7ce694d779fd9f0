"""What is told again when texts change, and what is not."""

from datetime import timedelta
from typing import Any

import pytest

from schemas.feedback import Act
from schemas.ids import derived_id
from schemas.members import MemberKind
from schemas.needs import Direction, NeedStatus
from schemas.suggestions import LapseReason, SuggestionLapsed, SuggestionMade
from services.matcher.domain.suggestion import Told
from services.runtime.errors import TransientError
from tests.component.matcher.actors import (
    ABOUT_IRRIGATION,
    FABRIC_ASSET,
    IRRIGATION,
    SOIL_ASSET,
    erased_need,
    feedback,
    grower,
    irrigation,
    member,
    need,
    others,
    soil_lab,
)
from tests.component.matcher.conftest import System

SUGGESTION = derived_id("suggestion", "atlas/irrigation", "atlas/labo-sol")


@pytest.fixture
async def told(system: System) -> SuggestionMade:
    """The grower's need faces the soil laboratory."""
    await system.give(*others(), grower(), soil_lab(), irrigation())
    [made] = [made for made in system.log.made() if made.suggestion_id == SUGGESTION]
    return made


async def test_a_corrected_typo_is_not_told_again(system: System, told: SuggestionMade) -> None:
    await system.give(irrigation(rev=2, text=ABOUT_IRRIGATION.replace("tensiomètres", "tensiométres")))
    await system.give(soil_lab(rev=2, summary="Un résumé que personne ne compare."))
    assert system.log.take() == []


async def test_small_changes_that_add_up_are_told_once(system: System, told: SuggestionMade) -> None:
    for rev, more in enumerate(("Réponse.", "Réponse rapide.", "Réponse rapide demandée."), start=2):
        await system.give(irrigation(rev=rev, text=f"{ABOUT_IRRIGATION} {more}"))
    assert [(made.revision, made.request.text[-15:]) for made in system.log.made()] == [(2, "Réponse rapide.")]


async def test_another_request_under_the_same_key_is_another_revision(system: System, told: SuggestionMade) -> None:
    title = "Modéliser l’humidité du sol sous serre pour la tomate cerise, avec tensiomètres"
    await system.give(irrigation(rev=2, title=title, text="Étalonnage compris."))
    [made] = system.log.made()
    assert (made.suggestion_id, made.revision, made.rev) == (SUGGESTION, 2, 2)
    assert made.request.title == title


async def test_a_request_about_something_else_ends_what_was_told(system: System, told: SuggestionMade) -> None:
    await system.give(irrigation(rev=2, title="Teinture sans eau de fibres de polyester", text=""))
    states = {envelope.value for envelope in system.log.take()}
    [lapsed] = [state for state in states if isinstance(state, SuggestionLapsed)]
    [made] = [state for state in states if isinstance(state, SuggestionMade)]
    assert (lapsed.suggestion_id, lapsed.reason) == (SUGGESTION, LapseReason.WITHDRAWN)
    assert made.offer.party.member_id == "labo-tissu"


async def test_a_better_asset_that_came_later_is_another_revision(system: System, told: SuggestionMade) -> None:
    best = {"asset_id": "verger-pilote", "title": IRRIGATION, "text": ABOUT_IRRIGATION}
    await system.give(member("labo-sol", MemberKind.LABORATORY, SOIL_ASSET, best, rev=2))
    [made] = system.log.made()
    assert (made.suggestion_id, made.revision) == (SUGGESTION, 2)
    assert [document.document_id for document in made.offer.documents] == ["verger-pilote", "sol"]


async def test_an_asset_that_does_not_matter_to_the_request_changes_nothing(
    system: System, told: SuggestionMade
) -> None:
    await system.give(member("labo-sol", MemberKind.LABORATORY, SOIL_ASSET, FABRIC_ASSET, rev=2))
    assert [made for made in system.log.made() if made.suggestion_id == SUGGESTION] == []


async def test_scores_that_move_with_the_corpus_are_not_told_again(system: System, told: SuggestionMade) -> None:
    await system.give(*(member(f"labo-{n}", MemberKind.LABORATORY, FABRIC_ASSET) for n in range(20)))
    await system.give(irrigation(rev=2), soil_lab(rev=2))
    assert [made for made in system.log.made() if made.suggestion_id == SUGGESTION] == []


@pytest.mark.parametrize("before", ["open", "withdrawn", "expired"])
async def test_a_reposted_need_is_not_a_second_suggestion(system: System, before: str) -> None:
    deadline = system.now + timedelta(days=1)
    await system.give(*others(), grower(), soil_lab(), irrigation(deadline=deadline))
    [first] = [made for made in system.log.made() if made.request.request_id == "irrigation"]
    if before == "withdrawn":
        await system.give(irrigation(rev=2, status=NeedStatus.WITHDRAWN))
    if before == "expired":
        await system.pass_time(timedelta(days=2))
    system.log.take()
    await system.give(irrigation(need_id="encore", title=f"{IRRIGATION} !"))
    again = system.log.made()
    if before == "open":
        assert again == []
    else:  # the same suggestion stands again, under the same revision: nobody is told a second time
        assert [(made.suggestion_id, made.revision, made.request.request_id) for made in again] == [
            (first.suggestion_id, first.revision, "encore")
        ]


async def test_a_repeated_need_takes_over_when_the_first_is_withdrawn(system: System, told: SuggestionMade) -> None:
    await system.give(irrigation(need_id="encore"))
    await system.give(irrigation(rev=2, status=NeedStatus.WITHDRAWN))
    [made] = system.log.made()
    assert (made.suggestion_id, made.revision, made.request.request_id) == (SUGGESTION, 1, "encore")


async def test_another_member_may_ask_the_same(system: System, told: SuggestionMade) -> None:
    await system.give(member("autre-verger", MemberKind.COMPANY))
    await system.give(irrigation(need_id="autre", member_id="autre-verger"))
    assert derived_id("suggestion", "atlas/autre", "atlas/labo-sol") in {m.suggestion_id for m in system.log.made()}


async def test_an_older_state_that_arrives_late_has_no_effect(system: System, told: SuggestionMade) -> None:
    await system.give(irrigation(rev=5))
    await system.give(irrigation(rev=4, status=NeedStatus.WITHDRAWN))
    assert system.log.take() == []


@pytest.mark.parametrize("between", ["nothing", "a failed try", "a restart", "its owner's other need"])
async def test_an_offer_that_becomes_a_request_is_not_told_of_any_more(system: System, between: str) -> None:
    offer = need("banc", "labo-vide", SOIL_ASSET["title"], SOIL_ASSET["text"], direction=Direction.OFFER)
    await system.give(*others(), grower(), irrigation(), member("labo-vide"), offer)
    [made] = system.log.made()
    asked = need("banc", "labo-vide", FABRIC_ASSET["title"], FABRIC_ASSET["text"], rev=2)
    if between == "a failed try":
        system.store.between["before told"] = _fail
        with pytest.raises(TransientError):
            await system.give(asked)
    elif between == "a restart":
        await system.start()
    elif between == "its owner's other need":
        await system.give(need("autre", "labo-vide", "Location d’une salle de réunion"))
    system.log.take()
    await system.give(asked)
    assert [(lapsed.suggestion_id, lapsed.reason) for lapsed in system.log.lapsed()] == [
        (made.suggestion_id, LapseReason.WITHDRAWN)
    ]


async def _fail() -> None:
    raise TransientError("for a moment")


async def test_a_need_more_has_nothing_looked_up_of_its_owner_s_other_needs(system: System) -> None:
    needs = [irrigation(need_id=f"n-{number}", title=f"{IRRIGATION} {number} {number}") for number in range(12)]
    await system.give(*others(), grower(), soil_lab(), *needs)
    assert len(system.log.made()) == 12
    looked_up = system.store.told
    found: dict[str, Told] = {}

    async def told(**concerned: Any) -> dict[str, Told]:
        found.update(await looked_up(**concerned))
        return found

    system.store.told = told  # type: ignore[method-assign]  # what it returns is to be seen
    await system.give(irrigation(rev=2, need_id="n-3", title=f"{IRRIGATION} 3 3", text=""))
    assert {state.ask for state in found.values()} == {"need:atlas/n-3"}


@pytest.mark.parametrize("again", ["settled", "settled, after a restart"])
async def test_what_stands_by_another_need_in_the_same_words_goes_with_it(
    system: System, told: SuggestionMade, again: str
) -> None:
    await system.give(feedback(told.suggestion_id, Act.INTRODUCED, "verger", "labo-sol"))
    await system.give(irrigation(need_id="encore"))
    await system.give(erased_need("irrigation", 2))
    assert system.log.take() == []
    if again == "settled, after a restart":
        await system.start()
    await system.give(erased_need("encore", 2))
    assert [envelope.value for envelope in system.log.take() if envelope.key.suggestion_id == SUGGESTION] == [None]
    assert "tensiom" not in str([row async for row in system.database["suggestions"].find({"_id": str(SUGGESTION)})])
