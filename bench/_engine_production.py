"""From text to pairings with everything that production does: language, analysis, weights, votes, ranking."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench._corpus import documents, requests
from bench._engine_texts import Writer
from bench._engine_timing import Floats, Latency, latency
from services.matcher.index import ENGINE_VERSION, Analyser, OfferIndex

K = 10
OFFERS_PER_MEMBER = 4
"""A description and a few past projects: what an organisation of a cluster typically has on record."""


@dataclass(frozen=True, kw_only=True)
class Production:
    """What the production configuration takes at a number of offers.

    Attributes:
        build_seconds: to put every offer, one by one, analysis included.
        first: each request when it comes for the first time.
        best: the fastest of its rounds; `analysis` and `search` are its two parts.
        explain: of all the pairings of a request.
    """

    engine: str
    offers: int
    build_seconds: float
    first: Latency
    best: Latency
    analysis: Latency
    search: Latency
    explain: Latency
    found: float


def production(
    offers: int, asked: int, rounds: int, tell: Callable[[str], None]
) -> tuple[Production, dict[str, list[float]]]:
    """Measure the production engine through its production interface; raw seconds of each request beside it."""
    rows = documents(offers)
    queries, _ = requests(rows, asked)
    writer = Writer()
    tell("production: writing texts")
    texts = [writer.write(rows, number) for number in range(offers)]
    needs = [writer.write(queries, number) for number in range(asked)]
    tell("production: putting offers")
    index = OfferIndex(Analyser())
    named = getattr(index, "name", None)  # an engine that reads names has to read them here too
    start = time.perf_counter()
    for number, text in enumerate(texts):
        if named is not None and number % OFFERS_PER_MEMBER == 0:
            named(f"member-{number // OFFERS_PER_MEMBER}", writer.name())
        index.put(f"offer-{number}", f"member-{number // OFFERS_PER_MEMBER}", text.text, title=text.title)
    build_seconds = time.perf_counter() - start
    index.search(index.request(texts[0].text, title=texts[0].title), K)  # compiles
    clock = time.perf_counter
    first = np.zeros(asked)
    best, analysis, search, explain = (np.full(asked, np.inf) for _ in range(4))
    found = np.zeros(asked)
    for turn in range(rounds):
        tell(f"production: round {turn + 1} of {rounds}")
        for number, need in enumerate(needs):
            start = clock()
            request = index.request(need.text, title=need.title)
            analysed = clock()
            matches = index.search(request, K)
            end = clock()
            for match in matches:
                index.explain(request, match)
            explained = clock()
            if turn == 0:
                first[number] = end - start
            best[number] = min(best[number], end - start)
            analysis[number] = min(analysis[number], analysed - start)
            search[number] = min(search[number], end - analysed)
            explain[number] = min(explain[number], explained - end)
            found[number] = len(matches)
    raw: dict[str, Floats] = {
        "first": first,
        "best": best,
        "analysis": analysis,
        "search": search,
        "explain": explain,
    }
    summary: dict[str, Any] = {name: latency(seconds) for name, seconds in raw.items()}
    return (
        Production(
            engine=ENGINE_VERSION, offers=offers, build_seconds=build_seconds, found=float(found.mean()), **summary
        ),
        {name: seconds.tolist() for name, seconds in raw.items()},
    )
