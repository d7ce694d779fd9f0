"""Which words resemble which."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.matcher.index.specification import closeness
from services.matcher.index.variants import Variants

WORDS = ["electrolys", "electrolyseur", "electrolyt", "hydrogen", "hydrogenotroph", "capteur", "microcapteur", "طاق"]


def resembling(variants: Variants, words: list[str], word: str) -> dict[str, float]:
    others, close = variants.of(words.index(word), word)
    assert len(others) == len(set(others)) == len(close)
    return {words[other]: each for other, each in zip(others, close, strict=True)}


@pytest.mark.parametrize("asked_before", range(4))
def test_each_pair_is_found_whichever_word_comes_first(asked_before: int) -> None:
    for words in permutations(["electrolys", "electrolyseur", "electrolyt", "usin"]):
        variants = Variants()
        for number, word in enumerate(words):
            variants.add(number, word)
            if number == asked_before:  # the others come later, and are still found
                resembling(variants, list(words), words[0])
        for word in words:
            expected = {other: closeness(word, other) for other in words if other != word}
            assert resembling(variants, list(words), word) == pytest.approx(
                {other: close for other, close in expected.items() if close >= 0.5}, abs=1e-6
            )


def test_closeness_is_the_cosine_of_the_sets_of_pieces() -> None:
    variants = Variants()
    variants.add(0, "capteur")  # _cap capt apte pteu teur eur_
    variants.add(1, "capteurs")  # _cap capt apte pteu teur eurs urs_
    assert resembling(variants, ["capteur", "capteurs"], "capteur") == {"capteurs": pytest.approx(5 / (6 * 7) ** 0.5)}
    assert resembling(variants, ["capteur", "capteurs"], "capteurs") == {"capteur": pytest.approx(5 / (6 * 7) ** 0.5)}


def test_half_of_the_pieces_is_close_enough_and_less_is_not() -> None:
    words = ["abcd", "abcx", "abcdefghijk", "abcdefgvwxy", "abcdefuvwxy"]
    variants = Variants()
    for number, word in enumerate(words):
        variants.add(number, word)
    # Of ten pieces each, five are shared and four.
    assert resembling(variants, words, "abcdefghijk") == {"abcdefgvwxy": 0.5}
    assert resembling(variants, words, "abcd") == {}


@pytest.mark.parametrize(
    ("one", "other"), [("iso13485", "iso13486"), ("eau", "eaux"), ("c++", "c++a"), ("co2", "co2e")]
)
def test_codes_and_short_words_have_none(one: str, other: str) -> None:
    variants = Variants()
    variants.add(0, one)
    variants.add(1, other)
    assert resembling(variants, [one, other], one) == {}
    assert resembling(variants, [one, other], other) == {}


def test_a_request_is_told_that_its_variants_changed_only_when_they_did() -> None:
    variants = Variants()
    variants.add(0, "capteur")
    variants.of(0, "capteur")
    before = variants.version
    variants.add(1, "usin")
    assert variants.version == before
    variants.add(2, "microcapteur")
    assert variants.version > before


def test_who_asks_for_a_word_is_known_from_the_other_side() -> None:
    variants = Variants()
    for number, word in enumerate(WORDS):
        variants.add(number, word)
        variants.of(number // 2, WORDS[number // 2])
    for number, word in enumerate(WORDS):
        variants.of(number, word)
    for number in range(len(WORDS)):
        others, close = variants.of(number, WORDS[number])
        for other, each in zip(others, close, strict=True):
            assert (number, each) in variants.asked_as(other)


@given(st.lists(st.text("abcéط", min_size=1, max_size=12), unique=True, max_size=40), st.data())
def test_any_words(words: list[str], data: st.DataObject) -> None:
    variants = Variants()
    for number, word in enumerate(words):
        variants.add(number, word)
        asked = data.draw(st.integers(0, 2 * number + 1))
        if asked <= number:
            variants.of(asked, words[asked])
    for word in words:
        expected = {other: closeness(word, other) for other in words if other != word}
        assert resembling(variants, words, word) == pytest.approx(
            {other: close for other, close in expected.items() if close >= 0.5}, abs=1e-6
        )


def test_thousands_of_words_that_share_their_pieces() -> None:
    """So many that every table and list grows."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [f"poly{a}{b}{c}mere" for a in letters for b in letters for c in letters[:6]]
    variants = Variants()
    for number, word in enumerate(words):
        variants.add(number, word)
    found = resembling(variants, words, "polyabcmere")
    assert len(found) == sum(closeness("polyabcmere", word) >= 0.5 for word in words) - 1 > 0
