"""The scores of single documents and members, from their rows."""

from __future__ import annotations

import numpy as np

from services.matcher.index.compiled.arena import NOBODY, Arena
from services.matcher.index.compiled.arrays import Bools, Floats64, Ints8, Ints32, UInts32, compiled
from services.matcher.index.compiled.base import VOTING_OFFERS
from services.matcher.index.compiled.held import Held
from services.matcher.index.compiled.plans import HIGHEST, Lookup, Plan, look_up, score_row
from services.matcher.index.compiled.scoring import Segments

MOST_VOTES = VOTING_OFFERS * HIGHEST**2
"""The most votes that the best documents of a member can have. Sums over more documents than vote stop there: they are
bounds, and the votes themselves are looked for then."""


@compiled
def score_of(segments: Segments, plan: Plan, member: int) -> float:
    """Return the score of a member without its bonus: what a search finds, to the last digit."""
    lookup, nothing = look_up(plan), np.empty(0, np.int32)
    base, best = segments.base, np.zeros(VOTING_OFFERS, np.int32)
    ordinal = base.ordinals[member] if member < base.ordinals.size else NOBODY
    if ordinal != NOBODY:
        for slot in range(base.starts[ordinal], base.starts[ordinal + 1]):
            if not base.dead[slot]:
                begin, end = base.row_pointers[slot], base.row_pointers[slot + 1]
                keep_best(best, score_row(base.rows, begin, end, lookup, nothing))
    keep_young(segments.settling, lookup, member, best)
    keep_young(segments.young, lookup, member, best)
    return np.sqrt(np.float64(votes_of(best))) * plan.unit


@compiled
def scores_of(segments: Segments, plan: Plan, segment_of: Ints8, slots: Ints32) -> Floats64:
    """Return the scores of some documents, given by segment and slot (see `row_of`); shape (documents,)."""
    lookup = look_up(plan)
    nothing, scores = np.empty(0, np.int32), np.empty(slots.size, np.float64)
    for number in range(slots.size):
        row = row_of(segments, segment_of[number], slots[number])
        scores[number] = score_row(row, 0, row.size, lookup, nothing) * plan.unit
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
def row_in(held: Held, segment: int, slot: int) -> UInts32:
    """Return a copy of the row of a document of a collection; see `row_of`."""
    return row_of(held.segments, segment, slot).copy()


@compiled
def count_holder(held: Held, member: int, entries: UInts32, change: int) -> None:
    """Change the number of holders of each term of a row that no living document of this member holds."""
    segments, holders = held.segments, held.statistics.holders
    base, known = segments.base, np.zeros(entries.size, np.bool_)
    ordinal = base.ordinals[member] if member < base.ordinals.size else NOBODY
    if ordinal != NOBODY:
        for slot in range(base.starts[ordinal], base.starts[ordinal + 1]):
            if not base.dead[slot]:
                _note_common(entries, base.rows, base.row_pointers[slot], base.row_pointers[slot + 1], known)
    for arena in (segments.settling, segments.young):
        slot = arena.last[member & (arena.last.size - 1)]
        while slot != NOBODY:
            if arena.owners[slot] == member:
                _note_common(entries, arena.rows, arena.row_pointers[slot], arena.row_pointers[slot + 1], known)
            slot = arena.previous[slot]
    for place in range(entries.size):
        if not known[place]:
            holders[entries[place] >> np.uint32(8)] += change


@compiled
def _note_common(entries: UInts32, rows: UInts32, begin: int, end: int, known: Bools) -> None:
    """Note which terms of a row another one has too; both are in the order of terms."""
    place, other = 0, begin
    while place < entries.size and other < end:
        one, another = entries[place] >> np.uint32(8), rows[other] >> np.uint32(8)
        if one == another:
            known[place] = True
        place += one <= another
        other += another <= one


@compiled
def keep_young(arena: Arena, lookup: Lookup, member: int, best: Ints32) -> None:
    """Put the scores of a member's documents in an arena among its best."""
    nothing = np.empty(0, np.int32)
    slot = arena.last[member & (arena.last.size - 1)]
    while slot != NOBODY:
        if arena.owners[slot] == member:
            begin, end = arena.row_pointers[slot], arena.row_pointers[slot + 1]
            keep_best(best, score_row(arena.rows, begin, end, lookup, nothing))
        slot = arena.previous[slot]


@compiled
def keep_best(best: Ints32, score: np.int32) -> None:
    """Put a score among the best, in descending order, if it is one of them; the last falls out."""
    place = best.size - 1
    if score <= best[place]:
        return
    while place > 0 and best[place - 1] < score:
        best[place] = best[place - 1]
        place -= 1
    best[place] = score


@compiled
def votes_of(best: Ints32) -> np.int64:
    """Return the sum of the squared scores of the documents that vote."""
    votes = np.int64(0)
    for score in best:
        votes += np.int64(score) * np.int64(score)
    return votes
