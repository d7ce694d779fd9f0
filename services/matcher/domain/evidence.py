"""Why two sides were paired, in their own words: from the index's terms and spans to what a reader is shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.suggestions import Evidence, Mark, Passage, SharedTerm
from services.matcher.index import Explanation, Span

EXCERPT_CHARACTERS: Final = 280
"""Longest excerpt: two or three lines on a telephone, enough for a sentence around the shared words."""

EXCERPTS: Final = 2
"""Excerpts shown of one text: the best shows why, a second that it is no accident."""

WORDS_SHOWN: Final = 5
"""Spellings told of one term on one side; a dictionary of inflections helps nobody."""


@dataclass(frozen=True, slots=True)
class Source:
    """A text that evidence quotes, under the id that the suggestion calls it by."""

    told_as: str
    title: str
    text: str
    name: str = ""

    def field(self, span: Span) -> str:
        """Return the field that a span counts in."""
        match span.field:
            case "title":
                return self.title
            case "text":
                return self.text
            case "name":
                return self.name


def evidence(
    explanation: Explanation,
    request: Source,
    offers: Mapping[str, Source],
    *,
    name: str,
    quoted: int,
    factor: float = 1.0,
) -> Evidence:
    """Return the evidence of a match.

    Args:
        offers: the texts of all documents of the match, by document key, best first.
        name: what the answering member is called.
        quoted: of so many of them passages are shown.
        factor: what the score of the texts is multiplied by, and so is each share.
    """
    terms = [term for term in explanation.terms if term.share > 0]
    telling = [term for term in terms if term.informative]
    named = Source("", "", "", name)
    return Evidence(
        terms=tuple(
            SharedTerm(
                request_words=_words((request, term.request_spans)),
                offer_words=_words(
                    *((offers[key], spans) for key, spans in term.offer_spans.items()), (named, term.name_spans)
                ),
                share=term.share * factor,
                informative=term.informative,
            )
            for term in terms
        ),
        request_passages=_passages(request, [(term.share, term.request_spans) for term in telling]),
        offer_passages=tuple(
            passage
            for key, source in list(offers.items())[:quoted]
            for passage in _passages(source, [(term.share, term.offer_spans.get(key, ())) for term in telling])
        ),
    )


def _words(*texts: tuple[Source, Iterable[Span]]) -> tuple[str, ...]:
    """Return the words as written, each spelling once, whatever its case."""
    words: dict[str, str] = {}
    for source, spans in texts:
        for span in spans:
            word = source.field(span)[span.start : span.end]
            words.setdefault(word.casefold(), word)
    return tuple(words.values())[:WORDS_SHOWN]


def _passages(source: Source, shared: Sequence[tuple[float, Iterable[Span]]]) -> tuple[Passage, ...]:
    """Return the title, if it holds shared words, and the best excerpts of the text, in reading order.

    Args:
        shared: of each term its share of the score and where it stands.
    """
    telling = {span: (term, share) for term, (share, spans) in enumerate(shared) for span in spans}
    title = sorted(span for span in telling if span.field == "title")
    text = sorted(span for span in telling if span.field == "text")
    passages = [_passage(source.told_as, source.title, 0, len(source.title), title)] if title else []
    chosen: list[tuple[int, int]] = []
    while len(chosen) < EXCERPTS and (left := [span for span in text if not _within(span, chosen)]):
        chosen.append(_best_excerpt(source.text, left, telling, chosen))
    passages += [_passage(source.told_as, source.text, start, end, text) for start, end in sorted(chosen)]
    return tuple(passages)


def _best_excerpt(
    text: str, spans: Sequence[Span], telling: Mapping[Span, tuple[int, float]], taken: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    """Return the excerpt whose shared terms weigh most, the first of equals, clear of those taken."""
    best, most = (spans[0].start, spans[0].end), -1.0
    for number, span in enumerate(spans):
        limit = min([span.start + EXCERPT_CHARACTERS, *(start for start, _ in taken if start >= span.end)])
        end = number + 1
        while end < len(spans) and spans[end].end <= limit:
            end += 1
        inside = spans[number:end]
        weighs = sum(dict(telling[each] for each in inside).values())
        if weighs > most:
            best, most = (span.start, max(each.end for each in inside)), weighs
    return _around(text, *best, taken)


def _around(text: str, start: int, end: int, taken: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Widen a stretch evenly to the length of an excerpt, at whole words, without running into those taken."""
    lowest = max([0, *(stop for _, stop in taken if stop <= start)])
    highest = min([len(text), *(begin for begin, _ in taken if begin >= end)])
    spare = max(0, EXCERPT_CHARACTERS - (end - start))
    left = max(lowest, start - spare // 2)
    right = min(highest, max(end, left + EXCERPT_CHARACTERS))
    while lowest < left < start and not text[left - 1].isspace():
        left += 1
    while end < right < highest and not text[right].isspace():
        right -= 1
    while left < start and text[left].isspace():
        left += 1
    while end < right and text[right - 1].isspace():
        right -= 1
    return left, right


def _passage(told_as: str, text: str, start: int, end: int, spans: Sequence[Span]) -> Passage:
    inside = [span for span in spans if start <= span.start and span.end <= end]
    marks = tuple(Mark(start=span.start - start, end=span.end - start) for span in inside)
    return Passage(document_id=told_as, text=text[start:end], marks=marks)


def _within(span: Span, excerpts: Sequence[tuple[int, int]]) -> bool:
    return any(start < span.end and span.start < end for start, end in excerpts)
