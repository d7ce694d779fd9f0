"""What a snapshot says of an index at one moment: copied at once, put into the form of its files afterwards."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from itertools import compress, islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.matcher.index.compiled.arrays import Ints32, Ints64
from services.matcher.index.compiled.base import Base
from services.matcher.index.folder import Array, Image
from services.matcher.index.offers import OfferIndex
from services.matcher.index.requests import NO_WORDS, RequestIndex, Text
from services.matcher.index.saved import AT_ONCE, Flat, SavedLinks, flat_links
from services.matcher.index.variants import Variants, copied, renumbered
from services.matcher.index.vocabulary import PAIRS

FRESH: Final = frozenset({"dead", "graves", "buried"})
"""Arrays of a base that tell what was removed from it since it was made: nothing, in a snapshot."""


def take(
    index: OfferIndex,
    *,
    requests: RequestIndex | None = None,
    notes: Callable[[], Mapping[str, Any]] = dict,
    encode: Callable[[Hashable], Any] = lambda group: group,
) -> Image:
    """Return what a snapshot of the index holds.

    Neither change nor search the index until it returns, which is soon: all that takes long is left to `Image.write`.
    It may run in a thread of its own, beside an event loop.

    Args:
        requests: those that face the index.
        notes: returns, when it is written, what else is to be kept, as JSON can say it.
        encode: turns a group into what JSON can say.
    """
    moment = _Moment(index, RequestIndex(index) if requests is None else requests, notes, encode)
    return Image(moment.parts, index.weighting, len(index))


class _Moment:
    """An index at one moment.

    Texts, names and groups are replaced and never changed, so they are shared: only what lists them is copied. Lists of
    words grow at their ends: what is there now stays.
    """

    def __init__(
        self,
        index: OfferIndex,
        requests: RequestIndex,
        notes: Callable[[], Mapping[str, Any]],
        encode: Callable[[Hashable], Any],
    ) -> None:
        self._notes, self._encode = notes, encode
        vocabulary, variants = index.vocabulary, index.vocabulary.variants
        words = len(vocabulary)
        self._words, self._hashes, self._sizes = vocabulary.words, vocabulary.hashes, variants.sizes(words)
        self._pieces = {"known": copied(variants.known), "wanted": copied(variants.asked)}
        self._links = _flat_later(variants)
        self._members = list(index._by_number)  # whose keys stay as they are
        self._called = list(index._names_by_number)
        self._name_digests = np.array(index._name_digests, np.uint64)
        self._groups = np.array(index._group_numbers, np.int32)
        self._all_groups = list(index._groups) or [None]
        self._free_members = np.array(index._free_members, np.int32)
        self._offers = list(index._by_document)
        self._digests = np.array(index._digests, np.uint64)
        self._free_documents = np.array(index._free_documents, np.int32)
        held = [each.statistics.frequencies for each in (index._offers, index._names)]
        self._held = np.logical_or(*(_held(each, words) for each in held))
        # Last: threads set to work, which take processors from this one.
        self._requests = requests.image()
        self._bases = {"offers": index._offers.settle(), "names": index._names.settle()}

    def parts(self) -> Iterator[tuple[str, object]]:
        """Yield arrays and lists, each with its name."""
        # Numbers keep their order, so what is sorted stays sorted; words that nobody uses any more lose theirs.
        used = self._held | _held(self._requests.frequencies, self._held.size)
        kept = np.flatnonzero(used)
        numbers = np.where(used, np.cumsum(used) - 1, -1).astype(np.int32)
        yield "hashes", self._hashes[kept]
        yield "sizes", self._sizes[kept]
        yield "words", list(compress(self._words, used.tolist()))
        yield from self._listed()
        yield from self._grouped(kept, numbers)
        for prefix, pieces in self._pieces.items():
            few = renumbered(pieces, numbers)
            yield f"{prefix}_pieces", few.pieces
            yield f"{prefix}_lists", few.lists
            yield f"{prefix}_used", few.used
            yield f"{prefix}_pool", few.pool[: few.used[0]]
        yield from _links(self._links(), numbers).items()
        said = (NO_WORDS if name is None else (name.words, name.spans, 0) for name in self._called)
        for prefix, texts in (("texts", self._texts()), ("said", said), ("asked", self._requests.texts())):
            yield from _named(prefix, _flat(texts, numbers))
        yield "notes", self._notes()

    def _listed(self) -> Iterator[tuple[str, object]]:
        """Yield what there is of each offer, member and request, by number."""
        owners = (-1 if offer is None else offer.member.number for offer in self._offers)
        yield "documents", [None if offer is None else offer.document_id for offer in self._offers]
        yield "digests", self._digests
        yield "owners", np.fromiter(owners, np.int32, len(self._offers))
        yield "members", [None if member is None else member.key for member in self._members]
        yield "name_digests", self._name_digests
        yield "requests", self._requests.keys
        yield "requests_norms", self._requests.norms
        # In their order: which number the next one gets decides in which order floating-point numbers are added.
        yield "free_documents", self._free_documents
        yield "free_members", self._free_members
        yield "free_requests", np.array(self._requests.free, np.int32)

    def _texts(self) -> Iterator[Text]:
        """Yield the text of each offer."""
        for offer in self._offers:
            if offer is None:
                yield NO_WORDS
            else:
                reading = offer.reading
                yield offer.words, reading.spans, reading.title

    def _grouped(self, kept: Ints64, numbers: Ints32) -> Iterator[tuple[str, object]]:
        """Yield the groups that are in use, and the settled documents, which are sorted by them."""
        in_use = np.union1d(0, self._groups)
        groups = np.full(len(self._all_groups), -1, np.int32)
        groups[in_use] = np.arange(in_use.size)
        yield "groups", groups[self._groups]
        said = (self._all_groups[number] for number in in_use.tolist())
        yield "groups", [None if group is None else self._encode(group) for group in said]
        for prefix, base in self._bases.items():
            yield from _named(prefix, _renumbered(base(), kept, numbers, groups))
        yield from _named("requests", _renumbered(self._requests.base(), kept, numbers, np.zeros(1, np.int32)))


def _flat_later(variants: Variants) -> Callable[[], Flat]:
    """Return what tells, later, which words resemble those asked for now."""
    links = variants.links()
    return partial(links.flat if isinstance(links, SavedLinks) else flat_links, links.copy())


def _held(frequencies: Ints32, words: int) -> npt.NDArray[np.bool_]:
    """Return which words documents hold, of the frequencies of all terms."""
    held = np.zeros(words, np.bool_)
    counts = frequencies[PAIRS : PAIRS + words]
    held[: counts.size] = counts > 0
    return held


def _named(prefix: str, arrays: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    for name, array in arrays.items():
        yield f"{prefix}_{name}", array


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
    return {name: array for name, array in (base._asdict() | changed).items() if name not in FRESH}


def _flat(texts: Iterator[Text], numbers: Ints32) -> dict[str, Array]:
    words, spans = [NO_WORDS[0]], [NO_WORDS[1]]
    sizes, titles = [0], []
    while some := list(islice(texts, AT_ONCE)):
        words.append(numbers[np.concatenate([own for own, _, _ in some])])
        spans.append(np.concatenate([places for _, places, _ in some]))
        sizes += [own.size for own, _, _ in some]
        titles += [title for _, _, title in some]
    return {
        "pointers": np.cumsum(np.array(sizes, np.int64)),
        "words": np.concatenate(words),
        "spans": np.concatenate(spans),
        "titles": np.array(titles, np.int32),
    }


def _links(flat: Flat, numbers: Ints32) -> dict[str, Array]:
    """Return which words resemble those asked for, of words that are kept, and the same the other way round."""
    asked, sizes, others, closeness = flat
    by = numbers[np.repeat(asked, sizes)]
    others = np.append(numbers, np.int32(-1))[np.minimum(others, numbers.size)]  # there may be words that are newer
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
