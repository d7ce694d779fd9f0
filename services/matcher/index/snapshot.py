"""An index on disk, from which a process starts without reading any text again.

A snapshot is a folder: `manifest.json` names a folder beside it, in which each array of the index is a `.npy` file and
each list of strings a JSON one. Nothing in it can be executed. Large arrays are mapped copy-on-write: a process that
starts reads the pages that it needs, shares them with others, and changes only its own copies.

It holds **personal data**: the ids of members and of what they offer, the words of their texts and names (stems, with
the places where they stand), and no others: a word that nobody uses any more is not in it. So a member that was erased
is gone from the disk with the next `save`; who erases calls it. (A process that had opened the one before keeps its
unlinked files until it ends.) Only the user of the process may read it: folders have mode 0700, files 0600. Its check
sums tell damage, not forgery: compiled code trusts what they cover, so it belongs where only the service writes.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, cast
from uuid import uuid4
from zlib import crc32

import numpy as np
import numpy.typing as npt

from services.matcher.index.analysis import ANALYSER_VERSION, Analyser
from services.matcher.index.arrays import Ints32, Ints64
from services.matcher.index.base import Base, empty_base
from services.matcher.index.collection import Collection
from services.matcher.index.fields import Reading
from services.matcher.index.offers import ENGINE_VERSION, OfferIndex, _Member, _Offer
from services.matcher.index.variants import Pieces, renumbered
from services.matcher.index.vocabulary import PAIRS
from services.matcher.index.weighting import Weighting

Array = npt.NDArray[Any]

_FORMAT: Final = "maillage-index"
_LAYOUT: Final = 1
"""Changes whenever the files mean something else."""

_MANIFEST: Final = "manifest.json"
_DATA: Final = "data-"
_FRESH: Final = frozenset({"dead", "graves", "buried"})
"""Arrays of a base that tell what was removed from it since it was made: nothing, in a snapshot."""

_BLOCK: Final = 1 << 22


class SnapshotError(Exception):
    """There is no snapshot that this process can start with; the message says why. Start without."""


@dataclass(frozen=True, slots=True)
class Image:
    """All that a snapshot says of an index at one moment. It shares nothing that a change of the index changes.

    What takes long to put into its form is in `later`, each part under what its names begin with.
    """

    arrays: Mapping[str, Array]
    later: Mapping[str, Callable[[], dict[str, Array]]]
    lists: Mapping[str, Sequence[Any]]
    weighting: Weighting
    documents: int

    def write(self, folder: Path) -> None:
        """Make this the snapshot in `folder`. The index may be changed meanwhile.

        A crash at any moment leaves the one before or this one. Processes that write or open at the same time wait for
        one another.

        Raises:
            OSError: it could not be written; the one before stays.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder, alone=True):
            data = folder / f"{_DATA}{uuid4().hex}"
            data.mkdir(mode=0o700)
            try:
                files = {f"{name}.npy": _write_array(data / f"{name}.npy", a) for name, a in self._arrays()}
                files |= {f"{name}.json": _write_json(data / f"{name}.json", a) for name, a in self.lists.items()}
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

    def _arrays(self) -> Iterator[tuple[str, Array]]:
        yield from self.arrays.items()
        for prefix, part in self.later.items():
            for name, array in part().items():
                yield f"{prefix}_{name}", array


def save(index: OfferIndex, folder: Path, *, encode: Callable[[Hashable], Any] = lambda group: group) -> None:
    """Write a snapshot of an index; see `take` and `Image.write`, which it is made of."""
    take(index, encode=encode).write(folder)


def take(index: OfferIndex, *, encode: Callable[[Hashable], Any] = lambda group: group) -> Image:
    """Return what a snapshot of the index holds; settles its young documents first.

    Neither change nor search the index until it returns (half a second for 100,000 offers). It may run in a thread of
    its own, beside an event loop.

    Args:
        encode: turns a group into what JSON can say.
    """
    index._offers.merge()
    index._names.merge()
    offers, names = index._offers.settled, index._names.settled
    vocabulary, variants = index.vocabulary, index.vocabulary.variants
    words = len(vocabulary)
    # Numbers keep their order, so what is sorted stays sorted; words that nobody uses any more lose theirs.
    used = _held(offers, words) | _held(names, words)
    kept = np.flatnonzero(used)
    numbers = np.where(used, np.cumsum(used) - 1, -1).astype(np.int32)
    members = index._by_number
    in_use = {0} | {member.group for member in members if member is not None}
    group_numbers = np.full(max(1, len(index._groups)), -1, np.int32)
    group_numbers[sorted(in_use)] = np.arange(len(in_use))
    arrays: dict[str, Array] = {
        "hashes": vocabulary.hashes[kept],
        "sizes": variants.sizes(words)[kept],
        "digests": np.array(index._digests, np.uint64),
        "name_digests": np.array([0 if member is None else member.name_digest for member in members], np.uint64),
        "owners": np.array([-1 if offer is None else offer.member.number for offer in index._by_document], np.int32),
        # In their order: which number the next one gets decides in which order floating-point numbers are added.
        "free_documents": np.array(index._free_documents, np.int32),
        "free_members": np.array(index._free_members, np.int32),
        "groups": np.array([0 if m is None else group_numbers[m.group] for m in members], np.int32),
    }
    later: dict[str, Callable[[], dict[str, Array]]] = {}
    for prefix, base in (("offers", offers), ("names", names)):
        later[prefix] = partial(_renumbered, base, kept, numbers, group_numbers)
    for prefix, pieces in (("known", variants.known), ("asked", variants.asked)):
        few = renumbered(pieces, numbers)
        arrays |= {f"{prefix}_pieces": few.pieces, f"{prefix}_lists": few.lists, f"{prefix}_used": few.used}
        arrays[f"{prefix}_pool"] = few.pool[: few.used[0]]
    arrays |= _links(variants.links(), numbers)
    no_words, no_spans = np.zeros(0, np.int32), np.zeros((0, 2), np.int32)
    texts = [
        (no_words, no_spans, 0) if offer is None else (offer.words, offer.reading.spans, offer.reading.title)
        for offer in index._by_document
    ]
    called = [None if member is None else member.name for member in members]
    said = [
        (no_words, no_spans, 0) if name is None else (vocabulary.numbers(name.words), name.spans, name.title)
        for name in called
    ]
    for prefix, readings in (("texts", texts), ("said", said)):
        later[prefix] = partial(_flat, readings, numbers)
    groups = list(index._groups) or [None]
    lists: dict[str, Sequence[Any]] = {
        "words": [vocabulary.word(number) for number in kept.tolist()],
        "documents": [None if offer is None else offer.document_id for offer in index._by_document],
        "members": [None if member is None else member.key for member in members],
        "groups": [encode(groups[number]) if groups[number] is not None else None for number in sorted(in_use)],
    }
    return Image(arrays, later, lists, index.weighting, len(index))


def open(  # like gzip.open: always called by the module's name
    folder: Path,
    analyser: Analyser,
    *,
    weighting: Weighting | None = None,
    decode: Callable[[Any], Hashable] = lambda group: cast("Hashable", group),
) -> OfferIndex:
    """Return the index as it was saved, ready to be searched and changed.

    What a member offers now may be put again: an offer that is the same as in the snapshot costs a digest of its text
    and no analysis.

    Args:
        weighting: must be that of the index which was saved.
        decode: turns a group back from what `encode` made of it.

    Raises:
        SnapshotError: there is none, or it is damaged, foreign, or made by another version.
    """
    collecting = gc.isenabled()
    gc.disable()  # a hundred thousand new objects and no garbage: looking for it would take as long as making them
    try:
        with _locked(folder, alone=False):
            return _index(_Files(folder, weighting or Weighting()), analyser, decode)
    except FileNotFoundError as error:
        raise SnapshotError(f"a file is missing: {error.filename}") from error
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise SnapshotError(f"not readable: {type(error).__name__}: {error}") from error
    finally:
        if collecting:
            gc.enable()


class _Readings:
    """Texts as they were read: flat arrays, of which each document has a slice."""

    def __init__(self, files: _Files, prefix: str, words: int) -> None:
        self.pointers = files.array(f"{prefix}_pointers", np.int64)
        self.titles = files.array(f"{prefix}_titles", np.int32)
        self.words = files.array(f"{prefix}_words", np.int32)
        self.spans = files.array(f"{prefix}_spans", np.int32)
        if self.words.size and int(self.words.max()) >= words:
            raise SnapshotError("a text has a word that the vocabulary lacks")

    def words_of(self, number: int) -> Ints32:
        return self.words[self.pointers[number] : self.pointers[number + 1]]

    def reading(self, number: int, words: tuple[str, ...] = ()) -> Reading:
        here = slice(self.pointers[number], self.pointers[number + 1])
        return Reading(words, self.spans[here], int(self.titles[number]))


class _SavedOffer(_Offer):
    """An offer whose words are looked up when they are asked for."""

    __slots__ = ("_readings",)
    _readings: _Readings

    def __init__(self, document_id: str, member: _Member, number: int, readings: _Readings) -> None:
        put = object.__setattr__  # frozen, as all offers are
        put(self, "document_id", document_id)
        put(self, "member", member)
        put(self, "number", number)
        put(self, "_readings", readings)

    @property
    def reading(self) -> Reading:
        return self._readings.reading(self.number)

    @property
    def words(self) -> Ints32:
        return self._readings.words_of(self.number)


class _Files:
    """The files of a snapshot, each checked before it is used."""

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

    def array(self, name: str, kind: npt.DTypeLike) -> Array:
        """Return an array, mapped copy-on-write."""
        path = self._whole(f"{name}.npy")
        array = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
        if array.dtype != kind:
            raise SnapshotError(f"{path.name} holds {array.dtype}, not {np.dtype(kind)}")
        return array

    def strings(self, name: str) -> list[Any]:
        """Return a list."""
        text = self._whole(f"{name}.json").read_bytes().decode("utf-8", "surrogatepass")
        found: list[Any] = json.loads(text)
        return found

    def _whole(self, name: str) -> Path:
        path = self._data / name
        if name not in self._files:
            raise SnapshotError(f"the manifest does not name {name}")
        size, check = self._files[name]
        if path.stat().st_size != size:  # a mapped file that is too short would end the process
            raise SnapshotError(f"{name} has {path.stat().st_size} bytes, not {size}")
        if _check_sum(path) != check:
            raise SnapshotError(f"{name} is damaged")
        return path


def _index(files: _Files, analyser: Analyser, decode: Callable[[Any], Hashable]) -> OfferIndex:
    index = OfferIndex(analyser, files.weighting)
    words: list[str] = files.strings("words")
    known, asked = _pieces(files, "known"), _pieces(files, "asked")
    index.vocabulary.restore(words, files.array("hashes", np.uint32))
    index.vocabulary.variants.restore(known, asked, files.array("sizes", np.uint8), _linked(files))
    _restore(files, "offers", index._offers)
    _restore(files, "names", index._names)
    groups = [None if group is None else decode(group) for group in files.strings("groups")]
    index._groups = {group: number for number, group in enumerate(groups)}
    said = _Readings(files, "said", len(words))
    digests = files.array("name_digests", np.uint64).tolist()
    keys, member_groups = files.strings("members"), files.array("groups", np.int32).tolist()
    members: list[_Member | None] = []
    for number, (key, group, digest) in enumerate(zip(keys, member_groups, digests, strict=True)):
        if key is None:
            members.append(None)
            continue
        named = said.words_of(number).tolist()
        name = said.reading(number, tuple([words[word] for word in named])) if digest else None
        members.append(_Member(key, number, group, set(), name, digest))
    index._by_number = members
    index._members = {member.key: member for member in members if member is not None}
    index._free_members = files.array("free_members", np.int32).tolist()
    index._free_documents = files.array("free_documents", np.int32).tolist()
    index._digests.frombytes(files.array("digests", np.uint64).tobytes())
    texts = _Readings(files, "texts", len(words))
    ids, owners = files.strings("documents"), files.array("owners", np.int32).tolist()
    for number, (document_id, owner) in enumerate(zip(ids, owners, strict=True)):
        member = None if document_id is None else members[owner]
        if member is None:
            index._by_document.append(None)
        else:
            offer = index._documents[document_id] = _SavedOffer(document_id, member, number, texts)
            index._by_document.append(offer)
            member.documents.add(number)
    if len(index) != files.documents:
        raise SnapshotError(f"it holds {len(index)} offers, not {files.documents}")
    return index


def _restore(files: _Files, prefix: str, collection: Collection) -> None:
    kinds = {name: array.dtype for name, array in empty_base()._asdict().items()}
    found: dict[str, Any] = {
        name: files.array(f"{prefix}_{name}", kinds[name]) for name in Base._fields if name not in _FRESH
    }
    slots = found["documents"].size
    fresh: dict[str, Any] = {
        "dead": np.zeros(slots, np.uint8),
        "graves": np.empty(slots, np.int32),
        "buried": np.zeros(1, np.int64),
    }
    collection.adopt(Base(**found, **fresh))


def _held(base: Base, words: int) -> npt.NDArray[np.bool_]:
    """Return which words documents hold."""
    held = np.zeros(words, np.bool_)
    counts = np.diff(base.pointers)[PAIRS : PAIRS + words]
    held[: counts.size] = counts > 0
    return held


def _renumbered(base: Base, kept: Ints64, numbers: Ints32, groups: Ints32) -> dict[str, Array]:
    """Return a base's arrays with other numbers for words and groups: in the same order, so that all stays sorted."""
    counts = np.diff(base.pointers)
    words = np.zeros(kept.size, np.int64)
    in_base = kept[kept < counts.size - PAIRS]
    words[: in_base.size] = counts[PAIRS + in_base]
    pairs = np.zeros(PAIRS, np.int64)
    pairs[: counts[:PAIRS].size] = counts[:PAIRS]
    terms = (base.rows >> np.uint32(8)).astype(np.int64)
    of_words = terms >= PAIRS
    terms[of_words] = PAIRS + numbers[terms[of_words] - PAIRS]
    changed: dict[str, Array] = {
        "pointers": np.concatenate((np.zeros(1, np.int32), np.cumsum(np.concatenate((pairs, words)), dtype=np.int32))),
        "rows": terms.astype(np.uint32) << np.uint32(8) | base.rows & np.uint32(255),
        "groups": groups[base.groups],
    }
    return {name: array for name, array in (base._asdict() | changed).items() if name not in _FRESH}


def _flat(readings: Sequence[tuple[Ints32, Ints32, int]], numbers: Ints32) -> dict[str, Array]:
    sizes = np.fromiter((words.size for words, _, _ in readings), np.int64, len(readings))
    words = np.concatenate([words for words, _, _ in readings]) if readings else np.zeros(0, np.int32)
    spans = np.concatenate([spans for _, spans, _ in readings]) if readings else np.zeros((0, 2), np.int32)
    return {
        "pointers": np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes))),
        "words": numbers[words],
        "spans": spans,
        "titles": np.fromiter((title for _, _, title in readings), np.int32, len(readings)),
    }


def _links(links: Mapping[int, tuple[list[int], list[float]]], numbers: Ints32) -> dict[str, Array]:
    """Return which words resemble those asked for, of words that are kept; each list in its order."""
    asked: list[int] = []
    pointers, others, closeness = [0], [], []
    for number, (found, close) in links.items():
        if numbers[number] >= 0:
            asked.append(numbers[number])
            for other, how in zip(found, close, strict=True):
                if numbers[other] >= 0:
                    others.append(numbers[other])
                    closeness.append(how)
            pointers.append(len(others))
    return {
        "links_asked": np.array(asked, np.int32),
        "links_pointers": np.array(pointers, np.int64),
        "links_others": np.array(others, np.int32),
        "links_closeness": np.array(closeness, np.float64),
    }


def _linked(files: _Files) -> dict[int, tuple[list[int], list[float]]]:
    pointers = files.array("links_pointers", np.int64).tolist()
    others = files.array("links_others", np.int32).tolist()
    closeness = files.array("links_closeness", np.float64).tolist()
    asked = files.array("links_asked", np.int32).tolist()
    return {
        number: (others[begin:end], closeness[begin:end])
        for number, begin, end in zip(asked, pointers, pointers[1:], strict=False)
    }


def _pieces(files: _Files, prefix: str) -> Pieces:
    """Return lists by piece, with room to grow."""
    pieces, pool = files.array(f"{prefix}_pieces", np.uint64), files.array(f"{prefix}_pool", np.int32)
    roomy = np.empty(max(8 * pieces.size, 2 * pool.size), np.int32)
    roomy[: pool.size] = pool
    lists, used = files.array(f"{prefix}_lists", np.int32), files.array(f"{prefix}_used", np.int64)
    return Pieces(pieces, lists, roomy, used)


def _write_array(path: Path, array: Array) -> tuple[int, int]:
    with _new_file(path) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
    return path.stat().st_size, _check_sum(path)


def _write_json(path: Path, content: object) -> tuple[int, int]:
    written = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    with _new_file(path) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(written)
    return len(written), crc32(written)


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
    check = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            check = crc32(block, check)
    return check


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path, *, alone: bool) -> Iterator[None]:
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
