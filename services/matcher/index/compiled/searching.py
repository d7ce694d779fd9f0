"""From a request's terms to the members that answer it best, in one compiled call."""

from __future__ import annotations

import numpy as np

from services.matcher.index.compiled.arrays import Floats64, Ints8, Ints32, Ints64, UInts8, compiled
from services.matcher.index.compiled.held import Held
from services.matcher.index.compiled.matching import above
from services.matcher.index.compiled.plans import Plan
from services.matcher.index.compiled.ranking import clear_bonuses, set_bonuses, top
from services.matcher.index.compiled.rows import score_of, scores_of
from services.matcher.index.compiled.weighting import Query, name_plan, plan, standing_of

SPARE = 2
"""Members looked for beyond those asked for: some may have the same score as the last, and then their ids decide."""

ALL_ALLOWED = np.zeros(0, np.uint8)
NO_NORMS = np.zeros(0, np.float64)


@compiled
def search(
    held: Held, query: Query, k: int, allowed: UInts8, bonus_members: Ints32, bonus_scores: Floats64
) -> tuple[Ints32, Floats64, Floats64]:
    """Return the best members, best first, their scores, and what of these is bonus.

    `k` of them, if so many have a score, and with them all that are as good as the last.

    Args:
        held: the offers.
        query: the request.
        k: how many are wanted.
        allowed: 1 for each group of members that may be found; empty if all may.
        bonus_members: distinct members whose scores get a bonus.
        bonus_scores: the bonus of each, at least 0.
    """
    planned = plan(held.statistics, query, held.weighting)
    segments, work, documents = held.segments, held.work, held.statistics.owned
    set_bonuses(segments.base, work, allowed, bonus_members, bonus_scores)
    size = k + SPARE
    while True:
        members, scores = np.empty(size, np.int32), np.empty(size, np.float64)
        found = top(segments, work, documents, planned, allowed, bonus_members, members, scores)
        if found < size or scores[size - 1] < scores[k - 1]:
            break
        size *= 2  # so many are equal to the k-th that the right ones may be left out
    while found > k and scores[found - 1] < scores[k - 1]:
        found -= 1
    members = members[:found]
    bonuses = work.bonuses[members]
    clear_bonuses(work, bonus_members)
    return members, scores[:found], bonuses


@compiled
def search_named(held: Held, names: Held, query: Query, k: int, allowed: UInts8) -> tuple[Ints32, Floats64, Floats64]:
    """Return what `search` does, with what their names give as the members' bonuses.

    Args:
        held: the offers.
        names: a collection of one document a member, its name, under the number of the member.
        query: the request.
        k: how many are wanted.
        allowed: as for `search`.
    """
    by_name = name_plan(held.statistics, names.statistics.lengths, query, held.weighting)
    named, bonuses = matches(names, by_name, 0.0, np.empty(0, np.float64), 1.0)
    living = 0
    for number in range(named.size):
        if named[number] < held.work.votes.size:
            factor = standing_of(held.statistics, held.weighting, named[number])
            named[living], bonuses[living] = named[number], factor * bonuses[number]
            living += 1
    return search(held, query, k, allowed, named[:living], bonuses[:living])


@compiled
def score_named(held: Held, names: Held, query: Query, member: int) -> tuple[float, float]:
    """Return the score of one member and what of it is due to its name; what `search_named` says of it."""
    by_name = name_plan(held.statistics, names.statistics.lengths, query, held.weighting)
    bonus = standing_of(held.statistics, held.weighting, member) * score_of(names.segments, by_name, member)
    return score_of(held.segments, plan(held.statistics, query, held.weighting), member) + bonus, bonus


@compiled
def document_scores(held: Held, query: Query, segment_of: Ints8, slots: Ints32) -> Floats64:
    """Return the scores of some documents, given by segment and slot."""
    return scores_of(held.segments, plan(held.statistics, query, held.weighting), segment_of, slots)


@compiled
def search_many(held: Held, queries: Query, starts: Ints64, members: Ints32, scores: Floats64) -> None:
    """Search for several requests in one call.

    Args:
        queries: the requests one after the other as if they were one; all their groups are words.
        starts: first group of each request, and the number of groups.
        members: filled with the best members of each, shape (requests, k); -1 where there are no more.
        scores: filled with their scores.
    """
    k = members.shape[1]
    everybody, nobody, nothing = np.empty(0, np.uint8), np.empty(0, np.int32), np.empty(0, np.float64)
    for number in range(members.shape[0]):
        first, last = starts[number], starts[number + 1]
        begin, end = queries.pointers[first], queries.pointers[last]
        query = Query(
            queries.terms[begin:end],
            queries.closeness[begin:end],
            queries.pointers[first : last + 1] - begin,
            queries.emphasis[first:last],
            last - first,
        )
        found, their_scores, _ = search(held, query, k, everybody, nobody, nothing)
        count = min(k, found.size)
        members[number, count:] = -1
        scores[number, count:] = 0
        for place in range(count):
            members[number, place], scores[number, place] = found[place], their_scores[place]


@compiled
def matches(held: Held, planned: Plan, least: float, norms: Floats64, lowest_norm: float) -> tuple[Ints32, Floats64]:
    """Return the members whose score is above 0 and reaches `least` times their norm, and those scores; see `above`."""
    most = held.work.votes.size
    members, scores = np.empty(most, np.int32), np.empty(most, np.float64)
    found = above(held.segments, held.work, planned, least, norms, lowest_norm, members, scores)
    return members[:found], scores[:found]
