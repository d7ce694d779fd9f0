"""How much each word, document and name counts: the formulas of the score and all their constants."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from services.matcher.index.compiled.arrays import Floats32, Ints32, Ints64, compiled
from services.matcher.index.compiled.plans import FREQUENCIES, Plan, saturated, unit_for

LEVELS: Final = 32
"""Lengths that documents are told apart by: five bits of a posting."""

LONGEST: Final = 6000
"""Words of the last level; a longer document counts as one of it. The levels lie 32 % apart."""


class Weighting(NamedTuple):
    """The constants of the score. Chosen on public partner-search and question sets: see docs/matching.md.

    Attributes:
        k1: how slowly a word's weight saturates as it is repeated (BM25).
        b: how much a document's length counts there, 0 to 1 (BM25).
        c: distinct words from which on a request is compared more like a document than like a query.
        rarity: how much more rare words count in a long request, which has enough of them.
        burst: how much more those words count there that come several times where they come at all: texts are about
            them, while a word that is scattered evenly is said in passing.
        opening: words at the beginning of a document that count twice: they say what it is about.
        bigram: weight of two words that follow one another, beside that of each.
        variant: weight of a word that resembles the request's, beside the word itself.
        text: weight of the text's part of the score.
        name: weight of the name's part.
        standing: how much more the name of a member with many offers counts: who is known for much is meant.
    """

    k1: float = 0.9
    b: float = 0.75
    c: float = 15.0
    rarity: float = 0.4
    burst: float = 1.0
    opening: int = 15
    bigram: float = 0.3
    variant: float = 0.3
    text: float = 0.23
    name: float = 0.7
    standing: float = 0.35


NO_SATURATION: Final = 1e9
"""Half of the greatest weight is so far off that weight is in proportion to frequency."""

STANDING_OFFERS: Final = 15
"""Offers beyond which a member's name counts no more."""


class Query(NamedTuple):
    """A request as numbers; it holds no statistics, so it stays right whatever comes and goes.

    Attributes:
        terms: all terms, group after group: a word, then its variants; after the words the bigrams, a group each.
        closeness: of each term to the first of its group: 1 for that one.
        pointers: where each group begins, and the number of terms.
        emphasis: of each group, 1 + ln(times that the request says it), for a bigram times its weight.
        words: the number of groups that are words.
    """

    terms: Ints32
    closeness: Floats32
    pointers: Ints32
    emphasis: Floats32
    words: int


class Statistics(NamedTuple):
    """What is known of the living documents.

    Attributes:
        frequencies: number of documents that hold each term.
        occurrences: twice the number of times that they hold it, each as roughly as a code says; whole numbers.
        holders: number of members with a document that holds it.
        lengths: number of documents of each length level, shape (32,).
        owned: number of documents of each member.
        members: number of members with a document, shape (1,).
    """

    frequencies: Ints32
    occurrences: Ints32
    holders: Ints32
    lengths: Ints64
    owned: Ints32
    members: Ints64


LENGTHS: Final = LONGEST ** (np.arange(LEVELS) / (LEVELS - 1))
"""Number of words that each length level stands for, shape (32,)."""


@compiled
def idf(number: float, frequency: float) -> float:
    """Return the weight of a term that `frequency` of so many documents, or members, hold (BM25's, never below 0)."""
    return np.log(1 + max(0.0, number - frequency + 0.5) / (frequency + 0.5))


@compiled
def group_idf(holders: Ints32, terms: Ints32, first: int, last: int, members: float) -> float:
    """Return the idf of the group of terms from place `first` to `last`, among members: 0 if none holds any of them.

    A word that one member says in fifty offers is not common for that. A word with variants counts as held by the
    geometric mean of its own holders and those of its whole group, each counted as often as it holds one; a word that
    nobody holds as held by those of its group.
    """
    own, every = 0.0, 0.0
    for place in range(first, last):
        held = _held_by(holders, terms[place])
        every += held
        own = held if place == first else own
    if every == 0:
        return 0.0
    every = min(every, members)
    return idf(members, np.sqrt(own * every) if own > 0 else every)


@compiled
def burstiness(frequencies: Ints32, occurrences: Ints32, term: int, documents: float) -> float:
    """Return how many times more documents would hold a term if its occurrences were scattered at random; 1 at least.

    The logarithm of this is the residual idf of Church and Gale, "Poisson mixtures", 1995.
    """
    held = _held_by(frequencies, term)
    if held == 0:
        return 1.0
    scattered = documents * (1 - np.exp(-0.5 * occurrences[term] / documents))
    return max(1.0, scattered / held)


@compiled
def saturation_half(weighting: Weighting, length: float, mean_length: float) -> float:
    """Return the frequency at which a word has half of its greatest weight in a document of this length."""
    return weighting.k1 * (1 - weighting.b + weighting.b * length / mean_length)


@compiled
def size_of(weighting: Weighting, length: float, mean_length: float) -> float:
    """Return about how large the vector of a document of this length is: root of its words, each once, saturated."""
    return np.sqrt(length) / (1 + saturation_half(weighting, length, mean_length))


@compiled
def l2_norm(statistics: Statistics, query: Query, weighting: Weighting) -> float:
    """Return the l2 norm of the weights that a request's words have without their variants; 0 if none is known.

    A word that only its variants make known has the weight of its group.
    """
    documents, _ = _documents_and_mean(statistics.lengths)
    frequencies, occurrences, terms = statistics.frequencies, statistics.occurrences, query.terms
    holders, members, pointers = statistics.holders, np.float64(statistics.members[0]), query.pointers
    r = query.words / (query.words + weighting.c)
    power, burst = 1 + weighting.rarity * r, weighting.burst * r
    squares = 0.0
    for group in range(query.words):
        first, last = pointers[group], pointers[group + 1]
        held = _held_by(holders, terms[first])
        rare = idf(members, held) if held > 0 else group_idf(holders, terms, first, last, members)
        emphasis = query.emphasis[group]
        if burst > 0:
            emphasis *= burstiness(frequencies, occurrences, terms[first], documents) ** burst
        squares += (emphasis * rare**power) ** 2
    return np.sqrt(squares)


@compiled
def plan(statistics: Statistics, query: Query, weighting: Weighting) -> Plan:
    """Return what offers are scored by for a request.

    The weight of a group is `emphasis * idf ** (1 + rarity * r)`, a word's times `burstiness ** (burst * r)`, divided
    by the l2 norm of the weights that the words alone have, and times `text`. The idf of words is that among members,
    of bigrams that among documents. A document of length level l is divided by 1 - r + r * size(l) / mean size. In all,
    r = u / (u + c) grows with the number u of words, of all in the powers and of those known in the divisor: a short
    request is compared like a query, a long one like a document.
    """
    # Looking into a tuple of arrays counts references, atomically: loops work on plain arrays, taken out before.
    lengths, frequencies, occurrences = statistics.lengths, statistics.frequencies, statistics.occurrences
    holders, members = statistics.holders, np.float64(statistics.members[0])
    terms, pointers, emphases = query.terms, query.pointers, query.emphasis
    documents, mean_length = _documents_and_mean(lengths)
    groups = pointers.size - 1
    weights = np.zeros(groups, np.float32)
    r = query.words / (query.words + weighting.c)
    power, burst = 1 + weighting.rarity * r, weighting.burst * r
    known, squares, total = 0, 0.0, 0.0
    for group in range(groups):
        first, last, emphasis = pointers[group], pointers[group + 1], emphases[group]
        is_word = group < query.words
        if is_word and burst > 0:
            emphasis *= burstiness(frequencies, occurrences, terms[first], documents) ** burst
        rare = (
            group_idf(holders, terms, first, last, members)
            if is_word
            else group_idf(frequencies, terms, first, last, documents)
        )
        weight = emphasis * rare**power
        weights[group] = weight
        total += weight
        if is_word:
            known += weight > 0
            if last - first > 1:  # as `l2_norm` has it
                own = _held_by(holders, terms[first])
                weight = emphasis * idf(members, own) ** power if own > 0 else weight
            squares += weight * weight
    sizes, mean_size = np.zeros(LEVELS), 0.0
    for level in range(LEVELS):
        if lengths[level] > 0:
            sizes[level] = size_of(weighting, LENGTHS[level], mean_length)
            mean_size += sizes[level] * lengths[level] / documents
    r = known / (known + weighting.c)  # of the known ones, here
    factors, halves, table = np.zeros(LEVELS, np.float32), np.ones(LEVELS, np.float32), np.zeros(256, np.float32)
    for level in range(np.uint64(LEVELS)):
        if lengths[level] == 0:
            continue  # no document is so long
        factors[level] = (weighting.k1 + 1) / (1 - r + r * sizes[level] / mean_size)
        halves[level] = saturation_half(weighting, LENGTHS[level], mean_length)
        factor, half = factors[level], halves[level]
        for code in range(np.uint64(FREQUENCIES.size)):
            frequency = FREQUENCIES[code]
            table[level * np.uint64(FREQUENCIES.size) + code] = saturated(frequency, factor, half)
    scale = weighting.text / np.sqrt(squares) if squares > 0 else 0.0
    unit = unit_for(scale * total, factors.max())
    for group in range(groups):
        weights[group] = weights[group] * (scale / unit)
    return Plan(terms, query.closeness, pointers, weights, factors, halves, table, unit)


@compiled
def _held_by(frequencies: Ints32, term: int) -> float:
    """Return how many documents hold a term."""
    return np.float64(frequencies[term]) if term < frequencies.size else 0.0


@compiled
def _documents_and_mean(lengths: Ints64) -> tuple[float, float]:
    documents, words = 0.0, 0.0
    for level in range(LEVELS):
        documents += lengths[level]
        words += lengths[level] * LENGTHS[level]
    return documents, words / documents if documents > 0 else 1.0


@compiled
def standing_of(statistics: Statistics, weighting: Weighting, member: int) -> float:
    """Return the factor of a member's name: its number of offers, `STANDING_OFFERS` at most, to a power; 0 of none."""
    if member >= statistics.owned.size:
        return 0.0
    return min(statistics.owned[member], STANDING_OFFERS) ** weighting.standing


@compiled
def name_plan(statistics: Statistics, names: Ints64, query: Query, weighting: Weighting) -> Plan:
    """Return what names are scored by for a request; `names` is how many names there are of each length level.

    The weight of a word is `emphasis * idf²`, with the idf among the offers, in units of ln(1 + offers)², times how
    often the name says it (its acronym counts as said twice). A name of n words is divided by the root of n times the
    mean n.
    """
    documents, _ = _documents_and_mean(statistics.lengths)
    frequencies, pointers, emphases = statistics.frequencies, query.pointers, query.emphasis
    most = np.log(1 + documents)
    weights = np.zeros(pointers.size - 1, np.float32)
    total = 0.0
    for group in range(query.words):
        held = _held_by(frequencies, query.terms[pointers[group]])
        weights[group] = weighting.name * emphases[group] * (idf(documents, held) / most) ** 2 if most > 0 else 0
        total += weights[group]
    count, words = 0.0, 0.0
    for level in range(LEVELS):
        count += names[level]
        words += names[level] * LENGTHS[level]
    mean = words / count if count > 0 else 1.0
    factors, halves = np.empty(LEVELS, np.float32), np.full(LEVELS, NO_SATURATION, np.float32)
    table = np.empty(256, np.float32)
    for level in range(LEVELS):
        factors[level] = NO_SATURATION / np.sqrt(LENGTHS[level] * mean)
    for code in range(256):
        table[code] = saturated(FREQUENCIES[code & 7], factors[code >> 3], halves[code >> 3])
    unit = unit_for(total, table.max())
    weights /= np.float32(unit)
    terms = query.terms[pointers[:-1]]
    alone = np.arange(terms.size + 1).astype(np.int32)
    return Plan(terms, np.ones(terms.size, np.float32), alone, weights, factors, halves, table, unit)


@compiled
def reverse_plan(
    statistics: Statistics, requests: Ints64, query: Query, frequencies: Floats32, level: int, weighting: Weighting
) -> Plan:
    """Return what open requests are scored by for an offer: the same formula, read from the other side.

    A request's code holds how often it says a word and about how many words it has. `rarity` and `burst` are taken as
    for the longest of them, and bigrams as words, so the scores are those that the requests would give or somewhat
    more, but for the l2 norm: by that the caller divides.

    Args:
        statistics: of the offers.
        requests: number of open requests of each length level.
        query: the words of requests that the offer answers, a group each, with their variants.
        frequencies: of each group, the frequency that it has in the offer, variants included.
        level: length level of the offer.
        weighting: the constants.
    """
    documents, mean_length = _documents_and_mean(statistics.lengths)
    longest, mean_size = 0.0, 0.0
    for other in range(LEVELS):
        longest = LENGTHS[other] if requests[other] > 0 else longest
        mean_size += statistics.lengths[other] * size_of(weighting, LENGTHS[other], mean_length) / max(1.0, documents)
    r = longest / (longest + weighting.c)
    power, burst = 1 + weighting.rarity * r, weighting.burst * r
    half = saturation_half(weighting, LENGTHS[level], mean_length)
    weights = np.empty(frequencies.size, np.float32)
    held_by, occurrences, asked = statistics.frequencies, statistics.occurrences, query.terms
    holders, members = statistics.holders, np.float64(statistics.members[0])
    pointers, emphases = query.pointers, query.emphasis
    total = 0.0
    for group in range(frequencies.size):
        earned = (weighting.k1 + 1) * frequencies[group] / (frequencies[group] + half)
        rare = group_idf(holders, asked, pointers[group], pointers[group + 1], members)
        boost = np.float64(emphases[group])
        if burst > 0:
            boost *= burstiness(held_by, occurrences, asked[pointers[group]], documents) ** burst
        weights[group] = boost * earned * rare**power
        total += weights[group]
    terms = asked[pointers[:-1]]
    relative = size_of(weighting, LENGTHS[level], mean_length) / mean_size if mean_size > 0 else 1.0
    table = np.empty(256, np.float32)
    for code in range(256):
        its = LENGTHS[code >> 3] / (LENGTHS[code >> 3] + weighting.c)
        table[code] = (1 + np.log(FREQUENCIES[code & 7])) / (1 - its + its * relative)
    unit = unit_for(total, table.max())
    weights /= np.float32(unit)
    alone = np.arange(terms.size + 1).astype(np.int32)
    nothing = np.zeros(LEVELS, np.float32)
    return Plan(terms, np.ones(terms.size, np.float32), alone, weights, nothing, nothing, table, unit)


@compiled
def reverse_name_plan(statistics: Statistics, names: Ints64, query: Query, level: int, weighting: Weighting) -> Plan:
    """Return what open requests are scored by for a name of length level `level`: see `name_plan`."""
    by_name = name_plan(statistics, names, query, weighting)
    table = np.empty(256, np.float32)
    for code in range(256):
        table[code] = (1 + np.log(FREQUENCIES[code & 7])) * by_name.table[level << 3]
    return Plan(
        by_name.terms,
        by_name.closeness,
        by_name.pointers,
        by_name.weights,
        by_name.factors,
        by_name.halves,
        table,
        by_name.unit,
    )
