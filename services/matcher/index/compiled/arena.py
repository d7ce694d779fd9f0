"""The young documents of a collection: posting lists that grow with each insert, visible to the next search."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from services.matcher.index.compiled.arrays import Ints32, Ints64, UInts32, compiled

NOBODY = -1
"""Owner of a slot whose document was removed."""

FIRST_POSTINGS = 1 << 12
"""Postings that a new arena has room for; it grows as it fills, and what it never needs is never there."""

FIRST_CAPACITY = 2
"""Of a posting list: most terms of a young document are in no other young one."""

POOL_PER_POSTING = 4
"""A list that grows leaves its old place unused: at most as much again as it takes, which is up to twice its need."""


class Arena(NamedTuple):
    """Documents in slots 0, 1, 2, ..., in the order in which they came.

    `lists` is an open-addressing hash table from term to posting list: (term + 1 or 0 if free, offset into `pool`,
    postings, capacity). A posting is `slot << 8 | code`, ascending; an entry of a row is `term << 8 | code`. `used`
    counts what is taken of the pool, the slots, the rows and the table. Members whose numbers end in the same bits
    share a chain of slots: `last` names the newest of each chain, `previous` the one before.
    """

    lists: Ints32
    pool: UInts32
    rows: UInts32
    row_pointers: Ints64
    documents: Ints32
    owners: Ints32
    groups: Ints32
    previous: Ints32
    last: Ints32
    used: Ints64


def new_arena(documents: int) -> Arena:
    """Return an empty arena for so many documents; `with_space` makes room for their terms as they come."""
    return Arena(
        # So what spreads lists is compiled by the first arena, not by the first that grows, in the middle of an insert.
        lists=_spread(np.zeros((0, 4), np.int32), FIRST_POSTINGS),
        pool=np.empty(POOL_PER_POSTING * FIRST_POSTINGS, np.uint32),
        rows=np.empty(FIRST_POSTINGS, np.uint32),
        row_pointers=np.zeros(documents + 1, np.int64),
        documents=np.empty(documents, np.int32),
        owners=np.empty(documents, np.int32),
        groups=np.empty(documents, np.int32),
        previous=np.empty(documents, np.int32),
        last=np.full(_power_of_two(2 * documents), NOBODY, np.int32),
        used=np.zeros(4, np.int64),
    )


def with_space(arena: Arena, terms: int) -> Arena:
    """Return an arena with room for the terms of one more document: the same one, if it has."""
    entries, listed = int(arena.used[2]) + terms, int(arena.used[3]) + terms
    if entries > arena.rows.size:
        size = _power_of_two(entries)
        pool, rows = np.empty(POOL_PER_POSTING * size, np.uint32), np.empty(size, np.uint32)
        pool[: arena.used[0]], rows[: arena.used[2]] = arena.pool[: arena.used[0]], arena.rows[: arena.used[2]]
        arena = arena._replace(pool=pool, rows=rows)
    if 2 * listed > arena.lists.shape[0]:
        arena = arena._replace(lists=_spread(arena.lists, _power_of_two(2 * listed)))
    return arena


@compiled
def _spread(lists: Ints32, places: int) -> Ints32:
    """Return a hash table with so many places that holds the same lists."""
    larger = np.zeros((places, 4), np.int32)
    for number in range(lists.shape[0]):
        if lists[number, 0] != 0:
            place = find_list(larger, np.int64(lists[number, 0] - 1))
            for column in range(4):
                larger[place, column] = lists[number, column]
    return larger


def _power_of_two(least: int) -> int:
    return 1 << max(4, (least - 1).bit_length())


@compiled
def home_of(lists: Ints32, term: int) -> int:
    """Return the place from which on a term's list is looked for."""
    return (term * 0x9E3779B1 & 0xFFFFFFFF) * lists.shape[0] >> 32


@compiled
def find_list(lists: Ints32, term: int) -> int:
    """Return the place of a term's list, or of the free place where it would go."""
    mask = lists.shape[0] - 1
    place = home_of(lists, term)
    while lists[place, 0] != 0 and lists[place, 0] != term + 1:
        place = (place + 1) & mask
    return place


@compiled
def insert(arena: Arena, document: int, member: int, group: int, entries: UInts32) -> int:
    """Append a document, given as its row; return its slot. There must be space for its terms."""
    lists, pool, used = arena.lists, arena.pool, arena.used
    slot, row = used[1], used[2]
    for number in range(entries.size):
        entry = entries[number]
        term = np.int64(entry >> np.uint32(8))
        place = find_list(lists, term)
        offset, count, capacity = lists[place, 1], lists[place, 2], lists[place, 3]
        if lists[place, 0] == 0:
            lists[place, 0] = np.int32(term + 1)
            used[3] += 1
        if count == capacity:
            larger = max(FIRST_CAPACITY, 2 * capacity)
            moved = np.int32(used[0])
            used[0] += larger
            for posting in range(count):
                pool[moved + posting] = pool[offset + posting]
            offset = moved
            lists[place, 1], lists[place, 3] = offset, np.int32(larger)
        pool[offset + count] = np.uint32(slot << 8) | (entry & np.uint32(255))
        lists[place, 2] = count + 1
        arena.rows[row + number] = entry
    arena.documents[slot], arena.owners[slot], arena.groups[slot] = document, member, group
    chain = member & (arena.last.size - 1)
    arena.previous[slot] = arena.last[chain]
    arena.last[chain] = slot
    used[1], used[2] = slot + 1, row + entries.size
    arena.row_pointers[slot + 1] = used[2]
    return slot
