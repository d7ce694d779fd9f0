"""Records spans and sends them to a collector, by OTLP over HTTP. Loaded only where there is one (`tracing`).

The collector, the sampling and the names are set by the standard variables: `OTEL_EXPORTER_OTLP_*`,
`OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`. A thread of the library sends the spans; what
the collector does not take is dropped, and holds up nobody.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from threading import Thread
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, get_current_span, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from schemas.cloudevents import Envelope

# The stop of a service has other things to wait for than a collector that is away.
_CLOSE_SECONDS: Final = 2.0

_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Recorder:
    """Makes spans. Its provider is its own: no library that looks for the process's finds one to record into."""

    def __init__(self, service: str) -> None:
        name = os.environ.get("OTEL_SERVICE_NAME") or f"maillage-{service}"
        self._provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("maillage")

    def close(self) -> None:
        """Send what is recorded; return after two seconds at the latest."""
        sending = Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        sending.start()
        sending.join(_CLOSE_SECONDS)

    def here(self) -> str | None:
        """See `tracing.here`."""
        span = get_current_span()
        return _traceparent(span) if span.get_span_context().is_valid else None

    @contextmanager
    def span(
        self, name: str, kind: str, parent: str | None, attributes: Mapping[str, str | int]
    ) -> Iterator["RecordedSpan"]:
        """See `tracing.span`."""
        context = None if parent is None else _context(parent)
        span = self._tracer.start_span(name, context, SpanKind[kind.upper()], attributes=dict(attributes))
        recorded = RecordedSpan(span)
        # What an exception says may quote somebody's data.
        with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield recorded
            except BaseException as error:
                recorded.fail(type(error).__name__)
                raise

    @contextmanager
    def handling(self, group: str, envelopes: Sequence[Envelope]) -> Iterator["RecordedHandling"]:
        """See `tracing.handling`."""
        with ExitStack() as ends:
            batch = self._tracer.start_span(f"handle batch of {group}", Context())
            batch.set_attribute("messaging.batch.message_count", len(envelopes))
            ends.enter_context(use_span(batch, end_on_exit=True, record_exception=False, set_status_on_exception=False))
            spans = [self._process(group, envelope, batch) for envelope in envelopes]
            for span in spans:
                if span is not None:
                    batch.add_link(span.get_span_context())
                    ends.callback(span.end)
            traced = [
                envelope if span is None else replace(envelope, traceparent=_traceparent(span))
                for envelope, span in zip(envelopes, spans, strict=True)
            ]
            yield RecordedHandling(traced, (batch, *filter(None, spans)))

    def _process(self, group: str, envelope: Envelope, batch: Span) -> Span | None:
        """Begin the part that a batch has in the trace of one event; none: it is not traced."""
        if envelope.traceparent is None:
            return None
        return self._tracer.start_span(
            f"process {type(envelope.key).__name__.removesuffix('Key').lower()}",
            _context(envelope.traceparent),
            SpanKind.CONSUMER,
            attributes={
                "messaging.system": "kafka",
                "messaging.consumer.group.name": group,
                "messaging.message.id": envelope.event_id,
            },
            links=[Link(batch.get_span_context())],
        )


@dataclass(frozen=True, slots=True)
class RecordedSpan:
    """See `tracing.Span`."""

    span: Span

    @property
    def traceparent(self) -> str:
        """See `tracing.Span`."""
        return _traceparent(self.span)

    def rename(self, name: str) -> None:
        """See `tracing.Span`."""
        self.span.update_name(name)

    def note(self, attributes: Mapping[str, str | int]) -> None:
        """See `tracing.Span`."""
        for name, value in attributes.items():
            self.span.set_attribute(name, value)

    def fail(self, reason: str) -> None:
        """See `tracing.Span`."""
        self.span.set_status(StatusCode.ERROR, reason)


@dataclass(frozen=True, slots=True)
class RecordedHandling:
    """See `tracing.Handling`."""

    envelopes: Sequence[Envelope]
    spans: Sequence[Span]

    def fail(self, reason: str) -> None:
        """See `tracing.Handling`."""
        for span in self.spans:
            span.set_status(StatusCode.ERROR, reason)


def _context(traceparent: str) -> Context:
    return _PROPAGATOR.extract({"traceparent": traceparent}, Context())


def _traceparent(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
