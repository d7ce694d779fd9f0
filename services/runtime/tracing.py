"""Traces through the whole flow: one for each request, from HTTP to the delivery of what came of it.

The context travels in the events (`traceparent`) and is kept in the stores, so it outlives crashes and waiting. Nothing
is recorded unless `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector: not even the library is loaded then, and each call
here costs the look at one variable. Attributes are names and ids: no path, no text, nothing of a person.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final, Literal, Protocol

from schemas.cloudevents import Envelope

if TYPE_CHECKING:
    from services.runtime.otlp import Recorder

Kind = Literal["internal", "server", "producer", "consumer", "client"]
Attributes = Mapping[str, str | int]

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_NONE: Final[Attributes] = {}

_recorder: "Recorder | None" = None


class Span(Protocol):
    """A piece of work, while it goes on."""

    @property
    def traceparent(self) -> str | None:
        """W3C trace context for what this causes; none: it is not traced."""

    def rename(self, name: str) -> None:
        """Give it the name that is known by now."""

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""

    def fail(self, reason: str) -> None:
        """Note that it did not succeed. `reason` quotes nobody's data."""


class Handling(Protocol):
    """A batch of events in hand."""

    @property
    def envelopes(self) -> Sequence[Envelope]:
        """The events, those that are traced with the context of their handling: what they cause is a part of it."""

    def fail(self, reason: str) -> None:
        """Note that they could not be handled. `reason` quotes nobody's data."""


class _Unrecorded:
    """Stands for both where nothing is recorded; hands on what came in."""

    __slots__ = ("envelopes", "traceparent")

    def __init__(self, *, traceparent: str | None = None, envelopes: Sequence[Envelope] = ()) -> None:
        self.traceparent = traceparent
        self.envelopes = envelopes

    def rename(self, name: str) -> None:
        pass

    def note(self, attributes: Attributes) -> None:
        pass

    def fail(self, reason: str) -> None:
        pass


def begin(service: str, environ: Mapping[str, str] = os.environ) -> None:
    """Record from now on if the environment names a collector; end the process (status 2) where that is impossible."""
    global _recorder
    if not any(environ.get(name) for name in _ENDPOINTS) or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    try:
        from services.runtime.otlp import Recorder
    except ImportError:
        print(f"{_ENDPOINTS[0]}: traces need what `pip install 'maillage[tracing]'` installs.", file=sys.stderr)
        raise SystemExit(2) from None
    _recorder = Recorder(service)


def end() -> None:
    """Send what is recorded and not sent, for two seconds at most, and record no more. Blocks."""
    global _recorder
    recorder, _recorder = _recorder, None
    if recorder is not None:
        recorder.close()


def here() -> str | None:
    """Return the context of the span that we are in; none: in none."""
    return None if _recorder is None else _recorder.here()


def span(
    name: str, *, kind: Kind = "internal", parent: str | None = None, attributes: Attributes = _NONE
) -> AbstractContextManager[Span]:
    """Record what happens inside as a part of `parent`, or else of the span that we are in, or else as a new trace."""
    if _recorder is None:
        return nullcontext(_Unrecorded(traceparent=parent))
    return _recorder.span(name, kind, parent, attributes)


def part(
    name: str, *, kind: Kind = "internal", parent: str | None, attributes: Attributes = _NONE
) -> AbstractContextManager[Span]:
    """Record what happens inside as a part of `parent`; what nobody traces so far begins no trace."""
    if parent is None:
        return nullcontext(_Unrecorded())
    return span(name, kind=kind, parent=parent, attributes=attributes)


def within(name: str) -> AbstractContextManager[Span]:
    """Record what happens inside as a part of the span that we are in; in none, not at all."""
    return nullcontext(_Unrecorded()) if (parent := here()) is None else span(name, parent=parent)


def handling(group: str, envelopes: Sequence[Envelope]) -> AbstractContextManager[Handling]:
    """Record the handling of a batch: in the trace of each event that has one, and of the batch as a whole, linked."""
    if _recorder is None or not any(envelope.traceparent for envelope in envelopes):
        return nullcontext(_Unrecorded(envelopes=envelopes))
    return _recorder.handling(group, envelopes)
