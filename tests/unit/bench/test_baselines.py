"""The baselines against what their formulas give by hand."""

import math

import numpy as np
import pytest

from bench._baselines import Texts, baselines, bm25, participation, ranked, tf_idf, votes, with_pairs

DOCS = [["water", "membrane", "water"], ["solar"], ["membrane", "solar", "wind", "wind"]]


def test_bm25_is_its_formula() -> None:
    # Three documents of 3, 1 and 4 words, 8/3 on average; `water` is in one of them, `membrane` in two.
    idf_water, idf_membrane = math.log(1 + 2.5 / 1.5), math.log(1 + 1.5 / 2.5)
    damping = {length: 1.2 * (0.25 + 0.75 * length / (8 / 3)) for length in (3, 4)}
    first = idf_water * 2 * 2.2 / (2 + damping[3]) + idf_membrane * 2.2 / (1 + damping[3])
    third = idf_membrane * 2.2 / (1 + damping[4])
    assert bm25(DOCS, [["water", "membrane", "unheard"]])[0] == pytest.approx([first, 0.0, third])


def test_a_word_that_the_query_repeats_counts_as_often() -> None:
    once, twice = bm25(DOCS, [["wind"], ["wind", "wind"]])
    assert twice == pytest.approx(2 * once)
    assert once[2] > 0


def test_a_query_that_nobody_answers_finds_nobody() -> None:
    assert ranked(bm25(DOCS, [["unheard"]]), ["q"], ["a", "b", "c"]) == {"q": {}}


def test_tf_idf_is_the_cosine_of_scikit_learns_definition() -> None:
    # Documents "x y" and "x": idf is 1 for x, ln(3/2) + 1 for y.
    rare = math.log(3 / 2) + 1
    [[both, one]] = tf_idf(["xx yy", "xx"], ["yy xx"])
    assert both == pytest.approx(1)
    assert one == pytest.approx(1 / math.hypot(1, rare))


def test_pairs_are_neighbours() -> None:
    assert with_pairs(["a", "b", "c"]) == ["a", "b", "c", "a b", "b c"]
    assert with_pairs([]) == []


def test_votes_are_summed_over_the_most_similar_projects_only() -> None:
    taking_part = participation([["a"], ["a", "b"], ["b", "nobody known"], ["a"]], ["a", "b"])
    scores = np.array([[3.0, 2.0, 1.0, 0.5]])
    assert votes(scores, taking_part, voting=2).tolist() == [[5.0, 2.0]]
    assert votes(scores, taking_part).tolist() == [[5.5, 3.0]]


def test_of_equally_similar_projects_the_first_votes() -> None:
    taking_part = participation([["a"], ["b"], ["c"]], ["a", "b", "c"])
    assert votes(np.array([[1.0, 1.0, 1.0]]), taking_part, voting=2).tolist() == [[1.0, 1.0, 0.0]]


def test_a_doc_named_twice_took_part_once() -> None:
    assert participation([["a", "a"], []], ["a"]).toarray().tolist() == [[1.0], [0.0]]


def test_a_ranking_is_best_first_and_of_equal_ones_by_place() -> None:
    [found] = ranked(np.array([[1.0, 2.0, 1.0, 0.0]]), ["q"], ["a", "b", "c", "d"]).values()
    assert list(found.items()) == [("b", 2.0), ("a", 1.0), ("c", 1.0)]


def test_without_past_projects_voting_is_bm25_and_popularity_is_nothing() -> None:
    found = baselines(_texts(project_terms=[], project_docs=[]))
    assert found["E"] == found["C"]
    assert found["P"] is None


def test_with_past_projects_the_most_active_come_first_whatever_is_asked() -> None:
    found = baselines(_texts(project_terms=[["water"], ["wind"], ["sun"]], project_docs=[["b"], ["b", "a"], ["b"]]))
    assert found["P"] == {"q": {"b": 3.0, "a": 1.0}}
    voted = found["E"]
    assert voted is not None
    assert list(voted["q"]) == ["b"]
    assert found["A"] == {"q": {"a": pytest.approx(1.0)}}


def _texts(*, project_terms: list[list[str]], project_docs: list[list[str]]) -> Texts:
    return Texts(
        docs={"b": "solar", "a": "water"},
        queries={"q": "water"},
        doc_terms={"b": ["solar"], "a": ["water"]},
        query_terms={"q": ["water"]},
        project_terms=project_terms,
        project_docs=project_docs,
    )
