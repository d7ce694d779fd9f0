"""What is another telling, and what is the same one seen again."""

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
    directory = Directory()
    directory.publish_member(member("verger", MemberKind.COMPANY))
    directory.publish_member(member(assets=[asset(subject, f"Irrigation : {subject}") for subject in SUBJECTS]))
    directory.publish_need(need(title="Irrigation : sondes, vannes, pompes, filtres, compteurs, bassins"))
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
