"""What an index holds as it lies in a snapshot: read from flat arrays when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

from services.matcher.index.arrays import Floats64, Ints32, Ints64
from services.matcher.index.fields import Reading
from services.matcher.index.folder import Files, SnapshotError
from services.matcher.index.offers import _Member, _Offer

V = TypeVar("V")


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
        spans = self._spans[self._pointers[number] : self._pointers[number + 1]]
        words = tuple([self._words[word] for word in self.words_of(number).tolist()])
        return Reading(words, spans, int(self._titles[number]))


class SavedOffer(_Offer):
    """An offer whose text is read when it is asked for."""

    __slots__ = ("_readings",)
    __setattr__ = object.__setattr__  # frozen, as all offers are, but while it is made: there are a hundred thousand

    def __init__(self, document_id: str, member: _Member, number: int, readings: SavedReadings) -> None:
        self.document_id = document_id  # type: ignore[misc]
        self.member = member  # type: ignore[misc]
        self.number = number  # type: ignore[misc]
        self._readings = readings

    @property
    def reading(self) -> Reading:
        """The text as it was read."""
        return self._readings.reading(self.number)

    @property
    def words(self) -> Ints32:
        """The numbers of its words."""
        return self._readings.words_of(self.number)


class SavedMember(_Member):
    """A member whose name is read when it is asked for, until it gets another."""

    __slots__ = ("_other", "_readings")

    def __init__(self, key: str, number: int, group: int, name_digest: int, readings: SavedReadings) -> None:
        self.key = key
        self.number = number
        self.group = group
        self.documents = set()
        self.name_digest = name_digest
        self._other: Reading | None = None
        self._readings: SavedReadings | None = readings if name_digest else None

    @property
    def name(self) -> Reading | None:
        """Its name as it was read; None if it has none."""
        return self._other if self._readings is None else self._readings.reading(self.number)

    @name.setter
    def name(self, name: Reading | None) -> None:
        self._other, self._readings = name, None


class _Lists(dict[int, V]):
    """Lists by word, which may grow: those that were saved are read when they are first asked for."""

    def __init__(self, words: list[int], pointers: Ints64, others: Ints32, closeness: Floats64) -> None:
        super().__init__()
        self._saved = dict(zip(words, range(len(words)), strict=True))
        self._pointers, self._others, self._closeness = pointers, others, closeness

    def _read(self, others: list[int], closeness: list[float]) -> V:
        raise NotImplementedError

    def __missing__(self, word: int) -> V:
        place = self._saved[word]
        here = slice(self._pointers[place], self._pointers[place + 1])
        found = self[word] = self._read(self._others[here].tolist(), self._closeness[here].tolist())
        return found

    def get(self, word: int, default: Any = None) -> Any:
        """Return a word's list, or `default`."""
        return self[word] if word in self or word in self._saved else default

    def setdefault(self, word: int, default: Any = None) -> V:
        """Return a word's list, which is `default` if it had none."""
        return self[word] if word in self._saved else super().setdefault(word, default)

    def items(self) -> Any:
        """Return all lists, those that were saved first."""
        return self._all()

    def _all(self) -> Iterator[tuple[int, V]]:
        for word in self._saved:
            yield word, self[word]
        for word in list(self):
            if word not in self._saved:
                yield word, self[word]


class SavedLinks(_Lists[tuple[list[int], list[float]]]):
    """For each word asked for, the words that resemble it, and how close each is."""

    def _read(self, others: list[int], closeness: list[float]) -> tuple[list[int], list[float]]:
        return others, closeness


class SavedBackLinks(_Lists[list[tuple[int, float]]]):
    """For each word, the words asked for that it resembles, with how close each is."""

    def _read(self, others: list[int], closeness: list[float]) -> list[tuple[int, float]]:
        return list(zip(others, closeness, strict=True))
