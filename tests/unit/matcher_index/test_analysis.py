"""What a reader writes, and the terms it is compared by."""

import os
import re
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.matcher.index import AnalysedText, Analyser, Span
from services.matcher.index.text.fields import read
from services.matcher.index.text.letters import fold
from services.matcher.index.text.stop_words import ARABIC, ENGLISH, FRENCH


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
        ("securite", "sécurité"),  # without accents, as in old records
        ("SOCIETES CREEES", "sociétés créées"),
        ("matiere premiere", "matières premières"),
        ("LoRa", "LORA"),
        ("C.N.R.S.", "CNRS"),
        ("APIs et PMEs", "API et PME"),
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
        ("الجامعات", "جامعة"),  # plural
        ("وبالطاقات", "بالطاقة"),  # conjunction, preposition, article, plural
        ("الصناعية", "صناعي"),  # feminine
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
        ("TRL 6", ["trl6"]),
        ("TRL 4 à 6", ["trl4", "6"]),
        ("ISO 13485:2016", ["iso13485", "2016"]),
        ("capteurs 6", ["capteur", "6"]),
        ("COVID-19 covid-19 Covid 19", ["covid19"] * 3),
        ("IL-6, PM-2,5", ["il6", "pm2.5"]),
        ("R&D, R & D, r&d", ["r&d"] * 3),
        ("H/F", ["h/f"]),
        ("C++, c++, C#, .NET", ["c++", "c++", "c#", ".net"]),
        ("maillage.net", ["maillag", "net"]),
        ("U.S. Army", ["us", "army"]),
        ("802.11ac", ["802.11ac"]),
        ("3,5 MW", ["3.5", "mw"]),
        ("CO₂", ["co2"]),
        ("٢٠٢٥", ["2025"]),
        ("٣,٥", ["3.5"]),
        ("H2020. 4", ["h2020", "4"]),
        ("2,5 kW", ["2.5", "kw"]),
        ("µm", ["μm"]),  # the micro sign and the Greek letter
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


@pytest.mark.parametrize("text", ["ενέργεια", "энергия", "能源", "ऊर्जा", "β"])
def test_other_scripts_are_kept(text: str) -> None:
    assert written(text) == [text]


@pytest.mark.parametrize(
    ("text", "hint", "expected"),
    [
        ("Nous cherchons un laboratoire pour des essais", None, "fr"),
        ("We are looking for a laboratory to run the tests", None, "en"),
        ("We are looking for a laboratory to run the tests", "fr", "en"),  # a clear text overrules its label
        ("wireless sensors", "en-GB", "en"),
        ("wireless sensors", None, "en"),  # no function word: by the letters
        ("capteurs solaires", None, "fr"),
        ("Wireless sensing technology", "fr", "en"),  # clear letters overrule the label too
        ("Sensing", "fr", "fr"),  # a word or two may be a name: the label stands
        ("radio transmission", "en", "en"),
        ("radio transmission", "fr", "fr"),
        ("2016", None, "fr"),  # the working language of the clusters
        ("", "en", "en"),
        ("نبحث عن مختبر LoRa", "fr", "ar"),
    ],
)
def test_language(text: str, hint: str | None, expected: str) -> None:
    assert Analyser().analyse(text, hint).language == expected


def test_title_is_read_in_the_language_of_its_text() -> None:
    text = "We measure the quality of water with sensors that we build"
    found = read(Analyser(), title="Sensing", text=text, language=None)
    places = dict(zip(found.words, found.all_spans(), strict=True))
    assert places["sens"] == Span("title", 0, 7)
    start = text.index("sensors")
    assert places["sensor"] == Span("text", start, start + 7)


def test_title_without_text_is_read_in_the_declared_language() -> None:
    assert read(Analyser(), title="Sensing", text="", language="en").words == ("sens",)


def test_a_small_memory_changes_nothing() -> None:
    text = "Les capteurs de l'usine mesurent la qualité de l'eau ; les capteurs alertent"
    small = Analyser(cached_words=2)
    assert small.analyse(text) == small.analyse(text) == Analyser().analyse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("micro-capteurs", ["micro-capteurs"]),
        ("micro capteurs", ["micro capteurs"]),
        ("électro‑mécanique", ["électro‑mécanique"]),
        ("photo aérienne", ["photo", "aérienne"]),  # a word of its own too
        ("micro de qualité", ["micro", "qualité"]),
        ("véhicule-robot", ["véhicule", "robot"]),
        ("e-santé", ["e-santé", "santé"]),
        ("vis-à-vis", ["vis", "vis"]),
        ("existe-t-il", ["existe"]),
    ],
)
def test_french_compounds(text: str, expected: list[str]) -> None:
    assert written(text, "fr") == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("micro-capteurs", "microcapteurs"),
        ("micro capteurs", "microcapteurs"),
        ("Électro-mécanique", "electromecanique"),
        ("agro-alimentaire", "agroalimentaires"),
        ("ISO 13485", "ISO13485"),
        ("ISO-13485", "ISO13485"),
        ("TRL-6", "TRL6"),
        ("TRL 6", "TRL6"),
    ],
)
def test_compounds_and_codes_meet_however_they_are_written(one: str, other: str) -> None:
    assert terms(one, "fr") == terms(other, "fr") != []


def test_english_compound_of_one_letter_meets_both_ways() -> None:
    assert terms("T-cell", "en") == ["tcell", "cell"]
    assert written("T-cells", "en") == ["T-cells", "cells"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("les métiers de l'IT dans la région", ["métiers", "IT", "région"]),
        ("le marquage CE de nos produits", ["marquage", "CE", "produits"]),
        ("it helps us", ["helps"]),
        ("IT", ["IT"]),
        ("LA SANTÉ EST UN BIEN", ["SANTÉ", "BIEN"]),
        ("WE SELL IT TO HOSPITALS", ["SELL", "HOSPITALS"]),
    ],
)
def test_function_word_alone_in_capitals_is_an_acronym(text: str, expected: list[str]) -> None:
    assert written(text) == expected


_ANY = st.text(
    st.sampled_from("aéÉL'’ ,.0٣5Gœﬁاَلةـوe\u0301ß-_½β\u00ad\n&/+#IT.ISOmicro") | st.characters(), max_size=60
)
_ORDINARY = st.lists(
    st.sampled_from(
        [
            *("capteur", "énergie", "hydrogène", "santé", "sécurité", "créées", "matière", "eau", "œuvre", "réseaux"),
            *("sensors", "wireless", "laboratory", "technologies", "micro-capteurs", "agro-alimentaire"),
            *("جامعة", "الصناعة", "للطاقة"),
        ]
    ),
    min_size=1,
    max_size=8,
).map(" ".join)


@given(_ANY)
def test_any_text_gives_ordered_spans_of_its_own_words(text: str) -> None:
    analysed = Analyser().analyse(text)
    assert isinstance(analysed, AnalysedText)
    place = 0
    for token in analysed.tokens:
        assert place <= token.start < token.end <= len(text)
        place = token.start
        assert token.term == token.term.casefold()
        assert token.term.split() == [token.term]


@given(_ANY)
def test_no_letter_or_digit_is_lost_outside_of_dropped_words(text: str) -> None:
    inside = set().union(*(range(token.start, token.end) for token in Analyser().analyse(text).tokens))
    outside = "".join(" " if place in inside else letter for place, letter in enumerate(text))
    for word in re.findall(r"\w+", re.sub("[ʻʼ_]", " ", outside)):
        left = fold(word)
        assert len(left) <= 1 or left in FRENCH | ENGLISH | ARABIC, word
        assert not left.isdecimal()


@given(_ORDINARY, st.sampled_from(["nous avons les", "we have the"]))
def test_case_and_decomposition_change_no_ordinary_term(ordinary: str, sentence: str) -> None:
    text = f"{sentence} {ordinary}"
    expected = terms(text)
    assert terms(unicodedata.normalize("NFD", text)) == expected
    assert terms(text.upper()) == expected
    assert terms("".join(letter + "\u0327" if letter in "cs" else letter for letter in text)) == expected


def test_terms_do_not_depend_on_the_process() -> None:
    text = "Nos micro-capteurs ISO 13485 pour l'IT, la R&D et les réseaux LoRa de l'université ; الجامعات"
    code = f"from services.matcher.index import Analyser; print(ascii(Analyser().analyse({text!r})))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert told == {ascii(Analyser().analyse(text)) + "\n"}


@pytest.mark.parametrize("text", ["électricité/énergie", "chimie.état", "R&É"])
def test_marks_written_apart_change_nothing_after_a_sign(text: str) -> None:
    assert terms(unicodedata.normalize("NFD", text), "fr") == terms(text, "fr")
