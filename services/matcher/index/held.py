"""All that a search reads and writes, as one object that compiled code takes at the cost of one argument.

A tuple of arrays would do, but each array in it costs a sixth of a microsecond a call, and there are forty.
"""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.experimental import structref

from services.matcher.index.arrays import compiled
from services.matcher.index.scoring import Segments, Workspace
from services.matcher.index.weighting import Statistics, Weighting


@structref.register
class _HeldType(types.StructRef):
    """Type of `Held` in compiled code."""

    def preprocess_fields(self, fields: Any) -> Any:
        return tuple((name, types.unliteral(kind)) for name, kind in fields)


class Held(structref.StructRefProxy):
    """Segments, workspace, statistics and constants of a collection; made by `hold`."""

    segments: Segments
    work: Workspace
    statistics: Statistics
    weighting: Weighting


structref.define_boxing(_HeldType, Held)
structref.define_constructor(Held, _HeldType, ["segments", "work", "statistics", "weighting"])
structref.define_attributes(_HeldType)


@compiled
def hold(segments: Segments, work: Workspace, statistics: Statistics, weighting: Weighting) -> Held:
    """Return these as one object; it shares their arrays."""
    return Held(segments, work, statistics, weighting)
