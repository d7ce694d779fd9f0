"""What documents are scored by, and the score of a single one.

Scores are integers: each group of a plan brings a whole number of units, small ones. So the sum is the same in whatever
order postings are added, and what a search finds needs no second, more exact look.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from services.matcher.index.compiled.arrays import Floats32, Ints32, UInts32, compiled

FREQUENCIES = np.array([1, 2, 3, 4, 5, 6.5, 9.5, 14], np.float32)
"""Frequency that the lowest three bits of a code stand for: 1 to 5, 6-7, 8-11, 12 and more."""


CLOSENESS_STEPS = 1024
"""Closeness is a whole number of these parts of 1: so sums of it times frequencies are exact, in whatever order."""

HIGHEST = 1 << 28
"""Units of the highest score that a plan can give: twice the squares of all that vote for a member fit into 63 bits."""


class Plan(NamedTuple):
    """What documents are scored by.

    A document has the score sum over groups of `part(weights[g], saturated(f, ...))` units, where f is the sum over the
    group's terms of `closeness * frequency`. `frequency` and length level are what the code of a posting stands for.

    Attributes:
        terms: all terms, group after group; the first of a group is the word itself.
        closeness: of each term to the word of its group, 0 to 1; 1 for the word itself.
        pointers: where each group begins, and the number of terms.
        weights: of each group, in units, at least 0; a group of weight 0 is passed over.
        factors: of each length level, shape (32,).
        halves: of each length level, shape (32,): the frequency that gives half of the factor.
        table: `saturated` of each code, shape (256,), for groups of one word.
        unit: a power of two; a score is so many times this.
    """

    terms: Ints32
    closeness: Floats32
    pointers: Ints32
    weights: Floats32
    factors: Floats32
    halves: Floats32
    table: Floats32
    unit: float


@compiled
def saturated(frequency: np.float32, factor: np.float32, half: np.float32) -> np.float32:
    """Return what a group earns of its weight for a frequency."""
    return frequency * factor / (frequency + half)


@compiled
def part(weight: np.float32, earned: np.float32) -> np.int32:
    """Return what a group brings to the score of a document, in units."""
    return np.int32(weight * earned + np.float32(0.5))


@compiled
def unit_for(weights: float, highest: float) -> float:
    """Return the unit of a plan whose weights sum to `weights`, each of which is earned `highest` times at most."""
    bound = weights * highest
    return 2.0 ** np.ceil(np.log2(bound / HIGHEST)) if bound > 0 else 1.0


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
    closeness: Floats32
    weights: Floats32
    factors: Floats32
    halves: Floats32
    sums: Floats32
    used: Ints32


@compiled
def look_up(plan: Plan) -> Lookup:
    """Return a plan in the form in which single documents are scored."""
    size = 16
    while size < 4 * plan.terms.size:
        size *= 2
    terms, groups, closeness = np.zeros(size, np.int32), np.empty(size, np.int32), np.empty(size, np.float32)
    for group in range(plan.weights.size):
        if plan.weights[group] > 0:
            for place in range(plan.pointers[group], plan.pointers[group + 1]):
                at = _home(np.uint64(plan.terms[place]), np.uint64(size))
                while terms[at] != 0:
                    at = (at + np.uint64(1)) & np.uint64(size - 1)
                terms[at], groups[at], closeness[at] = plan.terms[place] + 1, group, plan.closeness[place]
    sums, used = np.zeros(plan.weights.size, np.float32), np.empty(plan.weights.size, np.int32)
    return Lookup(terms, groups, closeness, plan.weights, plan.factors, plan.halves, sums, used)


@compiled
def _home(term: np.uint64, size: np.uint64) -> np.uint64:
    return (term * np.uint64(0x9E3779B1) & np.uint64(0xFFFFFFFF)) * size >> np.uint64(32)


@compiled
def score_row(rows: UInts32, begin: int, end: int, lookup: Lookup, parts_of_groups: Ints32) -> int:
    """Return the score of a row in units; what each group brings goes to `parts_of_groups`, if that has room."""
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
    score = 0
    if count:
        level = np.uint64((rows[begin] >> np.uint32(3)) & np.uint32(31))
        factor, half = lookup.factors[level], lookup.halves[level]
        for number in range(count):
            group = used[number]
            units = part(lookup.weights[group], saturated(sums[group], factor, half))
            sums[group] = 0
            score += units
            if parts_of_groups.size:
                parts_of_groups[group] = units
    return score
