"""What a reader is shown of a suggestion: the two sides, the reason, the texts, the facts; in no language yet."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.codes import IntellectualProperty, Stage
from schemas.suggestions import (
    Adjustment,
    Evidence,
    Mark,
    OfferDocument,
    Party,
    Passage,
    RequestSource,
    SharedTerm,
    SuggestionMade,
)

TERMS_SHOWN: Final = 6
"""Rows of the list of reasons that are read at a glance; what is left is summed up in one more."""

EXCERPT_CHARACTERS: Final = 420
"""Of a text of which no passage was chosen: about four lines on a phone."""

URGENT: Final = timedelta(days=14)
"""An introduction takes about two weeks of exchanges; a nearer deadline is marked."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of text, a shared word or not."""

    text: str
    marked: bool


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Part of a text in the language of its writer. `title` only where several texts of a side need telling apart."""

    title: str | None
    language: str | None
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """A shared term in both sides' own words, and its share of the reason in whole percent."""

    request_words: tuple[str, ...]
    offer_words: tuple[str, ...]
    percent: int

    def words(self, comma: str) -> str:
        """Both sides' words, parted by the reader's comma; said once where both say the same."""
        ours, theirs = comma.join(self.request_words), comma.join(self.offer_words)
        return ours if ours.casefold() == theirs.casefold() else f"{ours} / {theirs}"


@dataclass(frozen=True, slots=True)
class Side:
    """One side: the organisation, and what it says."""

    party: Party
    title: str
    language: str | None
    excerpts: tuple[Excerpt, ...]
    whole: tuple[Excerpt, ...]
    """The complete texts, where they say more than the excerpts."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What helps to decide at a glance. `languages` are those that both sides speak."""

    deadline: datetime | None
    urgent: bool
    trl: int | None
    stage: Stage | None
    intellectual_property: IntellectualProperty | None
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """A suggestion as it is shown. The percentages of `terms` and `rest_percent` sum to 100.

    `adjustments` are what colleagues said that makes it count for less.
    """

    source: RequestSource
    request: Side
    offer: Side
    facts: Facts
    terms: tuple[Term, ...]
    rest_percent: int
    adjustments: tuple[Adjustment, ...] = ()


def card(suggestion: SuggestionMade, *, now: datetime) -> Card:
    """Return what is shown of `suggestion`."""
    request, offer, evidence = suggestion.request, suggestion.offer, suggestion.evidence
    asked = OfferDocument(
        document_id=request.request_id, title=request.title, text=request.text, language=request.language, cosine=0
    )
    terms, rest = _terms(evidence)
    return Card(
        source=request.source,
        request=_side(request.party, (asked,), evidence.request_passages),
        offer=_side(offer.party, offer.documents, evidence.offer_passages),
        facts=Facts(
            deadline=request.deadline,
            urgent=request.deadline is not None and request.deadline - now < URGENT,
            trl=request.trl,
            stage=request.stage,
            intellectual_property=request.intellectual_property,
            languages=tuple(tag for tag in request.party.languages if tag in offer.party.languages),
        ),
        terms=terms,
        rest_percent=rest,
        adjustments=suggestion.adjustments,
    )


def percentages(shares: Sequence[float]) -> tuple[int, ...]:
    """Return `shares` in whole percent of their sum, summing to exactly 100 (largest remainder, Hare quota).

    Raises:
        ValueError: the shares do not have a positive sum.
    """
    total = sum(shares)
    if total <= 0:
        raise ValueError("expected shares with a positive sum")
    exact = [100 * share / total for share in shares]
    whole = [int(value) for value in exact]
    largest_first = sorted(range(len(exact)), key=lambda i: (whole[i] - exact[i], i))
    for i in largest_first[: 100 - sum(whole)]:
        whole[i] += 1
    return tuple(whole)


def segments(text: str, marks: Iterable[Mark]) -> tuple[Segment, ...]:
    """Cut `text` at its marks. Marks may touch, overlap or reach beyond the text; no character is lost or repeated."""
    runs: list[Segment] = []
    place = 0
    for mark in sorted(marks, key=lambda mark: (mark.start, mark.end)):
        start, end = max(mark.start, place), min(mark.end, len(text))
        if start >= end:
            continue
        if start > place:
            runs.append(Segment(text[place:start], marked=False))
        runs.append(Segment(text[start:end], marked=True))
        place = end
    if place < len(text):
        runs.append(Segment(text[place:], marked=False))
    return tuple(runs)


def _terms(evidence: Evidence) -> tuple[tuple[Term, ...], int]:
    percent = percentages([term.share for term in evidence.terms])
    shown = [_term(term, share) for term, share in zip(evidence.terms, percent, strict=True)][:TERMS_SHOWN]
    shown = [term for term in shown if term.percent]
    return tuple(shown), 100 - sum(term.percent for term in shown)


def _term(term: SharedTerm, percent: int) -> Term:
    return Term(request_words=_once(term.request_words), offer_words=_once(term.offer_words), percent=percent)


def _once(words: Sequence[str]) -> tuple[str, ...]:
    """Each word once, whatever its capitals, in its first spelling."""
    spelt: dict[str, str] = {}
    for word in words:
        spelt.setdefault(word.casefold(), word)
    return tuple(spelt.values())


def _side(party: Party, documents: Sequence[OfferDocument], passages: Sequence[Passage]) -> Side:
    by_id = {document.document_id: document for document in documents}
    several = len({passage.document_id for passage in passages}) > 1
    titles = _titles(passages, by_id) if several else [None] * len(passages)
    excerpts = tuple(_excerpt(p, by_id.get(p.document_id), title) for p, title in zip(passages, titles, strict=True))
    first = documents[0]
    if not excerpts:
        excerpts = (_beginning(first),)
    return Side(
        party=party,
        title=first.title,
        language=first.language,
        excerpts=excerpts,
        whole=tuple(_whole(document, passages) for document in documents if _says_more(document, excerpts)),
    )


def _titles(passages: Sequence[Passage], documents: Mapping[str, OfferDocument]) -> list[str | None]:
    """The title over each passage: over the first of its text, unless that is the title itself."""
    titles: list[str | None] = []
    said: set[str] = set()
    for passage in passages:
        document = documents.get(passage.document_id)
        new = document is not None and passage.document_id not in said and passage.text != document.title
        titles.append(document.title if document and new else None)
        said.add(passage.document_id)
    return titles


def _excerpt(passage: Passage, document: OfferDocument | None, title: str | None) -> Excerpt:
    return Excerpt(
        title=title,
        language=document.language if document else None,
        segments=_cut_out(passage, document.text if document else ""),
    )


def _cut_out(passage: Passage, text: str) -> tuple[Segment, ...]:
    """The passage, with an ellipsis where it begins or ends in the middle of `text`."""
    runs = segments(passage.text, passage.marks)
    place = text.find(passage.text)
    if place < 0:  # of a title
        return runs
    before = (Segment("… ", marked=False),) if text[:place].strip() else ()
    after = (Segment(" …", marked=False),) if text[place + len(passage.text) :].strip() else ()
    return (*before, *runs, *after)


def _beginning(document: OfferDocument) -> Excerpt:
    text = document.text or document.title
    if len(text) > EXCERPT_CHARACTERS:
        text = text[:EXCERPT_CHARACTERS].rsplit(None, 1)[0] + "…"
    return Excerpt(title=None, language=document.language, segments=segments(text, ()))


def _says_more(document: OfferDocument, excerpts: Sequence[Excerpt]) -> bool:
    shown = {"".join(segment.text for segment in excerpt.segments).strip() for excerpt in excerpts}
    return bool(document.text) and document.text.strip() not in shown


def _whole(document: OfferDocument, passages: Sequence[Passage]) -> Excerpt:
    """The complete text; the marks of its passages are carried over to where the passages stand in it."""
    marks = [
        Mark(start=place + mark.start, end=place + mark.end)
        for passage in passages
        if passage.document_id == document.document_id and (place := document.text.find(passage.text)) >= 0
        for mark in passage.marks
    ]
    return Excerpt(title=document.title, language=document.language, segments=segments(document.text, marks))
