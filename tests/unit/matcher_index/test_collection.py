"""Documents of numbered terms: what was put is what is searched, whatever segment it lies in."""

from math import hypot
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.matcher.index.collection import Collection
from services.matcher.index.compiled.arrays import Floats64, Ints32, UInts32
from services.matcher.index.compiled.base import CHUNK, VOTING_OFFERS, Documents
from services.matcher.index.compiled.plans import FREQUENCIES
from services.matcher.index.compiled.ranking import SKIPPED_GAP
from services.matcher.index.compiled.scoring import BLOCK
from services.matcher.index.compiled.searching import ALL_ALLOWED, search
from services.matcher.index.compiled.weighting import Query, Weighting, plan

WEIGHTING = Weighting(c=1e12)
NO_MEMBERS, NO_SCORES = np.zeros(0, np.int32), np.zeros(0, np.float64)
TERMS = 12
DOCUMENTS = 20
MEMBERS = 8
GROUPS = 3
LEVEL = 3
MOST_GROUPS = 6

Row = dict[int, int]
"""Code of each term."""

rows = st.dictionaries(st.integers(0, TERMS - 1), st.integers(0, 7), max_size=TERMS)
puts = st.tuples(st.integers(0, DOCUMENTS - 1), st.integers(0, MEMBERS - 1), rows)
removals = st.integers(0, DOCUMENTS - 1)
changes = st.lists(st.one_of(puts, puts, removals, st.just("merge")), max_size=60)


def put(collection: Collection, document: int, member: int, row: Row) -> None:
    terms = sorted(row)
    codes = np.array([LEVEL << 3 | row[term] for term in terms], np.uint8)
    collection.put(document, member, member % GROUPS, np.array(terms, np.int32), codes)


def query(*groups: dict[int, float]) -> Query:
    terms = [term for group in groups for term in group]
    closeness = [close for group in groups for close in group.values()]
    pointers = np.cumsum([0, *map(len, groups)])
    return Query(
        np.array(terms, np.int32),
        np.array(closeness, np.float32),
        pointers.astype(np.int32),
        np.ones(len(groups), np.float32),
        len(groups),
    )


QUERY = query({0: 1.0}, {1: 1.0, 2: 0.5, 3: 0.1875}, {4: 1.0}, {TERMS + 1000: 1.0})


def best(
    collection: Collection,
    k: int,
    groups: set[int] | None = None,
    bonuses: tuple[Ints32, Floats64] = (NO_MEMBERS, NO_SCORES),
    asked: Query = QUERY,
) -> dict[int, float]:
    """Return the best members with their scores, which are all above 0."""
    allowed = ALL_ALLOWED if groups is None else np.array([group in groups for group in range(MOST_GROUPS)], np.uint8)
    members, scores, _ = search(collection.held, asked, k, allowed, *bonuses)
    assert len(set(members.tolist())) == members.size
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    return dict(zip(members.tolist()[:k], scores.tolist()[:k], strict=True))


@settings(deadline=None, max_examples=150)
@given(changes, st.sampled_from([1, 2, 5, 4096]), st.sets(st.integers(0, GROUPS - 1)))
def test_no_change_leaves_a_trace(
    sequence: list[tuple[int, int, Row] | int | str], young: int, groups: set[int]
) -> None:
    collection = Collection(WEIGHTING, young=young)
    living: dict[int, tuple[int, Row]] = {}
    for change in sequence:
        if isinstance(change, tuple):
            document, member, row = change
            put(collection, document, member, row)
            living[document] = member, row
        elif isinstance(change, int):
            collection.remove(change)
            living.pop(change, None)
        else:
            collection.merge()
    fresh = Collection(WEIGHTING)
    for document, (member, row) in living.items():
        put(fresh, document, member, row)

    assert len(collection) == len(fresh) == len(living)
    for document, (_, row) in living.items():
        held = {int(entry >> 8): int(entry & 7) for entry in collection.row(document)}
        assert held == row
    for term in range(TERMS):
        assert collection.statistics.frequencies[term] == sum(term in row for _, row in living.values())
        assert collection.statistics.holders[term] == len({member for member, row in living.values() if term in row})
        times = sum(2 * FREQUENCIES[row[term]] for _, row in living.values() if term in row)
        assert collection.statistics.occurrences[term] == times
    assert collection.statistics.members[0] == len({member for member, _ in living.values()})
    assert collection.statistics.lengths.tolist() == fresh.statistics.lengths.tolist()
    everybody = best(fresh, MEMBERS)
    assert best(collection, MEMBERS) == pytest.approx(everybody, abs=1e-12)
    admitted = {member: score for member, score in everybody.items() if member % GROUPS in groups}
    assert best(collection, MEMBERS, groups) == pytest.approx(admitted, abs=1e-12)
    first = best(collection, 2)
    assert sorted(first.values()) == pytest.approx(sorted(everybody.values())[-2:], abs=1e-12)


@pytest.mark.parametrize("young", [1, 4096])
def test_a_document_longer_than_the_room_for_young_ones_is_taken(young: int) -> None:
    collection = Collection(WEIGHTING, young=young)
    put(collection, 0, 0, {0: 0})
    put(collection, 1, 1, dict.fromkeys(range(20_000), 2))
    put(collection, 2, 2, {4: 1})
    assert set(best(collection, 5)) == {0, 1, 2}
    assert collection.row(1).size == 20_000


def test_numbers_may_be_any_and_come_in_any_order() -> None:
    collection = Collection(WEIGHTING, young=2)
    for document, member, term in [(100_000, 50_000, 0), (0, 3, 200_000), (7, 1_000, 0), (5_000, 70_000, 4)]:
        put(collection, document, member, {term: 0})
    assert set(best(collection, 9)) == {50_000, 1_000, 70_000}
    assert set(best(collection, 9, asked=query({200_000: 1.0}))) == {3}


def test_what_is_removed_while_it_is_settled_is_gone_then_and_afterwards() -> None:
    collection = Collection(WEIGHTING, young=2)
    for document in range(3):  # the third starts the settling of the first two, which nothing before the next put ends
        put(collection, document, document, {0: 0})
    collection.remove(0)
    put_again: Row = {4: 0}
    assert set(best(collection, 9)) == {1, 2}
    collection.remove(2)
    assert set(best(collection, 9)) == {1}
    collection.merge()
    assert set(best(collection, 9)) == {1}
    put(collection, 0, 5, put_again)
    assert set(best(collection, 9)) == {1, 5}


def test_what_is_replaced_while_it_is_settled_is_the_new_one_afterwards() -> None:
    collection = Collection(WEIGHTING, young=3)
    for document in range(4):
        put(collection, document, document, {0: 0})
    put(collection, 0, 0, {4: 3})
    before = best(collection, 9)
    collection.merge()
    assert {int(entry >> 8): int(entry & 7) for entry in collection.row(0)} == {4: 3}
    assert best(collection, 9) == pytest.approx(before, abs=1e-12)
    assert len(collection) == 4


def test_searching_an_empty_collection_finds_nobody() -> None:
    collection = Collection(WEIGHTING)
    assert best(collection, 3) == {}
    put(collection, 0, 0, {0: 0})
    collection.remove(0)
    assert best(collection, 3) == {}
    collection.merge()
    assert best(collection, 3) == {}
    collection.remove(99)


@pytest.mark.parametrize("settled", [False, True])
def test_a_bonus_finds_a_member_that_shares_nothing_if_it_has_a_document(settled: bool) -> None:
    collection = Collection(WEIGHTING)
    for member in range(4):
        put(collection, member, member, {0: 0} if member < 2 else {9: 0})
    collection.remove(3)
    if settled:
        collection.merge()
    bonuses = np.array([2, 3], np.int32), np.array([5, 6], np.float64)
    assert best(collection, 1, bonuses=bonuses) == {2: 5}
    members, _, parts = search(collection.held, QUERY, 9, ALL_ALLOWED, *bonuses)
    assert dict(zip(members.tolist(), parts.tolist(), strict=True)) == {2: 5, 0: 0, 1: 0}
    assert 5 not in best(collection, 9).values(), "a bonus is of one search"
    assert set(best(collection, 9, {2}, bonuses)) == {2}
    assert set(best(collection, 9, {1}, bonuses)) == {1}


@pytest.mark.parametrize("settled", [0, 0.5, 1])
@pytest.mark.parametrize("documents", [40, 50, 60, 500])
@pytest.mark.parametrize("bonus", [0.0, 0.5])
def test_a_member_of_hundreds_of_documents_is_found_by_its_best(settled: float, documents: int, bonus: float) -> None:
    """Squares of so many scores do not fit into any number; those of the documents that vote do."""
    collection = Collection(WEIGHTING)
    for document in range(documents):
        put(collection, document, 1, {0: 7})
        if document + 1 == settled * documents:
            collection.merge()
    put(collection, documents, 2, {0: 0, 4: 7})
    bonuses = np.array([1], np.int32), np.array([bonus])
    asked = query({0: 1.0})
    planned = plan(collection.statistics, asked, WEIGHTING)
    one = float(planned.weights[0]) * float(planned.table[LEVEL << 3 | 7]) * planned.unit
    assert best(collection, 9, bonuses=bonuses, asked=asked)[1] == pytest.approx(
        one * VOTING_OFFERS**0.5 + bonus, rel=1e-6
    )


def test_all_that_are_as_good_as_the_last_are_found_wherever_they_lie() -> None:
    collection = Collection(WEIGHTING)
    members = range(16 * CHUNK)
    for member in members:
        put(collection, member, member, {0: 0} if member % 2 else {0: 0, 9: 0})
    collection.merge()
    found, scores, _ = search(collection.held, query({0: 1.0}), 3, ALL_ALLOWED, NO_MEMBERS, NO_SCORES)
    assert set(found.tolist()) == set(members)
    assert len(set(scores.tolist())) == 1


@pytest.mark.parametrize("young", [64, 8192])
def test_hundreds_of_thousands_of_documents(young: int) -> None:
    """More than are scored together, of groups large and small, some of them young and some removed."""
    count, random = BLOCK + 3 * SKIPPED_GAP + 777, Random(7)
    numbers = np.random.default_rng(7)
    owners = numbers.integers(0, count // 3, count)
    owners[:3000] = owners[:3000] % 40 * 997  # these have more documents than count for them
    owners = np.sort(owners)
    sizes = [count // 7, SKIPPED_GAP // 8, SKIPPED_GAP // 6, 1, count // 2]  # in members, more or less
    groups = np.minimum(np.searchsorted(np.cumsum(sizes), owners, side="right"), MOST_GROUPS - 1)
    # Each document has three of sixty terms, so that most are scored by none and many by the same.
    chosen = np.sort(numbers.integers(0, 20, (count, 3)) + np.array([0, 20, 40]), axis=1).astype(np.uint32)
    levels = numbers.integers(0, 6, count).astype(np.uint8)
    codes = (levels[:, None] << 3 | numbers.integers(0, 8, (count, 3))).astype(np.uint32)
    pointers = np.arange(0, 3 * count + 1, 3, dtype=np.int32)
    collection = Collection(WEIGHTING, young=young)
    entries: UInts32 = (chosen << 8 | codes).ravel().astype(np.uint32)
    documents = np.arange(count, dtype=np.int32)
    collection.build(Documents(owners.astype(np.int32), groups.astype(np.int32), documents, pointers, entries))
    living = {
        document: {term: code & 7 for term, code in zip(terms, of_terms, strict=True)}
        for document, (terms, of_terms) in enumerate(zip(chosen.tolist(), codes.tolist(), strict=True))
    }
    for document in random.sample(range(count), 200):
        collection.remove(document)
        del living[document]
    crowded = np.flatnonzero(np.bincount(owners)[owners] > VOTING_OFFERS).tolist()
    for document in random.sample(range(count), 200) + random.sample(crowded, 200):
        living[document] = dict.fromkeys(random.sample(range(60), 5), 3)
        terms = np.array(sorted(living[document]), np.int32)
        levels[document] = 2
        owner, group = int(owners[document]), int(groups[document])
        collection.put(document, owner, group, terms, np.full(5, 2 << 3 | 3, np.uint8))

    asked = ({0: 1.0}, {21: 1.0, 22: 0.375}, {45: 1.0})
    planned = plan(collection.statistics, query(*asked), WEIGHTING)
    scores_of: dict[int, list[float]] = {}
    for document, row in living.items():
        score = 0.0
        for weight, group_of_terms in zip(planned.weights.tolist(), asked, strict=True):
            frequency = sum(close * FREQUENCIES[row[term]] for term, close in group_of_terms.items() if term in row)
            level = levels[document]
            score += planned.unit * weight * frequency * planned.factors[level] / (frequency + planned.halves[level])
        scores_of.setdefault(int(owners[document]), []).append(score)
    totals = {owner: hypot(*sorted(scores)[-VOTING_OFFERS:]) for owner, scores in scores_of.items()}
    group_of = dict(zip(owners.tolist(), groups.tolist(), strict=True))
    for admitted in (None, {0}, {1}, {2, 4}, {3}, {1, 3, 5}, {5}, set[int]()):
        expected = [total for owner, total in totals.items() if admitted is None or group_of[owner] in admitted]
        found = best(collection, 20, admitted, asked=query(*asked))
        first = [total for total in sorted(expected, reverse=True)[:20] if total > 0]
        assert list(found.values()) == pytest.approx(first, rel=1e-6)
        assert list(found.values()) == pytest.approx([totals[owner] for owner in found], rel=1e-6)
        assert all(admitted is None or group_of[owner] in admitted for owner in found)
