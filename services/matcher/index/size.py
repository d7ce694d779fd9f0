"""How much memory the arrays of an index take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from services.matcher.index.collection import Collection


def size_bytes(*collections: Collection) -> int:
    """Return the bytes of all arrays, with the room kept for documents to come; of one that has two names once."""
    found = _arrays(part for collection in collections for part in vars(collection).values())
    return sum(array.nbytes for array in {id(array): array for array in found}.values())


def _arrays(parts: Iterable[object]) -> Iterator[npt.NDArray[Any]]:
    for part in parts:
        if isinstance(part, np.ndarray):
            yield part
        elif isinstance(part, tuple):
            yield from _arrays(part)
