"""The scores of a few members again, in full precision, from the rows of their documents."""

from __future__ import annotations

import numpy as np

from services.matcher.index.arena import NOBODY, Arena
from services.matcher.index.arrays import Floats32, Floats64, Ints8, Ints32, UInts32, compiled
from services.matcher.index.base import VOTING_OFFERS, Base
from services.matcher.index.plans import Lookup, Plan, look_up, score_row
from services.matcher.index.scoring import Segments, keep_best


@compiled
def exact_scores(segments: Segments, plan: Plan, members: Ints32) -> Floats64:
    """Return the scores of members without bonuses, shape (members,)."""
    lookup = look_up(plan)
    best = np.zeros((members.size, VOTING_OFFERS), np.float64)
    _add_settled(segments.base, lookup, members, best)
    if segments.settling.used[1]:
        _add_young(segments.settling, lookup, members, best)
    if segments.young.used[1]:
        _add_young(segments.young, lookup, members, best)
    totals = np.zeros(members.size, np.float64)
    for number in range(members.size):
        for score in best[number]:
            totals[number] += score * score
        totals[number] = np.sqrt(totals[number])
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
def _add_settled(base: Base, lookup: Lookup, members: Ints32, best: Floats64) -> None:
    nothing = np.empty(0, np.float64)
    for number in range(members.size):
        ordinal = base.ordinals[members[number]] if members[number] < base.ordinals.size else NOBODY
        if ordinal != NOBODY:
            for slot in range(base.starts[ordinal], base.starts[ordinal + 1]):
                if not base.dead[slot]:
                    begin, end = base.row_pointers[slot], base.row_pointers[slot + 1]
                    keep_best(best[number], score_row(base.rows, begin, end, lookup, nothing))


@compiled
def _add_young(arena: Arena, lookup: Lookup, members: Ints32, best: Floats64) -> None:
    nothing = np.empty(0, np.float64)
    for number in range(members.size):
        slot = arena.last[members[number]] if members[number] < arena.last.size else NOBODY
        while slot != NOBODY:
            if arena.owners[slot] == members[number]:
                begin, end = arena.row_pointers[slot], arena.row_pointers[slot + 1]
                keep_best(best[number], score_row(arena.rows, begin, end, lookup, nothing))
            slot = arena.previous[slot]
