"""Which shared terms are worth telling an ambassador."""

import pytest

from services.matcher.index import informative


@pytest.mark.parametrize("word", ["eau", "hydrogène", "ماء", "IA", "5G", "CO₂", "LoRa"])
def test_words_acronyms_and_codes_are_evidence(word: str) -> None:
    assert informative(word, 3, 100)


@pytest.mark.parametrize("word", ["6", "13485", "3,5", "٢٠٢٥", "ex", "Cf", "β"])
def test_numbers_and_fragments_are_none(word: str) -> None:
    assert not informative(word, 1, 100)


@pytest.mark.parametrize("offers", [20, 100, 1_000, 100_000, 1_000_000])
def test_a_term_of_a_third_of_the_offers_is_never_evidence_and_a_rare_one_always(offers: int) -> None:
    assert not informative("plateforme", offers * 45 // 100, offers)
    assert informative("plateforme", offers // 100 + 1, offers) or offers > 100_000
    assert informative("plateforme", 2, offers)


def test_the_rule_tightens_as_the_corpus_grows() -> None:
    assert informative("projet", 20, 100)
    assert not informative("projet", 20_000, 100_000)


@pytest.mark.parametrize("offers", [1, 2, 5])
def test_a_first_handful_of_offers_is_not_mute(offers: int) -> None:
    assert informative("hydrogène", offers, offers)
