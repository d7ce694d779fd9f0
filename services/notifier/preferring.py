"""What ambassadors set themselves: when they are told, by e-mail or not, who stands in for them."""

from collections.abc import Mapping

from schemas.ambassadors import AmbassadorKey
from services.notifier.domain.pace import Pace
from services.notifier.domain.preferences import Person, Preferences
from services.notifier.pacing import Pacing
from services.notifier.store import NotifierStore


class Preferring:
    """Reads and keeps preferences, and has what waits follow them."""

    def __init__(self, *, store: NotifierStore, pacing: Pacing) -> None:
        self._ambassadors = store.ambassadors
        self._pacing = pacing

    async def of(self, key: AmbassadorKey) -> Preferences:
        """Return what somebody has set."""
        return await self._ambassadors.preferences(key)

    def pace(self, person: Person) -> Pace:
        """Return how fast somebody is told, with what the operator has set for whoever says nothing."""
        return self._pacing.pace(person)

    async def deputies(self, key: AmbassadorKey) -> Mapping[str, str]:
        """Return who may stand in for somebody: names by id."""
        people = await self._ambassadors.of_clusters([key.cluster])
        others = [person for person in people.values() if person.key != key]
        return {person.ambassador_id: person.name for person in sorted(others, key=lambda person: person.name)}

    async def prefer(self, key: AmbassadorKey, preferences: Preferences, *, with_mail: bool) -> None:
        """Keep what somebody has set. What waits for their next e-mail comes with the next by the new hours."""
        await self._ambassadors.prefer(key, preferences, with_mail=with_mail)
        await self._pacing.keep_pace([key])

    async def want_mail(self, key: AmbassadorKey, *, wanted: bool) -> None:
        """Begin or end e-mails that tell of suggestions."""
        await self._ambassadors.want_mail(key, wanted=wanted)
