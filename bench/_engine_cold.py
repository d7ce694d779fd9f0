"""How long a new process takes until it has answered its first request.

As a program, `python -m bench._engine_cold SNAPSHOT REQUEST`, it is that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

BEGAN = time.perf_counter()
K = 10
STARTS = 5
TIMEOUT_SECONDS = 300.0
"""Enough to compile everything on a busy machine."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Seconds of one start.

    Attributes:
        total: from the moment the process was asked for until its answer was here, the interpreter's start included.
        imports, opening, first, second: its parts as the process saw them: imports, the snapshot, the first request,
            and the same request again.
    """

    total: float
    imports: float
    opening: float
    first: float
    second: float


def start(snapshot: Path, request: Path, *, compiled: bool = True) -> Start:
    """Start a process that opens a snapshot and answers a request.

    Args:
        snapshot: what `Ours.save` wrote.
        request: a file that numpy saved: term ids and counts, shape (2, terms).
        compiled: whether it finds the code that was compiled before; otherwise it has to compile it.
    """
    with TemporaryDirectory(prefix="maillage-cold-") as empty:
        environment = os.environ | ({} if compiled else {"NUMBA_CACHE_DIR": empty})
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "bench._engine_cold", str(snapshot), str(request)],
            env=environment,
            check=True,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            text=True,
        )
        total = time.perf_counter() - began
    return Start(total=total, **json.loads(done.stdout))


def main() -> None:
    """Be the process, and print what each step took."""
    import numpy as np

    from bench._engine_ours import Ours

    snapshot, request = map(Path, sys.argv[1:])
    terms, counts = np.load(request)
    clock = time.perf_counter
    imported = clock()
    ours = Ours.open(snapshot)
    opened = clock()
    ours.search(terms, counts, K)
    first = clock()
    ours.search(terms, counts, K)
    second = clock()
    print(
        json.dumps(
            {
                "imports": imported - BEGAN,
                "opening": opened - imported,
                "first": first - opened,
                "second": second - first,
            }
        )
    )


if __name__ == "__main__":
    main()
