"""What an index holds as it lies in a snapshot: read from flat arrays when it is first asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from operator import itemgetter
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from services.matcher.index.compiled.arrays import Floats64, Ints32, Ints64
from services.matcher.index.folder import Array, Files, SnapshotError
from services.matcher.index.offers import _Member, _Name, _Offer
from services.matcher.index.text.fields import Reading

V = TypeVar("V")

Links: TypeAlias = tuple[list[int], list[float]]
Flat: TypeAlias = tuple[Ints32, Ints64, Ints32, Floats64]

AT_ONCE: Final = 1000
"""Lists or texts put end to end while no other thread can run: within a few milliseconds."""

_OTHERS: Final = itemgetter(0)
_CLOSENESS: Final = itemgetter(1)


class SavedReadings:
    """Texts as they were read, each a slice of flat arrays; `words` are those of the vocabulary, by number."""

    def __init__(self, files: Files, prefix: str, words: list[str]) -> None:
        self._pointers = files.array(f"{prefix}_pointers", np.int64)
        self._titles = files.array(f"{prefix}_titles", np.int32)
        self._numbers = files.array(f"{prefix}_words", np.int32)
        self._spans = files.array(f"{prefix}_spans", np.int32)
        self._words = words
        if self._numbers.size and int(self._numbers.max()) >= len(words):
            raise SnapshotError("a text has a word that the vocabulary lacks")

    def words_of(self, number: int) -> Ints32:
        """Return the numbers of a text's words, in reading order."""
        return self._numbers[self._pointers[number] : self._pointers[number + 1]]

    def reading(self, number: int) -> Reading:
        """Return a text as it was read."""
        words = tuple([self._words[word] for word in self.words_of(number).tolist()])
        return self.places(number)._replace(words=words)

    def places(self, number: int) -> Reading:
        """Return where the words of a text stand, without the words."""
        spans = self._spans[self._pointers[number] : self._pointers[number + 1]]
        return Reading((), spans, int(self._titles[number]))


class SavedOffer(_Offer):
    """An offer whose text is read when it is asked for."""

    __slots__ = ("_readings",)
    # Frozen, as all offers are, but while it is made: there are a hundred thousand, and only both together are fast.
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__

    def __init__(self, document_id: str, member: _Member, number: int, readings: SavedReadings) -> None:
        self.document_id = document_id  # type: ignore[misc]
        self.member = member  # type: ignore[misc]
        self.number = number  # type: ignore[misc]
        self._readings = readings

    @property
    def reading(self) -> Reading:
        """Where its words stand; what they are is told by their numbers."""
        return self._readings.places(self.number)

    @property
    def words(self) -> Ints32:
        """The numbers of its words."""
        return self._readings.words_of(self.number)


class SavedName(_Name):
    """A name that is read when it is asked for; its number is that of the member."""

    __slots__ = ("_number", "_readings")
    __setattr__ = object.__setattr__  # as above
    __delattr__ = object.__delattr__

    def __init__(self, number: int, readings: SavedReadings) -> None:
        self._number = number
        self._readings = readings

    @property
    def words(self) -> Ints32:
        """The numbers of its words."""
        return self._readings.words_of(self._number)

    @property
    def spans(self) -> Ints32:
        """Start and end of each of them."""
        return self._readings.places(self._number).spans


class _Lists(dict[int, V], ABC):
    """Lists by word, which may grow: those that were saved are read when they are first asked for."""

    def __init__(self, words: Ints32, pointers: Ints64, others: Ints32, closeness: Floats64) -> None:
        super().__init__()
        self._saved = words
        self._places = np.full(int(words.max(initial=-1)) + 1, -1, np.int32)
        self._places[words] = np.arange(words.size, dtype=np.int32)
        self._pointers, self._others, self._closeness = pointers, others, closeness

    @abstractmethod
    def _read(self, others: list[int], closeness: list[float]) -> V:
        """Return a list as the index keeps it."""

    def __missing__(self, word: int) -> V:
        if not self._was_saved(word):
            raise KeyError(word)
        place = self._places[word]
        here = slice(self._pointers[place], self._pointers[place + 1])
        found = self[word] = self._read(self._others[here].tolist(), self._closeness[here].tolist())
        return found

    def _was_saved(self, word: int) -> bool:
        return word < self._places.size and bool(self._places[word] >= 0)

    def get(self, word: int, default: Any = None) -> Any:
        """Return a word's list, or `default`."""
        return self[word] if word in self or self._was_saved(word) else default

    def setdefault(self, word: int, default: Any = None) -> V:
        """Return a word's list, which is `default` if it had none."""
        return self[word] if self._was_saved(word) else super().setdefault(word, default)


class SavedLinks(_Lists[Links]):
    """For each word asked for, the words that resemble it, and how close each is."""

    def _read(self, others: list[int], closeness: list[float]) -> Links:
        return others, closeness

    def flat(self, read: Mapping[int, Links]) -> Flat:
        """Return all lists end to end as `flat_links` does: of those that were not read by then, what was saved."""
        words, read_sizes, others, closeness = flat_links(read)
        unread = ~np.isin(self._saved, words)
        sizes = np.diff(self._pointers)
        here = np.repeat(unread, sizes)
        return (
            np.concatenate((self._saved[unread], words)),
            np.concatenate((sizes[unread], read_sizes)),
            np.concatenate((self._others[here], others)),
            np.concatenate((self._closeness[here], closeness)),
        )


def flat_links(links: Mapping[int, Links]) -> Flat:
    """Return the words asked for, how many resemble each, those end to end, and how close each is.

    The lists may grow meanwhile, by words that are new.
    """
    lists = list(links.values())
    sizes, others, closeness = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)], [np.zeros(0, np.float64)]
    for start in range(0, len(lists), AT_ONCE):
        some = lists[start : start + AT_ONCE]
        each = list(map(len, map(_CLOSENESS, some)))  # the other list grows first
        sizes.append(np.array(each, np.int64))
        others.append(_end_to_end(map(islice, map(_OTHERS, some), each), np.int32, sum(each)))
        closeness.append(_end_to_end(map(islice, map(_CLOSENESS, some), each), np.float64, sum(each)))
    words = np.fromiter(links, np.int32, len(links))
    return words, np.concatenate(sizes), np.concatenate(others), np.concatenate(closeness)


def _end_to_end(lists: Iterable[Iterable[float]], kind: npt.DTypeLike, size: int) -> Array:
    return np.fromiter(chain.from_iterable(lists), kind, size)


class SavedBackLinks(_Lists[list[tuple[int, float]]]):
    """For each word, the words asked for that it resembles, with how close each is."""

    def _read(self, others: list[int], closeness: list[float]) -> list[tuple[int, float]]:
        return list(zip(others, closeness, strict=True))
