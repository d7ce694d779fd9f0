"""The numeric form of texts."""

import pytest

from services.matcher.index.vocabulary import PAIRS, Vocabulary, frequency_level, length_level

NO_OPENING = 0


def row(vocabulary: Vocabulary, words: str, title: int = 0, opening: int = NO_OPENING) -> dict[str, int]:
    """Return the code of each word of a text; all its pairs are "+"."""
    terms, codes = vocabulary.row(vocabulary.numbers(words.split()), title, opening)
    assert terms.tolist() == sorted(set(terms.tolist()))
    return {
        vocabulary.word(term - PAIRS) if term >= PAIRS else f"+{term}": code
        for term, code in zip(terms.tolist(), codes.tolist(), strict=True)
    }


def pairs(vocabulary: Vocabulary, words: str, title: int = 0) -> list[int]:
    found: list[int] = vocabulary.pairs(vocabulary.numbers(words.split()), title).tolist()
    return found


def test_a_word_keeps_its_number() -> None:
    vocabulary = Vocabulary()
    assert vocabulary.numbers(["eau", "usine", "eau"]).tolist() == [0, 1, 0]
    assert vocabulary.number("usine") == 1
    assert [vocabulary.word(number) for number in range(len(vocabulary))] == ["eau", "usine"]


def test_thousands_of_words_keep_their_numbers_and_pairs() -> None:
    vocabulary = Vocabulary()
    before = pairs(vocabulary, "eau usine")
    assert vocabulary.numbers([f"x{number}" for number in range(5000)]).tolist() == list(range(2, 5002))
    assert pairs(vocabulary, "eau usine") == before
    assert len(set(pairs(vocabulary, "x4000 x4001 x4002 x4003"))) == 3


@pytest.mark.parametrize(
    ("times", "level"), [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (6, 5), (7, 5), (8, 6), (11, 6), (12, 7), (500, 7)]
)
def test_levels_of_frequencies(times: int, level: int) -> None:
    assert frequency_level(times) == level
    assert row(Vocabulary(), "eau " * times)["eau"] & 7 == level


@pytest.mark.parametrize(("words", "level"), [(0, 0), (1, 0), (2, 2), (6, 6), (100, 16), (6000, 31), (1_000_000, 31)])
def test_levels_of_lengths(words: int, level: int) -> None:
    assert length_level(words) == level


def test_the_level_of_the_length_stands_in_every_code() -> None:
    vocabulary = Vocabulary()
    numbers = vocabulary.numbers([f"x{number}" for number in range(100)])
    _, codes = vocabulary.row(numbers, 0, NO_OPENING)
    assert set((codes >> 3).tolist()) == {16}


def test_the_opening_counts_twice_in_frequency_and_length() -> None:
    vocabulary = Vocabulary()
    codes = row(vocabulary, "eau usine eau carton", title=1, opening=2)
    times = {word: code & 7 for word, code in codes.items() if not word.startswith("+")}
    assert times == {"eau": 2, "usine": 1, "carton": 0}  # three times, twice, once
    assert {code >> 3 for code in codes.values()} == {length_level(6)}
    assert {code & 7 for word, code in codes.items() if word.startswith("+")} == {0}  # pairs count once


def test_pairs_follow_the_order_of_words_and_do_not_cross_the_fields() -> None:
    vocabulary = Vocabulary()
    [water_plant] = pairs(vocabulary, "eau usine")
    [plant_water] = pairs(vocabulary, "usine eau")
    [water_water] = pairs(vocabulary, "eau eau")
    assert len({water_plant, plant_water, water_water}) == 3
    assert pairs(vocabulary, "eau usine eau") == [water_plant, plant_water]
    assert pairs(vocabulary, "eau usine eau", title=1) == [plant_water]
    assert pairs(vocabulary, "eau usine eau", title=2) == [water_plant]
    assert pairs(vocabulary, "eau usine eau", title=3) == [water_plant, plant_water]
    assert pairs(vocabulary, "eau") == pairs(vocabulary, "") == []
    assert max(water_plant, plant_water, water_water) < PAIRS


def test_a_pair_is_the_same_whoever_came_first() -> None:
    one, other = Vocabulary(), Vocabulary()
    other.numbers(["usine", "carton", "eau"])
    assert pairs(one, "eau usine") == pairs(other, "eau usine")


def test_a_text_without_words_has_an_empty_row() -> None:
    terms, codes = Vocabulary().row(Vocabulary().numbers([]), 0, 15)
    assert (terms.size, codes.size) == (0, 0)
