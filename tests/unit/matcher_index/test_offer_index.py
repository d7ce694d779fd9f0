"""Which members a request meets, and why, as the matcher sees it."""

import itertools
import math

import pytest

from services.matcher.index import Analyser, Match, OfferIndex, Span
from services.matcher.index.compiled.base import VOTING_OFFERS
from services.matcher.index.compiled.weighting import Weighting
from services.matcher.index.offers import SHOWN_OFFERS


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


@pytest.mark.parametrize(
    ("offer", "request_text"),
    [
        ("Nous concevons des capteurs sans fil", "un capteur"),
        ("We design wireless sensors for the industry", "we need a sensor"),
        ("نصمم حلول للطاقة الشمسية", "الطاقة"),
        ("Électrolyseurs et piles à combustible", "électrolyse de l'eau"),  # other stems: words that resemble
        ("Essais de microcapteurs", "des capteurs"),
        ("Certification ISO 13485", "iso13485"),
    ],
)
def test_inflections_and_words_that_resemble_meet_in_three_languages(offer: str, request_text: str) -> None:
    index = OfferIndex(Analyser())
    index.put("autre", "autre", offer)
    index.put("loin", "loin", "Emballages pour fruits")
    index.put("loin-2", "loin-2", "Peinture routière, packaging, ألوان")
    assert members(index.search(index.request(request_text), 5)) == ["autre"]


def test_fields_meet_across() -> None:
    index = cluster()
    assert members(index.search(index.request("", title="الطاقة الشمسية"), 1)) == ["cité"]
    assert members(index.search(index.request("station d'irrigation"), 1)) == ["lab-eau"]


def test_an_offer_is_found_by_the_next_search_and_lost_when_replaced_or_removed() -> None:
    index = cluster()
    request = index.request("électrolyse de l'hydrogène")
    assert index.search(request, 1) == []
    index.put("h2", "nouveau", "Électrolyse et hydrogène")
    assert index.search(request, 1)[0].documents[0].document_id == "h2"
    index.put("h2", "nouveau", "Emballages")
    assert index.search(request, 1) == []
    index.put("h2", "repreneur", "Électrolyse et hydrogène")
    assert members(index.search(request, 1)) == ["repreneur"]
    assert index.score(request, "nouveau") is None
    index.remove("h2")
    index.remove("h2")
    assert len(index) == 4
    assert index.search(request, 10) == []
    assert index.score(request, "repreneur") is None


def test_what_is_erased_leaves_nothing_to_find() -> None:
    index = cluster()
    index.name("lab-eau", "Laboratoire Hydrotech")
    said = ["Station d'irrigation", "Nous concevons des capteurs LoRa pour l'eau", "membranes", "Hydrotech", "eau"]
    before = [index.search(index.request(text), 10) for text in said]
    assert all(before)
    index.remove("eau-1")
    index.remove("eau-2")
    index.name("lab-eau", "")
    assert [index.search(index.request(text), 10) for text in said] == [[]] * len(said)
    assert index.score(index.request("eau"), "lab-eau") is None
    never = cluster()
    never.remove("eau-1")
    never.remove("eau-2")
    request = "carton recyclé pour l'eau"
    assert index.search(index.request(request), 10) == never.search(never.request(request), 10)


def test_the_answer_holds_only_members_that_share_a_word() -> None:
    index = cluster()
    assert index.search(index.request("xylophone"), 2) == []
    assert members(index.search(index.request("eau"), 10)) == ["lab-eau"]
    assert OfferIndex(Analyser()).search(index.request("eau"), 10) == []


def test_eligible_is_a_set_or_a_question() -> None:
    index = cluster()
    request = index.request("capteurs d'eau et emballages en carton")
    assert members(index.search(request, 5, {"emballeur", "ailleurs"})) == ["emballeur"]
    assert members(index.search(request, 5, lambda member: member != "lab-eau")) == ["emballeur"]
    assert members(index.search(request, 1, lambda member: member == "lab-eau")) == ["lab-eau"]
    assert index.search(request, 5, ()) == []


def test_the_last_of_many_is_found_if_it_alone_is_eligible() -> None:
    index = OfferIndex(Analyser())
    for number in range(200):
        index.put(f"d{number}", f"m{number}", "eau " * (200 - number) + "usine " * number)
    worst = index.search(index.request("eau"), 1_000)[-1]
    assert index.search(index.request("eau"), 1, {worst.member}) == [worst]


def test_groups_are_admitted_or_not() -> None:
    index = cluster()
    index.group("emballeur", "entreprise")
    index.group("cité", "cité")
    request = index.request("capteurs d'eau et emballages en carton, طاقة شمسية")
    assert set(members(index.search(request, 5))) == {"emballeur", "cité", "lab-eau"}
    assert members(index.search(request, 5, groups=lambda group: group == "entreprise")) == ["emballeur"]
    assert members(index.search(request, 5, groups=lambda group: group is None)) == ["lab-eau"]
    index.group("emballeur", "cité")
    assert set(members(index.search(request, 5, groups=lambda group: group == "cité"))) == {"emballeur", "cité"}
    index.put("carton", "emballeur", "Emballages en carton neuf")  # replaced: still of its group
    assert set(members(index.search(request, 5, groups=lambda group: group == "cité"))) == {"emballeur", "cité"}
    assert index.search(request, 5, groups=lambda _: False) == []


def test_a_member_is_found_by_its_name() -> None:
    index = cluster()
    index.put("carton-2", "concurrent", "Emballages en carton recyclé")
    request = index.request("Emballages de la société Zyxwand")
    index.name("emballeur", "Zyxwand")
    first, second = index.search(request, 2)
    assert (first.member, second.member) == ("emballeur", "concurrent")
    assert first.name > 0
    assert second.name == 0
    assert first.score == pytest.approx(second.score + first.name)
    assert members(index.search(index.request("Zyxwand"), 5)) == ["emballeur"]
    index.name("emballeur", "Quvrast")
    assert index.search(index.request("Zyxwand"), 5) == []
    index.name("emballeur", "")
    assert index.search(index.request("Quvrast"), 5) == []


def test_a_name_without_offers_is_not_found() -> None:
    index = cluster()
    index.name("muet", "Zyxwand")
    assert index.search(index.request("Zyxwand"), 5) == []
    assert index.score(index.request("Zyxwand"), "muet") is None


def test_offers_without_words_are_harmless() -> None:
    index = OfferIndex(Analyser())
    index.put("vide", "muet", "…")
    request = index.request("eau")
    assert index.search(request, 1) == []
    assert index.score(request, "muet") == Match("muet", 0.0, ())
    index.put("eau", "lab", "l'eau")
    assert members(index.search(request, 1)) == ["lab"]
    assert index.search(index.request(""), 1) == []
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


def test_of_many_equal_members_the_first_by_id_are_told() -> None:
    index = OfferIndex(Analyser())
    for number in reversed(range(60)):
        index.put(f"d{number:02}", f"m{number:02}", "eau potable")
    assert members(index.search(index.request("eau"), 3)) == ["m00", "m01", "m02"]


def test_the_best_offers_of_a_member_vote_and_the_best_of_those_are_named() -> None:
    index = OfferIndex(Analyser())
    index.put("autre", "autre", "emballages")
    for number in range(60):
        index.put(f"r{number:02}", "généraliste", "eau " + "chantier " * number)
    request = index.request("eau")
    match = index.score(request, "généraliste")
    assert match is not None
    # As many chantiers are one length, so some offers are worth the same: the first by id are named.
    assert [vote.document_id for vote in match.documents] == [f"r{number:02}" for number in range(SHOWN_OFFERS)]
    best = []
    for number in range(VOTING_OFFERS):  # alone, in an index of the same statistics
        index.put(f"r{number:02}", f"m{number:02}", "eau " + "chantier " * number)
        alone = index.score(request, f"m{number:02}")
        assert alone is not None
        best.append(alone.score)
    assert match.score == pytest.approx(math.hypot(*best), abs=1e-6)


def test_one_good_answer_beats_several_weak_ones() -> None:
    index = OfferIndex(Analyser())
    for number in range(3):
        index.put(f"r{number}", "généraliste", f"eau chantier{number} transport mur béton")
    index.put("bon", "spécialiste", "dessalement de l'eau")
    for number in range(10):
        index.put(f"x{number}", f"x{number}", f"usine{number}")
    assert members(index.search(index.request("dessalement de l'eau"), 2)) == ["spécialiste", "généraliste"]


def test_explanation_tells_terms_shares_and_passages() -> None:
    index = cluster()
    index.name("lab-eau", "Irrigation du Sud")
    request = index.request("Suivre l'EAU avec un capteur, l'eau surtout", title="Irrigation 4.0")
    [match] = index.search(request, 1)
    explanation = index.explain(request, match)
    assert sum(term.share for term in explanation.terms) == pytest.approx(match.score, abs=1e-9)
    assert list(explanation.terms) == sorted(explanation.terms, key=lambda term: -term.share)
    by_term = {term.term: term for term in explanation.terms}
    assert set(by_term) == {"eau", "capteur", "irrig"}
    assert explanation.terms[0] is by_term["irrig"]
    assert by_term["irrig"].share > match.name > 0
    assert by_term["irrig"].request_spans == (Span("title", 0, 10),)
    assert by_term["irrig"].offer_spans == {"eau-1": (Span("title", 10, 20),)}
    assert by_term["irrig"].name_spans == (Span("name", 0, 10),)
    assert by_term["eau"].request_spans == (Span("text", 9, 12), Span("text", 32, 35))
    assert list(by_term["eau"].offer_spans) == ["eau-1", "eau-2"]
    assert by_term["eau"].name_spans == ()
    assert by_term["eau"].informative
    assert request.written(by_term["eau"].request_spans[0]) == "EAU"


def test_explanation_points_at_the_words_that_resemble() -> None:
    index = cluster()
    text = "Essais d'électrolyseurs"
    index.put("h2", "nouveau", text)
    request = index.request("électrolyse")
    [match] = index.search(request, 1)
    [term] = index.explain(request, match).terms
    assert term.offer_spans == {"h2": (Span("text", 9, 23),)}
    assert text[9:23] == "électrolyseurs"


def test_a_word_is_as_common_as_it_is_with_the_words_that_resemble_it() -> None:
    index = OfferIndex(Analyser())
    for number in range(30):
        index.put(f"d{number:02}", f"m{number:02}", f"{'capteurs' if number < 8 else 'emballages'} essai{number}")
    request = index.request("capteurs")

    def informative() -> bool:
        [term] = index.explain(request, index.search(request, 1)[0]).terms
        return term.informative

    assert informative()
    for number in range(8, 16):
        index.put(f"d{number:02}", f"m{number:02}", f"microcapteurs essai{number}")
    assert not informative()


def test_in_a_long_request_a_word_that_texts_are_about_counts_more_than_one_said_in_passing() -> None:
    alone = Weighting(variant=0.0, bigram=0.0, opening=0)
    request = "methanol budget " + " ".join(f"sujet{number}x" for number in range(40))

    def ratio(weighting: Weighting) -> float:
        index = OfferIndex(Analyser(), weighting)
        for number in range(3):
            # Each word is in three offers; only one of the two comes more than once in any.
            index.put(f"about-{number}", f"filler-{number}", "methanol " * 8)
            index.put(
                f"passing-{number}", f"filler-{number + 3}", "budget charpente zinc ardoise tuile poutre solive lambris"
            )
        for number in range(20):
            index.put(
                f"other-{number}", f"other-{number}", "ardoise tuile poutre solive lambris zinc charpente chevron"
            )
        index.put("a", "burst", "methanol ardoise")
        index.put("b", "scattered", "budget ardoise")
        asked = index.request(request)
        scores = {match.member: match.score for match in index.search(asked, 50)}
        return scores["burst"] / scores["scattered"]

    assert ratio(alone) > 1.5 * ratio(alone._replace(burst=0.0))
    assert ratio(alone._replace(burst=0.0)) == pytest.approx(1)


def test_explanation_leaves_out_an_offer_removed_since() -> None:
    index = cluster()
    request = index.request("capteurs d'eau")
    [match] = index.search(request, 1)
    index.remove("eau-1")
    assert [(term.term, list(term.offer_spans)) for term in index.explain(request, match).terms] == [("eau", ["eau-2"])]


def test_a_match_without_shared_terms_has_nothing_to_explain() -> None:
    index = cluster()
    request = index.request("xylophone")
    match = index.score(request, "emballeur")
    assert match == Match("emballeur", 0.0, ())
    assert index.explain(request, match).terms == ()
