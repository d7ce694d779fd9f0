"""What each word of a request brings to the score of one member, in one compiled call."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from services.matcher.index.compiled.arena import NOBODY, Arena
from services.matcher.index.compiled.arrays import Bools, Floats64, Ints32, Ints64, compiled
from services.matcher.index.compiled.base import VOTING_OFFERS
from services.matcher.index.compiled.held import Held
from services.matcher.index.compiled.plans import Lookup, look_up, score_row
from services.matcher.index.compiled.scoring import Segments
from services.matcher.index.compiled.weighting import Query, name_plan, plan, standing_of


class Shares(NamedTuple):
    """Of each word of a request that brings something to the score of a member, each of shape (words,).

    Attributes:
        words: which word of the request it is.
        shares: what it brings; they sum to the score.
        shared: whether the member says it or a variant. A word that it does not say may have a share all the same: what
            a pair of words brings is given to the two, and a pair, known by hash, may be another.
        holders: how many offers hold it or a variant; one with several of them counts several times.
    """

    words: Ints64
    shares: Floats64
    shared: Bools
    holders: Ints64


@compiled
def share_out(held: Held, names: Held, query: Query, pairs: Ints32, member: int) -> Shares:
    """Return what each word of a request brings to a member's score.

    An offer of score s brings s² / n to the root n of the sum of squares, and of that each group has the part that it
    has of s. What a pair brings is given to its two words, half each.

    Args:
        held: the offers.
        names: a collection of one document a member, its name.
        query: the request.
        pairs: the two words of each group that is a pair, shape (pairs, 2).
        member: number of the member.
    """
    words, groups = query.words, query.pointers.size - 1
    planned = plan(held.statistics, query, held.weighting)
    by_name = name_plan(held.statistics, names.statistics.lengths, query, held.weighting)
    units = _units(held.segments, look_up(planned), member, groups)
    scores = np.empty(units.shape[0], np.float64)
    for document in range(scores.size):
        scores[document] = units[document].sum()
    voting = np.argsort(-scores, kind="mergesort")[:VOTING_OFFERS]
    norm = 0.0
    for document in voting:
        norm += scores[document] * scores[document]
    norm = np.sqrt(norm)
    brought, shared = np.zeros(groups, np.float64), np.zeros(words, np.bool_)
    for document in voting:
        if scores[document] > 0:
            for group in range(groups):
                brought[group] += scores[document] / norm * units[document, group] * planned.unit
                if group < words and units[document, group] > 0:
                    shared[group] = True
    standing = standing_of(held.statistics, held.weighting, member) * by_name.unit
    for row in _units(names.segments, look_up(by_name), member, groups):
        for group in range(words):
            brought[group] += row[group] * standing
            if row[group] > 0:
                shared[group] = True
    for pair in range(groups - words):
        for place in range(2):
            brought[pairs[pair, place]] += brought[words + pair] / 2
    bring = np.flatnonzero(brought[:words])
    return Shares(bring, brought[bring], shared[bring], _holders(held.statistics.frequencies, query, bring))


@compiled
def _units(segments: Segments, lookup: Lookup, member: int, groups: int) -> Ints32:
    """Return what each group brings to each document of a member, in units, shape (documents, groups)."""
    base = segments.base
    slots = np.empty(0, np.int64)
    ordinal = base.ordinals[member] if member < base.ordinals.size else NOBODY
    if ordinal != NOBODY:
        slots = np.arange(base.starts[ordinal], base.starts[ordinal + 1])
        slots = slots[base.dead[slots] == 0]
    settling, young = _slots_in(segments.settling, member), _slots_in(segments.young, member)
    units = np.zeros((slots.size + settling.size + young.size, groups), np.int32)
    document = 0
    for slot in slots:
        score_row(base.rows, base.row_pointers[slot], base.row_pointers[slot + 1], lookup, units[document])
        document += 1
    for arena, own in ((segments.settling, settling), (segments.young, young)):
        for slot in own:
            score_row(arena.rows, arena.row_pointers[slot], arena.row_pointers[slot + 1], lookup, units[document])
            document += 1
    return units


@compiled
def _slots_in(arena: Arena, member: int) -> Ints64:
    """Return the slots of a member's living documents in an arena."""
    count = 0
    slot = arena.last[member & (arena.last.size - 1)]
    while slot != NOBODY:
        count += arena.owners[slot] == member
        slot = arena.previous[slot]
    slots = np.empty(count, np.int64)
    slot = arena.last[member & (arena.last.size - 1)]
    while slot != NOBODY:
        if arena.owners[slot] == member:
            count -= 1
            slots[count] = slot
        slot = arena.previous[slot]
    return slots


@compiled
def _holders(frequencies: Ints32, query: Query, groups: Ints64) -> Ints64:
    terms, pointers = query.terms, query.pointers
    holders = np.zeros(groups.size, np.int64)
    for number in range(groups.size):
        for place in range(pointers[groups[number]], pointers[groups[number] + 1]):
            if terms[place] < frequencies.size:
                holders[number] += frequencies[terms[place]]
    return holders
