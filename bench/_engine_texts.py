"""The synthetic corpus as text: pseudo-words with endings, accents and articles, between real function words.

Nothing here means anything. What is kept is what text analysis costs: how long words are, how many forms a stem has,
how often a function word comes, how often a word was seen before, and letters of three languages.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from bench._corpus import CONTENT_SHARE, LANGUAGES, VOCABULARIES, Rows

TITLE_WORDS, NAME_WORDS = 5, 3
SENTENCE_WORDS = 14
"""Words between full stops, on average."""


def _list(words: str) -> list[str]:
    return words.split()


FUNCTION_WORDS = {
    "fr": _list("de la le et les des en un une du pour que dans sur par avec au est nous qui plus aux ce sont ses"),
    "en": _list("the of and to in a is for on with as by at from that this are be or an it we our their which"),
    "ar": _list("في من على إلى عن مع هذا هذه التي الذي أن كان ما لا قد كل بين بعد أو حيث كما هو هي نحن ذلك"),
}
"""The most frequent function words, about by frequency."""

FORMS = {
    "fr": ("{}", "{}", "{}s", "{}es", "l'{}", "d'{}"),
    "en": ("{}", "{}", "{}s", "{}ed", "{}ing"),
    "ar": ("{}", "ال{}", "ال{}", "{}ات", "وال{}"),
}
"""How a stem is written; the more frequent ones stand twice."""

ONSETS = {"fr": _list("b c d f g l m n p r s t v ch tr pr"), "en": _list("b d f g h l m n p r s t w sh st pl")}
VOWELS = {"fr": _list("a e i o u é è ou an on in ai"), "en": _list("a e i o u ea oo ai ou ee ow ar")}
ARABIC_LETTERS = "بتثجحخدذرزسشصضطظعغفقكلمنه"

SCATTER = 7_919
"""A prime: words of neighbouring ranks look different, yet no two of a language are the same."""


@dataclass(frozen=True, slots=True)
class Text:
    """A title and a text, and the language they are in, as a BCP 47 tag."""

    title: str
    text: str
    language: str


class Writer:
    """Writes counted terms as text, each term a word of its own."""

    def __init__(self, seed: int = 5) -> None:
        self._generator = np.random.default_rng(seed)
        self._stems = [stem for language in LANGUAGES for stem in _stems(language)]

    def write(self, rows: Rows, number: int) -> Text:
        """Return a row as text, its words in any order."""
        generator = self._generator
        language = LANGUAGES[int(rows.languages[number])]
        terms = generator.permutation(rows.words(number)).tolist()
        forms = FORMS[language]
        chosen = generator.integers(0, len(forms), len(terms)).tolist()
        content = [forms[form].format(self._stems[term]) for term, form in zip(terms, chosen, strict=True)]
        functions = FUNCTION_WORDS[language]
        between = generator.random(len(content)) * 2 * (1 - CONTENT_SHARE) / CONTENT_SHARE
        ranks = (len(functions) ** generator.random(2 * len(content)) - 1).astype(np.int64).tolist()
        stops = generator.random(len(content)) < 1 / (SENTENCE_WORDS * CONTENT_SHARE)
        written: list[str] = []
        for place, word in enumerate(content):
            written += [functions[ranks[2 * place + more]] for more in range(round(float(between[place])))]
            written.append(word + "." if stops[place] else word)
        return Text(" ".join(content[:TITLE_WORDS]).capitalize(), " ".join(written).capitalize() + ".", language)

    def name(self) -> str:
        """Return what an organisation may be called: a few words, some of which others use too."""
        terms = self._generator.integers(0, len(self._stems), NAME_WORDS).tolist()
        return " ".join(self._stems[term] for term in terms).title()


def _stems(language: str) -> list[str]:
    """Return a different stem for each term of a language, by rank."""
    count = VOCABULARIES[LANGUAGES.index(language)]
    if language == "ar":
        parts, size = list(ARABIC_LETTERS), 4
    else:
        parts, size = ["".join(pair) for pair in product(ONSETS[language], VOWELS[language])], 3
    possible = len(parts) ** size
    return ["".join(_digits(rank * SCATTER % possible, parts, size)) for rank in range(1, count + 1)]


def _digits(number: int, parts: list[str], size: int) -> list[str]:
    digits = []
    for _ in range(size):
        number, digit = divmod(number, len(parts))
        digits.append(parts[digit])
    return digits
