"""Documents of numbered terms that can be searched the moment they are put, and never stop for housekeeping."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import numpy as np

from services.matcher.index.compiled.arena import NOBODY, Arena, insert, new_arena, with_space
from services.matcher.index.compiled.arrays import Ints8, Ints32, UInts8, UInts32, compiled, with_room
from services.matcher.index.compiled.base import (
    FIRST_GRAVES,
    TWICE,
    Base,
    Documents,
    empty_base,
    holders_of,
    levels_of,
    live_documents,
    occurrences_of,
    owner_of,
    settle,
)
from services.matcher.index.compiled.held import Held, hold
from services.matcher.index.compiled.rows import count_holder, row_in
from services.matcher.index.compiled.scoring import Segments, new_workspace
from services.matcher.index.compiled.weighting import LEVELS, Statistics, Weighting

YOUNG = 4096
"""Least room for young documents: enough that merging costs a service that takes a thousand a second little, and so few
that a search passes over them in microseconds."""

YOUNG_SHARE = 16
"""Part of the settled documents that may be young: a merge costs as much as the whole is large, so it must be rarer."""

MOST_YOUNG = 1 << 16

MOST_NUMBERS = 1 << 24
"""Documents, and terms: a posting has 24 bits for the number of one."""

_NOWHERE, _BASE, _SETTLING, _YOUNG = -1, 0, 1, 2


class Collection:
    """Documents of members, each a list of terms with a code, in three segments.

    A document is put into the young arena. When that is full it becomes the settling one, and a thread makes a new base
    of it and the old base, while searches go on over all three. Removing flags a document. So every change is visible
    to the next search, and the longest stop is the exchange of the base.

    Terms, documents, members and groups are numbers from 0, given by the caller and best dense. Changes and searches
    must come from one thread at a time. All documents of a member have one group at any time: to change the group of a
    member, put its documents again.
    """

    def __init__(self, weighting: Weighting | None = None, *, young: int = YOUNG, single: bool = False) -> None:
        """Make an empty collection.

        Args:
            weighting: the constants of the score.
            young: the least room for young documents; smaller for tests of merging.
            single: no member has more than one document, and how often a document holds a term does not matter: so
                neither holders nor occurrences are counted.
        """
        self.weighting = Weighting() if weighting is None else weighting
        self._single = single
        self._least_young = young
        self._members = 16
        self._base = empty_base()
        self._young = self._new_arena()
        self._settling = new_arena(1)
        self._merge: _Merge | None = None
        self._frequencies = np.zeros(1024, np.int32)
        self._occurrences = np.zeros(0 if single else 1024, np.int32)
        self._holders = self._frequencies if single else np.zeros(1024, np.int32)
        self._lengths = np.zeros(LEVELS, np.int64)
        self._segment = np.full(1024, _NOWHERE, np.int8)
        self._slot = np.zeros(1024, np.int32)
        self._owned = np.zeros(self._members, np.int32)
        self._owning = np.zeros(1, np.int64)
        self._held: Held | None = None

    def __len__(self) -> int:
        """Return the number of living documents."""
        return int(self._lengths.sum())

    @property
    def statistics(self) -> Statistics:
        """What is known of the living documents."""
        return Statistics(self._frequencies, self._occurrences, self._holders, self._lengths, self._owned, self._owning)

    @property
    def held(self) -> Held:
        """What compiled code searches; to be asked for again after each change."""
        if self._held is None:
            segments = Segments(self._base, self._settling, self._young)
            self._held = hold(segments, new_workspace(segments, self._members), self.statistics, self.weighting)
        return self._held

    def put(self, document: int, member: int, group: int, terms: Ints32, codes: UInts8) -> None:
        """Insert a document, or replace the one of this number.

        Args:
            terms: distinct, in ascending order.
            codes: of each term: `length level << 3 | frequency level`; all have the same length level.

        Raises:
            OverflowError: the index is full; nothing is changed but that the document is gone.
        """
        self.remove(document)
        self._make_room(document, member, terms)
        entries = terms.astype(np.uint32) << np.uint32(8) | codes
        if not self._single:
            count_holder(self.held, member, entries, 1)
            self._occurrences[terms] += TWICE[codes & 7]
        self._slot[document] = insert(self._young, document, member, group, entries)
        self._segment[document] = _YOUNG
        self._owning += self._owned[member] == 0
        self._owned[member] += 1
        self._lengths[codes[0] >> 3 if codes.size else 0] += 1
        self._frequencies[terms] += 1
        self._note(document)

    def remove(self, document: int) -> None:
        """Remove a document; an unknown number changes nothing."""
        if document >= self._segment.size or self._segment[document] == _NOWHERE:
            return
        segment, slot = int(self._segment[document]), int(self._slot[document])
        row = self.row(document)
        terms = (row >> np.uint32(8)).astype(np.int64)
        self._frequencies[terms] -= 1
        self._lengths[row[0] >> np.uint32(3) & np.uint32(31) if row.size else 0] -= 1
        if segment == _BASE:
            owner = owner_of(self._base, slot)
            base = _bury(self._base, slot)
            if base is not self._base:
                self._base, self._held = base, None
        else:
            owners = (self._young if segment == _YOUNG else self._settling).owners
            owner, owners[slot] = owners[slot], NOBODY
        self._owned[owner] -= 1
        self._owning -= self._owned[owner] == 0
        if not self._single:
            count_holder(self.held, owner, row, -1)
            self._occurrences[terms] -= TWICE[row & np.uint32(7)]
        self._segment[document] = _NOWHERE
        self._note(document)

    def row(self, document: int) -> UInts32:
        """Return `term << 8 | code` for each term of a living document."""
        return row_in(self.held, int(self._segment[document]), int(self._slot[document]))

    def places(self, documents: Ints32) -> tuple[Ints8, Ints32]:
        """Return segment and slot of living documents."""
        return self._segment[documents], self._slot[documents]

    def build(self, documents: Documents) -> None:
        """Take many documents at once, sorted by group, then member, into an empty collection."""
        terms = int((documents.rows >> np.uint32(8)).max(initial=0)) + 1
        members = max(self._members, int(documents.owners.max(initial=0)) + 1)
        self.adopt(settle(documents, terms, members))

    def adopt(self, base: Base) -> None:
        """Take over a base, all of whose documents live, into an empty collection."""
        most = int(base.documents.max(initial=0)) + 1
        self._members = max(self._members, base.ordinals.size)
        self._segment, self._slot = with_room(self._segment, most, _NOWHERE), with_room(self._slot, most, 0)
        self._owned = with_room(self._owned, self._members, 0)
        self._segment[base.documents] = _BASE
        self._slot[base.documents] = np.arange(base.documents.size, dtype=np.int32)
        self._owned[base.members] = np.diff(base.starts)
        self._lengths += np.bincount(levels_of(base), minlength=LEVELS)
        self._owning[0] = base.members.size
        self._frequencies = np.diff(base.pointers).astype(np.int32)
        self._occurrences = self._occurrences if self._single else occurrences_of(base)
        self._holders = self._frequencies if self._single else holders_of(base)
        self._base = base
        self._young = self._new_arena()
        self._held = None

    def merge(self) -> None:
        """Settle all young documents now."""
        self.settle()
        self._finish_merge(wait=True)

    def settle(self) -> Callable[[], Base]:
        """Begin to settle all young documents; return what waits for the base of all documents of this moment.

        Changes may come meanwhile. They change nothing of that base but what tells of removed documents (`dead`,
        `graves`, `buried`).
        """
        self._finish_merge(wait=True)
        return self._start_merge().base

    def _new_arena(self) -> Arena:
        documents = int(
            np.clip(self._base.documents.size // YOUNG_SHARE, self._least_young, max(self._least_young, MOST_YOUNG))
        )
        return new_arena(documents)

    def _make_room(self, document: int, member: int, terms: Ints32) -> None:
        self._finish_merge(wait=False)
        if document >= MOST_NUMBERS or (terms.size and terms[-1] >= MOST_NUMBERS):
            raise OverflowError(f"one index holds at most {MOST_NUMBERS} documents and as many different terms")
        if member >= self._members:
            self._members = max(member + 1, 2 * self._members)
            self._owned = with_room(self._owned, self._members, 0)
            self._held = None
        if document >= self._segment.size:
            size = max(document + 1, 2 * self._segment.size)
            self._segment = with_room(self._segment, size, _NOWHERE)
            self._slot = with_room(self._slot, size, 0)
        if terms.size and terms[-1] >= self._frequencies.size:
            size = max(int(terms[-1]) + 1, 2 * self._frequencies.size)
            self._frequencies = with_room(self._frequencies, size, 0)
            self._occurrences = self._occurrences if self._single else with_room(self._occurrences, size, 0)
            self._holders = self._frequencies if self._single else with_room(self._holders, size, 0)
            self._held = None
        if self._young.used[1] == self._young.documents.size:
            self._finish_merge(wait=True)
            self._start_merge()
        roomy = with_space(self._young, terms.size)
        if roomy is not self._young:
            self._young, self._held = roomy, None

    def _note(self, document: int) -> None:
        if self._merge is not None:
            self._merge.changed.append(document)

    def _start_merge(self) -> _Merge:
        self._settling, self._young = self._young, self._new_arena()
        self._segment[self._segment == _YOUNG] = _SETTLING
        self._held = None
        self._merge = _Merge(self._base, self._settling, self._frequencies.size, self._members, self._slot.size)
        return self._merge

    def _finish_merge(self, *, wait: bool) -> None:
        if self._merge is None or not (wait or self._merge.done):
            return
        merge = self._merge
        base, segment, slot = merge.result()
        self._merge = None
        size = self._segment.size
        segment, slot = with_room(segment, size, _NOWHERE), with_room(slot, size, 0)
        for document in set(merge.changed):
            if segment[document] == _BASE:
                base = _bury(base, int(slot[document]))
            segment[document] = self._segment[document] if self._segment[document] == _YOUNG else _NOWHERE
            slot[document] = self._slot[document]
        self._base, self._segment, self._slot = base, segment, slot
        self._settling = new_arena(1)
        self._held = None


class _Merge:
    """A new base in the making, and the documents that were changed meanwhile."""

    def __init__(self, base: Base, settling: Arena, terms: int, members: int, documents: int) -> None:
        self.changed: list[int] = []
        # What is removed from now on is told by `changed`; the thread must not see it halfway.
        base = base._replace(dead=base.dead.copy())
        settling = settling._replace(owners=settling.owners.copy())
        self._result: tuple[Base, Ints8, Ints32] | None = None
        self._thread = Thread(target=self._run, args=(base, settling, terms, members, documents), daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return self._result is not None

    def result(self) -> tuple[Base, Ints8, Ints32]:
        """Wait for the new base; with it, the segment and slot of each document, were it not for the changed."""
        self._thread.join()
        if self._result is None:
            raise RuntimeError("the index could not be merged")
        return self._result

    def base(self) -> Base:
        """Wait for the new base."""
        return self.result()[0]

    def _run(self, base: Base, settling: Arena, terms: int, members: int, documents: int) -> None:
        alive = live_documents(base, settling)
        segment, slot = np.full(documents, _NOWHERE, np.int8), np.zeros(documents, np.int32)
        _place(alive.documents, segment, slot)
        self._result = settle(alive, terms, members), segment, slot


@compiled
def _place(documents: Ints32, segment: Ints8, slot: Ints32) -> None:
    for place in range(documents.size):
        segment[documents[place]] = _BASE
        slot[documents[place]] = place


def _bury(base: Base, slot: int) -> Base:
    """Flag a slot as dead; return the same base, or one with room for more graves."""
    buried = int(base.buried[0])
    if buried == base.graves.size:
        base = base._replace(graves=with_room(base.graves, max(FIRST_GRAVES, 2 * buried), 0))
    base.dead[slot] = 1
    base.graves[buried] = slot
    base.buried[0] = buried + 1
    return base
