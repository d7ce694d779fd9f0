"""The ingredients of the engine, each left out in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench._quality_engine import Variant

NEVER: Final = 1e9
"""Distinct words that no request has: it is compared like a short one, whatever its length."""

ALWAYS: Final = 1e-9
"""So few that every request is compared like a document."""

WEIGHTINGS: Final[Sequence[tuple[str, Mapping[str, Any]]]] = (
    ("no name field", {"name": 0.0}),
    ("no variants of words", {"variant": 0.0}),
    ("no bigrams", {"bigram": 0.0}),
    ("words alone: none of the three", {"name": 0.0, "variant": 0.0, "bigram": 0.0}),
    ("BM25's length normalisation alone", {"c": NEVER}),
    ("every request compared like a document", {"c": ALWAYS}),
    ("no length in the saturation, b 0", {"b": 0.0}),
    ("rare words count alike in long requests, rarity 0", {"rarity": 0.0}),
    ("words that come in bursts count alike in long requests, burst 0", {"burst": 0.0}),
    ("the opening counts once", {"opening": 0}),
    ("a name counts alike whatever its member offers", {"standing": 0.0}),
)
"""What is left out, and the fields of `services.matcher.index.Weighting` that leave it out."""

VARIANTS: Final[Sequence[Variant]] = (
    *(Variant(label=label, weighting=weighting) for label, weighting in WEIGHTINGS),
    Variant(label="no voting: one document a member", one_document=True),
)

NOTE: Final = (
    "Everything else is as in production, for all sets the same. A difference of the macro average below .003 is "
    "noise. Milliseconds are of one thread, analysis included, and move with whatever else the machine does."
)
