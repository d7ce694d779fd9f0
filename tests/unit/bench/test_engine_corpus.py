"""The corpus that engines are measured on: the same everywhere, and skewed as texts are."""

import numpy as np
import pytest

from bench._corpus import BLOCK, FIRST_TERMS, TERMS, VOCABULARIES, Rows, documents, requests
from bench._engine_texts import Writer


@pytest.fixture(scope="module")
def rows() -> Rows:
    return documents(3_000)


def test_the_same_seed_gives_the_same_documents_and_another_seed_others(rows: Rows) -> None:
    again, other = documents(3_000), documents(3_000, seed=2)
    assert np.array_equal(rows.terms, again.terms)
    assert np.array_equal(rows.counts, again.counts)
    assert np.array_equal(rows.pointers, again.pointers)
    assert not np.array_equal(rows.terms[:100], other.terms[:100])


def test_a_corpus_is_the_beginning_of_a_larger_one(rows: Rows) -> None:
    larger = documents(BLOCK + 500)
    assert len(larger) == BLOCK + 500
    assert np.array_equal(larger.head(3_000).terms, rows.terms)
    assert np.array_equal(larger.head(3_000).pointers, rows.pointers)
    # The second block is no repetition of the first.
    assert not np.array_equal(larger.row(BLOCK)[0], larger.row(0)[0])


def test_terms_are_distinct_and_ascending_within_a_document_and_of_its_language(rows: Rows) -> None:
    for number in range(200):
        terms, counts = rows.row(number)
        language = int(rows.languages[number])
        assert (np.diff(terms) > 0).all()
        assert (counts >= 1).all()
        assert terms.min() >= FIRST_TERMS[language]
        assert terms.max() < FIRST_TERMS[language] + VOCABULARIES[language]


def test_lengths_are_those_of_real_offers(rows: Rows) -> None:
    lengths = np.array([int(rows.row(number)[1].sum()) for number in range(len(rows))])
    assert lengths.mean() == pytest.approx(51, abs=2)
    assert len(rows.terms) / len(rows) == pytest.approx(43, abs=2)
    assert lengths.min() >= 5
    assert np.percentile(lengths, 99) > 2 * np.median(lengths)


def test_few_terms_are_frequent_and_many_are_rare(rows: Rows) -> None:
    frequencies = np.sort(np.bincount(rows.terms, minlength=TERMS))[::-1]
    assert 0.08 < frequencies[0] / len(rows) < 0.16
    assert frequencies[:100].sum() > 0.1 * frequencies.sum()
    seen = frequencies[frequencies > 0]
    assert (seen == 1).mean() > 0.3


def test_every_second_request_is_a_paraphrase_of_its_planted_document(rows: Rows) -> None:
    asked, planted = requests(rows, 100)
    assert len(asked) == len(planted) == 100
    assert len(asked.terms) / 100 == pytest.approx(42, abs=6)
    assert (planted[1::2] == -1).all()
    shares = []
    for number in range(0, 100, 2):
        document = int(planted[number])
        assert rows.languages[document] == asked.languages[number]
        terms, counts = asked.row(number)
        shares.append(counts[np.isin(terms, rows.row(document)[0])].sum() / counts.sum())
    assert np.mean(shares) > 0.3


def test_a_text_has_the_words_of_its_row_as_often_as_the_row_says() -> None:
    rows = documents(50)
    writer = Writer()
    stems = writer._stems
    assert all(
        len(set(stems[first : first + size])) == size for first, size in zip(FIRST_TERMS, VOCABULARIES, strict=True)
    )
    for number in range(50):
        text = writer.write(rows, number).text.lower()
        for term, count in zip(*rows.row(number), strict=True):
            assert text.count(stems[int(term)]) >= count
