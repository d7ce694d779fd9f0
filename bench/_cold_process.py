"""The process that `bench.cold_start` starts: `python -m bench._cold_process HOW PATH REQUESTS`.

It imports no more of ours than a matcher does. HOW is `snapshot` (PATH is one) or `texts` (PATH is a file of offers,
one JSON list a line). It writes one line of JSON for each step: its name, seconds since the first line of this file
ran, and what was found.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.matcher.index import OfferIndex

BEGAN = time.perf_counter()

K = 10


def main() -> None:
    """Be the process."""
    how, path, asked = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    from services.matcher.index import Analyser

    _say("imported", 0)
    if how == "snapshot":
        from services.matcher.index import snapshot

        index = snapshot.open(path, Analyser())
    else:
        index = read(path)
    _say("opened", len(index))
    for number, (title, text) in enumerate(asked):
        found = index.search(index.request(text, title=title), K)
        _say("first" if number == 0 else f"later {number}", len(found))
    _say(f"peak {_peak_mib()}", 0)


def read(path: Path) -> OfferIndex:
    """Return an index of the offers in a file."""
    from services.matcher.index import Analyser, OfferIndex

    index = OfferIndex(Analyser())
    for document, member, group, name, title, text in _lines(path):
        index.put(document, member, text, title=title)
        if name:
            index.name(member, name)
        index.group(member, group)
    return index


def _lines(path: Path) -> Iterator[list[str]]:
    with path.open() as file:
        for line in file:
            yield json.loads(line)


def _peak_mib() -> int:
    """Return the most memory that this process had; `getrusage` would tell that of its parent, if that had more."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def _say(step: str, found: int) -> None:
    sys.stdout.write(json.dumps({"step": step, "seconds": time.perf_counter() - BEGAN, "found": found}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
