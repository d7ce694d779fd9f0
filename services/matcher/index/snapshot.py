"""An index on disk, from which a process starts without reading any text again.

What is in it: offers, open requests that face them, and notes of whoever keeps it. How it lies on the disk is told in
`folder`. Large arrays are mapped copy-on-write: a process that starts reads the pages that it needs, shares them with
others, and changes only its own copies.

It holds **personal data**: the ids of members, of what they offer and ask, the words of their texts and names (stems,
with the places where they stand), and no others: a word that nobody uses any more is not in it. So a member that was
erased is gone from the disk with the next `save`; who erases calls it, or `discard`. (A process that had opened the one
before keeps its unlinked files until it ends.) Compiled code trusts what is in it, so it belongs where only the service
writes.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from services.matcher.index.compiled.arrays import Floats64, Ints32, Ints64
from services.matcher.index.compiled.base import Base, empty_base
from services.matcher.index.compiled.weighting import Weighting
from services.matcher.index.folder import Array, Files, Image, SnapshotError, discard, exists, locked
from services.matcher.index.offers import OfferIndex
from services.matcher.index.requests import RequestIndex
from services.matcher.index.saved import (
    SavedBackLinks,
    SavedLinks,
    SavedMember,
    SavedOffer,
    SavedReadings,
    flat_links,
)
from services.matcher.index.text.analysis import Analyser
from services.matcher.index.variants import Pieces, renumbered
from services.matcher.index.vocabulary import PAIRS

__all__ = ["Image", "Kept", "SnapshotError", "discard", "exists", "open", "open_all", "save", "take"]

_FRESH: Final = frozenset({"dead", "graves", "buried"})
"""Arrays of a base that tell what was removed from it since it was made: nothing, in a snapshot."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a snapshot keeps: the offers, the open requests that face them, and what its keeper noted."""

    index: OfferIndex
    requests: RequestIndex
    notes: Mapping[str, Any]


def save(index: OfferIndex, folder: Path, *, encode: Callable[[Hashable], Any] = lambda group: group) -> None:
    """Write a snapshot of an index; see `take` and `Image.write`, which it is made of."""
    take(index, encode=encode).write(folder)


def take(
    index: OfferIndex,
    *,
    requests: RequestIndex | None = None,
    notes: Mapping[str, Any] | None = None,
    encode: Callable[[Hashable], Any] = lambda group: group,
) -> Image:
    """Return what a snapshot of the index holds; settles its young documents first.

    Neither change nor search the index until it returns: what takes longest is left to `Image.write`. It may run in a
    thread of its own, beside an event loop.

    Args:
        requests: those that face the index.
        notes: what else is to be kept, as JSON can say it.
        encode: turns a group into what JSON can say.
    """
    asked = (requests or RequestIndex(index)).image()
    index._offers.merge()
    index._names.merge()
    offers, names = index._offers.settled, index._names.settled
    vocabulary, variants = index.vocabulary, index.vocabulary.variants
    words = len(vocabulary)
    # Numbers keep their order, so what is sorted stays sorted; words that nobody uses any more lose theirs.
    used = _held(offers, words) | _held(names, words) | _held(asked.base, words)
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
    later["requests"] = partial(_renumbered, asked.base, kept, numbers, np.zeros(1, np.int32))
    arrays["requests_norms"] = asked.norms
    arrays["free_requests"] = np.array(asked.free, np.int32)
    for prefix, pieces in (("known", variants.known), ("wanted", variants.asked)):
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
    for prefix, readings in (("texts", texts), ("said", said), ("asked", asked.readings)):
        later[prefix] = partial(_flat, readings, numbers)
    groups = list(index._groups) or [None]
    lists: dict[str, Sequence[Any]] = {
        "words": [vocabulary.word(number) for number in kept.tolist()],
        "documents": [None if offer is None else offer.document_id for offer in index._by_document],
        "requests": asked.keys,
        "members": [None if member is None else member.key for member in members],
        "groups": [encode(groups[number]) if groups[number] is not None else None for number in sorted(in_use)],
    }
    return Image(arrays, later, lists, notes or {}, index.weighting, len(index))


def open(  # like gzip.open: always called by the module's name
    folder: Path,
    analyser: Analyser,
    *,
    weighting: Weighting | None = None,
    decode: Callable[[Any], Hashable] = lambda group: cast("Hashable", group),
) -> OfferIndex:
    """Return the index as it was saved; see `open_all`."""
    return open_all(folder, analyser, weighting=weighting, decode=decode).index


def open_all(
    folder: Path,
    analyser: Analyser,
    *,
    weighting: Weighting | None = None,
    decode: Callable[[Any], Hashable] = lambda group: cast("Hashable", group),
) -> Kept:
    """Return all that was saved: an index and requests ready to be searched and changed, and the notes.

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
        with locked(folder, alone=False), closing(Files(folder, weighting or Weighting())) as files:
            index = _index(files, analyser, decode)
            return Kept(index, _requests(files, index), files.mapping("notes"))
    except FileNotFoundError as error:
        raise SnapshotError(f"a file is missing: {error.filename}") from error
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise SnapshotError(f"not readable: {type(error).__name__}: {error}") from error
    finally:
        if collecting:
            gc.enable()


def _index(files: Files, analyser: Analyser, decode: Callable[[Any], Hashable]) -> OfferIndex:
    index = OfferIndex(analyser, files.weighting)
    words: list[str] = files.strings("words")
    known, asked = _pieces(files, "known"), _pieces(files, "wanted")
    index.vocabulary.restore(words, files.array("hashes", np.uint32))
    links, back = SavedLinks(*_linked(files, "links")), SavedBackLinks(*_linked(files, "back"))
    index.vocabulary.variants.restore(known, asked, files.array("sizes", np.uint8), links, back)
    index._offers.adopt(_base(files, "offers"))
    index._names.adopt(_base(files, "names"))
    groups = [None if group is None else decode(group) for group in files.strings("groups")]
    index._groups = {group: number for number, group in enumerate(groups)}
    said = SavedReadings(files, "said", words)
    digests = files.array("name_digests", np.uint64).tolist()
    keys, member_groups = files.strings("members"), files.array("groups", np.int32).tolist()
    index._by_number = [
        None if key is None else SavedMember(key, number, group, digest, said)
        for number, (key, group, digest) in enumerate(zip(keys, member_groups, digests, strict=True))
    ]
    index._members = {member.key: member for member in index._by_number if member is not None}
    index._free_members = files.array("free_members", np.int32).tolist()
    index._free_documents = files.array("free_documents", np.int32).tolist()
    index._digests.frombytes(files.array("digests", np.uint64).tobytes())
    texts = SavedReadings(files, "texts", words)
    ids, owners = files.strings("documents"), files.array("owners", np.int32).tolist()
    if any((document_id is None) != (owner < 0) for document_id, owner in zip(ids, owners, strict=True)):
        raise SnapshotError("an offer is nobody's")
    of = [index._by_number[owner] for owner in owners]  # of the last one, where there is no offer
    index._by_document = [
        None if member is None or document_id is None else SavedOffer(document_id, member, number, texts)
        for number, (document_id, member) in enumerate(zip(ids, of, strict=True))
    ]
    for offer in index._by_document:
        if offer is not None:
            index._documents[offer.document_id] = offer
            offer.member.documents.add(offer.number)
    if len(index) != files.documents:
        raise SnapshotError(f"it holds {len(index)} offers, not {files.documents}")
    listed = [number for number, offer in enumerate(index._by_document) if offer is not None]
    if not np.array_equal(np.sort(index._offers.settled.documents), listed):
        raise SnapshotError("its postings are of other offers than it lists")
    return index


def _requests(files: Files, index: OfferIndex) -> RequestIndex:
    requests = RequestIndex(index)
    requests.adopt(
        _base(files, "requests"),
        keys=files.strings("requests"),
        free=files.array("free_requests", np.int32).tolist(),
        norms=files.array("requests_norms", np.float64),
        readings=SavedReadings(files, "asked", index.vocabulary._words),
    )
    return requests


def _base(files: Files, prefix: str) -> Base:
    """Return a base, all of whose documents live."""
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
    return Base(**found, **fresh)


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
    """Return which words resemble those asked for, of words that are kept, and the same the other way round."""
    asked, sizes, others, closeness = links.flat() if isinstance(links, SavedLinks) else flat_links(links)
    by = numbers[np.repeat(asked, sizes)]
    others = numbers[others]
    kept = (by >= 0) & (others >= 0)
    by, others, closeness = by[kept], others[kept], closeness[kept]
    still = numbers[asked][numbers[asked] >= 0]
    back = np.argsort(others, kind="stable")
    words, times = np.unique(others, return_counts=True)
    counts = np.bincount(by, minlength=int(still.max(initial=-1)) + 1)[still]
    return {
        "links_words": still,
        "links_pointers": np.concatenate((np.zeros(1, np.int64), np.cumsum(counts))),
        "links_others": others,
        "links_closeness": closeness,
        "back_words": words,
        "back_pointers": np.concatenate((np.zeros(1, np.int64), np.cumsum(times))),
        "back_others": by[back],
        "back_closeness": closeness[back],
    }


def _linked(files: Files, prefix: str) -> tuple[Ints32, Ints64, Ints32, Floats64]:
    return (
        files.array(f"{prefix}_words", np.int32),
        files.array(f"{prefix}_pointers", np.int64),
        files.array(f"{prefix}_others", np.int32),
        files.array(f"{prefix}_closeness", np.float64),
    )


def _pieces(files: Files, prefix: str) -> Pieces:
    """Return lists by piece, with room to grow."""
    pieces, pool = files.array(f"{prefix}_pieces", np.uint64), files.array(f"{prefix}_pool", np.int32)
    roomy = np.empty(max(8 * pieces.size, 2 * pool.size), np.int32)
    roomy[: pool.size] = pool
    lists, used = files.array(f"{prefix}_lists", np.int32), files.array(f"{prefix}_used", np.int64)
    return Pieces(pieces, lists, roomy, used)
