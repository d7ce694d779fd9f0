"""From events to the service: told apart by type, in waves that hold each entity once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from schemas.ambassadors import AmbassadorKey, AmbassadorPublished
from schemas.base import Key
from schemas.cloudevents import Envelope
from schemas.contacts import ContactPublished
from schemas.members import MemberKey
from schemas.suggestions import SuggestionKey, SuggestionLapsed, SuggestionMade
from services.notifier.service import Notifying


class Handlers:
    """What the notifier does with a batch."""

    def __init__(self, *, service: Notifying) -> None:
        self._service = service

    async def take(self, envelopes: Sequence[Envelope]) -> None:
        """Hand over a batch. Two events of one entity keep their order: the second comes with a later wave."""
        for wave in waves(envelopes):
            await self._people(wave)
            await self._contacts(wave)
            await self._suggestions(wave)

    async def _people(self, wave: Sequence[Envelope]) -> None:
        await self._service.publish([e.value for e in wave if isinstance(e.value, AmbassadorPublished)])
        for envelope in wave:
            if envelope.value is None and isinstance(envelope.key, AmbassadorKey):
                await self._service.forget(envelope.key, envelope.rev)

    async def _contacts(self, wave: Sequence[Envelope]) -> None:
        await self._service.publish_contacts([e.value for e in wave if isinstance(e.value, ContactPublished)])
        for envelope in wave:
            if envelope.value is None and isinstance(envelope.key, MemberKey):
                await self._service.forget_contact(envelope.key, envelope.rev)

    async def _suggestions(self, wave: Sequence[Envelope]) -> None:
        made = [e.value for e in wave if isinstance(e.value, SuggestionMade)]
        lapsed = [e.value for e in wave if isinstance(e.value, SuggestionLapsed)]
        erased = [(e.key.suggestion_id, e.rev) for e in wave if e.value is None and isinstance(e.key, SuggestionKey)]
        traces = {e.key.suggestion_id: e.traceparent for e in wave if isinstance(e.key, SuggestionKey)}
        await self._service.tell(made, lapsed, erased, traces)


def waves(envelopes: Sequence[Envelope]) -> Iterator[list[Envelope]]:
    """Split a batch so that no wave holds two events of one entity; each entity's events stay in order."""
    seen: defaultdict[Key, int] = defaultdict(int)
    split: list[list[Envelope]] = []
    for envelope in envelopes:
        place = seen[envelope.key]
        seen[envelope.key] += 1
        if place == len(split):
            split.append([])
        split[place].append(envelope)
    yield from split
