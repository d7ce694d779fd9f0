"""The two fields of a document or request, read as one bag of terms."""

from __future__ import annotations

from typing import Literal, NamedTuple

from services.matcher.index.analysis import Analyser

Field = Literal["title", "text"]


class Span(NamedTuple):
    """A passage: characters `start` to `end` (exclusive) of the title or the text, as its author wrote it."""

    field: Field
    start: int
    end: int


def occurrences(analyser: Analyser, *, title: str, text: str, language: str | None) -> dict[str, list[Span]]:
    """Return each term of the two fields with the spans of its words, the title's first, in reading order.

    The number of a term's spans is its term frequency. Each field is read in its own language; a title, too short to
    tell, in that of its text.
    """
    body = analyser.analyse(text, language)
    head = analyser.analyse(title, body.language if body.tokens else language)
    found: dict[str, list[Span]] = {}
    fields: tuple[tuple[Field, tuple[tuple[str, int, int], ...]], ...] = (("title", head.tokens), ("text", body.tokens))
    for field, tokens in fields:
        for term, start, end in tokens:
            found.setdefault(term, []).append(Span(field, start, end))
    return found
