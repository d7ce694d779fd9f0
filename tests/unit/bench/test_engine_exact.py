"""The slow computations that engines are held to, and the peers held to them."""

import math
from pathlib import Path

import numpy as np
import pytest

from bench._corpus import Rows, documents, requests
from bench._engine_exact import lucene_scores, worst_error
from bench._engine_speed import TOLERANCE
from bench._peers import Tantivy, peers


def test_bm25_of_a_corpus_that_can_be_counted_by_hand() -> None:
    # Document 0: a a b. Document 1: b. Asked: a.
    rows = Rows(
        np.array([0, 1, 1], np.int32),
        np.array([2, 1, 1], np.int32),
        np.array([0, 2, 3], np.int64),
        np.zeros(2, np.int32),
    )
    found = lucene_scores(rows, np.array([0], np.int32), np.array([1], np.int32), 1.5, 0.75)
    idf = math.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    assert found == pytest.approx([idf * 2 / (2 + 1.5 * (0.25 + 0.75 * 3 / 2)), 0])
    twice = lucene_scores(rows, np.array([0], np.int32), np.array([2], np.int32), 1.5, 0.75)
    assert twice == pytest.approx(2 * found)


def test_an_answer_is_compared_with_the_best_place_by_place() -> None:
    exact = np.array([1.0, 4.0, 3.0, 3.0, 0.0])
    assert worst_error(exact, [1, 2, 3], 3) == 0
    assert worst_error(exact, [1, 3, 2], 3) == 0
    assert worst_error(exact, [1, 2, 0], 3) == 0.5
    assert worst_error(exact, [2, 1], 2) == 0.25


def test_an_answer_that_leaves_out_or_repeats_a_document_is_wrong_however_good_the_rest() -> None:
    exact = np.array([1.0, 4.0, 3.0, 0.0])
    assert worst_error(exact, [1, 2], 10) == math.inf
    assert worst_error(exact, [1, 1, 2], 3) == math.inf
    assert worst_error(exact, [], 10) == math.inf
    assert worst_error(exact, [1, 2, 0], 10) == 0
    assert worst_error(np.zeros(3), [], 10) == 0


def test_every_peer_finds_what_its_formula_says_and_what_was_planted(tmp_path: Path) -> None:
    rows = documents(300)
    asked, planted = requests(rows, 10)
    built = peers(rows, asked, 10, tmp_path, lambda _: None)
    assert len(built) == 5
    for peer in built:
        for number in range(10):
            answer = [int(document) for document in peer.answer(number)]
            assert len(set(answer)) == len(answer) > 0
            if peer.exact is not None:
                assert worst_error(peer.exact(number), answer, 10) <= TOLERANCE, peer.name
            if planted[number] >= 0:
                assert planted[number] in answer, peer.name


def test_tantivy_finds_an_insert_after_its_commit() -> None:
    rows = documents(300)
    peer = Tantivy(rows.head(200), writable=True)
    request = peer.weighted(*(part.tolist() for part in rows.row(250)))
    assert 250 not in peer.ids(peer.search(request, 10))
    peer.insert(250, rows.words(250).tolist())
    assert peer.ids(peer.search(request, 10))[0] == 250
    peer.close()
