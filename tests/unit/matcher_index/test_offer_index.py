"""Which members a request meets, and why, as the matcher sees it."""

import itertools
import math

import pytest

from services.matcher.index import Analyser, Match, OfferIndex, Span


def cluster() -> OfferIndex:
    index = OfferIndex(Analyser())
    index.put("eau-1", "lab-eau", "Nous concevons des capteurs LoRa pour l'eau.", title="Station d'irrigation")
    index.put("eau-2", "lab-eau", "Traitement de l'eau par membranes")
    index.put("carton", "emballeur", "Emballages en carton recyclé")
    index.put("solaire", "cité", "طاقة شمسية للصناعة")
    return index


def members(matches: list[Match]) -> list[str]:
    return [match.member for match in matches]


def test_the_member_that_answers_comes_first_with_its_best_offer_first() -> None:
    index = cluster()
    best = index.search(index.request("Un capteur pour l'irrigation et l'eau"), 1)
    assert members(best) == ["lab-eau"]
    assert [vote.document_id for vote in best[0].documents] == ["eau-1", "eau-2"]
    assert best[0].score == pytest.approx(math.hypot(*(vote.cosine for vote in best[0].documents)))


def test_scripts_and_inflections_meet_across_fields() -> None:
    index = cluster()
    assert members(index.search(index.request("", title="الطاقة الشمسية"), 1)) == ["cité"]


def test_an_offer_is_found_by_the_next_search_and_lost_when_replaced_or_removed() -> None:
    index = cluster()
    request = index.request("électrolyse de l'hydrogène")
    index.put("h2", "nouveau", "Électrolyse et hydrogène")
    assert index.search(request, 1)[0].documents[0].document_id == "h2"
    index.put("h2", "nouveau", "Emballages")
    assert index.search(request, 1)[0].score == 0
    index.put("h2", "repreneur", "Électrolyse et hydrogène")
    assert members(index.search(request, 1)) == ["repreneur"]
    assert index.score(request, "nouveau") is None
    index.remove("h2")
    index.remove("h2")
    assert len(index) == 4
    assert "repreneur" not in members(index.search(request, 10))


def test_the_answer_is_filled_up_to_k_with_members_that_share_nothing() -> None:
    index = cluster()
    assert [(m.member, m.score, m.documents) for m in index.search(index.request("xylophone"), 2)] == [
        ("cité", 0.0, ()),
        ("emballeur", 0.0, ()),
    ]
    assert len(index.search(index.request("eau"), 10)) == 3
    assert OfferIndex(Analyser()).search(index.request("eau"), 10) == []


def test_eligible_is_a_set_or_a_question() -> None:
    index = cluster()
    request = index.request("capteurs d'eau")
    assert members(index.search(request, 5, {"emballeur", "ailleurs"})) == ["emballeur"]
    assert members(index.search(request, 5, lambda member: member != "lab-eau")) == ["cité", "emballeur"]
    assert index.search(request, 5, ()) == []


def test_offers_without_words_are_harmless() -> None:
    index = OfferIndex(Analyser())
    index.put("vide", "muet", "…")
    request = index.request("eau")
    assert index.search(request, 1) == [Match("muet", 0.0, ())]
    index.put("eau", "lab", "l'eau")
    assert members(index.search(request, 1)) == ["lab"]
    assert index.score(index.request(""), "lab") == Match("lab", 0.0, ())


def test_ties_go_by_id_whatever_the_order_of_arrival() -> None:
    # Each offer shares the same number of equally rare words, in other places of the alphabet.
    words = [("zinc", "acier", "mur"), ("bois", "verre", "lin"), ("cuivre", "dalle", "toit")]
    answers = set()
    for order in itertools.permutations(enumerate(words)):
        index = OfferIndex(Analyser())
        for number, trio in order:
            index.put(f"d{number}", f"m{number}", " ".join(trio) + " chantier")
        request = index.request("chantier " + " ".join(itertools.chain(*words)), language="fr")
        answers.add(tuple(index.search(request, 3)))
    assert len(answers) == 1
    assert members(list(answers.pop())) == ["m0", "m1", "m2"]


def test_a_member_is_not_carried_by_the_number_of_its_weak_offers() -> None:
    index = OfferIndex(Analyser())
    for number in range(30):
        index.put(f"r{number:02}", "généraliste", f"eau chantier{number}")
    match = index.score(index.request("eau"), "généraliste")
    assert match is not None
    assert len(match.documents) == 20
    assert [vote.document_id for vote in match.documents] == [f"r{number:02}" for number in range(20)]
    assert match.score == pytest.approx(math.sqrt(20) * match.documents[0].cosine)


def test_the_best_offers_of_a_member_are_those_that_count() -> None:
    index = OfferIndex(Analyser())
    for number in range(30):
        index.put(f"r{number:02}", "généraliste", "eau " + "chantier " * number)
    match = index.score(index.request("eau"), "généraliste")
    assert match is not None
    assert [vote.document_id for vote in match.documents] == [f"r{number:02}" for number in range(20)]
    assert match.score == pytest.approx(math.sqrt(sum(vote.cosine**2 for vote in match.documents)))


def test_explanation_tells_terms_shares_and_passages() -> None:
    index = cluster()
    request = index.request("Suivre l'EAU avec un capteur, l'eau surtout", title="Irrigation 4.0")
    [match] = index.search(request, 1)
    explanation = index.explain(request, match)
    assert sum(term.share for term in explanation.terms) == pytest.approx(match.score, abs=1e-9)
    by_term = {term.term: term for term in explanation.terms}
    assert explanation.terms[0] is by_term["eau"]
    assert set(by_term) == {"eau", "capteur", "irrig"}
    assert by_term["irrig"].request_spans == (Span("title", 0, 10),)
    assert by_term["irrig"].offer_spans == {"eau-1": (Span("title", 10, 20),)}
    assert by_term["eau"].request_spans == (Span("text", 9, 12), Span("text", 32, 35))
    assert list(by_term["eau"].offer_spans) == ["eau-1", "eau-2"]
    assert by_term["eau"].informative


def test_explanation_leaves_out_an_offer_removed_since() -> None:
    index = cluster()
    request = index.request("capteurs d'eau")
    [match] = index.search(request, 1)
    index.remove("eau-1")
    assert [(term.term, list(term.offer_spans)) for term in index.explain(request, match).terms] == [("eau", ["eau-2"])]


def test_a_match_without_shared_terms_has_nothing_to_explain() -> None:
    index = cluster()
    request = index.request("xylophone")
    assert index.explain(request, index.search(request, 1)[0]).terms == ()
