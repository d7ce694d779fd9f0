"""The production engine as the measurements of quality use it: the only place of theirs that knows its interface."""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from bench._data import DataError, Folder, Member, Need
from schemas.members import MemberPublished
from schemas.needs import NeedPublished
from services.matcher import index as engine
from services.matcher.domain.eligibility import Traits
from services.matcher.domain.pairing import Bar, Eligibility, Pairing
from services.matcher.domain.requests import Ask, Document, offer_documents, posted_request
from services.matcher.index import Analyser, OfferIndex
from services.matcher.settings import MatcherSettings

ENGINE: Final = engine.ENGINE_VERSION

DEPTH: Final = 100
"""Members ranked for a query: far beyond the ten places that count, and few enough to keep a run file small."""

CLUSTER: Final = "bench"

_MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When everything is published. The score does not know the time; the contract wants one."""


@dataclass(frozen=True, slots=True)
class Told:
    """A member that an ambassador would be told of if its score reached the bar."""

    doc: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The engine as it is not in production.

    Attributes:
        label: what is other.
        weighting: fields of `services.matcher.index.Weighting` and their values.
        one_document: everything that a member brings is put as one document, so that nothing is left to vote.
    """

    label: str
    weighting: Mapping[str, Any] = field(default_factory=dict)
    one_document: bool = False


ANYBODY: Final = Eligibility(lambda _ask, _traits: True, lambda _ask, _member: True)

PRODUCTION: Final = Variant(label=f"production, {ENGINE}")


def production_bar() -> float:
    """Return the least score of a suggestion, unless an operator sets another."""
    return float(MatcherSettings.model_fields["bar"].default)


def production_places() -> int:
    """Return how many members a posted request is told of at most, unless an operator sets another number."""
    return int(MatcherSettings.model_fields["suggestions_per_request"].default)


def terms(analyser: Analyser, text: str, language: str | None) -> list[str]:
    """Return the terms of a text in reading order, as the production analyser has them."""
    return [token.term for token in analyser.analyse(text, language).tokens]


class Engine:
    """The offers of a folder in the production engine, as the matcher feeds it.

    `build_seconds` is what that took, analysis included; `query_seconds` what the queries of `rank` took so far.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        variant: Variant = PRODUCTION,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Feed the engine.

        Args:
            variant: the engine, if it is not to be as in production.
            tick: called after each member.

        Raises:
            DataError: the weighting has no such field.
        """
        start = time.perf_counter()
        self._index = _index(Analyser(), variant.weighting)
        self._one_document = variant.one_document
        self._docs: dict[str, str] = {}
        for member in folder.members:
            self._put(member)
            tick()
        self._pairing = Pairing(
            index=self._index, bar=Bar(score=0.0, posted=production_places(), standing=production_places())
        )
        self.build_seconds = time.perf_counter() - start
        self.query_seconds = 0.0

    @property
    def documents(self) -> int:
        """Return the number of documents that the members bring."""
        return len(self._index)

    def rank(self, need: Need, k: int = DEPTH) -> dict[str, float]:
        """Return the scores of the `k` best members, best first, leaving out who shares nothing with the need."""
        ask = _ask(need)
        start = time.perf_counter()
        request = self._index.request(ask.text, title=ask.title, language=ask.language)
        found = self._index.search(request, k)
        self.query_seconds += time.perf_counter() - start
        return {self._docs[match.member]: match.score for match in found if match.score > 0}

    def told(self, need: Need) -> list[Told]:
        """Return whom production would tell of if its bar were 0, best first: at most its places, with evidence."""
        ask = _ask(need)
        return [Told(self._docs[pair.member], pair.match.score) for pair in self._pairing.best(ask, ANYBODY)]

    def _put(self, member: Member) -> None:
        published = MemberPublished(
            **dict(member.profile), cluster=CLUSTER, member_id=member.member_id, rev=1, published_at=_MOMENT
        )
        key = str(published.key)
        self._docs[key] = member.doc
        self._index.name(key, published.name)
        self._index.group(key, Traits.of(published))
        documents = offer_documents(published, (), _MOMENT)
        if self._one_document and len(documents) > 1:
            whole = "\n".join(f"{one.title}\n{one.text}" for one in documents.values())
            documents = {key: Document(told_as=published.member_id, title="", text=whole, language=None)}
        for document_id, document in documents.items():
            self._index.put(document_id, key, document.text, title=document.title, language=document.language)


def ranking(
    engine: Engine, needs: Sequence[Need], tick: Callable[[], None] = lambda: None
) -> dict[str, dict[str, float]]:
    """Return query → doc → score of all needs; `tick` is called after each."""
    found: dict[str, dict[str, float]] = {}
    for need in needs:
        found[need.query] = engine.rank(need)
        tick()
    return found


def warm_up() -> None:
    """Have the engine compiled, so that no figure of speed holds the compiler's time."""
    index = _index(Analyser(), {})
    index.put("document", "member", "membrane filtration", title="water")
    request = index.request("water filtration", title="membrane")
    for match in index.search(request, 1):
        index.explain(request, match)


def check_variants(variants: Iterable[Variant]) -> None:
    """Make sure that the engine knows every field that a variant sets.

    Raises:
        DataError: it does not; the message names the field and those that there are.
    """
    for variant in variants:
        if variant.weighting:
            _weighting(variant.weighting)


def _index(analyser: Analyser, weighting: Mapping[str, Any]) -> OfferIndex:
    if not weighting:
        return OfferIndex(analyser)
    make: Any = OfferIndex
    index: OfferIndex = make(analyser, weighting=_weighting(weighting))
    return index


def _weighting(given: Mapping[str, Any]) -> Any:
    kind = getattr(importlib.import_module(engine.__name__), "Weighting", None)
    if kind is None:
        raise DataError(f"engine {ENGINE}: it has no weighting, so nothing can be left out of it")
    known = list(inspect.signature(kind).parameters)
    unknown = sorted(given.keys() - set(known))
    if unknown:
        raise DataError(f"engine {ENGINE}: its weighting has no {', '.join(unknown)}; it has {', '.join(known)}")
    return kind(**given)


def _ask(need: Need) -> Ask:
    published = NeedPublished(**dict(need.profile), cluster=CLUSTER, need_id=need.need_id, rev=1, published_at=_MOMENT)
    return posted_request(published, lineage=published.need_id)
