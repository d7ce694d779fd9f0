"""How good a ranking is, and how a set of durations is told in a line."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CUT = 10
"""Places that count: what a person reads of a list."""


def ranked(scores: Mapping[str, float]) -> list[str]:
    """Return documents best first; of equal ones the first by id."""
    return [doc for _, doc in sorted((-score, doc) for doc, score in scores.items())]


def ndcg(ranking: Sequence[str], grades: Mapping[str, float]) -> float:
    """Return nDCG@10 of one ranking: linear gain, log2 discount (Järvelin and Kekäläinen, 2002), from 0 to 1.

    Args:
        ranking: documents, best first, each once.
        grades: how relevant each relevant document is; at least one is above 0.
    """
    ideal = _dcg(sorted(grades.values(), reverse=True))
    return _dcg([grades.get(doc, 0.0) for doc in ranking]) / ideal


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains[:CUT]))


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How well a set of requests was answered.

    Attributes:
        judged: requests of which relevant documents are known.
        answered: those among them for which anything was suggested.
        ndcg: mean over the judged; one without an answer counts zero.
        ndcg_answered: mean over the answered.
    """

    judged: int
    answered: int
    ndcg: float
    ndcg_answered: float


def quality(suggested: Mapping[str, Mapping[str, float]], relevant: Mapping[str, Mapping[str, float]]) -> Quality:
    """Return how well the requests in `relevant` were answered.

    Args:
        suggested: request → document → score.
        relevant: request → document → grade above 0.
    """
    values = ndcgs(suggested, relevant)
    answered = [values[request] for request in relevant if suggested.get(request)]
    return Quality(
        judged=len(values), answered=len(answered), ndcg=mean(list(values.values())), ndcg_answered=mean(answered)
    )


def ndcgs(
    suggested: Mapping[str, Mapping[str, float]], relevant: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """Return nDCG@10 of each request in `relevant`; arguments as for `quality`."""
    return {request: ndcg(ranked(suggested.get(request, {})), grades) for request, grades in relevant.items()}


def mean(values: Sequence[float]) -> float:
    """Return the mean; 0 of none."""
    return sum(values) / len(values) if values else 0.0


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A set of durations, in seconds; all 0 when there is none."""

    count: int
    p50: float
    p90: float
    p99: float
    longest: float


def spread(seconds: Sequence[float]) -> Spread:
    """Return the spread of a set of durations."""
    return Spread(
        count=len(seconds),
        p50=percentile(seconds, 0.5),
        p90=percentile(seconds, 0.9),
        p99=percentile(seconds, 0.99),
        longest=max(seconds, default=0.0),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed (nearest rank); 0 of none."""
    if not values:
        return 0.0
    # Rounded first: 0.9 * 10 in binary is a little above 9.
    return sorted(values)[max(0, math.ceil(round(share * len(values), 9)) - 1)]
