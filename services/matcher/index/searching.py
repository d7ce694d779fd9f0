"""From a request's terms to the members that answer it best, in one compiled call."""

from __future__ import annotations

import numpy as np

from services.matcher.index.arrays import Floats32, Floats64, Ints32, Ints64, UInts8, compiled
from services.matcher.index.exact import exact_scores
from services.matcher.index.held import Held
from services.matcher.index.scoring import ALMOST, Plan, above, top
from services.matcher.index.weighting import Query, plan

SPARE = 6
"""Members looked at beyond those asked for: 32 bits may put two that are almost equal in the wrong order."""

ALL_ALLOWED = np.zeros(0, np.uint8)
NO_MEMBERS = np.zeros(0, np.int32)
NO_SCORES = np.zeros(0, np.float32)


@compiled
def search(
    held: Held, query: Query, k: int, allowed: UInts8, bonus_members: Ints32, bonus_scores: Floats32
) -> tuple[Ints32, Floats64]:
    """Return the best members and their scores without bonus.

    At least `k` of them, if so many have a score, in no order that matters: every member that may be among the `k`
    best once the bonuses are known exactly.
    """
    planned = plan(held.statistics, query, held.weighting)
    size = k + SPARE
    while True:
        best_members, best_scores = np.empty(size, np.int32), np.empty(size, np.float32)
        found = top(
            held.segments, held.work, planned, allowed, bonus_members, bonus_scores, best_members, best_scores
        )
        if found < size or best_scores[size - 1] < best_scores[k - 1] * ALMOST:
            break
        size *= 2  # so many are equal to the k-th that the right ones may be left out
    while found > k and best_scores[found - 1] < best_scores[k - 1] * ALMOST:
        found -= 1
    return best_members[:found], exact_scores(held.segments, planned, best_members[:found])


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
        found, exact = search(held, query, k, ALL_ALLOWED, NO_MEMBERS, NO_SCORES)
        order = np.argsort(-exact, kind="mergesort")[:k]
        members[number] = -1
        scores[number] = 0
        for place in range(order.size):
            members[number, place], scores[number, place] = found[order[place]], exact[order[place]]


@compiled
def matches(held: Held, planned: Plan, least: Floats32) -> tuple[Ints32, Floats32]:
    """Return the members whose score is above 0 and reaches `least[member]`, and those scores; see `above`."""
    members, scores = np.empty(least.size, np.int32), np.empty(least.size, np.float32)
    found = above(held.segments, held.work, planned, least, members, scores)
    return members[:found], scores[:found]
