"""From a request's terms to the members that answer it best, in one compiled call."""

from __future__ import annotations

import numpy as np

from services.matcher.index.arrays import Floats32, Floats64, Ints8, Ints32, Ints64, UInts8, compiled
from services.matcher.index.exact import exact_scores, parts, scores_of
from services.matcher.index.held import Held
from services.matcher.index.plans import Plan
from services.matcher.index.scoring import ALMOST, above, top
from services.matcher.index.weighting import Query, name_plan, plan, standing_of

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
    segments, work, documents = held.segments, held.work, held.statistics.owned
    size = k + SPARE
    while True:
        best_members, best_scores = np.empty(size, np.int32), np.empty(size, np.float32)
        found = top(segments, work, documents, planned, allowed, bonus_members, bonus_scores, best_members, best_scores)
        if found < size or best_scores[size - 1] < best_scores[k - 1] * ALMOST:
            break
        size *= 2  # so many are equal to the k-th that the right ones may be left out
    while found > k and best_scores[found - 1] < best_scores[k - 1] * ALMOST:
        found -= 1
    return best_members[:found], exact_scores(segments, planned, best_members[:found])


@compiled
def search_named(held: Held, names: Held, query: Query, k: int, allowed: UInts8) -> tuple[Ints32, Floats64, Floats64]:
    """Return at least the `k` best members, in no order that matters, and what texts and names give to each.

    Args:
        held: the offers.
        names: a collection of one document a member, its name, under the number of the member.
    """
    by_name = name_plan(held.statistics, names.statistics.lengths, query, held.weighting)
    named, bonuses = matches(names, by_name, np.zeros(names.work.votes.size, np.float32))
    living = 0
    for number in range(named.size):
        if named[number] < held.work.votes.size:
            factor = np.float32(standing_of(held.statistics, held.weighting, named[number]))
            named[living], bonuses[living] = named[number], factor * bonuses[number]
            living += 1
    members, scores = search(held, query, k, allowed, named[:living], bonuses[:living])
    return members, scores, _name_scores(held, names, by_name, members)


@compiled
def score_named(held: Held, names: Held, query: Query, member: int) -> tuple[float, float]:
    """Return what texts and name give to one member; what `search_named` says of it."""
    members = np.array([member], np.int32)
    texts = exact_scores(held.segments, plan(held.statistics, query, held.weighting), members)
    by_name = name_plan(held.statistics, names.statistics.lengths, query, held.weighting)
    return texts[0], _name_scores(held, names, by_name, members)[0]


@compiled
def _name_scores(held: Held, names: Held, by_name: Plan, members: Ints32) -> Floats64:
    scores = exact_scores(names.segments, by_name, members)
    for number in range(members.size):
        scores[number] *= standing_of(held.statistics, held.weighting, members[number])
    return scores


@compiled
def document_scores(held: Held, query: Query, segment_of: Ints8, slots: Ints32) -> Floats64:
    """Return the scores of some documents, given by segment and slot."""
    return scores_of(held.segments, plan(held.statistics, query, held.weighting), segment_of, slots)


@compiled
def parts_named(
    held: Held, names: Held, query: Query, segment_of: Ints8, slots: Ints32, name_segment: Ints8, name_slots: Ints32
) -> tuple[Floats64, Floats64]:
    """Return what each group of a request brings to some documents and names, each of shape (documents, groups)."""
    texts = parts(held.segments, plan(held.statistics, query, held.weighting), segment_of, slots)
    by_name = name_plan(held.statistics, names.statistics.lengths, query, held.weighting)
    return texts, parts(names.segments, by_name, name_segment, name_slots)


@compiled
def best(held: Held, query: Query, k: int) -> tuple[Ints32, Floats64]:
    """Return the `k` best of all members, best first, and their scores."""
    members, scores = search(held, query, k, ALL_ALLOWED, NO_MEMBERS, NO_SCORES)
    for number in range(1, members.size):  # sorted by insertion: they are few, and almost in order
        member, score = members[number], scores[number]
        place = number
        while place > 0 and scores[place - 1] < score:
            members[place], scores[place] = members[place - 1], scores[place - 1]
            place -= 1
        members[place], scores[place] = member, score
    return members[:k], scores[:k]


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
        found, exact = best(held, query, k)
        members[number, found.size :] = -1
        scores[number, found.size :] = 0
        for place in range(found.size):
            members[number, place], scores[number, place] = found[place], exact[place]


@compiled
def matches(held: Held, planned: Plan, least: Floats32) -> tuple[Ints32, Floats32]:
    """Return the members whose score is above 0 and reaches `least[member]`, and those scores; see `above`."""
    members, scores = np.empty(least.size, np.int32), np.empty(least.size, np.float32)
    found = above(held.segments, held.work, planned, least, members, scores)
    return members[:found], scores[:found]
