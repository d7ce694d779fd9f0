"""What a reader is shown: percentages that add up, marks on the right words, nothing lost."""

from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.suggestions import Evidence, Mark, SharedTerm
from services.notifier.domain.presentation import TERMS_SHOWN, URGENT, Segment, card, percentages, segments
from tests.unit.notifier.samples import ANSWER, EVIDENCE, NEED, NOW, made, passage


@pytest.mark.parametrize(
    ("shares", "percent"),
    [
        ((1, 1), (50, 50)),
        ((1, 1, 1), (34, 33, 33)),
        ((0.31, 0.24, 0.18, 0.15, 0.12), (31, 24, 18, 15, 12)),
        ((0.004, 0.996), (0, 100)),
        ((2, 1), (67, 33)),
        ((5,), (100,)),
    ],
)
def test_percentages(shares: tuple[float, ...], percent: tuple[int, ...]) -> None:
    assert percentages(shares) == percent


@given(st.lists(st.floats(min_value=1e-6, max_value=1e3), min_size=1, max_size=200))
def test_percentages_sum_to_100_and_stay_within_one(shares: list[float]) -> None:
    percent = percentages(shares)
    total = sum(map(Fraction, shares))
    assert sum(percent) == 100
    assert all(abs(100 * Fraction(share) / total - whole) < 1 for share, whole in zip(shares, percent, strict=True))


def test_no_shares_have_no_percentages() -> None:
    with pytest.raises(ValueError, match="positive"):
        percentages(())


@pytest.mark.parametrize(
    ("text", "marks", "shown"),
    [
        ("abc", [], "abc"),
        ("abc", [(0, 1)], "[a]bc"),
        ("abc", [(2, 3), (0, 1)], "[a]b[c]"),
        ("abc", [(0, 2), (1, 3)], "[ab][c]"),
        ("abc", [(0, 3), (1, 2)], "[abc]"),
        ("abc", [(1, 99)], "a[bc]"),
        ("abc", [(7, 9)], "abc"),
        ("زيت أركان", [(0, 3)], "[زيت] أركان"),
        ("🙂 sol", [(2, 5)], "🙂 [sol]"),
        ("", [(0, 1)], ""),
    ],
)
def test_marks(text: str, marks: list[tuple[int, int]], shown: str) -> None:
    cut = segments(text, [Mark(start=start, end=end) for start, end in marks])
    assert "".join(f"[{run.text}]" if run.marked else run.text for run in cut) == shown


@given(st.text(max_size=60), st.lists(st.tuples(st.integers(0, 70), st.integers(1, 70)), max_size=8))
def test_no_character_is_lost(text: str, marks: list[tuple[int, int]]) -> None:
    cut = segments(text, [Mark(start=start, end=end) for start, end in marks])
    assert "".join(run.text for run in cut) == text
    assert all(run.text for run in cut)


def test_a_card_shows_the_largest_reasons_and_sums_up_the_rest() -> None:
    terms = tuple(
        SharedTerm(request_words=(f"w{i}",), offer_words=(f"w{i}",), share=share)
        for i, share in enumerate([0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.06, 0.04])
    )
    shown = card(made(evidence=Evidence(terms=terms)), now=NOW)
    assert [term.percent for term in shown.terms] == [30, 20, 10, 10, 10, 10]
    assert len(shown.terms) == TERMS_SHOWN
    assert shown.rest_percent == 10


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (("capteurs",), ("capteur",), "capteurs / capteur"),
        (("Sol",), ("sol",), "Sol"),
        (("sol", "SOL", "sols"), ("sol",), "sol, sols / sol"),
        (("زيت",), ("الزيوت",), "زيت / الزيوت"),
    ],
)
def test_a_term_in_both_sides_words(ours: tuple[str, ...], theirs: tuple[str, ...], words: str) -> None:
    terms = (SharedTerm(request_words=ours, offer_words=theirs, share=1), EVIDENCE.terms[1])
    assert card(made(evidence=Evidence(terms=terms)), now=NOW).terms[0].words(", ") == words


def test_passages_are_shown_marked_and_the_whole_text_only_where_it_says_more() -> None:
    shown = card(made(), now=NOW)
    assert [run.text for run in shown.request.excerpts[0].segments if run.marked] == [
        "capteurs",
        "humidité",
        "LoRa",
        "irrigation",
        "parcelles",
    ]
    assert shown.request.whole == ()

    cut = EVIDENCE.model_copy(update={"request_passages": (passage("soil", NEED[20:90], "capteurs"),)})
    [whole] = card(made(evidence=cut), now=NOW).request.whole
    assert "".join(run.text for run in whole.segments) == NEED
    assert [run.text for run in whole.segments if run.marked] == ["capteurs"]


@pytest.mark.parametrize(("start", "end", "begins"), [(0, 40, "Nous"), (20, 90, "… ")])
def test_a_passage_cut_out_of_a_text_says_so(start: int, end: int, begins: str) -> None:
    cut = EVIDENCE.model_copy(update={"request_passages": (passage("soil", NEED[start:end].strip()),)})
    text = "".join(run.text for run in card(made(evidence=cut), now=NOW).request.excerpts[0].segments)
    assert text.startswith(begins)
    assert "…" in text[-2:]
    assert "…" not in "".join(run.text for run in card(made(), now=NOW).request.excerpts[0].segments)


def test_a_title_is_said_once_over_the_passages_of_its_text() -> None:
    suggestion = made()
    other = suggestion.offer.documents[0].model_copy(update={"document_id": "guide", "title": "Guide"})
    offer = suggestion.offer.model_copy(update={"documents": (*suggestion.offer.documents, other)})
    passages = (
        passage("sensors", offer.documents[0].title),
        passage("sensors", ANSWER[:40]),
        passage("guide", ANSWER[:40]),
        passage("guide", ANSWER[50:80]),
    )
    evidence = EVIDENCE.model_copy(update={"offer_passages": passages})
    excerpts = card(made(offer=offer, evidence=evidence), now=NOW).offer.excerpts
    assert [excerpt.title for excerpt in excerpts] == [None, None, "Guide", None]


def test_without_passages_the_text_begins() -> None:
    shown = card(made(evidence=Evidence(terms=EVIDENCE.terms)), now=NOW)
    assert shown.offer.excerpts[0].segments == (Segment(ANSWER, marked=False),)


def test_facts_help_to_decide() -> None:
    suggestion = made()
    facts = card(suggestion, now=NOW).facts
    assert (facts.trl, facts.stage, facts.languages, facts.urgent) == (5, "prototype", ("fr", "ar"), False)
    assert suggestion.request.deadline is not None
    assert card(suggestion, now=suggestion.request.deadline - URGENT + timedelta(hours=1)).facts.urgent
