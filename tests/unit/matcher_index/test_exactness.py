"""After any sequence of changes, the index says what the specification computes from scratch."""

from collections.abc import Callable, Container, Hashable
from math import inf
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.matcher.index import Analyser, Match, OfferIndex, Request, Span, Weighting, informative
from services.matcher.index.offers import SHOWN_OFFERS
from services.matcher.index.specification import Specification, Term, Text, ranking

WORDS = [
    # Groups of words that resemble one another, by their stems.
    *("électrolyse", "électrolyseur", "électrolytique", "capteurs", "capteur", "microcapteurs", "biologie"),
    *("microbiologie", "photovoltaïque", "agrovoltaïque", "traitement", "prétraitement", "santé", "télésanté"),
    *("sensors", "sensing", "biosensors", "networks", "الطاقة", "والصِّناعة", "الصناعات", "للماء", "الجامعة"),
    # Words that resemble none, codes, and words that do not count.
    *("l'eau", "l’énergie", "réseaux", "usine", "5G", "TRL6", "3,5", "LoRa", "CO₂", "13485", "ενέργεια", "IRESEN"),
    *("de", "la", "pour", "the", "of"),
]
MEMBERS = [f"m{number}" for number in range(7)]
OFFERS = [f"d{number}" for number in range(14)]
MORE = [f"e{number}" for number in range(25)]
FEW = 15
"""Offers up to which steps are taken that put many: else most of the time would go there."""
GROUPS: list[Hashable] = [None, "company", "laboratory", ("city", 3)]
WEIGHTINGS = [
    Weighting(),
    Weighting(),
    Weighting(opening=3, c=3.0, bigram=0.8, burst=2.0),
    Weighting(k1=2.0, b=0.0, opening=0, rarity=0.0, burst=0.0, variant=1.0),
    Weighting(bigram=0.0, variant=0.0, name=0.0),
]
ANALYSER = Analyser()
LEAST_STEPS = 10_000

words = st.sampled_from(WORDS)
short_texts = st.lists(words, max_size=6).map(" ".join)
texts = st.one_of(
    short_texts,
    st.lists(words, max_size=14).map(" ".join),
    # A word may come as often as the counts that are kept apart go.
    st.builds(lambda often, more: f"{often} {often} {often} {often} {more}", short_texts, short_texts),
)


class Asked(NamedTuple):
    """A request as its author wrote it, as the index read it, perhaps long ago, and as the specification does."""

    title: str
    text: str
    request: Request
    plain: Text


class Offering(RuleBasedStateMachine):
    """An index through a life of changes, beside the specification."""

    requests = Bundle("requests")
    steps = 0

    @initialize(young=st.sampled_from([1, 3, 8, 16, 4096]), weighting=st.sampled_from(WEIGHTINGS))
    def begin(self, young: int, weighting: Weighting) -> None:
        # Room for so few young documents that most of them are being settled, or were, when they change again.
        self.analyser = ANALYSER
        self.index = OfferIndex(self.analyser, weighting, young=young)
        self.expected = Specification(self.analyser, weighting)
        self.written: dict[str, tuple[str, str]] = {}
        self.names: dict[str, str] = {}

    @invariant()
    def as_many_offers(self) -> None:
        Offering.steps += 1  # this is called after each of them
        assert len(self.index) == len(self.expected.offers)

    # Changes

    @rule(offer=st.sampled_from(OFFERS), member=st.sampled_from(MEMBERS), title=short_texts, text=texts)
    def put(self, offer: str, member: str, title: str, text: str) -> None:
        self.index.put(offer, member, text, title=title)
        self.expected.put(offer, member, self.expected.read(text, title))
        self.written[offer] = (title, text)

    @rule(offer=st.sampled_from(OFFERS), member=st.sampled_from(MEMBERS), words=st.lists(words, min_size=3, max_size=9))
    def put_twins(self, offer: str, member: str, words: list[str]) -> None:
        """Two members say the same: a tie."""
        self.put(offer, member, "", " ".join(words))
        self.put(OFFERS[OFFERS.index(offer) - 1], MEMBERS[MEMBERS.index(member) - 1], "", " ".join(words))

    @precondition(lambda self: len(self.written) < FEW)
    @rule(member=st.sampled_from(MEMBERS), count=st.integers(10, 25), words=st.lists(words, min_size=1, max_size=9))
    def put_many(self, member: str, count: int, words: list[str]) -> None:
        """A member has more offers than count for it; the next time they go to another."""
        for number in range(count):
            self.put(MORE[number], member, words[number % len(words)], " ".join(words[number % 4 :]))

    @rule(offer=st.sampled_from(OFFERS + MORE))
    def remove(self, offer: str) -> None:
        self.index.remove(offer)
        self.expected.remove(offer)
        self.written.pop(offer, None)

    @rule(member=st.sampled_from(MEMBERS))
    def leave(self, member: str) -> None:
        """All that a member has goes, in the middle of whatever the index is doing; its numbers become free."""
        for offer in self.expected.offers_of(member):
            self.remove(offer)
        self.name(member, "")

    @rule(
        member=st.sampled_from(MEMBERS),
        name=st.one_of(short_texts, st.just(""), short_texts.map("Institut IRESEN de {}".format)),
    )
    def name(self, member: str, name: str) -> None:
        self.index.name(member, name)
        self.expected.name(member, name)
        self.names[member] = name

    @rule(member=st.sampled_from(MEMBERS), group=st.sampled_from(GROUPS))
    def group(self, member: str, group: Hashable) -> None:
        self.index.group(member, group)
        self.expected.groups[member] = group

    # Questions

    @rule(target=requests, title=short_texts, text=texts)
    def ask(self, title: str, text: str) -> Asked:
        return Asked(title, text, self.index.request(text, title=title), self.expected.read(text, title))

    @rule(title=short_texts, text=texts, new=st.text("abcdefgh", max_size=9), k=st.integers(1, 4))
    def ask_in_passing(self, title: str, text: str, new: str, k: int) -> None:
        """What leaves no trace has the same answers to the last digit."""
        text, vocabulary = f"{new} {text} capteurisation {new}ment", self.index.vocabulary
        before = len(vocabulary), vocabulary.variants.version
        passing = self.index.passing(text, title=title)
        found = self.index.search(passing, k)
        explained = [self.index.explain(passing, match) for match in found]
        weighed = self.index.weigh(passing)
        assert (len(vocabulary), vocabulary.variants.version) == before
        asked = self.index.request(text, title=title)
        assert self.index.search(asked, k) == found
        assert [self.index.explain(asked, match) for match in found] == explained
        assert self.index.weigh(asked) == weighed

    @rule(asked=requests, k=st.integers(1, 9), groups=st.none() | st.sets(st.sampled_from(GROUPS)))
    def search(self, asked: Asked, k: int, groups: set[Hashable] | None) -> None:
        admits: Callable[[Hashable], bool] = (lambda _: True) if groups is None else groups.__contains__
        found = self.index.search(asked.request, k, groups=None if groups is None else admits)
        assert_best(found, k, self.expected.scores(asked.plain, admits))
        for match in found:
            assert self.index.score(asked.request, match.member) == match

    @rule(asked=requests, k=st.integers(1, 4), members=st.sets(st.sampled_from(MEMBERS)))
    def search_among(self, asked: Asked, k: int, members: set[str]) -> None:
        found = self.index.search(asked.request, k, members)
        assert found == self.index.search(asked.request, k, lambda member: member in members)
        scores = self.expected.scores(asked.plain)
        assert_best(found, k, {member: score for member, score in scores.items() if member in members})

    @rule(asked=requests, member=st.sampled_from(MEMBERS))
    def score(self, asked: Asked, member: str) -> None:
        match = self.index.score(asked.request, member)
        offers = self.expected.offers_of(member)
        if not offers:
            assert match is None
            return
        assert match is not None
        assert match.score == pytest.approx(self.expected.score(asked.plain, member), abs=1e-6)
        wanted = self.expected.wanted(asked.plain)
        scores = {key: sum(self.expected.parts(wanted, offer).values()) for key, offer in offers.items()}
        assert match.documents == tuple(sorted(match.documents, key=lambda vote: (-vote.score, vote.document_id)))
        assert len({vote.document_id for vote in match.documents}) == len(match.documents)
        shown = [scores[vote.document_id] for vote in match.documents]
        assert [vote.score for vote in match.documents] == pytest.approx(shown, abs=1e-6)
        best = sorted((score for score in scores.values() if score > 0), reverse=True)[:SHOWN_OFFERS]
        assert shown == pytest.approx(best, abs=1e-6)

    @rule(asked=requests, k=st.integers(1, 3))
    def explain(self, asked: Asked, k: int) -> None:
        for match in self.index.search(asked.request, k):
            explained = self.index.explain(asked.request, match).terms
            assert sum(term.share for term in explained) == pytest.approx(match.score, abs=1e-9)
            shares = {
                word: share for word, share in self.expected.shares(asked.plain, match.member).items() if share > 0
            }
            assert {term.term: term.share for term in explained} == pytest.approx(shares, abs=1e-6)
            in_name_parts = self.expected.name_parts(asked.plain, match.member)
            for term in explained:
                self.assert_points_at([term.term], term.request_spans, {"title": asked.title, "text": asked.text})
                in_name = [term.term] if in_name_parts.get(term.term, 0) > 0 else []
                self.assert_points_at(in_name, term.name_spans, {"name": self.names.get(match.member, "")})
                shown = [vote.document_id for vote in match.documents]
                assert list(term.offer_spans) == [offer for offer in shown if offer in term.offer_spans]
                for offer in shown:
                    fields = dict(zip(("title", "text"), self.written[offer], strict=True))
                    forms = self.expected.variants(term.term)
                    self.assert_points_at(forms, term.offer_spans.get(offer, ()), fields)
                first = term.request_spans[0]
                written = (asked.title if first.field == "title" else asked.text)[first.start : first.end]
                holders = self.expected.findings(term.term)
                assert term.informative == informative(written, holders, len(self.expected.offers))

    def assert_points_at(self, words: Container[Term], spans: tuple[Span, ...], fields: dict[str, str]) -> None:
        """Assert that the spans are all places where the fields say one of some words."""
        if "name" in fields:
            read = {"name": self.expected.read(fields["name"]).text}
        else:
            both = self.expected.read(fields["text"], fields["title"])
            read = {"title": both.title, "text": both.text}
        for field, text in fields.items():
            expected = [word for word in read[field] if word in words]
            here = [span for span in spans if span.field == field]
            assert here == sorted(here)
            assert len(here) == len(expected)
            for span, word in zip(here, expected, strict=True):
                passage = text[span.start : span.end]
                readings = (self.analyser.analyse(passage, hint).tokens for hint in ("fr", "en"))
                assert word in {token.term for tokens in readings for token in tokens}

    @precondition(lambda self: 0 < len(self.written) < FEW)
    @rule(asked=requests, random=st.randoms(use_true_random=False), young=st.sampled_from([1, 3, 4096]))
    def arrive_in_another_order(self, asked: Asked, random: Random, young: int) -> None:
        """The same offers and names, told to a new index in any order, are found with the same scores."""
        other = OfferIndex(self.analyser, self.index.weighting, young=young)
        early = other.request(asked.text, title=asked.title) if random.random() < 0.5 else None
        changes: list[Callable[[], None]] = []
        for offer, (title, text) in self.written.items():
            member = self.expected.offers[offer].member
            changes.append(lambda o=offer, m=member, x=text, t=title: other.put(o, m, x, title=t))  # type: ignore[misc]
        for member, name in self.names.items():
            changes.append(lambda m=member, n=name: other.name(m, n))  # type: ignore[misc]
        random.shuffle(changes)
        for change in changes:
            change()
        request = early or other.request(asked.text, title=asked.title)
        found, again = self.index.search(asked.request, 9), other.search(request, 9)
        assert {match.member: match.score for match in again} == pytest.approx(
            {match.member: match.score for match in found}, abs=1e-9
        )


def assert_best(found: list[Match], k: int, expected: dict[str, float]) -> None:
    """Assert that the matches are the best `k`, in order, ties by id."""
    best = ranking(expected)[:k]
    assert len(found) == len(best)
    assert [match.score for match in found] == pytest.approx([expected[member] for member in best], abs=1e-6)
    assert [match.score for match in found] == pytest.approx([expected[match.member] for match in found], abs=1e-6)
    before, member_before = inf, ""
    for match in found:
        tie = before - expected[match.member] < 1e-12
        assert not tie or member_before < match.member
        before, member_before = expected[match.member], match.member


def test_the_index_says_what_the_specification_says_through_ten_thousand_operations() -> None:
    Offering.steps = 0
    run_state_machine_as_test(Offering, settings=settings(max_examples=190, stateful_step_count=75, deadline=None))
    assert Offering.steps >= LEAST_STEPS
