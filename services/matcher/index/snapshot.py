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
from collections.abc import Callable, Hashable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from services.matcher.index.compiled.arrays import Floats64, Ints32, Ints64
from services.matcher.index.compiled.base import Base, empty_base
from services.matcher.index.compiled.weighting import Weighting
from services.matcher.index.folder import Files, Image, SnapshotError, discard, exists, locked
from services.matcher.index.offers import OfferIndex, _Member
from services.matcher.index.requests import RequestIndex
from services.matcher.index.saved import (
    SavedBackLinks,
    SavedLinks,
    SavedName,
    SavedOffer,
    SavedReadings,
)
from services.matcher.index.taking import FRESH, take
from services.matcher.index.text.analysis import Analyser
from services.matcher.index.variants import Pieces

__all__ = ["Image", "Kept", "SnapshotError", "discard", "exists", "open", "open_all", "save", "take"]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a snapshot keeps: the offers, the open requests that face them, and what its keeper noted."""

    index: OfferIndex
    requests: RequestIndex
    notes: Mapping[str, Any]


def save(index: OfferIndex, folder: Path, *, encode: Callable[[Hashable], Any] = lambda group: group) -> None:
    """Write a snapshot of an index; see `take` and `Image.write`, which it is made of."""
    take(index, encode=encode).write(folder)


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
    offers = _base(files, "offers")
    index._offers.adopt(offers)
    index._names.adopt(_base(files, "names"))
    groups = [None if group is None else decode(group) for group in files.strings("groups")]
    index._groups = {group: number for number, group in enumerate(groups)}
    said = SavedReadings(files, "said", words)
    index._name_digests.frombytes(files.array("name_digests", np.uint64).tobytes())
    index._names_by_number = [
        SavedName(number, said) if digest else None for number, digest in enumerate(index._name_digests)
    ]
    index._group_numbers.frombytes(files.array("groups", np.int32).tobytes())
    index._by_number = [
        None if key is None else _Member(key, number, set()) for number, key in enumerate(files.strings("members"))
    ]
    if not len(index._by_number) == len(index._name_digests) == len(index._group_numbers):
        raise SnapshotError("its members lack names or groups")
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
    if not np.array_equal(np.sort(offers.documents), listed):
        raise SnapshotError("its postings are of other offers than it lists")
    return index


def _requests(files: Files, index: OfferIndex) -> RequestIndex:
    requests = RequestIndex(index)
    requests.adopt(
        _base(files, "requests"),
        keys=files.strings("requests"),
        free=files.array("free_requests", np.int32).tolist(),
        norms=files.array("requests_norms", np.float64),
        readings=SavedReadings(files, "asked", index.vocabulary.words),
    )
    return requests


def _base(files: Files, prefix: str) -> Base:
    """Return a base, all of whose documents live."""
    kinds = {name: array.dtype for name, array in empty_base()._asdict().items()}
    found: dict[str, Any] = {
        name: files.array(f"{prefix}_{name}", kinds[name]) for name in Base._fields if name not in FRESH
    }
    slots = found["documents"].size
    fresh: dict[str, Any] = {
        "dead": np.zeros(slots, np.uint8),
        "graves": np.empty(slots, np.int32),
        "buried": np.zeros(1, np.int64),
    }
    return Base(**found, **fresh)


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
