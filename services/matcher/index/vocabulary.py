"""Numbers for words and for pairs of words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.matcher.index.arrays import Ints32, Ints64, compiled
from services.matcher.index.variants import UInts64, Variants

SLOTS_MOVED = 64
"""Of the smaller table, for each pair that is looked up while a larger one fills: so no call takes long."""


class Vocabulary:
    """Numbers for words and for pairs that follow one another, from one range, in the order in which they come.

    A number stays with its word for good: what no document holds any more costs its place and nothing else.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._words: dict[int, str] = {}
        self.variants = Variants()
        self._pairs, self._old_pairs = _new_table(1 << 12), _new_table(0)
        self._state = np.zeros(4, np.int64)  # next number, pairs in the table, old slots moved, unused

    def __len__(self) -> int:
        """Return how many numbers are given."""
        return int(self._state[0])

    def number(self, word: str) -> int:
        """Return the number of a word, known or new."""
        number = self._numbers.get(word)
        if number is None:
            number = self._numbers[word] = int(self._state[0])
            self._words[number] = word
            self._state[0] += 1
            self.variants.add(number, word)
        return number

    def word(self, number: int) -> str:
        """Return the word of a number."""
        return self._words[number]

    def numbers(self, words: Sequence[str]) -> Ints32:
        """Return the number of each word, known or new."""
        return np.fromiter(map(self.number, words), np.int32, len(words))

    def pairs(self, words: Ints32) -> Ints32:
        """Return the number of each two words that follow one another, known or new; shape (words - 1,)."""
        if words.size < 2:
            return np.zeros(0, np.int32)
        if 2 * (self._state[1] + words.size) > self._pairs[0].size:
            _move_pairs(self._old_pairs, self._pairs, self._state, self._old_pairs[0].size)
            self._old_pairs, self._pairs = self._pairs, _new_table(2 * self._pairs[0].size)
            self._state[2] = 0
        return _pair_numbers(words, self._pairs, self._old_pairs, self._state)


def _new_table(size: int) -> tuple[UInts64, Ints32]:
    return np.zeros(size, np.uint64), np.empty(size, np.int32)


@compiled
def _place_of(keys: UInts64, key: np.uint64) -> np.uint64:
    mask = np.uint64(keys.size - 1)
    place = (key * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)) & mask
    while keys[place] != 0 and keys[place] != key:
        place = (place + np.uint64(1)) & mask
    return place


@compiled
def _pair_numbers(
    words: Ints32, table: tuple[UInts64, Ints32], old: tuple[UInts64, Ints32], state: Ints64
) -> Ints32:
    keys, values = table
    result = np.empty(words.size - 1, np.int32)
    for number in range(result.size):
        key = (np.uint64(words[number] + 1) << np.uint64(32)) | np.uint64(words[number + 1] + 1)
        place = _place_of(keys, key)
        if keys[place] == 0:
            value = np.int32(-1)
            if old[0].size:
                before = _place_of(old[0], key)
                if old[0][before] == key:
                    value = old[1][before]
            if value < 0:
                value = np.int32(state[0])
                state[0] += 1
            keys[place], values[place] = key, value
            state[1] += 1
        result[number] = values[place]
        _move_pairs(old, table, state, SLOTS_MOVED)
    return result


@compiled
def _move_pairs(old: tuple[UInts64, Ints32], table: tuple[UInts64, Ints32], state: Ints64, slots: int) -> None:
    """Move what so many slots of the smaller table hold to the larger one."""
    first = state[2]
    for slot in range(first, min(first + slots, old[0].size)):
        if old[0][slot] != 0:
            place = _place_of(table[0], old[0][slot])
            if table[0][place] == 0:
                table[0][place], table[1][place] = old[0][slot], old[1][slot]
                state[1] += 1
        state[2] = slot + 1
