"""All members whose score reaches a threshold, where each has one document at most."""

from __future__ import annotations

import numpy as np

from services.matcher.index.compiled.arena import NOBODY
from services.matcher.index.compiled.arrays import Floats64, Ints32, compiled
from services.matcher.index.compiled.plans import Plan
from services.matcher.index.compiled.scoring import (
    BLOCK,
    LAST_POSTING,
    Segments,
    Workspace,
    add,
    add_arena,
    bury,
    find_postings,
    highest_of,
)


@compiled
def above(
    segments: Segments,
    work: Workspace,
    plan: Plan,
    least: float,
    norms: Floats64,
    lowest_norm: float,
    members: Ints32,
    scores: Floats64,
) -> int:
    """Find all members whose score is above 0 and reaches a threshold, in no order; return how many they are.

    Args:
        segments: what is searched.
        work: scratch memory.
        plan: what is searched for.
        least: the threshold.
        norms: of each member, what its threshold is multiplied with; none: 1 for all.
        lowest_norm: the lowest of these, or less.
        members: filled; it holds as many as there are members.
        scores: filled with their scores.
    """
    found, unit, normed = 0, plan.unit, norms.size > 0
    # Few scores pass the lowest threshold: most chunks need not be looked into.
    lowest = max(1.0, least * lowest_norm / unit)
    cursors, ends = np.empty(plan.terms.size, np.int64), np.empty(plan.terms.size, np.int64)
    block = work.scores
    for arena in (segments.settling, segments.young):
        slots = arena.used[1]
        if slots:
            owners = arena.owners
            add_arena(arena, cursors, ends, plan, work)
            for slot in range(np.uint64(slots)):
                score, member = block[slot], owners[slot]
                if score >= lowest and member != NOBODY and (not normed or score * unit >= least * norms[member]):
                    members[found], scores[found] = member, score * unit
                    found += 1
            block[:slots] = 0
    base = segments.base
    chunk_starts, base_members, chunks = base.chunk_starts, base.members, base.groups.size
    find_postings(base, plan.terms, cursors, ends)
    first = 0
    while first < chunks:
        last = first + 1
        begin = np.int64(chunk_starts[first])
        while last < chunks and chunk_starts[last] - begin < BLOCK:
            last += 1
        end = np.int64(chunk_starts[last])
        add(base.postings, cursors, ends, LAST_POSTING if last == chunks else np.uint32(end << 8), begin, plan, work)
        bury(base, begin, end, block)
        slot_end = np.int64(0)
        for chunk in range(np.uint64(first), np.uint64(last)):
            slot_begin, slot_end = slot_end, np.int64(chunk_starts[chunk + np.uint64(1)]) - begin
            if highest_of(block, slot_begin, slot_end) < lowest:
                continue
            for slot in range(np.uint64(slot_begin), np.uint64(slot_end)):
                score = block[slot]
                if score >= lowest:
                    member = base_members[np.uint64(begin) + slot]  # one document each: the ordinal is the slot
                    if not normed or score * unit >= least * norms[member]:
                        members[found], scores[found] = member, score * unit
                        found += 1
        block[: end - begin] = 0
        first = last
    return found
