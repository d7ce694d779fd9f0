"""The settled documents of a collection: sorted, packed, never changed but for the flag of what was removed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from services.matcher.index.compiled.arena import NOBODY, Arena
from services.matcher.index.compiled.arrays import Floats32, Ints32, Ints64, UInts8, UInts32, compiled
from services.matcher.index.compiled.plans import FREQUENCIES

CHUNK = 64
"""Slots whose best score is looked at together: four cache lines of scores."""


VOTING_OFFERS = 20
"""Documents of a member that count for it, its best ones: beyond them many weak resemblances outweigh a good one."""


TWICE = (2 * FREQUENCIES).astype(np.int32)
"""Twice the frequency that each level stands for: a whole number, so that sums stay exact whatever comes and goes."""


FIRST_GRAVES = 64
"""Removed documents that a new base has room for; the room doubles as they come."""


MOST_ENTRIES = (1 << 31) - 1
"""Terms of all documents together: places among them are numbers of 32 bits."""


class Base(NamedTuple):
    """Documents in slots sorted by group, then member: what may be searched together lies together.

    Attributes:
        pointers: of each term, where its postings begin and (next entry) end.
        postings: `slot << 8 | code`, ascending within a term.
        row_pointers: of each slot, where its row begins and ends.
        rows: `term << 8 | code`: the same entries by document.
        documents: number of the document in each slot.
        dead: 1 for each slot whose document was removed or replaced.
        graves: those slots, as many as `buried` says.
        members: the members that own slots, in the order of their slots (an ordinal is a place in this list).
        starts: first slot of each ordinal, and the number of slots at the end.
        chunks: first ordinal of each chunk, and the number of members at the end. A chunk holds whole members of one
            group and at least `CHUNK` slots, where the group has as many.
        chunk_starts: first slot of each chunk, and the number of slots at the end.
        reach: of each chunk, how many times its best document's score a member of it can have.
        groups: group of each chunk.
        ordinals: ordinal of each member number, or NOBODY.
        member_chunks: chunk of each ordinal.
    """

    pointers: Ints32
    postings: UInts32
    row_pointers: Ints32
    rows: UInts32
    documents: Ints32
    dead: UInts8
    graves: Ints32
    buried: Ints64
    members: Ints32
    starts: Ints32
    chunks: Ints32
    chunk_starts: Ints32
    reach: Floats32
    groups: Ints32
    ordinals: Ints32
    member_chunks: Ints32


class Documents(NamedTuple):
    """Documents to be settled, sorted by group, then member."""

    owners: Ints32
    groups: Ints32
    documents: Ints32
    row_pointers: Ints32
    rows: UInts32


def empty_base() -> Base:
    """Return a base without documents."""
    nothing = np.zeros(0, np.int32)
    return settle(Documents(nothing, nothing, nothing, np.zeros(1, np.int32), np.zeros(0, np.uint32)), 0, 0)


def settle(documents: Documents, terms: int, members: int) -> Base:
    """Return the base of some documents; `terms` and `members` are how many numbers of each are in use.

    Raises:
        OverflowError: they hold more terms than one index can point at.
    """
    if documents.rows.size > MOST_ENTRIES:
        raise OverflowError(f"{documents.rows.size} terms of documents, and at most {MOST_ENTRIES} fit into one index")
    starts, owners = _runs(documents.owners)
    member_groups = documents.groups[starts[:-1]]
    chunks = _chunks(starts, member_groups)
    ordinals = np.full(members, NOBODY, np.int32)
    ordinals[owners] = np.arange(owners.size, dtype=np.int32)
    # Made by numpy, which asks the system for large pages, and not by compiled code, which does not: in small ones a
    # search of a million documents takes longer.
    postings = np.empty(documents.rows.size, np.uint32)
    pointers = _invert(documents.rows, documents.row_pointers, terms, postings)
    reach = np.sqrt(np.minimum(np.diff(starts), VOTING_OFFERS)).astype(np.float32)
    return Base(
        pointers=pointers,
        postings=postings,
        row_pointers=documents.row_pointers,
        rows=documents.rows,
        documents=documents.documents,
        dead=np.zeros(documents.documents.size, np.uint8),
        graves=np.empty(FIRST_GRAVES, np.int32),
        buried=np.zeros(1, np.int64),
        members=owners,
        starts=starts,
        chunks=chunks,
        chunk_starts=starts[chunks],
        reach=np.maximum.reduceat(reach, chunks[:-1]) if owners.size else np.zeros(0, np.float32),
        groups=member_groups[chunks[:-1]],
        ordinals=ordinals,
        member_chunks=np.repeat(np.arange(chunks.size - 1, dtype=np.int32), np.diff(chunks)),
    )


@compiled
def live_documents(base: Base, arena: Arena) -> Documents:
    """Return what is alive in both, sorted; of neither anything is changed."""
    young = _young(arena)
    alive, entries = young.size, 0
    for slot in young:
        entries += arena.row_pointers[slot + 1] - arena.row_pointers[slot]
    for slot in range(base.dead.size):
        if not base.dead[slot]:
            alive += 1
            entries += base.row_pointers[slot + 1] - base.row_pointers[slot]
    owners, groups, documents = np.empty(alive, np.int32), np.empty(alive, np.int32), np.empty(alive, np.int32)
    row_pointers, rows = np.zeros(alive + 1, np.int32), np.empty(entries, np.uint32)
    to, next_young = 0, 0
    for ordinal in range(base.members.size + 1):
        last = ordinal == base.members.size
        owner = np.int32(0) if last else base.members[ordinal]
        group = np.int32(0) if last else base.groups[base.member_chunks[ordinal]]
        while next_young < young.size:
            slot = young[next_young]
            if not last and (arena.groups[slot], arena.owners[slot]) > (group, owner):
                break
            _copy(arena.rows, arena.row_pointers, slot, rows, row_pointers, to)
            owners[to], groups[to], documents[to] = arena.owners[slot], arena.groups[slot], arena.documents[slot]
            to += 1
            next_young += 1
        if last:
            break
        for slot in range(base.starts[ordinal], base.starts[ordinal + 1]):
            if not base.dead[slot]:
                _copy(base.rows, base.row_pointers, slot, rows, row_pointers, to)
                owners[to], groups[to], documents[to] = owner, group, base.documents[slot]
                to += 1
    return Documents(owners, groups, documents, row_pointers, rows)


@compiled
def owner_of(base: Base, slot: int) -> int:
    """Return the member that owns a slot."""
    return base.members[ordinal_of(base.starts, 0, base.members.size, slot)]


@compiled
def ordinal_of(starts: Ints32, first: int, last: int, slot: int) -> int:
    """Return which of the ordinals from `first` to `last`, exclusive, has a slot."""
    while last - first > 1:
        middle = (first + last) >> 1
        if starts[middle] <= slot:
            first = middle
        else:
            last = middle
    return first


@compiled
def levels_of(base: Base) -> UInts8:
    """Return the length level of the document in each slot: its postings all hold it; 0 if it has none."""
    levels = np.zeros(base.documents.size, np.uint8)
    for slot in range(levels.size):
        if base.row_pointers[slot] < base.row_pointers[slot + 1]:
            levels[slot] = (base.rows[base.row_pointers[slot]] >> np.uint32(3)) & np.uint32(31)
    return levels


@compiled
def occurrences_of(base: Base) -> Ints32:
    """Return twice the number of times that documents hold each term, each as roughly as a code says."""
    occurrences = np.zeros(base.pointers.size - 1, np.int32)
    for term in range(occurrences.size):
        for place in range(base.pointers[term], base.pointers[term + 1]):
            occurrences[term] += TWICE[base.postings[place] & np.uint32(7)]
    return occurrences


@compiled
def holders_of(base: Base) -> Ints32:
    """Return how many members hold each term."""
    holders = np.zeros(base.pointers.size - 1, np.int32)
    latest = np.full(holders.size, NOBODY, np.int32)
    for ordinal in range(base.members.size):
        for place in range(base.row_pointers[base.starts[ordinal]], base.row_pointers[base.starts[ordinal + 1]]):
            term = base.rows[place] >> np.uint32(8)
            if latest[term] != ordinal:
                latest[term] = ordinal
                holders[term] += 1
    return holders


@compiled
def _young(arena: Arena) -> Ints64:
    """Return the live slots of an arena, sorted by group, then member."""
    slots = np.empty(arena.used[1], np.int64)
    keys = np.empty(arena.used[1], np.int64)
    alive = 0
    for slot in range(arena.used[1]):
        if arena.owners[slot] != NOBODY:
            slots[alive] = slot
            keys[alive] = np.int64(arena.groups[slot]) << 32 | np.int64(arena.owners[slot])
            alive += 1
    order: Ints64 = np.argsort(keys[:alive], kind="mergesort")
    return slots[:alive][order]


@compiled
def _copy(rows: UInts32, row_pointers: Ints64, slot: int, to_rows: UInts32, to_pointers: Ints32, to: int) -> None:
    begin, end, there = row_pointers[slot], row_pointers[slot + 1], to_pointers[to]
    for place in range(begin, end):
        to_rows[there + place - begin] = rows[place]
    to_pointers[to + 1] = there + end - begin


@compiled
def _runs(owners: Ints32) -> tuple[Ints32, Ints32]:
    starts = np.empty(owners.size + 1, np.int32)
    members = np.empty(owners.size, np.int32)
    count = 0
    for slot in range(owners.size):
        if slot == 0 or owners[slot] != owners[slot - 1]:
            starts[count], members[count] = slot, owners[slot]
            count += 1
    starts[count] = owners.size
    return starts[: count + 1].copy(), members[:count].copy()


@compiled
def _chunks(starts: Ints32, groups: Ints32) -> Ints32:
    members = groups.size
    chunks = np.empty(members + 1, np.int32)
    count = 0
    for member in range(members):
        if count == 0 or groups[member] != groups[member - 1] or starts[member] - starts[chunks[count - 1]] >= CHUNK:
            chunks[count] = member
            count += 1
    chunks[count] = members
    return chunks[: count + 1].copy()


@compiled
def _invert(rows: UInts32, row_pointers: Ints32, terms: int, postings: UInts32) -> Ints32:
    """Fill in the postings of some rows, term after term; return where those of each begin and end."""
    pointers = np.zeros(terms + 1, np.int32)
    for entry in rows:
        pointers[np.int64(entry >> np.uint32(8)) + 1] += 1
    for term in range(terms):
        pointers[term + 1] += pointers[term]
    following = pointers[:-1].copy()
    for slot in range(row_pointers.size - 1):
        for place in range(row_pointers[slot], row_pointers[slot + 1]):
            entry = rows[place]
            term = np.int64(entry >> np.uint32(8))
            postings[following[term]] = np.uint32(slot << 8) | (entry & np.uint32(255))
            following[term] += 1
    return pointers
