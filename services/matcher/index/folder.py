"""The folder that a snapshot is: files that are whole or refused, and one of them at a time.

`manifest.json` names a folder beside it, in which each array is a `.npy` file and each list of strings a JSON one, and
tells the size and the check sum of each. Nothing in it can be executed. Only the user of the process may read it:
folders have mode 0700, files 0600. Check sums tell damage, not forgery.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Final
from uuid import uuid4
from zlib import crc32

import numpy as np
import numpy.typing as npt

from services.matcher.index.compiled.weighting import Weighting
from services.matcher.index.offers import ENGINE_VERSION
from services.matcher.index.text.analysis import ANALYSER_VERSION

Array = npt.NDArray[Any]

_FORMAT: Final = "maillage-index"
_LAYOUT: Final = 2
"""Changes whenever the files mean something else."""

_MANIFEST: Final = "manifest.json"
_DATA: Final = "data-"

_AT_ONCE: Final = 10_000
"""Entries put into JSON while no other thread can run: within a few milliseconds."""


class SnapshotError(Exception):
    """There is no snapshot that this process can start with; the message says why. Start without."""


@dataclass(frozen=True, slots=True)
class Image:
    """All that a snapshot says of an index at one moment. It shares nothing that a change of the index changes.

    Attributes:
        parts: puts it into its form, which takes long: yields arrays, and what JSON can say, each with its name.
        weighting: the constants of the score.
        documents: how many offers there are.
    """

    parts: Callable[[], Iterator[tuple[str, object]]]
    weighting: Weighting
    documents: int

    def write(self, folder: Path) -> str:
        """Make this the snapshot in `folder`, and return its name. The index may be changed meanwhile.

        A crash at any moment leaves the one before or this one. Processes that write or open at the same time wait for
        one another.

        Raises:
            OSError: it could not be written; the one before stays.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder, alone=True):
            data = folder / f"{_DATA}{uuid4().hex}"
            data.mkdir(mode=0o700)
            try:
                files = dict(_write(data, name, part) for name, part in self.parts())
                _sync(data)
                manifest = {
                    "format": _FORMAT,
                    "layout": _LAYOUT,
                    "analyser": ANALYSER_VERSION,
                    "engine": ENGINE_VERSION,
                    "weighting": self.weighting._asdict(),
                    "documents": self.documents,
                    "data": data.name,
                    "files": files,
                }
                _write_json(data / _MANIFEST, manifest)
                _sync(folder)
                (data / _MANIFEST).rename(folder / _MANIFEST)
                _sync(folder)
            except BaseException:
                shutil.rmtree(data, ignore_errors=True)
                raise
            for other in folder.glob(f"{_DATA}*"):
                if other != data:  # the one before, or what a crash left behind
                    shutil.rmtree(other, ignore_errors=True)
            return data.name


def exists(folder: Path) -> bool:
    """Return whether there is a snapshot in a folder, be it one that can be used or not."""
    return (folder / _MANIFEST).exists()


def discard(folder: Path) -> None:
    """Delete the snapshot in a folder, if there is one; one that is being written is waited for.

    Raises:
        OSError: something of it is still there.
    """
    if not folder.is_dir():
        return
    with locked(folder, alone=True):
        (folder / _MANIFEST).unlink(missing_ok=True)
        for data in folder.glob(f"{_DATA}*"):
            shutil.rmtree(data)


class Files:
    """The files of a snapshot, each checked before it is used.

    A thread reads ahead of whoever asks for them: summing up needs no lock of the interpreter, making objects does.
    """

    def __init__(self, folder: Path, weighting: Weighting) -> None:
        manifest = folder / _MANIFEST
        if not manifest.is_file():
            raise SnapshotError(f"there is none in {folder}")
        try:
            said = json.loads(manifest.read_bytes())
        except ValueError as error:
            raise SnapshotError(f"{manifest} is no JSON") from error
        if not isinstance(said, dict) or said.get("format") != _FORMAT:
            raise SnapshotError(f"{manifest} is of another program")
        for what, theirs, ours in (
            ("layout", said.get("layout"), _LAYOUT),
            ("analyser", said.get("analyser"), ANALYSER_VERSION),
            ("engine", said.get("engine"), ENGINE_VERSION),
            ("weighting", said.get("weighting"), weighting._asdict()),
        ):
            if theirs != ours:
                raise SnapshotError(f"it was made with {what} {theirs}, this is {ours}")
        self.weighting = weighting
        self.documents = int(said["documents"])
        self._data = folder / Path(said["data"]).name
        self._files: dict[str, list[int]] = said["files"]
        self._ahead = ThreadPoolExecutor(1, "snapshot")
        self._sums = {name: self._ahead.submit(_check_sum, self._data / Path(name).name) for name in self._files}

    def close(self) -> None:
        """Read no further."""
        self._ahead.shutdown(wait=True, cancel_futures=True)

    def array(self, name: str, kind: npt.DTypeLike) -> Array:
        """Return an array, mapped copy-on-write."""
        path = self._whole(f"{name}.npy")
        array = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
        if array.dtype != kind:
            raise SnapshotError(f"{path.name} holds {array.dtype}, not {np.dtype(kind)}")
        return array

    def strings(self, name: str) -> list[Any]:
        """Return a list."""
        found: list[Any] = self._json(name)
        return found

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return what was said by name."""
        found: dict[str, Any] = self._json(name)
        return found

    def _json(self, name: str) -> Any:
        return json.loads(self._whole(f"{name}.json").read_bytes().decode("utf-8", "surrogatepass"))

    def _whole(self, name: str) -> Path:
        path = self._data / name
        if name not in self._files:
            raise SnapshotError(f"the manifest does not name {name}")
        size, check = self._files[name]
        if path.stat().st_size != size:  # a mapped file that is too short would end the process
            raise SnapshotError(f"{name} has {path.stat().st_size} bytes, not {size}")
        if self._sums[name].result() != check:
            raise SnapshotError(f"{name} is damaged")
        return path


def _write(data: Path, name: str, part: object) -> tuple[str, tuple[int, int]]:
    """Write a part of a snapshot; return the name of its file, its size and its check sum."""
    if isinstance(part, np.ndarray):
        return f"{name}.npy", _write_array(data / f"{name}.npy", part)
    return f"{name}.json", _write_json(data / f"{name}.json", part)


def _write_array(path: Path, array: Array) -> tuple[int, int]:
    with _new_file(path) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
    return path.stat().st_size, _check_sum(path)


def _write_json(path: Path, content: object) -> tuple[int, int]:
    written = _json(content)
    with _new_file(path) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(written)
    return len(written), crc32(written)


def _json(content: object) -> bytes:
    match content:
        case list() if len(content) > _AT_ONCE:
            parts = (content[start : start + _AT_ONCE] for start in range(0, len(content), _AT_ONCE))
            return b"[%b]" % b",".join(_json(part)[1:-1] for part in parts)
        case dict() if len(content) > _AT_ONCE:
            items = iter(content.items())
            return b"{%b}" % b",".join(_json(part)[1:-1] for part in iter(lambda: dict(islice(items, _AT_ONCE)), {}))
        case dict():  # what is in it may be long
            return b"{%b}" % b",".join(b"%b:%b" % (_json(key), _json(value)) for key, value in content.items())
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


@contextmanager
def _new_file(path: Path) -> Iterator[int]:
    """Open a file that only this user may read; what was written to it is on the disk afterwards."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        yield descriptor
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_sum(path: Path) -> int:
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return crc32(content)


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path, *, alone: bool) -> Iterator[None]:
    """Keep others from replacing a snapshot, or also from opening it."""
    if sys.platform == "win32" or not folder.is_dir():
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)
