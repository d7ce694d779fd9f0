"""All that a search reads and writes, as one object that compiled code takes at the cost of one argument.

A tuple of arrays would do, but each array in it costs a sixth of a microsecond a call from Python, and there are forty.
Within compiled code each would cost two atomic operations for every function that the tuple is passed to. So what are
named tuples outside are references here, with the same fields.
"""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.experimental import structref

from services.matcher.index.compiled.arena import Arena
from services.matcher.index.compiled.arrays import compiled
from services.matcher.index.compiled.base import Base
from services.matcher.index.compiled.scoring import Segments, Workspace
from services.matcher.index.compiled.weighting import Statistics, Weighting


class _Reference(types.StructRef):
    """Type of a reference in compiled code."""

    def preprocess_fields(self, fields: Any) -> Any:
        return tuple((name, types.unliteral(kind)) for name, kind in fields)


@structref.register
class _HeldType(_Reference):
    """Type of `Held`."""


@structref.register
class _SegmentsType(_Reference):
    """Type of `_SegmentsReference`."""


@structref.register
class _BaseType(_Reference):
    """Type of `_BaseReference`."""


@structref.register
class _ArenaType(_Reference):
    """Type of `_ArenaReference`."""


@structref.register
class _WorkspaceType(_Reference):
    """Type of `_WorkspaceReference`."""


@structref.register
class _StatisticsType(_Reference):
    """Type of `_StatisticsReference`."""


class Held(structref.StructRefProxy):
    """Segments, workspace, statistics and constants of a collection; made by `hold`."""

    segments: Segments
    work: Workspace
    statistics: Statistics
    weighting: Weighting


class _SegmentsReference(structref.StructRefProxy):
    """`Segments` in compiled code."""


class _BaseReference(structref.StructRefProxy):
    """`Base` in compiled code."""


class _ArenaReference(structref.StructRefProxy):
    """`Arena` in compiled code."""


class _WorkspaceReference(structref.StructRefProxy):
    """`Workspace` in compiled code."""


class _StatisticsReference(structref.StructRefProxy):
    """`Statistics` in compiled code."""


for _proxy, _kind, _fields in (
    (Held, _HeldType, ("segments", "work", "statistics", "weighting")),
    (_SegmentsReference, _SegmentsType, Segments._fields),
    (_BaseReference, _BaseType, Base._fields),
    (_ArenaReference, _ArenaType, Arena._fields),
    (_WorkspaceReference, _WorkspaceType, Workspace._fields),
    (_StatisticsReference, _StatisticsType, Statistics._fields),
):
    structref.define_constructor(_proxy, _kind, _fields)
    structref.define_attributes(_kind)
structref.define_boxing(_HeldType, Held)


@compiled
def hold(segments: Segments, work: Workspace, statistics: Statistics, weighting: Weighting) -> Held:
    """Return these as one object; it shares their arrays."""
    return Held(
        _SegmentsReference(
            _BaseReference(*segments.base), _ArenaReference(*segments.settling), _ArenaReference(*segments.young)
        ),
        _WorkspaceReference(*work),
        _StatisticsReference(*statistics),
        weighting,
    )
