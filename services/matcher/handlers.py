"""From the log to the matcher."""

from collections.abc import Sequence

from schemas.cloudevents import Envelope
from services.matcher.service import Matcher
from services.runtime.consumption import Handler


def events_to(matcher: Matcher) -> Handler:
    """Return the handler of a batch of events on members, needs and feedback."""

    async def on_events(batch: Sequence[Envelope]) -> None:
        await matcher.take(batch)

    return on_events
