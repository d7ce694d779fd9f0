"""What a bar for telling brings: how many requests get somebody, and how many of those told are right.

The judgements name historical partners only. A told member that is not among them may be right all the same, so every
precision here is a lower bound, and the curve says how the bars compare rather than how often an ambassador is served
well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench._data import Folder, Need
from bench._quality import mean, ndcg, percentile
from bench._quality_engine import Engine, Told
from bench._quality_figures import ABSENT, share
from bench._quality_sheet import Sheet

STEPS: Final = 20
"""Thresholds of a table, about: what fits on a screen and still shows the curve."""

HIGHEST: Final = 0.95
"""Part of the requests whose best score the thresholds cover: beyond, nearly all is silence."""

LEAST_ANSWERED: Final = 10
"""Requests with an answer that a share of right ones is told of: of fewer it is chance."""

LOWER_BOUND: Final = (
    "Precision is a lower bound: judgements are incomplete, only historical partners count as right. Where one doc "
    "answers a request, at most one of those told can be right."
)

MEAN_OF_ANY: Final = (
    f"What is right is the mean over the sets with at least {LEAST_ANSWERED} answered requests, as long as those are "
    "more than half of the sets: with high bars they are fewer, and the mean is of other sets."
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One judged request.

    Attributes:
        words: of its title and text.
        grades: doc → grade above 0.
        told: whom a bar of 0 would tell of, best first: at most as many as production tells, all with evidence.
    """

    words: int
    grades: Mapping[str, float]
    told: Sequence[Told]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a bar brings for some requests.

    Attributes:
        answered: share of the requests that get at least one member.
        told: members told per request, silent ones included.
        precision: share of the told members that are judged relevant; none with fewer than LEAST_ANSWERED answered.
        first: share of the answered requests whose best told member is judged relevant; none likewise.
        ndcg: nDCG@10 of what is told, a silent request counting zero.
    """

    answered: float
    told: float
    precision: float | None
    first: float | None
    ndcg: float


def asked(folder: Folder, engine: Engine, tick: Callable[[], None] = lambda: None) -> list[Asked]:
    """Return the judged requests of a set with whom each would be told of; `tick` is called after each."""
    found = []
    for need in folder.needs:
        if need.query in folder.relevant:
            found.append(Asked(words=_words(need), grades=folder.relevant[need.query], told=engine.told(need)))
        tick()
    return found


def outcome(requests: Sequence[Asked], bar: float) -> Outcome:
    """Return what a bar brings.

    Production tells the best few that reach the bar, so a higher bar tells the first ones of the same list.
    """
    passing = [(one, [told.doc for told in one.told if told.score >= bar]) for one in requests]
    right = [[doc in one.grades for doc in docs] for one, docs in passing if docs]
    told = sum(map(len, right))
    enough = len(right) >= LEAST_ANSWERED
    return Outcome(
        answered=len(right) / len(requests) if requests else 0.0,
        told=told / len(requests) if requests else 0.0,
        precision=sum(map(sum, right)) / told if enough else None,
        first=mean([float(docs[0]) for docs in right]) if enough else None,
        ndcg=mean([ndcg(docs, one.grades) for one, docs in passing]),
    )


def macro_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the mean over sets; precision over those where it is known, if they are more than half."""
    precisions = [one.precision for one in outcomes if one.precision is not None]
    firsts = [one.first for one in outcomes if one.first is not None]
    enough = 2 * len(precisions) > len(outcomes)
    return Outcome(
        answered=mean([one.answered for one in outcomes]),
        told=mean([one.told for one in outcomes]),
        precision=mean(precisions) if enough else None,
        first=mean(firsts) if enough else None,
        ndcg=mean([one.ndcg for one in outcomes]),
    )


def halves_by_length(requests: Sequence[Asked]) -> tuple[list[Asked], list[Asked]]:
    """Split requests into the shorter, up to the median number of words, and the longer."""
    middle = median([one.words for one in requests]) if requests else 0
    return [one for one in requests if one.words <= middle], [one for one in requests if one.words > middle]


def thresholds(sets: Sequence[Sequence[Asked]]) -> list[float]:
    """Return bars in even, round steps from 0 to where nearly all requests of every set are silent."""
    highest = max((percentile([_best(one) for one in requests], HIGHEST) for requests in sets), default=0.0)
    step = round_step(highest / STEPS)
    return [round(number * step, 12) for number in range(math.ceil(highest / step) + 1)]


def round_step(rough: float) -> float:
    """Return the least of 1, 2, 5, 10, ... times a power of ten that is not below `rough`; 1 for 0."""
    if rough <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))


def bar_sheets(sets: Mapping[str, Sequence[Asked]], production: float, places: int) -> list[Sheet]:
    """Return the tables: all sets together, set by set, short requests against long ones.

    Args:
        sets: the requests of each set.
        production: the bar of production; its row is there whatever the steps.
        places: members told of a request at most.
    """
    bars = sorted({*thresholds(list(sets.values())), production})
    here = bars.index(production)
    limits = f"At most {places} told per request, each with the evidence that production asks for."
    labels = [_label(bar, production) for bar in bars]
    return [
        Sheet(
            title="The bar: mean over the sets",
            columns=["bar", "requests answered", "told per request", "told and right", "best told is right", "nDCG@10"],
            rows=[[label, *_cells(_macro(sets, bar))] for label, bar in zip(labels, bars, strict=True)],
            notes=[limits, LOWER_BOUND, MEAN_OF_ANY],
            strong=here,
        ),
        Sheet(
            title="The bar, set by set: requests answered / told and right",
            columns=["bar", *sets],
            rows=[
                [label, *(_pair(outcome(requests, bar)) for requests in sets.values())]
                for label, bar in zip(labels, bars, strict=True)
            ],
            strong=here,
        ),
        _lengths_sheet(sets, bars, labels, here),
        _lengths_by_set_sheet(sets, production),
    ]


def _lengths_sheet(
    sets: Mapping[str, Sequence[Asked]], bars: Sequence[float], labels: Sequence[str], here: int
) -> Sheet:
    short, long = _by_length(sets)
    rows = []
    for label, bar in zip(labels, bars, strict=True):
        one, other = _macro(short, bar), _macro(long, bar)
        rows.append([label, *_cells(one)[:4], *_cells(other)[:4]])
    return Sheet(
        title="Short requests and long ones: mean over the sets",
        columns=[
            "bar",
            *(f"{part}: {what}" for part in ("short", "long") for what in ("answered", "told", "right", "best right")),
        ],
        rows=rows,
        notes=[
            "Split at the median number of words of each set, title and text. A bar means the same for both where "
            "the two columns `right` agree."
        ],
        strong=here,
    )


def _lengths_by_set_sheet(sets: Mapping[str, Sequence[Asked]], production: float) -> Sheet:
    short, long = _by_length(sets)
    rows = []
    for name, requests in sets.items():
        middle = median([one.words for one in requests])
        found = [outcome(part[name], production) for part in (short, long)]
        rows.append([name, f"{middle:g}", *(text for one in found for text in _cells(one)[:4])])
    return Sheet(
        title=f"Short requests and long ones at the bar of production, {production:g}",
        columns=[
            "set",
            "median words",
            *(f"{part}: {what}" for part in ("short", "long") for what in ("answered", "told", "right", "best right")),
        ],
        rows=rows,
    )


def _by_length(sets: Mapping[str, Sequence[Asked]]) -> tuple[dict[str, list[Asked]], dict[str, list[Asked]]]:
    parts = {name: halves_by_length(requests) for name, requests in sets.items()}
    return {name: short for name, (short, _) in parts.items()}, {name: long for name, (_, long) in parts.items()}


def _macro(sets: Mapping[str, Sequence[Asked]], bar: float) -> Outcome:
    return macro_outcome([outcome(requests, bar) for requests in sets.values()])


def _cells(found: Outcome) -> list[str]:
    return [
        f"{100 * found.answered:.0f} %",
        f"{found.told:.2f}",
        _percent(found.precision),
        _percent(found.first),
        share(found.ndcg),
    ]


def _pair(found: Outcome) -> str:
    return f"{100 * found.answered:.0f} / {_percent(found.precision)}"


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:.0f} %"


def _label(bar: float, production: float) -> str:
    return f"{bar:g}, production" if bar == production else f"{bar:g}"


def _best(one: Asked) -> float:
    return max((told.score for told in one.told), default=0.0)


def _words(need: Need) -> int:
    return len(f"{need.profile.title} {need.profile.text}".split())
