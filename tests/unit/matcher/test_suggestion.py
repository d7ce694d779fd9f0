"""What is another telling, and what is the same one seen again."""

from collections.abc import Sequence

import pytest

from schemas.members import MemberKind
from services.matcher.domain.directory import Directory
from services.matcher.domain.holding import Holding
from services.matcher.domain.pairing import Bar, Pair, Pairing
from services.matcher.domain.suggestion import DOCUMENTS_TOLD, Scribe, Told, materially_changed
from services.matcher.index import Analyser, Match, OfferIndex, Vote
from tests.unit.matcher.actors import NOW, asset, member, need

SUBJECTS = ("sondes", "vannes", "pompes", "filtres", "compteurs", "bassins")


@pytest.fixture
def scribe() -> Scribe:
    return of_activities()


def of_activities(*, member_s: Sequence[object] = (), own: Sequence[object] = ()) -> Scribe:
    offers = [asset(subject, f"Irrigation : {subject}") | {"activities": own} for subject in SUBJECTS]
    title = "Irrigation : sondes, vannes, pompes, filtres, compteurs, bassins"
    directory = Directory()
    directory.publish_member(member("verger", MemberKind.COMPANY, activities=member_s))
    directory.publish_member(member(assets=offers, activities=member_s))
    directory.publish_need(need(title=title, activities=own))
    pairing = Pairing(
        index=OfferIndex(Analyser()), bar=Bar(score=0.1, posted=5, standing=3), holding=Holding(frozenset({0}))
    )
    for key in directory.members:
        pairing.offer(key, directory.documents(key, NOW))
        pairing.ask(key, directory.requests(key, NOW))
    return Scribe(directory, pairing, NOW)


@pytest.fixture
def pair(scribe: Scribe) -> Pair:
    ask = scribe.pairing.asks["need:atlas/besoin"]
    pair = scribe.pairing.pair(ask, "atlas/labo")
    assert pair is not None
    return pair


@pytest.fixture
def told(scribe: Scribe, pair: Pair) -> Told:
    told = scribe.write(pair)
    assert told is not None
    return told


def test_a_suggestion_shows_the_best_documents_and_explains_the_whole_score(told: Told, pair: Pair) -> None:
    assert told.made is not None
    assert len(pair.match.documents) == len(SUBJECTS)
    assert len(told.made.offer.documents) == DOCUMENTS_TOLD
    assert sum(term.share for term in told.made.evidence.terms) == pytest.approx(told.made.score, abs=1e-9)


def test_of_thousands_of_codes_a_suggestion_carries_fifty_a_side() -> None:
    codes = [
        {"scheme": "cpv-2008", "code": f"{number}-1", "label": "ص" * 300} for number in range(40_000_000, 40_002_000)
    ]
    scribe = of_activities(member_s=codes, own=codes[:9])
    pair = scribe.pairing.pair(scribe.pairing.asks["need:atlas/besoin"], "atlas/labo")
    assert pair is not None
    told = scribe.write(pair)
    assert told is not None
    assert told.made is not None
    request, offer = told.made.request, told.made.offer
    assert (len(request.activities), len(request.party.activities)) == (9, 41)
    assert [len(document.activities) for document in offer.documents] == [9] * 5
    assert len(offer.party.activities) == 5
    assert len(told.made.model_dump_json().encode()) < 50_000


@pytest.mark.parametrize("came_later", [False, True])
def test_another_best_document_counts_if_it_came_later(
    scribe: Scribe, pair: Pair, told: Told, came_later: bool
) -> None:
    last = pair.match.documents[-1]
    moved = Pair(pair.ask, pair.member, Match(pair.member, 0.9, (Vote(last.document_id, 0.9),)))
    documents = scribe.pairing.documents(pair.member)
    assert materially_changed(told, moved, documents, lambda _: came_later) is came_later


def test_a_told_document_that_is_gone_counts(scribe: Scribe, pair: Pair, told: Told) -> None:
    best, *others = pair.match.documents
    left = {key: text for key, text in scribe.pairing.documents(pair.member).items() if key != best.document_id}
    without = Pair(pair.ask, pair.member, Match(pair.member, 0.5, tuple(others)))
    assert materially_changed(told, without, left, lambda _: 0)


def test_an_erased_suggestion_holds_numbers_only(told: Told) -> None:
    erased = told.erase(NOW)
    assert (erased.id, erased.rev, erased.revision, erased.event) == (told.id, 2, 1, None)
    assert (erased.made, erased.lineage, erased.ask) == (None, "", "")
