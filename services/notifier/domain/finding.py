"""Finding a suggestion again: by words of either side, whatever their accents and case, and by what it is.

Words are folded on both sides: what is kept and what is asked for. What somebody begins to write finds the whole word.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from schemas.members import MemberKind
from schemas.suggestions import Party, SuggestionMade

MOST_WORDS: Final = 300
"""Of one suggestion: each is an entry of an index. Both texts of most have a third of it."""

MOST_ASKED: Final = 6
"""Words that are looked for at a time: each is one more look at everything."""

LONGEST: Final = 40
"""Letters of a word that count. Longer ones are addresses and slips of the pen."""

SHORTEST: Final = 2

_WORD: Final = re.compile(r"[^\W_]+")

# What a decomposition leaves as it is, though people write the one for the other.
_ALIKE: Final = str.maketrans({"ى": "ي", "ة": "ه", "ٱ": "ا", "ـ": None, "œ": "oe", "æ": "ae", "ø": "o", "ł": "l"})

# The Arabic article, with a particle before it: what is looked for has it or not.
_ARTICLE: Final = re.compile(r"[وفبك]?ال(?=\w{3})")


@dataclass(frozen=True, slots=True)
class Sought:
    """What somebody looks for in their inbox; all of it at a time.

    Attributes:
        words: folded, each the beginning of one that is in a text, title or name.
        kind: of the other side: that which is not at the reader's own city, or either where that says nothing.
        city: where either side sits.
        leads: only where the reader is the one to act.
        soon: only what is to be answered soon.
    """

    words: tuple[str, ...] = ()
    kind: MemberKind | None = None
    city: str | None = None
    leads: bool = False
    soon: bool = False

    @property
    def everything(self) -> bool:
        """Whether nothing in particular is looked for."""
        return self == Sought()


def folded(text: str) -> Iterator[str]:
    """Yield the words of a text as they are compared, an Arabic one without its article."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    for word in _WORD.findall(plain.casefold().translate(_ALIKE)):
        bare = _ARTICLE.sub("", word, count=1) if _ARTICLE.match(word) else word
        if len(bare) >= SHORTEST:
            yield _digits(bare)[:LONGEST]


def asked_words(text: str) -> tuple[str, ...]:
    """Return the words that somebody looks for, each once, the longest first: they are the rarest."""
    return tuple(sorted(set(folded(text)), key=lambda word: (-len(word), word))[:MOST_ASKED])


def words_of(made: SuggestionMade) -> list[str]:
    """Return the words by which a suggestion is found: of names, places and titles first, then of both texts."""
    found: dict[str, None] = {}
    for text in _texts(made):
        for word in folded(text):
            found.setdefault(word)
            if len(found) == MOST_WORDS:
                return list(found)
    return list(found)


def _texts(made: SuggestionMade) -> Iterable[str]:
    request, offer = made.request, made.offer
    for party in (request.party, offer.party):
        yield from _names(party)
    yield request.title
    yield from (document.title for document in offer.documents)
    yield request.text
    yield from (document.text for document in offer.documents)


def _names(party: Party) -> Iterable[str]:
    return (name for name in (party.name, party.locality, party.city_name) if name)


def _digits(word: str) -> str:
    return word if word.isascii() else "".join(str(unicodedata.decimal(one, one)) for one in word)
