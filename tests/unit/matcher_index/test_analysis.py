"""What a reader writes, and the terms it is compared by."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.matcher.index import AnalysedText, Analyser, Span
from services.matcher.index.fields import occurrences


def terms(text: str, language: str | None = None) -> list[str]:
    return [token.term for token in Analyser().analyse(text, language).tokens]


def written(text: str, language: str | None = None) -> list[str]:
    return [text[token.start : token.end] for token in Analyser().analyse(text, language).tokens]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("énergie", "energie"),
        ("SANTÉ PUBLIQUE", "santé publique"),
        ("e\u0301nergie", "énergie"),  # decomposed accent
        ("œuvre", "oeuvre"),
        ("inno\u00advation", "innovation"),  # soft hyphen
        ("ﬁltration", "filtration"),  # ligature of a typeset text
        ("réseaux de capteurs", "le réseau du capteur"),
        ("𝐇ydrogène", "hydrogène"),  # mathematical letters, as some sites write bold
    ],
)
def test_french_spellings_and_inflections_meet(one: str, other: str) -> None:
    assert terms(one, "fr") == terms(other, "fr") != []


@pytest.mark.parametrize("apostrophe", ["'", "\u2019", "\u02bc", "\u2018"])
@pytest.mark.parametrize("elided", ["l", "d", "qu", "D", "jusqu", "lorsqu", "s"])
def test_french_elision_is_cut_off(elided: str, apostrophe: str) -> None:
    text = f"{elided}{apostrophe}hydrogène"
    assert written(text, "fr") == ["hydrogène"]


def test_english_inflections_meet() -> None:
    assert terms("wireless sensors", "en") == terms("Wireless sensor", "en")
    assert written("the company's sensors don't leak", "en") == ["company", "sensors", "don", "leak"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("الصِّناعةُ", "الصناعة"),  # vowel marks
        ("الصنـــاعة", "الصناعة"),  # tatweel
        ("أكادير", "اكادير"),  # hamza
        ("إدارة", "اداره"),  # hamza below, ta marbuta
        ("قمة", "قمه"),  # ta marbuta without its dots
        ("آلات", "الات"),  # madda
        ("مستشفى", "مستشفي"),  # alef maqsura
        ("والصناعة", "صناعة"),  # conjunction and article
        ("بالجامعة", "جامعة"),  # preposition and article
        ("للطاقة", "طاقة"),
        ("أڭادير", "أكادير"),  # Moroccan spelling
        ("ماﱞء", "ماء"),  # a presentation form that decomposes into a space and marks
        ("ﺍﻟﻤﺎﺀ", "الماء"),  # presentation forms, as copied from a PDF
    ],
)
def test_arabic_spellings_and_proclitics_meet(one: str, other: str) -> None:
    assert terms(one) == terms(other) != []


def test_arabic_word_is_pointed_at_with_all_its_marks() -> None:
    text = "حلول للطاقـــة الشَّمْسِيَّةِ، والماء"
    assert written(text) == ["حلول", "للطاقـــة", "الشَّمْسِيَّةِ", "والماء"]


def test_arabic_article_before_a_latin_name_is_no_part_of_it() -> None:
    assert written("تقنية الـIoT") == ["تقنية", "IoT"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5G", ["5g"]),
        ("TRL6", ["trl6"]),
        ("TRL 6", ["trl", "6"]),
        ("ISO 13485:2016", ["iso", "13485", "2016"]),
        ("LoRa, LoRaWAN", ["lora", "lorawan"]),
        ("802.11ac", ["802.11ac"]),
        ("3,5 MW", ["3.5", "mw"]),
        ("CO₂", ["co2"]),
        ("٢٠٢٥", ["2025"]),
        ("٣,٥", ["3.5"]),
        ("H2020. 4", ["h2020", "4"]),
    ],
)
def test_numbers_and_codes_stay_whole(text: str, expected: list[str]) -> None:
    assert terms(text, "fr") == expected


@pytest.mark.parametrize(
    "text",
    [
        "nous avons été ceux qui est dans le",
        "we have what is in the",
        "هذا الذي كان في من إلى",
    ],
)
def test_function_words_are_no_terms(text: str) -> None:
    assert terms(text) == []


def test_french_articles_of_a_quoted_name_are_no_terms_in_english() -> None:
    text = "The sensors of the Université de la Manche are calibrated"
    assert written(text) == ["sensors", "Université", "Manche", "calibrated"]


def test_ai_is_a_subject() -> None:
    assert "ai" in terms("une solution AI pour les usines", "fr")


@pytest.mark.parametrize("text", ["ενέργεια", "энергия", "能源", "ऊर्जा", "β-caténine"])
def test_other_scripts_are_kept(text: str) -> None:
    assert "".join(written(text)) == text.replace("-", "")


@pytest.mark.parametrize(
    ("text", "hint", "expected"),
    [
        ("Nous cherchons un laboratoire pour des essais", None, "fr"),
        ("We are looking for a laboratory to run the tests", None, "en"),
        ("We are looking for a laboratory to run the tests", "fr", "en"),  # a clear text overrules its label
        ("wireless sensors", "en-GB", "en"),
        ("wireless sensors", None, "fr"),  # the working language of the clusters
        ("sensors for hydrogen", "fr", "fr"),  # a single function word does not overrule
        ("نبحث عن مختبر LoRa", "fr", "ar"),
    ],
)
def test_language(text: str, hint: str | None, expected: str) -> None:
    assert Analyser().analyse(text, hint).language == expected


def test_title_is_read_in_the_language_of_its_text() -> None:
    text = "We measure the quality of water with sensors that we build"
    found = occurrences(Analyser(), title="Sensing", text=text, language=None)
    assert found["sens"] == [Span("title", 0, 7)]
    start = text.index("sensors")
    assert found["sensor"] == [Span("text", start, start + 7)]


def test_title_without_text_is_read_in_the_declared_language() -> None:
    assert list(occurrences(Analyser(), title="Sensing", text="", language="en")) == ["sens"]


def test_a_small_memory_changes_nothing() -> None:
    text = "Les capteurs de l'usine mesurent la qualité de l'eau ; les capteurs alertent"
    small = Analyser(cached_words=2)
    assert small.analyse(text) == small.analyse(text) == Analyser().analyse(text)


@given(st.text(st.sampled_from("aéÉL'’ ,.0٣5Gœﬁاَلةـوe\u0301ß-_½β\u00ad\n") | st.characters(), max_size=60))
def test_any_text_gives_ordered_spans_of_its_own_words(text: str) -> None:
    analysed = Analyser().analyse(text)
    assert isinstance(analysed, AnalysedText)
    end = 0
    for token in analysed.tokens:
        assert end <= token.start < token.end <= len(text)
        end = token.end
        assert token.term == token.term.casefold()
        assert token.term.split() == [token.term]
    inside = set().union(*(range(token.start, token.end) for token in analysed.tokens))
    left_out = [letter for place, letter in enumerate(text) if place not in inside and letter.isalpha()]
    assert not any(unicodedata.name(letter, "").startswith(("GREEK SMALL LETTER", "CYRILLIC")) for letter in left_out)
