"""What every document of a segment gets from a list of weighted terms, a block of slots at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from services.matcher.index.compiled.arena import Arena, find_list, home_of
from services.matcher.index.compiled.arrays import (
    Floats32,
    Floats64,
    Ints32,
    Ints64,
    UInts32,
    compiled,
    prefetch,
)
from services.matcher.index.compiled.base import Base
from services.matcher.index.compiled.plans import FREQUENCIES, Plan, part, saturated

BLOCK = 1 << 16
"""Slots scored together: their scores, a quarter of a megabyte, stay in the processor's own cache beside postings."""

POSTINGS_PER_LINE = 16
"""Postings in a line of the processor's cache."""

CODES = 256
"""Kinds of postings: so long must a list be for it to pay to compute beforehand what each kind brings."""

LAST_POSTING = np.uint32(0xFFFFFFFF)


class Segments(NamedTuple):
    """All documents of a collection: settled, being settled, and young."""

    base: Base
    settling: Arena
    young: Arena


class Workspace(NamedTuple):
    """What one search writes to; zeros between searches, but for `worth`, `touched` and `young`. One for each thread.

    Attributes:
        scores: of the slots of a block, or of an arena, in the units of the plan.
        frequencies: of the slots, while a group of several terms is added.
        touched: one posting of each slot that has a frequency.
        worth: what each code brings, while the postings of a term are added.
        votes: of each member, the sum over the arenas of its documents' squared scores, `MOST_VOTES` at most.
        bonuses: of each member, what is added to its score.
        young: members with votes.
        chunk_highest: of each chunk, the highest score of a document.
        chunk_votes: of each chunk, the greatest of `votes` among its members.
        chunk_bonuses: of each chunk, the greatest of `bonuses` among its members.
    """

    scores: Ints32
    frequencies: Floats32
    touched: UInts32
    worth: Ints32
    votes: Ints64
    bonuses: Floats64
    young: Ints32
    chunk_highest: Ints32
    chunk_votes: Ints64
    chunk_bonuses: Floats64


def new_workspace(segments: Segments, members: int) -> Workspace:
    """Return what searches of these segments need."""
    base = segments.base
    longest = int(np.diff(base.chunk_starts).max(initial=0))
    settled = min(BLOCK, base.documents.size) + longest
    slots = max(settled, segments.young.owners.size, segments.settling.owners.size)
    chunks = base.groups.size
    return Workspace(
        scores=np.zeros(slots, np.int32),
        frequencies=np.zeros(slots, np.float32),
        touched=np.zeros(slots, np.uint32),
        worth=np.zeros(CODES, np.int32),
        votes=np.zeros(members, np.int64),
        bonuses=np.zeros(members, np.float64),
        young=np.zeros(segments.young.owners.size + segments.settling.owners.size, np.int32),
        chunk_highest=np.zeros(chunks, np.int32),
        chunk_votes=np.zeros(chunks, np.int64),
        chunk_bonuses=np.zeros(chunks, np.float64),
    )


@compiled
def add_arena(arena: Arena, cursors: Ints64, ends: Ints64, plan: Plan, work: Workspace) -> None:
    """Add to the scores of an arena's slots what each gets from the plan; the cursors are scratch memory."""
    _find_lists(arena, plan.terms, cursors, ends)
    add(arena.pool, cursors, ends, LAST_POSTING, 0, plan, work)


@compiled
def add(
    postings: UInts32, cursors: Ints64, ends: Ints64, limit: np.uint32, begin: int, plan: Plan, work: Workspace
) -> None:
    """Add to the scores of a block what each slot gets from the plan; `cursors` move to the next block.

    The block begins at slot `begin` and ends where postings reach `limit`.
    """
    # Looking into a tuple of arrays counts references, atomically: loops work on plain arrays, taken out before.
    pointers, weights, table, closeness = plan.pointers, plan.weights, plan.table, plan.closeness
    scores, frequencies, touched, worth = work.scores, work.frequencies, work.touched, work.worth
    factors, halves = plan.factors, plan.halves
    base = np.uint64(begin)
    for group in range(np.uint64(weights.size)):
        weight = weights[group]
        if weight == 0:
            continue
        first, last = np.uint64(pointers[group]), np.uint64(pointers[group + np.uint64(1)])
        if last - first == np.uint64(1):
            place, end = cursors[first], ends[first]
            if limit != LAST_POSTING:
                end = first_from(postings, place, end, limit)
                cursors[first] = end
            if end - place >= CODES:
                for code in range(np.uint64(CODES)):
                    worth[code] = part(weight, table[code])
                for at in range(np.uint64(place), np.uint64(end)):  # tight because its end is known beforehand
                    posting = postings[at]
                    scores[np.uint64(posting >> np.uint32(8)) - base] += worth[np.uint64(posting & np.uint32(255))]
            else:
                for at in range(np.uint64(place), np.uint64(end)):
                    posting = postings[at]
                    earned = table[np.uint64(posting & np.uint32(255))]
                    scores[np.uint64(posting >> np.uint32(8)) - base] += part(weight, earned)
            continue
        count = np.uint64(0)
        for number in range(first, last):
            place, end, close = cursors[number], ends[number], closeness[number]
            if limit != LAST_POSTING:
                end = first_from(postings, place, end, limit)
                cursors[number] = end
            for at in range(np.uint64(place), np.uint64(end)):
                posting = postings[at]
                slot = np.uint64(posting >> np.uint32(8)) - base
                if frequencies[slot] == 0:
                    touched[count] = posting
                    count += np.uint64(1)
                frequencies[slot] += close * FREQUENCIES[np.uint64(posting & np.uint32(7))]
        for number in range(count):
            posting = touched[number]
            slot = np.uint64(posting >> np.uint32(8)) - base
            level = np.uint64((posting >> np.uint32(3)) & np.uint32(31))
            scores[slot] += part(weight, saturated(frequencies[slot], factors[level], halves[level]))
            frequencies[slot] = 0


@compiled
def _find_lists(arena: Arena, terms: Ints32, begins: Ints64, ends: Ints64) -> None:
    """Fill in where the postings of each term begin and end in an arena's pool."""
    lists, pool = arena.lists, arena.pool
    for number in range(terms.size):
        begins[number] = home_of(lists, np.int64(terms[number]))
        prefetch(lists, 4 * begins[number])  # type: ignore[call-arg] # numba gives the context
    for number in range(terms.size):
        place = find_list(lists, np.int64(terms[number]))
        begins[number] = lists[place, 1]
        ends[number] = begins[number] + lists[place, 2]
        prefetch(pool, begins[number])  # type: ignore[call-arg]


@compiled
def find_postings(base: Base, terms: Ints32, begins: Ints64, ends: Ints64) -> None:
    """Fill in where the settled postings of each term begin and end."""
    pointers, postings = base.pointers, base.postings
    known = pointers.size - 1
    for number in range(terms.size):
        term = terms[number]
        begins[number] = ends[number] = 0
        if term < known:
            begins[number], ends[number] = pointers[term], pointers[term + 1]
            prefetch(postings, begins[number])  # type: ignore[call-arg] # numba gives the context
            prefetch(postings, begins[number] + POSTINGS_PER_LINE)


@compiled
def first_from(postings: UInts32, place: int, end: int, limit: np.uint32) -> int:
    """Return the first place from `place` on whose posting is at least `limit`: by leaps, then by halves."""
    if place >= end or postings[place] >= limit:
        return place
    leap = 16
    while place + leap < end and postings[place + leap] < limit:
        place += leap
        leap *= 2
    low, high = place, min(place + leap, end)
    while low < high:
        middle = (low + high) >> 1
        if postings[middle] < limit:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def bury(base: Base, begin: int, end: int, scores: Ints32) -> None:
    """Take the scores of removed documents away, in the block from slot `begin` to `end`."""
    graves = base.graves
    for number in range(base.buried[0]):
        if begin <= graves[number] < end:
            scores[graves[number] - begin] = 0


@compiled
def highest_of(scores: Ints32, begin: int, end: int) -> np.int32:
    """Return the highest of some scores that are not below 0; 0 of none."""
    highest = np.int32(0)
    for slot in range(np.uint64(begin), np.uint64(end)):
        highest = scores[slot] if scores[slot] > highest else highest
    return highest
