"""After any sequence of changes, the numbers are those of scikit-learn fitted from scratch on the live offers."""

import math
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from services.matcher.index import Analyser, OfferIndex, Request
from services.matcher.index.tfidf import VOTING_OFFERS

WORDS = [
    *("l'eau", "l’énergie", "capteurs", "capteur", "réseaux", "usine", "données", "santé", "de", "la", "pour"),
    *("water", "sensors", "sensing", "networks", "the", "of", "الطاقة", "والصِّناعة", "للماء", "الجامعة"),
    *("5G", "TRL6", "3,5", "LoRa", "CO₂", "13485", "ενέργεια"),
]
MEMBERS = [f"m{number}" for number in range(6)]
Change = tuple[str, str, str, str] | str
"""An offer put (document, member, title, text), or the id of one removed."""

texts = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
documents = st.sampled_from([f"d{number}" for number in range(12)])
puts = st.tuples(documents, st.sampled_from(MEMBERS), texts, texts)
changes = st.lists(st.one_of(puts, puts, documents), min_size=1, max_size=30)


@dataclass
class Played:
    """An index after some changes, and what is live in it by plain bookkeeping."""

    index: OfferIndex = field(default_factory=lambda: OfferIndex(Analyser()))
    live: dict[str, tuple[str, str, str]] = field(default_factory=dict)

    def play(self, change: Change) -> None:
        if isinstance(change, str):
            self.live.pop(change, None)
            self.index.remove(change)
        else:
            document_id, member, title, text = change
            self.live[document_id] = (member, title, text)
            self.index.put(document_id, member, text, title=title)

    def oracle(self, request: Request) -> dict[str, dict[str, float]]:
        """Cosines by document id, by member."""

        def terms(entry: tuple[str, str]) -> list[str]:
            counts = self.index.request(entry[1], title=entry[0]).counts
            return [term for term, count in counts.items() for _ in range(count)]

        found: dict[str, dict[str, float]] = {member: {} for member, _, _ in self.live.values()}
        try:
            vectorizer = TfidfVectorizer(analyzer=terms)
            offers = vectorizer.fit_transform((title, text) for _, title, text in self.live.values())
        except ValueError:  # no offer has a term
            return found
        cosines = (offers @ vectorizer.transform([(request.title, request.text)]).T).toarray().ravel()
        for (document_id, (member, _, _)), cosine in zip(self.live.items(), cosines.tolist(), strict=True):
            if cosine > 0:
                found[member][document_id] = cosine
        return found


def played(*sequence: Change) -> Played:
    state = Played()
    for change in sequence:
        state.play(change)
    return state


def assert_exact(state: Played, request: Request) -> None:
    expected = state.oracle(request)
    matches = state.index.search(request, 1_000)
    assert len(state.index) == len(state.live)
    assert {match.member for match in matches} == set(expected)
    for match in matches:
        best = sorted(expected[match.member].values(), reverse=True)[:VOTING_OFFERS]
        assert [vote.cosine for vote in match.documents] == pytest.approx(best, abs=1e-9)
        for vote in match.documents:
            assert vote.cosine == pytest.approx(expected[match.member][vote.document_id], abs=1e-9)
        assert match.score == pytest.approx(math.sqrt(sum(cosine**2 for cosine in best)), abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(changes, texts, texts)
def test_cosines_and_scores_are_those_of_a_fit_from_scratch(sequence: list[Change], title: str, text: str) -> None:
    state = Played()
    request = state.index.request(text, title=title)
    for number, change in enumerate(sequence):
        state.play(change)
        if number % 5 == 0:  # so that later changes meet numbers that were already derived
            assert_exact(state, request)
    assert_exact(state, request)


@settings(deadline=None, max_examples=100)
@given(changes, texts, st.sets(st.sampled_from(MEMBERS)), st.integers(1, 7))
def test_search_score_and_filter_agree(sequence: list[Change], text: str, eligible: set[str], k: int) -> None:
    index = played(*sequence).index
    request = index.request(text)
    everyone = index.search(request, 1_000)
    assert everyone == sorted(everyone, key=lambda match: (-match.score, match.member))
    assert [index.score(request, match.member) for match in everyone] == everyone
    assert index.search(request, k) == everyone[:k]
    admitted = [match for match in everyone if match.member in eligible]
    assert index.search(request, k, eligible) == index.search(request, k, eligible.__contains__) == admitted[:k]


@settings(deadline=None, max_examples=100)
@given(changes, texts, st.randoms(use_true_random=False))
def test_the_order_of_arrival_leaves_no_trace(sequence: list[Change], text: str, random: Random) -> None:
    state = played(*sequence)
    entries = [(document_id, *entry) for document_id, entry in state.live.items()]
    random.shuffle(entries)
    other = played(*entries).index
    assert other.search(other.request(text), 1_000) == state.index.search(state.index.request(text), 1_000)


@settings(deadline=None, max_examples=100)
@given(changes, texts, texts)
def test_shares_sum_to_the_score_and_spans_point_at_the_words(sequence: list[Change], title: str, text: str) -> None:
    state = played(*sequence)
    request = state.index.request(text, title=title)
    analyser = Analyser()
    for match in state.index.search(request, 1_000):
        terms = state.index.explain(request, match).terms
        assert sum(term.share for term in terms) == pytest.approx(match.score, abs=1e-9)
        assert {document for term in terms for document in term.offer_spans} == {vote[0] for vote in match.documents}
        for shared in terms:
            assert shared.share > 0
            assert len(shared.request_spans) == request.counts[shared.term]
            asked = {"title": title, "text": text}
            passages = [asked[span.field][span.start : span.end] for span in shared.request_spans]
            for document_id, spans in shared.offer_spans.items():
                _, offer_title, offer_text = state.live[document_id]
                offered = {"title": offer_title, "text": offer_text}
                passages += [offered[span.field][span.start : span.end] for span in spans]
            for passage in passages:
                read = {token.term for hint in ("fr", "en") for token in analyser.analyse(passage, hint).tokens}
                assert shared.term in read
                assert any(word.endswith(passage) for word in WORDS)


def test_thousands_of_replacements_neither_spoil_nor_swell_the_index() -> None:
    state = Played()
    for turn in range(40):
        for number in range(30):
            words = [WORDS[(number * 7 + turn * place + place**2) % len(WORDS)] for place in range(8)]
            member = MEMBERS[(number + turn) % len(MEMBERS)]
            state.play((f"d{number}", member, f"nouveau{turn}x{number}", " ".join(words)))
    for number in range(0, 30, 3):
        state.play(f"d{number}")
    assert_exact(state, state.index.request(" ".join(WORDS), title="nouveau39x1 nouveau3x3"))
