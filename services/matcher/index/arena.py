"""The young documents of a collection: posting lists that grow with each insert, visible to the next search."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from services.matcher.index.arrays import Ints32, Ints64, UInts32, compiled

NOBODY = -1
"""Owner of a slot whose document was removed."""

POSTINGS_PER_DOCUMENT = 64
"""Room set aside per document; a longer one only fills the arena sooner."""

FIRST_CAPACITY = 2
"""Of a posting list: most terms of a young document are in no other young one."""


class Arena(NamedTuple):
    """Documents in slots 0, 1, 2, ..., in the order in which they came.

    `lists` is an open-addressing hash table from term to posting list: (term + 1 or 0 if free, offset into `pool`,
    postings, capacity). A posting is `slot << 8 | code`, ascending; an entry of a row is `term << 8 | code`. `used`
    counts what is taken of the pool, the slots, the rows and the table. `previous` links the slots of one member,
    `last` names the newest of each.
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


def new_arena(documents: int, postings: int, members: int) -> Arena:
    """Return an empty arena with room for so much; its memory is touched only as it fills."""
    return Arena(
        lists=np.zeros((_power_of_two(2 * postings), 4), np.int32),
        # A list that grows leaves its old place unused: at most as much again as it takes, and capacity up to twice.
        pool=np.empty(4 * postings, np.uint32),
        rows=np.empty(postings, np.uint32),
        row_pointers=np.zeros(documents + 1, np.int64),
        documents=np.empty(documents, np.int32),
        owners=np.empty(documents, np.int32),
        groups=np.empty(documents, np.int32),
        previous=np.empty(documents, np.int32),
        last=np.full(members, NOBODY, np.int32),
        used=np.zeros(4, np.int64),
    )


def _power_of_two(least: int) -> int:
    return 1 << max(4, (least - 1).bit_length())


@compiled
def find_list(lists: Ints32, term: int) -> int:
    """Return the place of a term's list, or of the free place where it would go."""
    mask = lists.shape[0] - 1
    place = (term * 0x9E3779B1 & 0xFFFFFFFF) * (mask + 1) >> 32
    while lists[place, 0] != 0 and lists[place, 0] != term + 1:
        place = (place + 1) & mask
    return place


@compiled
def has_room(arena: Arena, terms: int) -> bool:
    """Tell whether a document of so many distinct terms fits."""
    used = arena.used
    postings = arena.rows.size
    return (
        used[1] < arena.documents.size and used[2] + terms <= postings and 2 * (used[3] + terms) <= arena.lists.shape[0]
    )


@compiled
def insert(arena: Arena, document: int, member: int, group: int, entries: UInts32) -> int:
    """Append a document, given as its row; return its slot. There must be room."""
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
    arena.previous[slot] = arena.last[member]
    arena.last[member] = slot
    used[1], used[2] = slot + 1, row + entries.size
    arena.row_pointers[slot + 1] = used[2]
    return slot


@compiled
def postings_of(arena: Arena, term: int) -> tuple[int, int]:
    """Return where a term's postings begin and end in the pool."""
    place = find_list(arena.lists, np.int64(term))
    return np.int64(arena.lists[place, 1]), np.int64(arena.lists[place, 1] + arena.lists[place, 2])
