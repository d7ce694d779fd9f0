"""From the log to the matcher."""

from collections.abc import Mapping, Sequence

from schemas.cloudevents import Envelope
from services.matcher.service import Matcher
from services.runtime.broadcast import TakesBatchAndPlaces


def events_to(matcher: Matcher) -> TakesBatchAndPlaces:
    """Return the handler of a batch of events on members, needs and feedback."""

    async def on_events(batch: Sequence[Envelope], places: Mapping[str, int]) -> None:
        await matcher.take(batch, places)

    return on_events
