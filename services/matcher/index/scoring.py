"""The best members for a list of weighted terms, over all documents of a collection in one pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from services.matcher.index.arena import NOBODY, Arena, find_list, home_of
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
    """What one search writes to; all zeros between searches, but for `young` and `touched`. One for each thread.

    Attributes:
        scores: of the slots of a block, or of an arena.
        bits: the same memory as integers: numbers not below 0 compare in the same order, and faster; one more entry.
        frequencies: of the slots, while a group of several terms is added.
        touched: one posting of each slot that has a frequency.
        votes: of each member, the sum over the arenas of its documents' squared scores.
        bonuses: of each member, what is added to its score.
        young: members with votes.
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
    young: Ints32
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
    frequencies, touched = np.zeros(slots, np.float32), np.zeros(slots, np.uint32)
    votes, bonuses = np.zeros(members, np.float32), np.zeros(members, np.float32)
    young = np.zeros(segments.young.owners.size + segments.settling.owners.size, np.int32)
    of_chunks = (np.zeros(base.groups.size, np.float32) for _ in range(3))
    return Workspace(scores, scores.view(np.int32), frequencies, touched, votes, bonuses, young, *of_chunks)


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

    The score of a member is the root of the sum of the squares of its `VOTING_OFFERS` best documents' scores, and its
    bonus on top. A member without documents is not found.

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
    # Looking into a tuple of arrays counts references, atomically: loops work on plain arrays, taken out before.
    work_votes, young = work.votes, work.young
    named = bonus_members.size > 0
    best_scores[:] = 0
    found = count = 0
    cursors, ends = np.empty(plan.terms.size, np.int64), np.empty(plan.terms.size, np.int64)
    if named:
        _set_bonuses(segments.base, work, allowed, bonus_members, bonus_scores)
    if segments.settling.used[1]:
        count = _collect(segments.settling, work, plan, allowed, cursors, ends, count)
    if segments.young.used[1]:
        count = _collect(segments.young, work, plan, allowed, cursors, ends, count)
    if count:
        found = _enter_young(segments, work, documents, plan, allowed, named, count, best_members, best_scores)
    if named:  # a name alone may find a member all of whose documents are young and share no word
        for number in range(bonus_members.size):
            member = bonus_members[number]
            if (
                work_votes[member] == 0
                and _chunk_of(segments.base, member, allowed) == NOBODY
                and _is_young(segments, member, allowed)
            ):
                found = _enter(best_members, best_scores, found, member, bonus_scores[number])
    if segments.base.groups.size:
        found = _scan(segments, work, documents, plan, allowed, cursors, ends, best_members, best_scores, found)
    if count:
        work.chunk_votes[:] = 0
        for number in range(np.uint64(count)):
            work_votes[young[number]] = 0
    if named:
        _set_bonuses(segments.base, work, allowed, bonus_members, np.zeros(bonus_members.size, np.float32))
        work.chunk_bonuses[:] = 0
    return found


@reordering
def above(segments: Segments, work: Workspace, plan: Plan, least: Floats32, members: Ints32, scores: Floats32) -> int:
    """Find all members whose score reaches `least[member]` and is above 0, in no order; return how many they are.

    For collections in which each member has one document at most. `members` and `scores` are filled; they hold as many
    as there are members.
    """
    found = 0
    cursors, ends = np.empty(plan.terms.size, np.int64), np.empty(plan.terms.size, np.int64)
    block, bits, spare = work.scores, work.bits, work.bits.size - 1
    # Few scores pass the lowest threshold: most chunks need not be looked into.
    lowest = least.min() if least.size else np.float32(0)
    for arena in (segments.settling, segments.young):
        slots = arena.used[1]
        if slots:
            owners = arena.owners
            _find_lists(arena, plan.terms, cursors, ends)
            _add(arena.pool, cursors, ends, LAST_POSTING, 0, plan, work)
            for slot in range(np.uint64(slots)):
                score, member = block[slot], owners[slot]
                if score > 0 and score >= lowest and member != NOBODY and score >= least[member]:
                    members[found], scores[found] = member, score
                    found += 1
            block[:slots] = 0
    base = segments.base
    chunk_starts, base_members, dead, chunks = base.chunk_starts, base.members, base.dead, base.groups.size
    _find_postings(base, plan.terms, cursors, ends)
    first = 0
    while first < chunks:
        last = first + 1
        begin = np.int64(chunk_starts[first])
        while last < chunks and chunk_starts[last] - begin < BLOCK:
            last += 1
        end = np.int64(chunk_starts[last])
        limit = LAST_POSTING if last == chunks else np.uint32(end << 8)
        _add(base.postings, cursors, ends, limit, begin, plan, work)
        slot_end = np.uint64(0)
        for chunk in range(np.uint64(first), np.uint64(last)):
            slot_begin, slot_end = slot_end, np.uint64(chunk_starts[chunk + np.uint64(1)] - begin)
            highest_bits = np.int32(0)
            for slot in range(slot_begin, slot_end):
                highest_bits = bits[slot] if bits[slot] > highest_bits else highest_bits
            bits[spare] = highest_bits
            if block[spare] < lowest or highest_bits == 0:
                continue
            for slot in range(slot_begin, slot_end):
                score = block[slot]
                if score >= lowest and score > 0:
                    ordinal = np.uint64(begin) + slot  # one document each: the ordinal is the slot
                    member = base_members[ordinal]
                    if not dead[ordinal] and score >= least[member]:
                        members[found], scores[found] = member, score
                        found += 1
        bits[spare] = 0
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


@compiled
def _set_bonuses(base: Base, work: Workspace, allowed: UInts8, members: Ints32, scores: Floats32) -> None:
    """Set the bonuses of members, and those of their chunks."""
    bonuses, chunk_bonuses = work.bonuses, work.chunk_bonuses
    ordinals, member_chunks, groups = base.ordinals, base.member_chunks, base.groups
    for number in range(members.size):
        member = members[number]
        bonuses[member] = scores[number]
        ordinal = ordinals[member] if member < ordinals.size else NOBODY
        if ordinal != NOBODY:
            chunk = member_chunks[ordinal]
            if allowed.size == 0 or allowed[groups[chunk]]:
                chunk_bonuses[chunk] = max(chunk_bonuses[chunk], scores[number])


@reordering
def _collect(
    arena: Arena, work: Workspace, plan: Plan, allowed: UInts8, cursors: Ints64, ends: Ints64, count: int
) -> int:
    """Add the documents of an arena to their members' votes, and members that had none to the young ones."""
    slots = arena.used[1]
    _find_lists(arena, plan.terms, cursors, ends)
    _add(arena.pool, cursors, ends, LAST_POSTING, 0, plan, work)
    scores, votes, young, owners, groups = work.scores, work.votes, work.young, arena.owners, arena.groups
    restricted = allowed.size > 0
    for slot in range(np.uint64(slots)):
        score, member = scores[slot], owners[slot]
        if score > 0 and member != NOBODY and (not restricted or allowed[groups[slot]]):
            if votes[member] == 0:
                young[count] = member
                count += 1
            votes[member] += score * score
    scores[:slots] = 0
    return count


@reordering
def _enter_young(
    segments: Segments,
    work: Workspace,
    documents: Ints32,
    plan: Plan,
    allowed: UInts8,
    named: bool,
    count: int,
    best_members: Ints32,
    best_scores: Floats32,
) -> int:
    """Enter the best of the members that have young documents only; tell the chunks of the others of their votes."""
    base = segments.base
    ordinals, member_chunks, groups = base.ordinals, base.member_chunks, base.groups
    votes, young, bonuses, chunk_votes = work.votes, work.young, work.bonuses, work.chunk_votes
    restricted, last, found = allowed.size > 0, best_scores.size - 1, 0
    for number in range(np.uint64(count)):
        member = young[number]
        ordinal = ordinals[member] if member < ordinals.size else NOBODY
        if ordinal != NOBODY:
            chunk = member_chunks[ordinal]
            if not restricted or allowed[groups[chunk]]:
                chunk_votes[chunk] = max(chunk_votes[chunk], votes[member])
                continue
        own = votes[member]
        bonus = bonuses[member] if named else np.float32(0)
        if own > _least_votes(best_scores[last] - bonus):
            if documents[member] > VOTING_OFFERS:
                own = _best_votes(segments, work, plan, member, NOBODY, 0)
            found = _enter(best_members, best_scores, found, member, np.sqrt(own) + bonus)
    return found


@reordering
def _add(
    postings: UInts32, cursors: Ints64, ends: Ints64, limit: np.uint32, begin: int, plan: Plan, work: Workspace
) -> None:
    """Add to the scores of a block what each slot gets from the plan; `cursors` move to the next block.

    The block begins at slot `begin` and ends where postings reach `limit`.
    """
    pointers, weights, table, closeness = plan.pointers, plan.weights, plan.table, plan.closeness
    scores, frequencies, touched = work.scores, work.frequencies, work.touched
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
                end = _first_from(postings, place, end, limit)
                cursors[first] = end
            for at in range(np.uint64(place), np.uint64(end)):  # tight because its end is known beforehand
                posting = postings[at]
                scores[np.uint64(posting >> np.uint32(8)) - base] += weight * table[np.uint64(posting & np.uint32(255))]
            continue
        count = np.uint64(0)
        for number in range(first, last):
            place, end, close = cursors[number], ends[number], closeness[number]
            if limit != LAST_POSTING:
                end = _first_from(postings, place, end, limit)
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
            scores[slot] += weight * frequencies[slot] * factors[level] / (frequencies[slot] + halves[level])
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
def _find_postings(base: Base, terms: Ints32, begins: Ints64, ends: Ints64) -> None:
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


@reordering
def _scan(
    segments: Segments,
    work: Workspace,
    documents: Ints32,
    plan: Plan,
    allowed: UInts8,
    cursors: Ints64,
    ends: Ints64,
    best_members: Ints32,
    best_scores: Floats32,
    found: int,
) -> int:
    """Score the settled documents block by block, leaving out stretches that nobody may find."""
    base = segments.base
    postings, chunk_starts, groups, scores = base.postings, base.chunk_starts, base.groups, work.scores
    graves, buried, chunks = base.graves, base.buried[0], groups.size
    _find_postings(base, plan.terms, cursors, ends)
    first = _next_allowed(groups, allowed, 0)
    while first < chunks:
        last = first + 1  # exclusive
        begin = np.int64(chunk_starts[first])
        while last < chunks and chunk_starts[last] - begin < BLOCK:
            following = _next_allowed(groups, allowed, last)
            if following == chunks or chunk_starts[following] - chunk_starts[last] >= SKIPPED_GAP:
                break
            last += 1
        if first:
            start = np.uint32(begin << 8)
            for number in range(cursors.size):
                cursors[number] = _first_from(postings, cursors[number], ends[number], start)
        limit = LAST_POSTING if last == chunks else np.uint32(np.int64(chunk_starts[last]) << 8)
        _add(postings, cursors, ends, limit, begin, plan, work)
        for number in range(buried):
            slot = graves[number]
            if begin <= slot < chunk_starts[last]:
                scores[slot - begin] = 0
        found = _best_of(segments, work, documents, plan, allowed, first, last, best_members, best_scores, found)
        first = _next_allowed(groups, allowed, last)
    return found


@compiled
def _next_allowed(groups: Ints32, allowed: UInts8, chunk: int) -> int:
    """Return the first chunk from `chunk` on whose members may be found, or the number of chunks."""
    if allowed.size:
        while chunk < groups.size and not allowed[groups[chunk]]:
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
    chunk_starts, chunks, reach, groups = base.chunk_starts, base.chunks, base.reach, base.groups
    starts, members = base.starts, base.members
    scores, bits, highest = work.scores, work.bits, work.chunk_highest
    votes_of, bonuses, chunk_votes, chunk_bonuses = work.votes, work.bonuses, work.chunk_votes, work.chunk_bonuses
    begin, restricted = np.int64(chunk_starts[first]), allowed.size > 0
    # No two chunks share a member: the k-th highest of their best scores is reached by k members.
    floors = best_scores.copy()
    k, spare = floors.size, bits.size - 1
    slot_end = np.int64(0)
    for chunk in range(np.uint64(first), np.uint64(last)):
        slot_begin, slot_end = slot_end, np.int64(chunk_starts[chunk + np.uint64(1)]) - begin
        highest_bits = np.int32(0)
        for slot in range(np.uint64(slot_begin), np.uint64(slot_end)):
            highest_bits = bits[slot] if bits[slot] > highest_bits else highest_bits
        bits[spare] = highest_bits
        highest[chunk] = scores[spare]
        if restricted and not allowed[groups[chunk]]:
            highest[chunk] = -1
        elif highest[chunk] > floors[k - 1]:
            keep_best(floors, highest[chunk])
    bits[spare] = 0
    for chunk in range(np.uint64(first), np.uint64(last)):
        bound, chunk_bonus, chunk_vote = highest[chunk] * reach[chunk], chunk_bonuses[chunk], chunk_votes[chunk]
        floor = max(floors[k - 1], best_scores[k - 1]) * ALMOST - chunk_bonus
        if chunk_vote > 0:  # the root of a sum is at most the sum of the roots
            bound += np.sqrt(chunk_vote)
        if highest[chunk] < 0 or bound <= floor:
            continue
        least = _least_votes(floor)
        slot_end = np.int64(starts[chunks[chunk]]) - begin
        for ordinal in range(np.uint64(chunks[chunk]), np.uint64(chunks[chunk + np.uint64(1)])):
            slot_begin, slot_end = slot_end, np.int64(starts[ordinal + np.uint64(1)]) - begin
            votes = np.float32(0)
            for slot in range(np.uint64(slot_begin), np.uint64(slot_end)):
                votes += scores[slot] * scores[slot]
            if chunk_vote > 0:
                votes += votes_of[members[ordinal]]
            if votes > least:
                member = members[ordinal]
                bonus = bonuses[member]
                if votes > 0 or (bonus > 0 and (_lives(base, ordinal) or _is_young(segments, member, allowed))):
                    if documents[member] > VOTING_OFFERS:
                        votes = _best_votes(segments, work, plan, member, ordinal, begin)
                    found = _enter(best_members, best_scores, found, member, np.sqrt(votes) + bonus)
    scores[: chunk_starts[last] - begin] = 0
    return found


@compiled
def _best_votes(segments: Segments, work: Workspace, plan: Plan, member: int, ordinal: int, begin: int) -> np.float32:
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
