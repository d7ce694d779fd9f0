"""The fields of a document or request as one sequence of words, each with its place."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, NamedTuple

import numpy as np

from services.matcher.index.compiled.arrays import Ints32
from services.matcher.index.text.analysis import Analyser, Token

Field = Literal["title", "text", "name"]


SHORTEST_ACRONYM = 3
"""Letters: two capitals in a name are more often initials or a legal form (SA)."""


class Span(NamedTuple):
    """A passage: characters `start` to `end` (exclusive) of a field, as its author wrote it.

    The fields of a document or request are its title and text; that of a member is its name.
    """

    field: Field
    start: int
    end: int


class Reading(NamedTuple):
    """The words of a title and a text, in reading order, the title's first.

    Attributes:
        words: what they are compared by.
        spans: start and end of each in its field, shape (words, 2).
        title: how many of them are the title's.
    """

    words: tuple[str, ...]
    spans: Ints32
    title: int

    def all_spans(self) -> list[Span]:
        """Return where each word stands, in reading order."""
        return [
            Span("title" if place < self.title else "text", start, end)
            for place, (start, end) in enumerate(self.spans.tolist())
        ]


def acronym(word: str, name: str) -> bool:
    """Tell whether a word of a name is its acronym: three capitals or more, in a name that is not all in capitals."""
    capitals = len(word) >= SHORTEST_ACRONYM and word[0].isalpha() and word.isupper()
    return capitals and sum(map(str.islower, name)) > sum(map(str.isupper, name))


def digest(*said: str | None) -> int:
    """Return 64 bits, never all 0, that tell what was said from anything else; the same in every process."""
    lengths = ",".join("-" if field is None else str(len(field)) for field in said)
    written = "".join([lengths, "|", *(field for field in said if field is not None)])
    return int.from_bytes(blake2b(written.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") or 1


def read(analyser: Analyser, *, title: str, text: str, language: str | None) -> Reading:
    """Return the words of the two fields.

    Each is read in its own language; a title, too short to tell, in that of its text.
    """
    body = analyser.analyse(text, language)
    head = analyser.analyse(title, body.language if body.tokens else language)
    tokens: tuple[Token, ...] = head.tokens + body.tokens
    spans = np.array([(token.start, token.end) for token in tokens], np.int32).reshape(-1, 2)
    return Reading(tuple(token.term for token in tokens), spans, len(head.tokens))
