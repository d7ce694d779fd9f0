"""Structured logs: events with bound ids, one JSON object a line; never prose, never personal data."""

import logging
import sys
from time import monotonic
from typing import cast

import structlog

_SELDOM_SECONDS = 10.0

Logger = structlog.stdlib.BoundLogger


def configure(service: str, *, level: str, style: str) -> None:
    """Set up logging for a process. `style` is `json` or `console`."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False) if style == "json" else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    # Libraries speak through the standard library: keep their warnings, in the same form, without their tracebacks'
    # messages drowning ours.
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer], foreign_pre_chain=shared
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(_Seldom())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


class _Seldom(logging.Filter):
    """Lets a library say the same thing once in a while: clients repeat themselves 40 times a second in an outage."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        place, now = (record.pathname, record.lineno), monotonic()
        seldom = now - self._said.get(place, -_SELDOM_SECONDS) >= _SELDOM_SECONDS
        if seldom:
            self._said[place] = now
        return seldom


def get(**bound: object) -> Logger:
    """Return a logger with `bound` on every event."""
    return cast("Logger", structlog.get_logger(**bound))
