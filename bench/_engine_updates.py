"""What a change costs, and what it does to the searches that run at the same time."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from bench._corpus import Rows
from bench._engine_ours import Ours
from bench._engine_timing import Floats, Latency, latency
from bench._peers import Tantivy

K = 10
WARM_UP = 20
"""Changes that compile, and fill caches, before one counts."""

VISIBLE_AMONG = 1_000
"""Best members for its own terms among which any document has to be."""

QUERY_REPEATS = 3
"""The search that is taken off is the fastest of so many, each with the index as it was before the insert."""

REPLACED_EVERY = 5
"""Every so many insert replaces an earlier one, as edited offers do: so merges have something to throw away."""

QUERIES_PER_SECOND = 200.0
"""Requests that come, evenly spaced, while inserts flow: enough for a 99th percentile, and far from saturation."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What searches and inserts took while both came at their times.

    Attributes:
        seconds: how long it went on.
        inserts, queries: how many there were.
        query: from the moment a request came until it was answered, waiting for inserts before it included.
        search: the search itself.
        insert: each call, merges that it did included.
        late: inserts that were done later than a second after they came: the engine could not keep up.
    """

    seconds: float
    inserts: int
    queries: int
    query: Latency
    search: Latency
    insert: Latency
    late: int


def ours_visible(ours: Ours, fresh: Rows, first: int) -> Floats:
    """Return the seconds of each insert until a search can find it.

    It is an insert and a search that must find it, less the same search before it.

    Args:
        fresh: what is inserted.
        first: number of the first of them; each is a document and a member of its own.
    """
    clock = time.perf_counter
    seconds = np.empty(len(fresh))
    for number in range(len(fresh)):
        terms, counts = fresh.row(number)
        alone = np.inf
        for _ in range(QUERY_REPEATS):
            start = clock()
            ours.search(terms, counts, K)
            alone = min(alone, clock() - start)
        start = clock()
        ours.put(first + number, terms, counts)
        members, _ = ours.search(terms, counts, K)
        seconds[number] = clock() - start - alone
        if first + number not in members:  # a short one of frequent words need not be among the ten best for itself
            members, _ = ours.search(terms, counts, VISIBLE_AMONG)
            assert first + number in members, "an insert was not visible to the next search"
    return seconds[WARM_UP:]


def tantivy_visible(peer: Tantivy, fresh: Rows, first: int) -> Floats:
    """Return the seconds of each insert, commit and reload."""
    clock = time.perf_counter
    seconds = np.empty(len(fresh))
    for number in range(len(fresh)):
        words = fresh.words(number).tolist()
        start = clock()
        peer.insert(first + number, words)
        seconds[number] = clock() - start
    return seconds[min(WARM_UP, len(fresh) // 2) :]


def tantivy_visible_both(rows: Rows, fresh: Rows, first: int) -> tuple[Floats, Floats]:
    """Return the same for an index in memory and for one on disk."""
    memory = Tantivy(rows, writable=True)
    seconds = tantivy_visible(memory, fresh, first)
    memory.close()
    with TemporaryDirectory(prefix="maillage-tantivy-") as folder:
        disk = Tantivy(rows, Path(folder), writable=True)
        disk_seconds = tantivy_visible(disk, fresh, first)
        disk.close()
    return seconds, disk_seconds


def under_load(
    ours: Ours, asked: Rows, fresh: Rows, first: int, *, inserts_per_second: float, seconds: float
) -> tuple[Load, dict[str, npt.NDArray[np.float64]]]:
    """Let inserts and requests come at their times, and serve both from one thread, as the matcher does.

    A request waits for the inserts that came before it: its latency counts from the moment it came, so a pause is
    charged to everyone who waited for it. `fresh` is inserted in turn, again from its beginning if it is too short.

    Returns:
        The summary, and the raw seconds of "query", "search" and "insert".
    """
    clock = time.perf_counter
    inserts, queries = int(seconds * inserts_per_second), int(seconds * QUERIES_PER_SECOND)
    insert_at = np.arange(inserts) / inserts_per_second
    query_at = np.arange(queries) / QUERIES_PER_SECOND
    insert_seconds, insert_late = np.zeros(inserts), np.zeros(inserts)
    query_seconds, search_seconds = np.zeros(queries), np.zeros(queries)
    new_rows = [fresh.row(number) for number in range(len(fresh))]
    requests = [asked.row(number) for number in range(len(asked))]
    for terms, counts in requests[:WARM_UP]:
        ours.search(terms, counts, K)
    gc.collect()
    gc.freeze()
    next_insert = next_query = 0
    begin = clock()
    try:
        while next_insert < inserts or next_query < queries:
            now = clock() - begin
            insert_due = insert_at[next_insert] if next_insert < inserts else np.inf
            query_due = query_at[next_query] if next_query < queries else np.inf
            due = min(insert_due, query_due)
            if now < due:
                # Sleep while there is time for it; the last bit is waited for awake, since a sleeper wakes up late.
                if due - now > 0.0005:
                    time.sleep(due - now - 0.0003)
                continue
            start = clock()
            if insert_due <= query_due:
                replaces = next_insert % REPLACED_EVERY == REPLACED_EVERY - 1
                document = first + (next_insert // 2 if replaces else next_insert)
                ours.put(document, *new_rows[next_insert % len(new_rows)])
                end = clock()
                insert_seconds[next_insert] = end - start
                insert_late[next_insert] = end - begin - insert_due
                next_insert += 1
            else:
                ours.search(*requests[next_query % len(requests)], K)
                end = clock()
                search_seconds[next_query] = end - start
                query_seconds[next_query] = end - begin - query_due
                next_query += 1
        took = clock() - begin
    finally:
        gc.unfreeze()
    load = Load(
        seconds=took,
        inserts=inserts,
        queries=queries,
        query=latency(query_seconds),
        search=latency(search_seconds),
        insert=latency(insert_seconds),
        late=int((insert_late > 1.0).sum()),
    )
    return load, {"query": query_seconds, "search": search_seconds, "insert": insert_seconds}
