"""The reason of a pairing, in the words of both sides."""

import pytest

from schemas.suggestions import Evidence, Passage
from services.matcher.domain.evidence import EXCERPT_CHARACTERS, Source, evidence
from services.matcher.index import Analyser, Match, OfferIndex

REQUEST = Source("besoin", "Étalonner des tensiomètres", "Nos tensiomètres dérivent dans les sols salins.")
FILLER = "Nous recevons aussi des visiteurs, des écoles, des délégations et la presse du pays entier. " * 12
OFFER = Source(
    "sol",
    "Étalonnage de TENSIOMÈTRES",
    f"Banc d’étalonnage. {FILLER}Les sols salins du bassin sont notre affaire. {FILLER}Tensiomètre prêté.",
)


@pytest.fixture
def shown() -> tuple[Evidence, Match]:
    index = OfferIndex(Analyser())
    index.put("x/sol", "x", OFFER.text, title=OFFER.title)
    index.name("x", "Labo Salins")
    for number in range(4):
        index.put(f"y/{number}", "y", "Teinture sans eau du coton", title=f"Textile {number}")
    request = index.request(REQUEST.text, title=REQUEST.title)
    [match] = index.search(request, 1)
    return evidence(index.explain(request, match), REQUEST, {"x/sol": OFFER}, name="Labo Salins", quoted=5), match


def test_shares_sum_to_the_score_the_largest_first(shown: tuple[Evidence, Match]) -> None:
    told, match = shown
    shares = [term.share for term in told.terms]
    assert sum(shares) == pytest.approx(match.score, abs=1e-9)
    assert shares == sorted(shares, reverse=True)


def test_each_side_speaks_in_its_own_words(shown: tuple[Evidence, Match]) -> None:
    told, _ = shown
    words = {term.request_words: term.offer_words for term in told.terms}
    assert words["tensiomètres",] == ("TENSIOMÈTRES", "Tensiomètre")
    assert words["salins",] == ("salins",)  # in the offer and, with a capital, in the name


def marked(passage: Passage) -> list[str]:
    return [passage.text[mark.start : mark.end] for mark in passage.marks]


def test_passages_are_excerpts_whose_marks_are_the_shared_words(shown: tuple[Evidence, Match]) -> None:
    told, _ = shown
    assert [marked(passage) for passage in told.request_passages] == [
        ["Étalonner", "tensiomètres"],  # the offer says "Étalonnage"
        ["tensiomètres", "sols", "salins"],
    ]
    title, *excerpts = told.offer_passages
    assert title.text == OFFER.title
    assert len(excerpts) == 2
    assert any(marked(excerpt) == ["sols", "salins"] for excerpt in excerpts)
    for excerpt in excerpts:
        assert excerpt.text in OFFER.text
        assert len(excerpt.text) <= EXCERPT_CHARACTERS
        assert excerpt.text == excerpt.text.strip()
        start = OFFER.text.index(excerpt.text)
        assert start == 0 or OFFER.text[start - 1].isspace()
    assert {passage.document_id for passage in told.offer_passages} == {"sol"}
