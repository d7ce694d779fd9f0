"""Which of French and English a field is written in.

Function words tell a sentence's language more surely, and at a tenth of the cost, than any statistics of its letters;
a title or a keyword has none. So the letters are looked at only where the function words do not lead.
"""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

Language = Literal["fr", "en", "ar"]
LatinLanguage = Literal["fr", "en"]

DEFAULT_LANGUAGE: LatinLanguage = "fr"
"""The working language of the clusters, for a text that tells nothing."""

CLEAR_LEAD = 2
"""Function words by which one language must lead to decide alone: a single one may stand in a quoted name."""

SHORT_FIELD = 3
"""Words from which letters can overrule what was declared; one or two may be a name in any language."""

SURE = 10.0
"""Difference of log-likelihood from which the letters overrule what the author declared.

Of fields of one to fifteen words without function words the letters read all those beyond it rightly, 95 % of those
between 3 and 10, and half of those below 1.
"""

GUESS = 1.0
"""Difference of log-likelihood below which the letters know no better than a coin."""


_reading = Lock()


def _identifier() -> LanguageIdentifier:
    with _reading:  # two threads would read it twice
        return _model()


@cache
def _model() -> LanguageIdentifier:
    """Return the one model of this process, of French and English alone."""
    from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier
    from py3langid.modelio import load_model

    of_terms, of_languages, languages, moves, rows, output = load_model(MODEL_DIR / MODEL_FILE)
    ours = [column for column, language in enumerate(languages) if language in ("en", "fr")]
    known = [languages[column] for column in ours]
    return LanguageIdentifier(of_terms[:, ours], of_languages[ours], known, moves, output, tk_row=rows)


def read_model() -> None:
    """Read the model now, so that no text has to wait for it.

    It takes half a second and 40 MB, most of the time without the GIL; the first text that needs it reads it otherwise.
    Any thread may call it, before or while others do.
    """
    _identifier()


def latin_language(text: str, *, words: int, lead: int, declared: str | None) -> LatinLanguage:
    """Tell the language of the words of `text` in Latin letters.

    Args:
        text: one field.
        words: the number of its words.
        lead: its French function words less its English ones.
        declared: the BCP 47 tag that its author, or else the field beside it, gives.
    """
    if abs(lead) >= CLEAR_LEAD:
        return _leading(lead)
    hint = (declared or "").partition("-")[0].lower()
    if hint in ("fr", "en"):
        said: LatinLanguage = "fr" if hint == "fr" else "en"
        return said if words < SHORT_FIELD else _by_letters(text, SURE, said)
    if lead:
        return _leading(lead)
    return _by_letters(text, GUESS, DEFAULT_LANGUAGE)


def _leading(lead: int) -> LatinLanguage:
    return "fr" if lead > 0 else "en"


def _by_letters(text: str, least: float, otherwise: LatinLanguage) -> LatinLanguage:
    likelihood = dict(_identifier().rank(text))
    more = likelihood["fr"] - likelihood["en"]
    return otherwise if abs(more) < least else _leading(1 if more > 0 else -1)
