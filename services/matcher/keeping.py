"""The snapshot of what the matcher has in memory: a cache, from which a start saves itself the reading of every text.

The store is the authority. A snapshot says of each member by which stored states it is known there; at a start those
whose states are others, or gone, are brought in anew. So one that is old, or of another database, costs time and no
answer. It is opened only by the code that wrote it: what was read by this very code need not be checked again.

It holds personal data, so it is deleted as soon as something is erased, and soon written again without it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from math import inf
from pathlib import Path
from time import monotonic, time
from typing import Any, Final

import pydantic
from pydantic import TypeAdapter

import schemas
from services.matcher import metrics
from services.matcher.domain.eligibility import Traits
from services.matcher.domain.holding import Holding
from services.matcher.domain.pairing import Bar, Pairing
from services.matcher.index import Analyser, snapshot
from services.runtime import logs
from services.runtime.threads import in_thread

WRITE_SECONDS: Final = 300.0
"""Least time between two of them while events flow: one is hundreds of megabytes where members are thousands."""

ENOUGH: Final = 200
"""Members that changed, from which on one is worth writing. A start reads each of them anew, in 5 to 10 ms: those that
are fewer in two seconds at most."""

ENOUGH_OF_MANY: Final = 1 / 500
"""The same where members are many, as a part of them: the larger all is, the longer it takes to write, and the longer a
start takes anyway, to which these add a quarter."""

LATEST_SECONDS: Final = 3600.0
"""Time after which fewer are written too: what a member has taken back stays no longer on the disk."""

_TRAITS: Final = TypeAdapter(Traits)


class Keeper:
    """Keeps one folder's snapshot; with no folder it does nothing."""

    def __init__(self, folder: Path | None, *, clock: Callable[[], float] = monotonic) -> None:
        """`clock` tells seconds that pass."""
        self._folder = folder
        self._clock = clock
        self._log = logs.get()
        self._differ: set[str] | None = None  # whom the snapshot knows otherwise; None: it may be of no use at all
        self._members = 0  # how many it knows
        self._tried = -inf  # when one was last opened or written, or was to be
        self._write: asyncio.Task[None] | None = None

    async def open(self, bar: Bar, ranked: Callable[[], None]) -> Pairing | None:
        """Return what is kept, or None; a snapshot that cannot be used is said in the log and otherwise ignored."""
        if self._folder is None or not snapshot.exists(self._folder):
            return None
        try:
            pairing = await asyncio.to_thread(_opened, self._folder, bar, ranked)
        except snapshot.SnapshotError as error:
            self._log.warning("snapshot_ignored", reason=str(error))
            return None
        self._tried = self._clock()
        self._differ, self._members = set(), len(pairing.marks)
        return pairing

    def change(self, members: Iterable[str]) -> None:
        """Note that what memory says of these is not what the snapshot says any more."""
        if self._differ is not None:
            self._differ.update(members)

    def due(self, *, now: bool = False) -> bool:
        """Return whether a snapshot is to be written; with `now` even if the last one is not old and few differ."""
        if self._folder is None:
            return False
        if not snapshot.exists(self._folder):
            return True
        if self._differ is None:
            few = False
        elif self._differ:
            few = len(self._differ) < max(ENOUGH, ENOUGH_OF_MANY * self._members)
        else:
            return False
        return now or self._clock() - self._tried >= (LATEST_SECONDS if few else WRITE_SECONDS)

    async def take(self, pairing: Pairing) -> snapshot.Image:
        """Return what is to be kept; nothing may change meanwhile."""
        image = await in_thread(_taken, pairing)
        self._differ, self._members = set(), len(pairing.marks)
        return image

    async def write(self, image: snapshot.Image) -> None:
        """Write a snapshot; a failure is told in the log and in the metrics, and the next one tried in its time."""
        await self._written()
        self._tried = self._clock()
        self._write = asyncio.create_task(self._write_now(image))
        await asyncio.shield(self._write)

    async def discard(self) -> None:
        """Delete the snapshot."""
        if self._folder is None:
            return
        await self._written()
        self._differ, self._tried = None, -inf
        try:
            await asyncio.to_thread(snapshot.discard, self._folder)
        except OSError as error:
            self._fail("snapshot_not_deleted", error)

    async def _write_now(self, image: snapshot.Image) -> None:
        began = monotonic()
        try:
            if self._folder is not None:
                await asyncio.to_thread(image.write, self._folder)
        except OSError as error:
            self._differ = None
            self._fail("snapshot_failed", error)
            return
        metrics.SNAPSHOT_WRITTEN.set(time())
        self._log.info("snapshot_written", offers=image.documents, seconds=round(monotonic() - began, 2))

    async def _written(self) -> None:
        """Wait for one that is being written: what is done next must come after it."""
        if self._write is not None and not self._write.done():
            await asyncio.wait({self._write})

    def _fail(self, what: str, error: OSError) -> None:
        metrics.SNAPSHOT_FAILURES.inc()
        self._log.warning(what, reason=f"{type(error).__name__}: {error}")


def _taken(pairing: Pairing) -> snapshot.Image:
    # Copied by the dictionaries themselves, which is ten times as fast as making others of what is in them.
    notes = partial(_notes, copy(pairing.asks.askers), copy(pairing.marks), pairing.holding, pairing.clock)
    return snapshot.take(pairing.index, requests=pairing.requests, notes=notes, encode=_encoded)


def _notes(
    askers: Mapping[str, str], marks: Mapping[str, bytes], holding: Holding, clock: datetime | None
) -> dict[str, Any]:
    return {
        "code": code(),
        "askers": askers,
        "marks": {member: mark.hex() for member, mark in marks.items()},
        "holding": {"shares": sorted(holding.shares), "of": holding.of},
        "clock": None if clock is None else clock.isoformat(),
    }


def _opened(folder: Path, bar: Bar, ranked: Callable[[], None]) -> Pairing:
    kept = snapshot.open_all(folder, Analyser(), decode=_TRAITS.validate_python)
    if kept.notes.get("code") != code():
        raise snapshot.SnapshotError("it was made by another version of the matcher")
    askers = kept.notes["askers"]
    if len(askers) != len(kept.requests):
        raise snapshot.SnapshotError(f"it holds {len(kept.requests)} requests of {len(askers)}")
    marks = {member: bytes.fromhex(mark) for member, mark in kept.notes["marks"].items()}
    clock, holding = kept.notes["clock"], kept.notes["holding"]
    return Pairing(
        index=kept.index,
        bar=bar,
        ranked=ranked,
        requests=kept.requests,
        askers=askers,
        marks=marks,
        holding=Holding(frozenset(holding["shares"]), holding["of"]),
        clock=None if clock is None else datetime.fromisoformat(clock),
    )


def _encoded(group: Any) -> Any:
    return _TRAITS.dump_python(group, mode="json")


@cache
def code() -> str:
    """Return a digest of all code that decides what a stored event means to the index."""
    digest = sha256(pydantic.VERSION.encode())
    for folder in (Path(str(schemas.__file__)).parent, Path(__file__).parent):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
