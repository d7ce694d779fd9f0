"""Compile ahead: `python -m services.matcher.index.compile [--check]`.

Calls every compiled function once, on an index of a few offers, so that numba's machine code is on the disk (beside the
source, or in NUMBA_CACHE_DIR) before a service asks its first question: a minute or two, which no service waits for.
To be run after each change of the code, as the user of the services, on the kind of processor that they run on.

With `--check` it fails if anything had to be compiled: the cache that it found was not complete.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import numba
import numpy as np
from llvmlite.binding import get_host_cpu_features, get_host_cpu_name
from numba.core.dispatcher import Dispatcher

from services.matcher.index import snapshot
from services.matcher.index.collection import Collection
from services.matcher.index.compiled.arrays import NUMBA
from services.matcher.index.offers import OfferIndex
from services.matcher.index.requests import RequestIndex
from services.matcher.index.text.analysis import Analyser

YOUNG = 4
"""Room for young documents: so few that a handful of offers makes the index merge."""

_PACKAGE = "services.matcher.index."
_TEXTS = ("Étalonnage de tensiomètres pour sols salins", "Soil moisture sensors for saline soils", "قياس رطوبة التربة")


@cache
def compile_all() -> None:
    """Do all that an index can do, once a process, and note that its machine code is on the disk."""
    index = OfferIndex(Analyser(), young=YOUNG)
    _change(index)
    _ask(index)
    with TemporaryDirectory(prefix="maillage-compile-") as folder:
        snapshot.save(index, Path(folder))
        opened = snapshot.open(Path(folder), Analyser())
    _ask(opened)
    _change(opened)
    _ask(opened)
    if os.access(NUMBA.CACHE_DIR, os.W_OK):
        _note().touch()


def compile_missing() -> None:
    """Return at once if the machine code is on the disk: each function reads its own when it is first called, in
    milliseconds. Otherwise compile all.
    """
    if not _note().exists():
        compile_all()


def _note() -> Path:
    """Return the file that is there when all machine code of this source is, for this processor and these versions."""
    made_for = (get_host_cpu_name(), get_host_cpu_features().flatten(), numba.__version__, sys.version)
    return Path(NUMBA.CACHE_DIR) / f"complete-{sha256(repr(made_for).encode()).hexdigest()[:16]}"


def _change(index: OfferIndex) -> None:
    for number in range(3 * YOUNG):
        for text in _TEXTS:
            member = f"m/{number % 5}"
            index.put(f"{member}/{number}{text[:1]}", member, f"{text} {number}", title=text)
            index.name(member, f"Labo {number} Salins")
            index.group(member, "here")
    index.remove("m/0/0S")
    index.name("m/1", "")
    index.group("m/2", "there")


def _ask(index: OfferIndex) -> None:
    requests = RequestIndex(index)
    for text in _TEXTS:
        request = index.request(text, title="Labo Salins, tensiomètre")
        requests.put(text, request)
        found = index.search(request, 3) + index.search(request, 3, lambda _: True, lambda group: group == "here")
        for match in found:
            index.score(request, match.member)
            index.explain(request, match)
            index.worth(request, match.member)
        index.weigh(index.passing(text, title="Encore inédit"), without="m/2")
    requests.facing("m/2", 0.01)
    requests.remove(_TEXTS[0])
    settled = Collection(young=YOUNG)
    settled.put(0, 0, 0, np.zeros(1, np.int32), np.zeros(1, np.uint8))
    settled.merge()


def dispatchers() -> Iterator[Dispatcher]:
    """Yield the compiled functions of the index, each once."""
    seen = set()
    for name, module in sorted(sys.modules.items()):
        if name.startswith(_PACKAGE):
            for value in vars(module).values():
                if isinstance(value, Dispatcher) and id(value) not in seen:
                    seen.add(id(value))
                    yield value


def main() -> int:
    """Compile, and say what was done."""
    parser = argparse.ArgumentParser(prog="python -m services.matcher.index.compile", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if anything had to be compiled")
    check: bool = parser.parse_args().check
    began = monotonic()
    sys.stdout.write("Compiling the index (a minute or two the first time)...\n")
    sys.stdout.flush()
    compile_all()
    found = sum(sum(function.stats.cache_hits.values()) for function in dispatchers())
    made = sum(sum(function.stats.cache_misses.values()) for function in dispatchers())
    sys.stdout.write(f"{made} functions compiled, {found} found compiled, {monotonic() - began:.1f} s.\n")
    return int(check and made > 0)


if __name__ == "__main__":
    sys.exit(main())
