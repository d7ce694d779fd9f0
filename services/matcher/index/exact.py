"""The scores of a few members again, in full precision, from the rows of their documents."""

from __future__ import annotations

import numpy as np

from services.matcher.index.arena import NOBODY, Arena
from services.matcher.index.arrays import Floats64, Ints8, Ints32, UInts32, compiled, prefetch
from services.matcher.index.base import VOTING_OFFERS
from services.matcher.index.plans import Lookup, Plan, look_up, score_row
from services.matcher.index.scoring import Segments, keep_best

ENTRIES_PER_LINE = 16
"""Entries of a row in a line of the processor's cache."""

LINES_AHEAD = 3
"""Lines of each row that are fetched before they are needed: most rows are no longer."""


@compiled
def exact_scores(segments: Segments, plan: Plan, members: Ints32) -> Floats64:
    """Return the scores of members without bonuses, shape (members,)."""
    lookup = look_up(plan)
    base = segments.base
    ordinals, starts, dead, row_pointers, rows = base.ordinals, base.starts, base.dead, base.row_pointers, base.rows
    settled = ordinals.size
    # The rows of all are on their way from memory before the first is looked into.
    for number in range(members.size):
        ordinal = ordinals[members[number]] if members[number] < settled else NOBODY
        if ordinal != NOBODY:
            prefetch(row_pointers, np.int64(starts[ordinal]))  # type: ignore[call-arg] # numba gives the context
    for number in range(members.size):
        ordinal = ordinals[members[number]] if members[number] < settled else NOBODY
        if ordinal != NOBODY:
            begin = np.int64(row_pointers[starts[ordinal]])
            for line in range(LINES_AHEAD):
                prefetch(rows, begin + line * ENTRIES_PER_LINE)  # type: ignore[call-arg]
    totals, nothing = np.zeros(members.size, np.float64), np.empty(0, np.float64)
    best = np.zeros(VOTING_OFFERS, np.float64)
    some_young = segments.settling.used[1] + segments.young.used[1] > 0
    for number in range(members.size):
        ordinal = ordinals[members[number]] if members[number] < settled else NOBODY
        if ordinal != NOBODY:
            for slot in range(np.uint64(starts[ordinal]), np.uint64(starts[ordinal + 1])):
                if not dead[slot]:
                    begin, end = row_pointers[slot], row_pointers[slot + np.uint64(1)]
                    keep_best(best, score_row(rows, begin, end, lookup, nothing))
        if some_young:
            _keep_young(segments.settling, lookup, members[number], best)
            _keep_young(segments.young, lookup, members[number], best)
        if best[1] > 0:
            votes = 0.0
            for place in range(VOTING_OFFERS):
                votes += best[place] * best[place]
            totals[number] = np.sqrt(votes)
        else:
            totals[number] = best[0]
        best[:] = 0
    return totals


@compiled
def parts(segments: Segments, plan: Plan, segment_of: Ints8, slots: Ints32) -> Floats64:
    """Return what each group of a plan brings to the score of some documents, shape (documents, groups).

    The documents are given by segment and slot, see `row_of`; the sum over the groups is the document's score.
    """
    lookup = look_up(plan)
    result = np.zeros((slots.size, plan.weights.size), np.float64)
    for number in range(slots.size):
        row = row_of(segments, segment_of[number], slots[number])
        score_row(row, 0, row.size, lookup, result[number])
    return result


@compiled
def scores_of(segments: Segments, plan: Plan, segment_of: Ints8, slots: Ints32) -> Floats64:
    """Return the scores of some documents, given by segment and slot; shape (documents,)."""
    lookup = look_up(plan)
    nothing, scores = np.empty(0, np.float64), np.empty(slots.size, np.float64)
    for number in range(slots.size):
        row = row_of(segments, segment_of[number], slots[number])
        scores[number] = score_row(row, 0, row.size, lookup, nothing)
    return scores


@compiled
def row_of(segments: Segments, segment: int, slot: int) -> UInts32:
    """Return the row of a document: segment 0 is the base, 1 the settling arena, 2 the young one."""
    if segment == 0:
        base = segments.base
        return base.rows[base.row_pointers[slot] : base.row_pointers[slot + 1]]
    arena = segments.settling if segment == 1 else segments.young
    return arena.rows[arena.row_pointers[slot] : arena.row_pointers[slot + 1]]


@compiled
def _keep_young(arena: Arena, lookup: Lookup, member: int, best: Floats64) -> None:
    """Put the scores of a member's documents in an arena among its best."""
    nothing = np.empty(0, np.float64)
    last, owners, previous, row_pointers, rows = (
        arena.last,
        arena.owners,
        arena.previous,
        arena.row_pointers,
        arena.rows,
    )
    slot = last[member] if member < last.size else NOBODY
    while slot != NOBODY:
        if owners[slot] == member:
            keep_best(best, score_row(rows, row_pointers[slot], row_pointers[slot + 1], lookup, nothing))
        slot = previous[slot]
