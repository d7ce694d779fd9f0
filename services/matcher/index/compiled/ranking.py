"""The best members for a list of weighted terms, over all documents of a collection in one pass."""

from __future__ import annotations

import numpy as np

from services.matcher.index.compiled.arena import NOBODY, Arena
from services.matcher.index.compiled.arrays import Floats64, Ints32, Ints64, UInts8, compiled
from services.matcher.index.compiled.base import VOTING_OFFERS, Base, ordinal_of
from services.matcher.index.compiled.plans import Plan, look_up
from services.matcher.index.compiled.rows import MOST_VOTES, keep_best, keep_young, votes_of
from services.matcher.index.compiled.scoring import (
    BLOCK,
    LAST_POSTING,
    Segments,
    Workspace,
    add,
    add_arena,
    bury,
    find_postings,
    first_from,
    highest_of,
)

SKIPPED_GAP = 2048
"""Slots of ineligible documents that it pays to jump over: each jump costs a search in every posting list."""

HALVINGS = 10
"""A bound that is a thousandth of the best score too low: hardly a chunk more is looked into."""

SURELY = 1.000001
"""A bound is computed in rounded numbers: raised so much it is one."""


@compiled
def top(
    segments: Segments,
    work: Workspace,
    documents: Ints32,
    plan: Plan,
    allowed: UInts8,
    named: Ints32,
    best_members: Ints32,
    best_scores: Floats64,
) -> int:
    """Find the best members, and return how many were found: `best_members.size`, if so many score at all.

    The score of a member is the root of the sum of the squares of its `VOTING_OFFERS` best documents' scores, and its
    bonus on top. A member without documents is not found.

    Args:
        segments: what is searched.
        work: scratch memory, and the bonuses of members: see `set_bonuses`.
        documents: number of living documents of each member.
        plan: what is searched for.
        allowed: 1 for each group of members that may be found; empty if all may.
        named: the members with a bonus.
        best_members: filled with members, best first; equal ones in any order.
        best_scores: filled with their scores.
    """
    work_votes, young, bonuses = work.votes, work.young, work.bonuses
    best_scores[:] = 0
    found = count = 0
    cursors, ends = np.empty(plan.terms.size, np.int64), np.empty(plan.terms.size, np.int64)
    if segments.settling.used[1]:
        count = _collect(segments.settling, work, plan, allowed, cursors, ends, count)
    if segments.young.used[1]:
        count = _collect(segments.young, work, plan, allowed, cursors, ends, count)
    if count:
        found = _enter_young(segments, work, documents, plan, allowed, count, best_members, best_scores)
    for number in range(named.size):
        member = named[number]  # a name alone may find one all of whose documents are young and share no word
        if (
            work_votes[member] == 0
            and _chunk_of(segments.base, member, allowed) == NOBODY
            and _is_young(segments, member, allowed)
        ):
            found = _enter(best_members, best_scores, found, member, bonuses[member])
    if segments.base.groups.size:
        found = _scan(segments, work, documents, plan, allowed, cursors, ends, best_members, best_scores, found)
    if count:
        work.chunk_votes[:] = 0
        for number in range(np.uint64(count)):
            work_votes[young[number]] = 0
    return found


@compiled
def set_bonuses(base: Base, work: Workspace, allowed: UInts8, members: Ints32, scores: Floats64) -> None:
    """Set what is added to the scores of distinct members, at least 0 each; `clear_bonuses` takes it away again."""
    bonuses, chunk_bonuses = work.bonuses, work.chunk_bonuses
    for number in range(members.size):
        member = members[number]
        bonuses[member] = scores[number]
        chunk = _chunk_of(base, member, allowed)
        if chunk != NOBODY:
            chunk_bonuses[chunk] = max(chunk_bonuses[chunk], scores[number])


@compiled
def clear_bonuses(work: Workspace, members: Ints32) -> None:
    """Set the bonuses of members to 0; no others have any."""
    bonuses = work.bonuses
    for number in range(members.size):
        bonuses[members[number]] = 0
    if members.size:
        work.chunk_bonuses[:] = 0


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
    slot = arena.last[member & (arena.last.size - 1)]
    while slot != NOBODY:
        if arena.owners[slot] == member:
            return allowed.size == 0 or allowed[arena.groups[slot]] != 0
        slot = arena.previous[slot]
    return False


@compiled
def _collect(
    arena: Arena, work: Workspace, plan: Plan, allowed: UInts8, cursors: Ints64, ends: Ints64, count: int
) -> int:
    """Add the documents of an arena to their members' votes, and members that had none to the young ones."""
    slots = arena.used[1]
    add_arena(arena, cursors, ends, plan, work)
    scores, votes, young, owners, groups = work.scores, work.votes, work.young, arena.owners, arena.groups
    restricted = allowed.size > 0
    for slot in range(np.uint64(slots)):
        score, member = np.int64(scores[slot]), owners[slot]
        if score > 0 and member != NOBODY and (not restricted or allowed[groups[slot]]):
            if votes[member] == 0:
                young[count] = member
                count += 1
            votes[member] = min(votes[member] + score * score, MOST_VOTES)
    scores[:slots] = 0
    return count


@compiled
def _enter_young(
    segments: Segments,
    work: Workspace,
    documents: Ints32,
    plan: Plan,
    allowed: UInts8,
    count: int,
    best_members: Ints32,
    best_scores: Floats64,
) -> int:
    """Enter the best of the members that have young documents only; tell the chunks of the others of their votes."""
    base, unit = segments.base, plan.unit
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
        if own >= _least_votes(best_scores[last] - bonuses[member], unit):
            if documents[member] > VOTING_OFFERS:
                own = _best_votes(segments, work, plan, member, NOBODY, 0)
            found = _enter(best_members, best_scores, found, member, np.sqrt(np.float64(own)) * unit + bonuses[member])
    return found


@compiled
def _scan(
    segments: Segments,
    work: Workspace,
    documents: Ints32,
    plan: Plan,
    allowed: UInts8,
    cursors: Ints64,
    ends: Ints64,
    best_members: Ints32,
    best_scores: Floats64,
    found: int,
) -> int:
    """Score the settled documents block by block, leaving out stretches that nobody may find."""
    base = segments.base
    postings, chunk_starts, groups, chunks = base.postings, base.chunk_starts, base.groups, base.groups.size
    find_postings(base, plan.terms, cursors, ends)
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
                cursors[number] = first_from(postings, cursors[number], ends[number], start)
        end = np.int64(chunk_starts[last])
        add(postings, cursors, ends, LAST_POSTING if last == chunks else np.uint32(end << 8), begin, plan, work)
        bury(base, begin, end, work.scores)
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
def _best_of(
    segments: Segments,
    work: Workspace,
    documents: Ints32,
    plan: Plan,
    allowed: UInts8,
    first: int,
    last: int,
    best_members: Ints32,
    best_scores: Floats64,
    found: int,
) -> int:
    """Enter the best members of a block of chunks, looking only into chunks that may hold one; clear the scores."""
    base, unit = segments.base, plan.unit
    chunk_starts, chunks, reach, groups = base.chunk_starts, base.chunks, base.reach, base.groups
    starts, members, scores, highest = base.starts, base.members, work.scores, work.chunk_highest
    votes_of_young = work.votes
    chunk_votes, chunk_bonuses = work.chunk_votes, work.chunk_bonuses
    begin = np.int64(chunk_starts[first])
    _look_over(scores, chunk_starts, groups, allowed, first, last, highest)
    # No two chunks share a member: what the best scores of k of them reach is reached by k members.
    reached, lowest = _reached_by(highest, first, last, best_scores.size) * unit, best_scores.size - 1
    for chunk in range(np.uint64(first), np.uint64(last)):
        bound, vote, bonus = highest[chunk] * np.float64(reach[chunk]) * unit, chunk_votes[chunk], chunk_bonuses[chunk]
        if vote > 0:  # the root of a sum is at most the sum of the roots
            bound += np.sqrt(np.float64(vote)) * unit
        floor = max(reached, best_scores[lowest]) - bonus
        if highest[chunk] < 0 or bound * SURELY < floor or (bound == 0 and floor == 0):
            continue
        first_member, last_member = np.int64(chunks[chunk]), np.int64(chunks[chunk + np.uint64(1)])
        if vote > 0 or bonus > 0:
            least_votes = _least_votes(floor, unit)
            for ordinal in range(first_member, last_member):
                votes = _votes(scores, starts, ordinal, begin) + votes_of_young[members[ordinal]]
                if votes >= least_votes:
                    who = ordinal, begin, votes
                    found = _consider(segments, work, documents, plan, allowed, who, best_members, best_scores, found)
            continue
        # Of a member that reaches the floor at least one document has its part of it.
        least = np.int32(max(1.0, floor / (np.float64(reach[chunk]) * unit * SURELY)))
        slot_end = np.int64(chunk_starts[chunk + np.uint64(1)]) - begin
        slot = _next_at_least(scores, np.int64(chunk_starts[chunk]) - begin, slot_end, least)
        while slot < slot_end:
            ordinal = ordinal_of(starts, first_member, last_member, slot + begin)
            member, votes = members[ordinal], _votes(scores, starts, ordinal, begin)
            if documents[member] > VOTING_OFFERS:
                votes = _best_votes(segments, work, plan, member, ordinal, begin)
            found = _enter(best_members, best_scores, found, member, np.sqrt(np.float64(votes)) * unit)
            slot = _next_at_least(scores, np.int64(starts[ordinal + 1]) - begin, slot_end, least)
    scores[: chunk_starts[last] - begin] = 0
    return found


@compiled
def _next_at_least(scores: Ints32, slot: int, end: int, least: np.int32) -> int:
    """Return the first slot from `slot` on with such a score, or `end`."""
    while slot < end and scores[np.uint64(slot)] < least:
        slot += 1
    return slot


@compiled
def _look_over(
    scores: Ints32, chunk_starts: Ints32, groups: Ints32, allowed: UInts8, first: int, last: int, highest: Ints32
) -> None:
    """Note the highest score of each chunk, -1 where nobody may be found."""
    begin, restricted = np.int64(chunk_starts[first]), allowed.size > 0
    slot_end = np.int64(0)
    for chunk in range(np.uint64(first), np.uint64(last)):
        slot_begin, slot_end = slot_end, np.int64(chunk_starts[chunk + np.uint64(1)]) - begin
        score = np.int32(-1)
        if not restricted or allowed[groups[chunk]]:
            score = highest_of(scores, slot_begin, slot_end)
        highest[chunk] = score


@compiled
def _reached_by(highest: Ints32, first: int, last: int, k: int) -> np.int32:
    """Return a score that k of some chunks reach, a little below the best such; 0 if there is none.

    Halving what is in question takes no decision that the processor could guess wrongly; keeping the best k in order
    takes dozens, and is slower.
    """
    reached, beyond = np.int32(0), highest_of(highest, first, last) + 1
    for _ in range(HALVINGS):
        middle = np.int32((reached + beyond) >> 1)
        chunks = 0
        for chunk in range(np.uint64(first), np.uint64(last)):
            chunks += highest[chunk] >= middle
        if chunks >= k:
            reached = middle
        else:
            beyond = middle
    return reached


@compiled
def _consider(
    segments: Segments,
    work: Workspace,
    documents: Ints32,
    plan: Plan,
    allowed: UInts8,
    who: tuple[int, int, np.int64],
    best_members: Ints32,
    best_scores: Floats64,
    found: int,
) -> int:
    """Enter a member that may have a bonus: `who` is its ordinal, the first slot of the block, and its votes."""
    base, (ordinal, begin, votes) = segments.base, who
    member = base.members[ordinal]
    bonus = work.bonuses[member]
    if votes == 0 and (bonus == 0 or not (_lives(base, ordinal) or _is_young(segments, member, allowed))):
        return found
    if documents[member] > VOTING_OFFERS:
        votes = _best_votes(segments, work, plan, member, ordinal, begin)
    return _enter(best_members, best_scores, found, member, np.sqrt(np.float64(votes)) * plan.unit + bonus)


@compiled
def _votes(scores: Ints32, starts: Ints32, ordinal: int, begin: int) -> np.int64:
    """Return the sum of the squared scores of a member's documents in a block, `MOST_VOTES` at most.

    The block begins at slot `begin`.
    """
    votes = np.int64(0)
    for slot in range(np.uint64(starts[ordinal] - begin), np.uint64(starts[ordinal + 1] - begin)):
        votes = min(votes + np.int64(scores[slot]) * np.int64(scores[slot]), MOST_VOTES)
    return votes


@compiled
def _best_votes(segments: Segments, work: Workspace, plan: Plan, member: int, ordinal: int, begin: int) -> np.int64:
    """Return the sum of the squared scores of the best documents of a member that has more than vote.

    Those of the block that begins at `begin` are known; the young ones, few, are scored one by one.
    """
    best = np.zeros(VOTING_OFFERS, np.int32)
    if ordinal != NOBODY:
        starts = segments.base.starts
        for slot in range(np.uint64(starts[ordinal] - begin), np.uint64(starts[ordinal + 1] - begin)):
            keep_best(best, work.scores[slot])
    if work.votes[member] > 0:
        lookup = look_up(plan)
        keep_young(segments.settling, lookup, member, best)
        keep_young(segments.young, lookup, member, best)
    return votes_of(best)


@compiled
def _least_votes(score: float, unit: float) -> float:
    """Return votes that a member with this score has at least."""
    root = score / unit / SURELY
    return root * root if root > 0 else -1.0


@compiled
def _lives(base: Base, ordinal: int) -> bool:
    """Tell whether a member has a settled document left."""
    return bool((base.dead[base.starts[ordinal] : base.starts[ordinal + 1]] == 0).any())


@compiled
def _enter(members: Ints32, scores: Floats64, found: int, member: int, score: float) -> int:
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
