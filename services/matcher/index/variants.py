"""Which words resemble which: inflections that a stemmer misses, compounds, affixes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.matcher.index.compiled.arrays import Floats32, Ints32, UInts8, UInts32, compiled, with_room

LETTERS: Final = 4
"""Letters looked at together. With three, unrelated words resemble one another; with five, short ones never do."""

MOST_LETTERS: Final = 64
"""A longer run of letters is no word but a slip or pasted data; and pieces are counted in a byte."""

LEAST_CLOSENESS: Final = 0.5
"""Cosine from which on two words are variants: half of their four-letter pieces are the same."""

UInts64 = npt.NDArray[np.uint64]


class Pieces(NamedTuple):
    """Lists of words by piece: an open-addressing table of pieces (0 is free) and lists that grow in a pool.

    `lists` holds for each piece (offset into the pool, words, capacity), `used` how much of the pool and the table is.
    """

    pieces: UInts64
    lists: Ints32
    pool: Ints32
    used: npt.NDArray[np.int64]


class Variants:
    """The words of a vocabulary, and for each word asked for those that resemble it.

    Two words resemble one another as far as the cosine of their sets of four-letter pieces says, the ends of a word
    counting as letters. That depends on the two words alone, so it never has to be computed again. Short words and
    words with digits have no variants: they are codes and acronyms, where one letter makes another thing.

    Only words asked for are compared with all others, when they are first asked for; a new word of the vocabulary is
    compared with the words asked for. So each pair is found, whichever comes first.
    """

    def __init__(self) -> None:
        self._known = _new_pieces(1 << 12)
        self._asked = _new_pieces(1 << 12)
        self._sizes: UInts8 = np.zeros(1024, np.uint8)  # pieces of each word; 0 if it can have no variants
        self._common: UInts8 = np.zeros(1024, np.uint8)
        self._of: dict[int, tuple[list[int], list[float]]] = {}
        self._asked_as: dict[int, list[tuple[int, float]]] = {}
        self.version = 0
        """Grows whenever a word asked for gets another variant."""

    def add(self, number: int, word: str) -> None:
        """Take a word of the vocabulary, numbered; each number comes once."""
        self._sizes = (
            with_room(self._sizes, number + 1, 0) if number < self._sizes.size else _doubled(self._sizes, number)
        )
        pieces = _pieces(word)
        self._sizes[number] = min(pieces.size, 255)
        if pieces.size == 0:
            return
        self._known = _inserted(self._known, pieces, number)
        for other, closeness in self._alike(self._asked, pieces, number):
            self._link(other, number, closeness)

    def of(self, number: int, word: str) -> tuple[list[int], list[float]]:
        """Return the words that resemble one that was added, and how close each is; the lists may grow later."""
        known = self._of.get(number)
        if known is None:
            known = self._of[number] = ([], [])
            pieces = _pieces(word)
            if pieces.size:
                for other, closeness in self._alike(self._known, pieces, number):
                    self._link(number, other, closeness)
                self._asked = _inserted(self._asked, pieces, number)
        return known

    def like(self, number: int, word: str) -> tuple[list[int], list[float]]:
        """Return what `of` would return of a word that may be none of the vocabulary, and note nothing of it."""
        known = self._of.get(number)
        if known is not None:
            return known
        pieces = _pieces(word)
        found = self._alike(self._known, pieces, number) if pieces.size else []
        return [other for other, _ in found], [closeness for _, closeness in found]

    def resembling(self, words: Iterable[int]) -> int:
        """Return how many words in all resemble these, of which each was asked for; it only grows."""
        return sum(len(self._of[word][0]) for word in words if word in self._of)

    def asked_as(self, number: int) -> list[tuple[int, float]]:
        """Return the words asked for that a word is a variant of, with how close each is."""
        return self._asked_as.get(number, [])

    def restore(
        self,
        known: Pieces,
        asked: Pieces,
        sizes: UInts8,
        links: dict[int, tuple[list[int], list[float]]],
        back: dict[int, list[tuple[int, float]]],
    ) -> None:
        """Take over what `known`, `asked`, `sizes` and `links` were, into new variants; `back`: the same by variant."""
        self._known, self._asked, self._sizes = known, asked, with_room(sizes, 1024, 0)
        self._of, self._asked_as = links, back

    @property
    def known(self) -> Pieces:
        """All words, by piece."""
        return self._known

    @property
    def asked(self) -> Pieces:
        """The words asked for, by piece."""
        return self._asked

    def sizes(self, words: int) -> UInts8:
        """Return how many pieces each of so many words has."""
        return self._sizes[:words]

    def links(self) -> dict[int, tuple[list[int], list[float]]]:
        """Return for each word asked for those that resemble it, and how close each is."""
        return self._of

    def _alike(self, among: Pieces, pieces: UInts64, number: int) -> list[tuple[int, float]]:
        if self._common.size < self._sizes.size:
            self._common = np.zeros(self._sizes.size, np.uint8)
        words, closeness = _similar(among, pieces, self._sizes, self._common)
        return [(int(word), float(close)) for word, close in zip(words, closeness, strict=True) if word != number]

    def _link(self, asked: int, other: int, closeness: float) -> None:
        words, all_closeness = self._of[asked]
        words.append(other)
        all_closeness.append(closeness)  # last: what is here is whole, for a thread that looks meanwhile
        self._asked_as.setdefault(other, []).append((asked, closeness))
        self.version += 1


def _doubled(array: UInts8, number: int) -> UInts8:
    return with_room(array, 2 * (number + 1), 0)


def _pieces(word: str) -> UInts64:
    """Return the distinct pieces of a word, each its letters' code points in one number."""
    if not LETTERS <= len(word) <= MOST_LETTERS or not word.isalpha():
        return np.zeros(0, np.uint64)
    points = np.frombuffer(f"_{word}_".encode("utf-32-le"), np.uint32)
    return _packed(points)


@compiled
def _packed(points: UInts32) -> UInts64:
    """Return each four code points that follow one another in one number; each number once, in ascending order."""
    pieces = np.empty(points.size - 3, np.uint64)
    count = 0
    for start in range(pieces.size):
        piece = np.uint64(0)
        for point in points[start : start + 4]:
            # 16 bits a letter: those beyond the Basic Multilingual Plane may meet others, in scripts nobody here uses.
            piece = piece << np.uint64(16) ^ np.uint64(point)
        place = count
        while place > 0 and pieces[place - 1] > piece:
            place -= 1
        if place == 0 or pieces[place - 1] != piece:
            for at in range(count, place, -1):
                pieces[at] = pieces[at - 1]
            pieces[place] = piece
            count += 1
    return pieces[:count]


def _new_pieces(size: int) -> Pieces:
    return Pieces(
        np.zeros(size, np.uint64), np.zeros((size, 3), np.int32), np.empty(8 * size, np.int32), np.zeros(2, np.int64)
    )


def _inserted(lists: Pieces, pieces: UInts64, number: int) -> Pieces:
    """Return the lists with a word in those of its pieces."""
    while not _insert(lists, pieces, number):
        larger = _new_pieces(2 * lists.pieces.size)
        _move(lists, larger)
        lists = larger
    return lists


@compiled
def _find(pieces: UInts64, piece: np.uint64) -> np.uint64:
    mask = np.uint64(pieces.size - 1)
    mixed = piece * np.uint64(0x9E3779B97F4A7C15)
    place = (mixed >> np.uint64(32)) & mask
    while pieces[place] != 0 and pieces[place] != piece:
        place = (place + np.uint64(1)) & mask
    return place


@compiled
def _insert(lists: Pieces, pieces: UInts64, number: int) -> bool:
    """Append a word to the lists of its pieces; False, with nothing changed, if there may not be room."""
    room = 0
    for piece in pieces:
        place = _find(lists.pieces, piece)
        if lists.lists[place, 1] == lists.lists[place, 2]:
            room += max(2, 2 * lists.lists[place, 2])
    if lists.used[0] + room > lists.pool.size or 2 * (lists.used[1] + pieces.size) > lists.pieces.size:
        return False
    for piece in pieces:
        place = _find(lists.pieces, piece)
        if lists.pieces[place] == 0:
            lists.pieces[place] = piece
            lists.used[1] += 1
        offset, count, capacity = lists.lists[place, 0], lists.lists[place, 1], lists.lists[place, 2]
        if count == capacity:
            larger = max(2, 2 * capacity)
            moved = np.int32(lists.used[0])
            lists.used[0] += larger
            for at in range(count):
                lists.pool[moved + at] = lists.pool[offset + at]
            offset = moved
            lists.lists[place, 0], lists.lists[place, 2] = offset, np.int32(larger)
        lists.pool[offset + count] = number
        lists.lists[place, 1] = count + 1
    return True


@compiled
def _move(lists: Pieces, larger: Pieces) -> None:
    for place in range(lists.pieces.size):
        if lists.pieces[place] != 0:
            there = _find(larger.pieces, lists.pieces[place])
            larger.pieces[there] = lists.pieces[place]
            larger.used[1] += 1
            offset, count, moved = lists.lists[place, 0], lists.lists[place, 1], larger.used[0]
            for at in range(count):
                larger.pool[moved + at] = lists.pool[offset + at]
            larger.lists[there, 0], larger.lists[there, 1], larger.lists[there, 2] = moved, count, count
            larger.used[0] += count


def copied(lists: Pieces) -> Pieces:
    """Return the lists as they are, without room to grow."""
    return Pieces(lists.pieces.copy(), lists.lists.copy(), lists.pool[: lists.used[0]].copy(), lists.used.copy())


def renumbered(lists: Pieces, numbers: Ints32) -> Pieces:
    """Return the lists with other numbers for the words, in the same order; without those whose number is -1."""
    fewer = _new_pieces(lists.pieces.size)
    _keep(lists, fewer, numbers)
    return fewer


@compiled
def _keep(lists: Pieces, fewer: Pieces, numbers: Ints32) -> None:
    for place in range(lists.pieces.size):
        begin = fewer.used[0]
        offset = lists.lists[place, 0]
        for at in range(offset, offset + lists.lists[place, 1]):
            number = numbers[lists.pool[at]]
            if number >= 0:
                fewer.pool[fewer.used[0]] = number
                fewer.used[0] += 1
        count = fewer.used[0] - begin
        if count > 0:
            there = _find(fewer.pieces, lists.pieces[place])
            fewer.pieces[there] = lists.pieces[place]
            fewer.used[1] += 1
            fewer.lists[there, 0], fewer.lists[there, 1], fewer.lists[there, 2] = begin, count, count


@compiled
def _similar(among: Pieces, pieces: UInts64, sizes: UInts8, common: UInts8) -> tuple[Ints32, Floats32]:
    """Return the words close enough to one of these pieces; `common` is scratch memory, all 0."""
    most = 0
    for piece in pieces:
        most += among.lists[_find(among.pieces, piece), 1]
    touched = np.empty(most, np.int32)
    count = 0
    for piece in pieces:
        place = _find(among.pieces, piece)
        offset = among.lists[place, 0]
        for at in range(among.lists[place, 1]):
            word = among.pool[offset + at]
            if common[word] == 0:
                touched[count] = word
                count += 1
            common[word] += 1
    words, closeness = np.empty(count, np.int32), np.empty(count, np.float32)
    found = 0
    for at in range(count):
        word = touched[at]
        close = common[word] / np.sqrt(np.float64(pieces.size) * np.float64(sizes[word]))
        common[word] = 0
        if close >= LEAST_CLOSENESS:
            words[found], closeness[found] = word, close
            found += 1
    return words[:found], closeness[:found]
