"""Lists that lie in a snapshot, and grow on."""

import numpy as np
import pytest

from services.matcher.index.saved import SavedBackLinks


@pytest.fixture
def saved() -> SavedBackLinks:
    """Word 3 resembles the words 7 and 8 asked for, word 5 resembles 7."""
    words, pointers = np.array([5, 3], np.int32), np.array([0, 1, 3], np.int64)
    return SavedBackLinks(words, pointers, np.array([7, 7, 8], np.int32), np.array([0.5, 0.75, 0.625]))


def test_a_list_that_was_saved_is_there_whoever_asks(saved: SavedBackLinks) -> None:
    assert saved[3] == [(7, 0.75), (8, 0.625)]
    assert saved.get(5, []) == [(7, 0.5)]
    assert saved.get(4, []) == saved.get(900, []) == []
    with pytest.raises(KeyError):
        saved[4]


def test_what_is_added_to_a_saved_list_comes_behind_what_was_saved(saved: SavedBackLinks) -> None:
    saved.setdefault(3, []).append((9, 0.5))
    saved.setdefault(4, []).append((9, 0.875))
    saved.setdefault(4, []).append((7, 0.5))
    assert saved.get(3, []) == [(7, 0.75), (8, 0.625), (9, 0.5)]
    assert saved.get(4, []) == [(9, 0.875), (7, 0.5)]
