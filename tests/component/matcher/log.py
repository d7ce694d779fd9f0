"""A hand-written log: it keeps what was published, as bytes on the wire, and fails when told to."""

from dataclasses import dataclass, field
from datetime import datetime

from schemas.base import Event, Key
from schemas.cloudevents import Envelope
from schemas.suggestions import SuggestionLapsed, SuggestionMade
from schemas.topics import Topic
from services.runtime.errors import BrokerUnavailableError
from tests.parts.wire import carried


@dataclass
class RecordingLog:
    """A `Publisher` that remembers; `lost_before` and `lost_after` count publications that fail, these once kept."""

    envelopes: list[Envelope] = field(default_factory=list)
    lost_before: int = 0
    lost_after: int = 0

    async def publish(
        self,
        topic: Topic,
        key: Key,
        value: Event | None,
        *,
        rev: int,
        occurred_at: datetime,
        traceparent: str | None = None,
    ) -> None:
        if self.lost_before:
            self.lost_before -= 1
            raise BrokerUnavailableError("the broker is away")
        self.envelopes.append(carried(topic, key, value, rev=rev, occurred_at=occurred_at, traceparent=traceparent))
        if self.lost_after:
            self.lost_after -= 1
            raise BrokerUnavailableError("the broker's answer was lost")

    def take(self) -> list[Envelope]:
        """Return what was published since last time."""
        taken, self.envelopes = self.envelopes, []
        return taken

    def made(self) -> list[SuggestionMade]:
        """Return the suggestions among what was published since last time; nothing else must have been."""
        taken = self.take()
        values = [envelope.value for envelope in taken]
        assert all(isinstance(value, SuggestionMade) for value in values), values
        return [value for value in values if isinstance(value, SuggestionMade)]

    def lapsed(self) -> list[SuggestionLapsed]:
        """Return the lapses among what was published since last time; nothing else must have been."""
        values = [envelope.value for envelope in self.take()]
        assert all(isinstance(value, SuggestionLapsed) for value in values), values
        return [value for value in values if isinstance(value, SuggestionLapsed)]


def compacted(envelopes: list[Envelope]) -> dict[str, Event | None]:
    """Return what a compacted topic keeps, the newest state of each key; a `rev` must never go back."""
    kept: dict[str, Envelope] = {}
    for state in envelopes:
        before = kept.get(str(state.key))
        assert before is None or (before.rev or 0) <= (state.rev or 0), f"{state.key} went back from {before.rev}"
        kept[str(state.key)] = state
    return {key: state.value for key, state in kept.items()}
