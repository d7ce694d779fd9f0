"""How a request becomes numbers."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np

from services.matcher.index.compiled.arrays import Ints32
from services.matcher.index.compiled.plans import CLOSENESS_STEPS
from services.matcher.index.compiled.weighting import Query, Weighting
from services.matcher.index.results import Prepared
from services.matcher.index.text.fields import Reading
from services.matcher.index.vocabulary import PAIRS, Words


def prepare(
    reading: Reading, numbers: Ints32, words: tuple[int, ...], vocabulary: Words, weighting: Weighting
) -> Prepared:
    """Return a request as numbers, with the words that resemble its own now.

    Args:
        reading: what it says.
        numbers: of its words, in reading order.
        words: the same, each once.
        vocabulary: where they have their numbers.
        weighting: the constants of the score.
    """
    variants = vocabulary.variants
    said = Counter(numbers.tolist())
    places = {word: place for place, word in enumerate(words)}
    terms: list[int] = []
    closeness: list[float] = []
    pointers = [0]
    groups: dict[int, list[int]] = {}
    for group, word in enumerate(words):
        terms.append(word + PAIRS)
        closeness.append(1.0)
        groups.setdefault(word, []).append(group)
        others, close = variants.of(word, vocabulary.word(word)) if weighting.variant > 0 else ([], [])
        for other, each in zip(others, close, strict=True):
            like = _in_steps(weighting.variant * each)
            if like > 0:
                terms.append(other + PAIRS)
                closeness.append(like)
                groups.setdefault(other, []).append(group)
        pointers.append(len(terms))
    pairs = vocabulary.pairs(numbers, reading.title).tolist()
    times = Counter(pairs)
    first = dict(zip(reversed(pairs), reversed(_followed(numbers.tolist(), reading.title)), strict=True))
    terms += times
    closeness += [1.0] * len(times)
    pointers += range(pointers[-1] + 1, len(terms) + 1)
    emphasis = [1 + math.log(said[word]) for word in words]
    emphasis += [weighting.bigram * (1 + math.log(count)) for count in times.values()]
    query = Query(
        np.array(terms, np.int32),
        np.array(closeness, np.float32),
        np.array(pointers, np.int32),
        np.array(emphasis, np.float32),
        len(words),
    )
    both = [(places[one], places[other]) for one, other in (first[pair] for pair in times)]
    return Prepared(
        variants.version,
        variants.resembling(words),
        query,
        np.array(both, np.int32).reshape(-1, 2),
        (*(said[word] for word in words), *times.values()),
        groups,
    )


def _in_steps(closeness: float) -> float:
    """Return a closeness as plans have it."""
    return round(closeness * CLOSENESS_STEPS) / CLOSENESS_STEPS


def _followed(numbers: list[int], title: int) -> list[tuple[int, int]]:
    """Return the two words of each pair, in the order of `Vocabulary.pairs`."""
    return [pair for place, pair in enumerate(pairwise(numbers)) if place + 1 != title]
