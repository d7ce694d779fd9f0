"""The best members for a list of weighted terms, over all documents of a collection in one pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from services.matcher.index.arena import NOBODY, Arena, postings_of
from services.matcher.index.arrays import (
    Floats32,
    Ints32,
    Ints64,
    UInts8,
    UInts32,
    compiled,
    prefetch,
    reordering,
)
from services.matcher.index.base import VOTING_OFFERS, Base
from services.matcher.index.plans import FREQUENCIES, Lookup, Plan, look_up, score_row

BLOCK = 1 << 17
"""Slots scored together: their scores, half a megabyte, stay in the processor's own cache."""

SKIPPED_GAP = 2048
"""Slots of ineligible documents that it pays to jump over: each jump costs a search in every posting list."""

POSTINGS_PER_LINE = 16
"""Postings in a line of the processor's cache."""

ALMOST = np.float32(0.99999)
"""Scores are summed in 32 bits, in any order: what is this close to the threshold is looked at."""

LAST_POSTING = np.uint32(0xFFFFFFFF)


class Segments(NamedTuple):
    """All documents of a collection: settled, being settled, and young."""

    base: Base
    settling: Arena
    young: Arena


class Workspace(NamedTuple):
    """What one search writes to; all zeros between searches. One for each thread.

    Attributes:
        scores: of the slots of a block, or of an arena.
        bits: the same memory as integers: numbers not below 0 compare in the same order, and faster; one more entry.
        frequencies: of the slots, while a group of several terms is added.
        touched: one posting of each slot that has a frequency.
        votes: of each member, the sum over the arenas of its documents' scores, each to the power of the vote.
        bonuses: of each member, what is added to its score.
        chunk_highest: of each chunk, the highest score of a document.
        chunk_votes: of each chunk, the greatest of `votes` among its members.
        chunk_bonuses: of each chunk, the greatest of `bonuses` among its members.
    """

    scores: Floats32
    bits: Ints32
    frequencies: Floats32
    touched: UInts32
    votes: Floats32
    bonuses: Floats32
    chunk_highest: Floats32
    chunk_votes: Floats32
    chunk_bonuses: Floats32


def new_workspace(segments: Segments, members: int) -> Workspace:
    """Return what searches of these segments need."""
    base = segments.base
    longest = int(np.diff(base.chunk_starts).max(initial=0))
    settled = min(BLOCK, base.documents.size) + longest
    slots = max(settled, segments.young.owners.size, segments.settling.owners.size)
    scores = np.zeros(slots + 1, np.float32)
    of_members = (np.zeros(members, np.float32) for _ in range(2))
    of_chunks = (np.zeros(base.groups.size, np.float32) for _ in range(3))
    touched = np.zeros(slots, np.uint32)
    return Workspace(scores, scores.view(np.int32), np.zeros(slots, np.float32), touched, *of_members, *of_chunks)


@reordering
def top(
    segments: Segments,
    work: Workspace,
    documents: Ints32,
    plan: Plan,
    allowed: UInts8,
    bonus_members: Ints32,
    bonus_scores: Floats32,
    best_members: Ints32,
    best_scores: Floats32,
) -> int:
    """Find the best members, and return how many were found: `best_members.size`, if so many score at all.

    The score of a member is the root of the sum of the squares of its `VOTING_OFFERS` best documents' scores, and its bonus
    on top. A member
    without documents is not found.

    Args:
        segments: what is searched.
        work: scratch memory.
        documents: number of living documents of each member.
        plan: what is searched for.
        allowed: 1 for each group of members that may be found; empty if all may.
        bonus_members: distinct members with a bonus.
        bonus_scores: the bonus of each, at least 0.
        best_members: filled with members, best first.
        best_scores: filled with their scores, to 1e-5.
    """
    base = segments.base
    best_scores[:] = 0
    found = 0
    for number in range(bonus_members.size):
        work.bonuses[bonus_members[number]] = bonus_scores[number]
        chunk = _chunk_of(base, bonus_members[number], allowed)
        if chunk != NOBODY:
            work.chunk_bonuses[chunk] = max(work.chunk_bonuses[chunk], bonus_scores[number])
    young = np.empty(segments.young.used[1] + segments.settling.used[1], np.int32)
    count = _collect(segments.settling, work, plan, allowed, young, 0)
    count = _collect(segments.young, work, plan, allowed, young, count)
    for number in range(count):
        member = young[number]
        chunk = _chunk_of(base, member, allowed)
        if chunk != NOBODY:
            work.chunk_votes[chunk] = max(work.chunk_votes[chunk], work.votes[member])
        elif work.votes[member] > _least_votes(best_scores[-1] - work.bonuses[member]):
            votes = work.votes[member]
            if documents[member] > VOTING_OFFERS:
                votes = _best_votes(segments, work, plan, member, NOBODY, 0)
            found = _enter(best_members, best_scores, found, member, np.sqrt(votes) + work.bonuses[member])
    # A name alone may find a member all of whose documents are young and share no word.
    for number in range(bonus_members.size):
        member = bonus_members[number]
        if (
            work.votes[member] == 0
            and _chunk_of(base, member, allowed) == NOBODY
            and _is_young(segments, member, allowed)
        ):
            found = _enter(best_members, best_scores, found, member, bonus_scores[number])
    if base.groups.size:
        found = _scan(segments, work, documents, plan, allowed, best_members, best_scores, found)
    for number in range(count):
        work.votes[young[number]] = 0
        chunk = _chunk_of(base, young[number], allowed)
        if chunk != NOBODY:
            work.chunk_votes[chunk] = 0
    for number in range(bonus_members.size):
        work.bonuses[bonus_members[number]] = 0
        chunk = _chunk_of(base, bonus_members[number], allowed)
        if chunk != NOBODY:
            work.chunk_bonuses[chunk] = 0
    return found


@reordering
def above(segments: Segments, work: Workspace, plan: Plan, least: Floats32, members: Ints32, scores: Floats32) -> int:
    """Find all members whose score reaches `least[member]` and is above 0, in no order; return how many they are.

    For collections in which each member has one document at most. `members` and `scores` are filled; they hold as many
    as there are members.
    """
    base = segments.base
    found = 0
    for arena in (segments.settling, segments.young):
        slots = arena.used[1]
        if slots:
            _add_arena(arena, work, plan)
            for slot in range(slots):
                score = work.scores[slot]
                if score > 0:
                    work.scores[slot] = 0
                    member = arena.owners[slot]
                    if member != NOBODY and score >= least[member]:
                        members[found], scores[found] = member, score
                        found += 1
    cursors, ends = _cursors(base, plan)
    chunk_starts = base.chunk_starts
    first = 0
    while first < base.groups.size:
        last = first + 1
        begin = np.int64(chunk_starts[first])
        while last < base.groups.size and chunk_starts[last] - begin < BLOCK:
            last += 1
        end = np.int64(chunk_starts[last])
        limit = LAST_POSTING if last == base.groups.size else np.uint32(end << 8)
        _add_base(base, work, plan, cursors, ends, limit, begin)
        block = work.scores
        for slot in range(end - begin):
            if block[slot] > 0:
                ordinal = begin + slot  # one document each: the ordinal is the slot
                member = base.members[ordinal]
                if not base.dead[ordinal] and block[slot] >= least[member]:
                    members[found], scores[found] = member, block[slot]
                    found += 1
        block[: end - begin] = 0
        first = last
    return found


@compiled
def _chunk_of(base: Base, member: int, allowed: UInts8) -> int:
    """Return the chunk that is looked into for a member; a member that changed its group may be young elsewhere."""
    ordinal = base.ordinals[member] if member < base.ordinals.size else NOBODY
    if ordinal == NOBODY:
        return NOBODY
    chunk = base.member_chunks[ordinal]
    return chunk if allowed.size == 0 or allowed[base.groups[chunk]] else NOBODY


@compiled
def _is_young(segments: Segments, member: int, allowed: UInts8) -> bool:
    return _is_in(segments.young, member, allowed) or _is_in(segments.settling, member, allowed)


@compiled
def _is_in(arena: Arena, member: int, allowed: UInts8) -> bool:
    slot = arena.last[member] if member < arena.last.size else NOBODY
    while slot != NOBODY:
        if arena.owners[slot] == member:
            return allowed.size == 0 or allowed[arena.groups[slot]] != 0
        slot = arena.previous[slot]
    return False


@reordering
def _collect(arena: Arena, work: Workspace, plan: Plan, allowed: UInts8, young: Ints32, count: int) -> int:
    """Add the documents of an arena to their members' votes, and members that had none to `young`."""
    slots = arena.used[1]
    if slots == 0:
        return count
    _add_arena(arena, work, plan)
    scores, votes = work.scores, work.votes
    for slot in range(slots):
        score = scores[slot]
        if score > 0:
            scores[slot] = 0
            member = arena.owners[slot]
            if member != NOBODY and (allowed.size == 0 or allowed[arena.groups[slot]]):
                if votes[member] == 0:
                    young[count] = member
                    count += 1
                votes[member] += score * score
    return count


@reordering
def _add_arena(arena: Arena, work: Workspace, plan: Plan) -> None:
    """Add to the scores of an arena's slots what each gets from the plan."""
    for group in range(plan.weights.size):
        weight = plan.weights[group]
        if weight == 0:
            continue
        first, last = plan.pointers[group], plan.pointers[group + 1]
        if last - first == 1:
            begin, end = postings_of(arena, plan.terms[first])
            _add(arena.pool, begin, end, LAST_POSTING, weight, plan.table, work.scores, 0)
            continue
        count = 0
        for place in range(first, last):
            begin, end = postings_of(arena, plan.terms[place])
            end, count = _gather(arena.pool, begin, end, LAST_POSTING, plan.closeness[place], work, 0, count)
        _spend(work, count, weight, plan.factors, plan.halves, 0)


@reordering
def _add_base(
    base: Base, work: Workspace, plan: Plan, cursors: Ints64, ends: Ints64, limit: np.uint32, begin: int
) -> None:
    """Add to the scores of a block what each slot gets from the plan; `cursors` move to the next block."""
    postings, pointers, weights = base.postings, plan.pointers, plan.weights
    for group in range(weights.size):
        weight = weights[group]
        if weight == 0:
            continue
        first, last = pointers[group], pointers[group + 1]
        if last - first == 1:
            cursors[first] = _add(postings, cursors[first], ends[first], limit, weight, plan.table, work.scores, begin)
            continue
        count = 0
        for place in range(first, last):
            cursors[place], count = _gather(
                postings, cursors[place], ends[place], limit, plan.closeness[place], work, begin, count
            )
        _spend(work, count, weight, plan.factors, plan.halves, begin)


@reordering
def _add(
    postings: UInts32,
    place: int,
    end: int,
    limit: np.uint32,
    weight: np.float32,
    table: Floats32,
    scores: Floats32,
    begin: int,
) -> int:
    """Add a term's postings below `limit` to the scores of a block; return where they end.

    The loop is tight because its end is known beforehand.
    """
    end = end if limit == LAST_POSTING else _first_from(postings, place, end, limit)
    for at in range(np.uint64(place), np.uint64(end)):
        posting = postings[at]
        scores[np.uint64(posting >> np.uint32(8)) - np.uint64(begin)] += (
            weight * table[np.uint64(posting & np.uint32(255))]
        )
    return end


@reordering
def _gather(
    postings: UInts32,
    place: int,
    end: int,
    limit: np.uint32,
    closeness: np.float32,
    work: Workspace,
    begin: int,
    count: int,
) -> tuple[int, int]:
    """Add the frequencies of a term's postings below `limit`; return where they end and how many slots have some."""
    end = end if limit == LAST_POSTING else _first_from(postings, place, end, limit)
    frequencies, touched = work.frequencies, work.touched
    for at in range(np.uint64(place), np.uint64(end)):
        posting = postings[at]
        slot = np.uint64(posting >> np.uint32(8)) - np.uint64(begin)
        if frequencies[slot] == 0:
            touched[count] = posting
            count += 1
        frequencies[slot] += closeness * FREQUENCIES[np.uint64(posting & np.uint32(7))]
    return end, count


@reordering
def _spend(work: Workspace, count: int, weight: np.float32, factors: Floats32, halves: Floats32, begin: int) -> None:
    """Turn the frequencies of a group into scores."""
    scores, frequencies, touched = work.scores, work.frequencies, work.touched
    for number in range(np.uint64(count)):
        posting = touched[number]
        slot = np.uint64(posting >> np.uint32(8)) - np.uint64(begin)
        level = np.uint64((posting >> np.uint32(3)) & np.uint32(31))
        scores[slot] += weight * frequencies[slot] * factors[level] / (frequencies[slot] + halves[level])
        frequencies[slot] = 0


@compiled
def _cursors(base: Base, plan: Plan) -> tuple[Ints64, Ints64]:
    """Return where the postings of each term of a plan begin and end."""
    known = base.pointers.size - 1
    cursors, ends = np.zeros(plan.terms.size, np.int64), np.zeros(plan.terms.size, np.int64)
    for number in range(plan.terms.size):
        term = plan.terms[number]
        if term < known:
            cursors[number], ends[number] = base.pointers[term], base.pointers[term + 1]
            for place in (cursors[number], cursors[number] + POSTINGS_PER_LINE):
                prefetch(base.postings, place)  # type: ignore[call-arg] # numba gives the context
    return cursors, ends


@reordering
def _scan(
    segments: Segments,
    work: Workspace,
    documents: Ints32,
    plan: Plan,
    allowed: UInts8,
    best_members: Ints32,
    best_scores: Floats32,
    found: int,
) -> int:
    """Score the settled documents block by block, leaving out stretches that nobody may find."""
    base = segments.base
    cursors, ends = _cursors(base, plan)
    chunks, chunk_starts = base.groups.size, base.chunk_starts
    first = _next_allowed(base, allowed, 0)
    while first < chunks:
        last = first + 1  # exclusive
        begin = np.int64(chunk_starts[first])
        while last < chunks and chunk_starts[last] - begin < BLOCK:
            following = _next_allowed(base, allowed, last)
            if following == chunks or chunk_starts[following] - chunk_starts[last] >= SKIPPED_GAP:
                break
            last += 1
        if first:
            start = np.uint32(begin << 8)
            for number in range(cursors.size):
                cursors[number] = _first_from(base.postings, cursors[number], ends[number], start)
        limit = LAST_POSTING if last == chunks else np.uint32(np.int64(chunk_starts[last]) << 8)
        _add_base(base, work, plan, cursors, ends, limit, begin)
        for slot in base.graves[: base.buried[0]]:
            if begin <= slot < chunk_starts[last]:
                work.scores[slot - begin] = 0
        found = _best_of(segments, work, documents, plan, allowed, first, last, best_members, best_scores, found)
        first = _next_allowed(base, allowed, last)
    return found


@compiled
def _next_allowed(base: Base, allowed: UInts8, chunk: int) -> int:
    """Return the first chunk from `chunk` on whose members may be found, or the number of chunks."""
    if allowed.size:
        while chunk < base.groups.size and not allowed[base.groups[chunk]]:
            chunk += 1
    return chunk


@compiled
def _first_from(postings: UInts32, place: int, end: int, limit: np.uint32) -> int:
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


@reordering
def _best_of(
    segments: Segments,
    work: Workspace,
    documents: Ints32,
    plan: Plan,
    allowed: UInts8,
    first: int,
    last: int,
    best_members: Ints32,
    best_scores: Floats32,
    found: int,
) -> int:
    """Enter the best members of a block of chunks, looking only into chunks that may hold one; clear the scores."""
    base = segments.base
    # A tuple of arrays that is looked into within the loop, or a slice taken there, would cost more than the loop does.
    chunk_starts, reach, groups, starts = base.chunk_starts, base.reach, base.groups, base.starts
    scores, bits, highest = work.scores, work.bits, work.chunk_highest
    begin = np.int64(chunk_starts[first])
    # No two chunks share a member: the k-th highest of their best scores is reached by k members.
    floors = best_scores.copy()
    k, spare = floors.size, bits.size - 1
    for chunk in range(first, last):
        highest_bits = np.int32(0)
        for slot in range(np.uint64(chunk_starts[chunk] - begin), np.uint64(chunk_starts[chunk + 1] - begin)):
            highest_bits = bits[slot] if bits[slot] > highest_bits else highest_bits
        bits[spare] = highest_bits
        highest[chunk] = scores[spare]
        if allowed.size and not allowed[groups[chunk]]:
            highest[chunk] = -1
        elif highest[chunk] > floors[k - 1]:
            keep_best(floors, highest[chunk])
    bits[spare] = 0
    for chunk in range(first, last):
        floor = max(floors[k - 1], best_scores[k - 1]) * ALMOST - work.chunk_bonuses[chunk]
        bound = highest[chunk] * reach[chunk]
        if work.chunk_votes[chunk] > 0:  # the root of a sum is at most the sum of the roots
            bound += np.sqrt(work.chunk_votes[chunk])
        if highest[chunk] < 0 or bound <= floor:
            continue
        least = _least_votes(floor)
        for ordinal in range(base.chunks[chunk], base.chunks[chunk + 1]):
            votes = np.float32(0)
            for slot in range(np.uint64(starts[ordinal] - begin), np.uint64(starts[ordinal + 1] - begin)):
                votes += scores[slot] * scores[slot]
            member = base.members[ordinal]
            votes += work.votes[member]
            if votes > least and (votes > 0 or work.bonuses[member] > 0):
                if documents[member] > VOTING_OFFERS:
                    votes = _best_votes(segments, work, plan, member, ordinal, begin)
                score = np.sqrt(votes) + work.bonuses[member]
                if votes > 0 or _lives(base, ordinal) or _is_young(segments, member, allowed):
                    found = _enter(best_members, best_scores, found, member, score)
    scores[: chunk_starts[last] - begin] = 0
    return found


@compiled
def _best_votes(
    segments: Segments, work: Workspace, plan: Plan, member: int, ordinal: int, begin: int
) -> np.float32:
    """Return the sum of the squared scores of the best documents of a member that has more than vote.

    Those of the block that begins at `begin` are known; the young ones, few, are scored one by one.
    """
    best = np.zeros(VOTING_OFFERS, np.float32)
    if ordinal != NOBODY:
        starts = segments.base.starts
        for slot in range(np.uint64(starts[ordinal] - begin), np.uint64(starts[ordinal + 1] - begin)):
            keep_best(best, work.scores[slot])
    if work.votes[member] > 0:
        lookup = look_up(plan)
        _keep_young(segments.settling, lookup, member, best)
        _keep_young(segments.young, lookup, member, best)
    votes = np.float32(0)
    for score in best:
        votes += score * score
    return votes


@compiled
def _keep_young(arena: Arena, lookup: Lookup, member: int, best: Floats32) -> None:
    nothing = np.empty(0, np.float64)
    slot = arena.last[member] if member < arena.last.size else NOBODY
    while slot != NOBODY:
        if arena.owners[slot] == member:
            begin, end = arena.row_pointers[slot], arena.row_pointers[slot + 1]
            keep_best(best, np.float32(score_row(arena.rows, begin, end, lookup, nothing)))
        slot = arena.previous[slot]


@compiled
def _least_votes(score: np.float32) -> np.float32:
    """Return what votes must exceed for a member to have more than a score."""
    return score * score if score > 0 else np.float32(-1)


@compiled
def _lives(base: Base, ordinal: int) -> bool:
    """Tell whether a member has a settled document left."""
    return bool((base.dead[base.starts[ordinal] : base.starts[ordinal + 1]] == 0).any())


@compiled
def keep_best(best: Floats32, score: np.float32) -> None:
    """Put a score among the best, in descending order, if it is one of them; the last falls out."""
    place = best.size - 1
    if score <= best[place]:
        return
    while place > 0 and best[place - 1] < score:
        best[place] = best[place - 1]
        place -= 1
    best[place] = score


@compiled
def _enter(members: Ints32, scores: Floats32, found: int, member: int, score: np.float32) -> int:
    """Put a member in its place among the best, if it is one of them; return how many there are."""
    k = members.size
    if found == k and score <= scores[k - 1]:
        return found
    place = min(found, k - 1)
    while place > 0 and scores[place - 1] < score:
        scores[place], members[place] = scores[place - 1], members[place - 1]
        place -= 1
    scores[place], members[place] = score, member
    return min(found + 1, k)
