"""Words are found whatever their accents, case and marks; addresses that ask for nonsense ask for nothing."""

import pytest

from services.notifier.domain.finding import MOST_ASKED, MOST_WORDS, asked_words, folded, words_of
from services.notifier.pages.routes import Asked
from tests.unit.notifier.samples import made


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("energie", "Énergie"),
        ("ÉNERGIE", "énergie"),
        ("humidite", "d’humidité"),
        ("oeuvre", "œuvre"),
        ("مختبر", "المختبر"),
        ("المختبر", "مختبر"),
        ("مخبر", "بالمخبر"),
        ("اركان", "أركان"),
        ("مدينه", "مدينة"),
        ("محمد", "مُحَمَّد"),
        ("كبير", "كـــبير"),
        ("2026", "٢٠٢٦"),
        ("lora", "LoRa"),
    ],
)
def test_what_is_asked_for_is_found_in_what_is_written(asked: str, text: str) -> None:
    assert set(asked_words(asked)) == set(folded(text))


def test_names_and_titles_come_first_and_there_is_an_end() -> None:
    suggestion = made()
    words = words_of(suggestion)
    assert words[:3] == ["atlas", "irrigation", "taroudant"]
    assert {"capteurs", "reseaux", "agadir"} <= set(words)
    assert len(words) == len(set(words))
    long = suggestion.request.model_copy(update={"text": " ".join(f"mot{number}" for number in range(1000))})
    assert len(words_of(suggestion.model_copy(update={"request": long}))) == MOST_WORDS
    assert len(asked_words(long.text)) == MOST_ASKED


@pytest.mark.parametrize("query", [{}, {"q": " .-/ "}, {"kind": "robot"}, {"city": "$ne"}, {"lead": "yes"}, {"q": "a"}])
def test_what_cannot_be_is_not_looked_for(query: dict[str, str]) -> None:
    assert Asked(**query).sought is None


def test_other_pages_and_parts_keep_what_is_looked_for() -> None:
    asked = Asked(view="done", q="زيت & eau", lead="1", page="2")
    assert asked.here(page=3) == "?view=done&page=3&q=%D8%B2%D9%8A%D8%AA+%26+eau&lead=1"
    assert asked.here(view="todo", page="", q="", lead="") == ""
