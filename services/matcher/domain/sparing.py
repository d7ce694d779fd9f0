"""One member is not told to everybody: who is told of often gives its place to the next best for a while."""

from collections import Counter
from collections.abc import Container, Mapping
from datetime import timedelta
from typing import Final, TypeAlias

from services.matcher.domain.pairing import Pair

WINDOW: Final = timedelta(days=7)
"""Tellings are counted over so long."""

Place: TypeAlias = tuple[str, str]
"""The cluster that asks, and the key of the member that it is told of."""


def place_of(pair: Pair) -> Place:
    """Return where a telling of a pair is counted."""
    return pair.ask.cluster, pair.member


def untold(pairs: Mapping[str, Pair], told: Container[str]) -> dict[str, Pair]:
    """Return the pairs, by id of suggestion, that are told for the first time if they are told now."""
    return {key: pair for key, pair in pairs.items() if key not in told}


def without_room(pairs: Mapping[str, Pair], room: Mapping[Place, int]) -> dict[str, Pair]:
    """Return those of these untold pairs for which there is no room: the best ones are told.

    Args:
        room: how often a member may be told of yet.
    """
    left, over = Counter(dict(room)), dict[str, Pair]()
    for key, pair in sorted(pairs.items(), key=lambda item: (-item[1].score, item[0])):
        if left[place_of(pair)] > 0:
            left[place_of(pair)] -= 1
        else:
            over[key] = pair
    return over
