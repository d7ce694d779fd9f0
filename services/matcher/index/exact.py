"""The scores of a few members again, in full precision, from the rows of their documents."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from services.matcher.index.arena import NOBODY, Arena
from services.matcher.index.arrays import Floats32, Floats64, Ints8, Ints32, UInts32, compiled
from services.matcher.index.base import VOTE_POWER, Base
from services.matcher.index.scoring import FREQUENCIES, Plan, Segments


class Lookup(NamedTuple):
    """Where a plan has a term, and what its groups are worth.

    Attributes:
        terms: an open-addressing table of terms plus 1; 0 is free. A term may stand in several groups: the later
            places come after the earlier ones on the same way through the table.
        groups: the group of each.
        closeness: of each to the word of its group.
        weights, factors, halves: those of the plan.
        sums: of each group, 0 between documents.
        used: groups that a document uses.
    """

    terms: Ints32
    groups: Ints32
    closeness: Floats64
    weights: Floats32
    factors: Floats32
    halves: Floats32
    sums: Floats64
    used: Ints32


@compiled
def look_up(plan: Plan) -> Lookup:
    """Return a plan in the form in which single documents are scored."""
    size = 16
    while size < 4 * plan.terms.size:
        size *= 2
    terms, groups, closeness = np.zeros(size, np.int32), np.empty(size, np.int32), np.empty(size, np.float64)
    for group in range(plan.weights.size):
        if plan.weights[group] > 0:
            for place in range(plan.pointers[group], plan.pointers[group + 1]):
                at = _home(np.uint64(plan.terms[place]), np.uint64(size))
                while terms[at] != 0:
                    at = (at + np.uint64(1)) & np.uint64(size - 1)
                terms[at], groups[at], closeness[at] = plan.terms[place] + 1, group, plan.closeness[place]
    sums, used = np.zeros(plan.weights.size, np.float64), np.empty(plan.weights.size, np.int32)
    return Lookup(terms, groups, closeness, plan.weights, plan.factors, plan.halves, sums, used)


@compiled
def exact_scores(segments: Segments, plan: Plan, members: Ints32) -> Floats64:
    """Return the scores of members without bonuses, shape (members,)."""
    lookup = look_up(plan)
    totals = np.zeros(members.size, np.float64)
    _add_settled(segments.base, lookup, members, totals)
    if segments.settling.used[1]:
        _add_young(segments.settling, lookup, members, totals)
    if segments.young.used[1]:
        _add_young(segments.young, lookup, members, totals)
    for number in range(members.size):
        totals[number] **= 1 / VOTE_POWER
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
        _score(row, 0, row.size, lookup, result[number])
    return result


@compiled
def scores_of(segments: Segments, plan: Plan, segment_of: Ints8, slots: Ints32) -> Floats64:
    """Return the scores of some documents, given by segment and slot; shape (documents,)."""
    lookup = look_up(plan)
    nothing, scores = np.empty(0, np.float64), np.empty(slots.size, np.float64)
    for number in range(slots.size):
        row = row_of(segments, segment_of[number], slots[number])
        scores[number] = _score(row, 0, row.size, lookup, nothing)
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
def _add_settled(base: Base, lookup: Lookup, members: Ints32, totals: Floats64) -> None:
    nothing = np.empty(0, np.float64)
    for number in range(members.size):
        ordinal = base.ordinals[members[number]] if members[number] < base.ordinals.size else NOBODY
        if ordinal != NOBODY:
            for slot in range(base.starts[ordinal], base.starts[ordinal + 1]):
                if not base.dead[slot]:
                    begin, end = base.row_pointers[slot], base.row_pointers[slot + 1]
                    totals[number] += _score(base.rows, begin, end, lookup, nothing) ** VOTE_POWER


@compiled
def _add_young(arena: Arena, lookup: Lookup, members: Ints32, totals: Floats64) -> None:
    nothing = np.empty(0, np.float64)
    for number in range(members.size):
        slot = arena.last[members[number]] if members[number] < arena.last.size else NOBODY
        while slot != NOBODY:
            if arena.owners[slot] == members[number]:
                begin, end = arena.row_pointers[slot], arena.row_pointers[slot + 1]
                totals[number] += _score(arena.rows, begin, end, lookup, nothing) ** VOTE_POWER
            slot = arena.previous[slot]


@compiled
def _home(term: np.uint64, size: np.uint64) -> np.uint64:
    return (term * np.uint64(0x9E3779B1) & np.uint64(0xFFFFFFFF)) * size >> np.uint64(32)


@compiled
def _score(rows: UInts32, begin: int, end: int, lookup: Lookup, parts_of_groups: Floats64) -> float:
    """Return the score of a row; what each group brings goes to `parts_of_groups`, if that has room."""
    terms, groups, closeness, sums, used = lookup.terms, lookup.groups, lookup.closeness, lookup.sums, lookup.used
    size = np.uint64(terms.size)
    count = 0
    for place in range(np.uint64(begin), np.uint64(end)):
        entry = rows[place]
        term = np.uint64(entry >> np.uint32(8))
        at = _home(term, size)
        while terms[at] != 0:
            if np.uint64(terms[at]) == term + np.uint64(1):
                group = groups[at]
                if sums[group] == 0:
                    used[count] = group
                    count += 1
                sums[group] += closeness[at] * FREQUENCIES[np.uint64(entry & np.uint32(7))]
            at = (at + np.uint64(1)) & (size - np.uint64(1))
    score = 0.0
    if count:
        level = np.uint64((rows[begin] >> np.uint32(3)) & np.uint32(31))
        factor, half = np.float64(lookup.factors[level]), np.float64(lookup.halves[level])
        for number in range(count):
            group = used[number]
            value = np.float64(lookup.weights[group]) * sums[group] * factor / (sums[group] + half)
            sums[group] = 0
            score += value
            if parts_of_groups.size:
                parts_of_groups[group] = value
    return score
