"""What nobody does anything about: told once more, then to the deputy, then to the desk; what is passed on, at once."""

from collections.abc import Iterable, Sequence

from schemas.ambassadors import AmbassadorKey, AmbassadorRole
from schemas.notifications import Channel
from services.notifier.composing import key_of
from services.notifier.domain.chasing import Chase, due_chases, next_chase
from services.notifier.domain.preferences import Person
from services.notifier.domain.standing import Standing, standing, taken_by
from services.notifier.pacing import Pacing
from services.notifier.service import Notifying, channels_of, row_of
from services.notifier.store import Kept, NotifierStore, Told
from services.runtime.clock import Clock


class Chasing:
    """Makes the steps that are due of a suggestion which nobody has in hand."""

    def __init__(self, *, store: NotifierStore, notifying: Notifying, pacing: Pacing, clock: Clock) -> None:
        self._ambassadors = store.ambassadors
        self._suggestions = store.suggestions
        self._deliveries = store.deliveries
        self._notifying = notifying
        self._pacing = pacing
        self._clock = clock

    async def step(self, kept: Kept) -> bool:
        """Make what is due of one suggestion, and note when more will be; return whether to look again at once.

        Repeated after a crash, it does no harm.
        """
        told, told_at, now = kept.told or (), kept.told_at, self._clock()
        if kept.made is None or kept.lapsed is not None or told_at is None or taken_by(kept.acts, kept.revision):
            await self._suggestions.stepped(kept, next_at=None)
            return False
        due = due_chases(told_at, now) if kept.made.alerts and _where(kept, told, Standing.OPEN) else ()
        if more := [*await self._deputies(kept, _where(kept, told, Standing.PASSED)), *await self._next(kept, due)]:
            await self._suggestions.also_tell(kept, more)
            return True
        await self._notifying.settle([kept.suggestion_id])  # whoever was added is told, should we have ended before
        if Chase.REMIND in due:
            await self._remind(kept, [one for one in _where(kept, told, Standing.OPEN) if not one.stands_in])
        await self._suggestions.stepped(kept, next_at=next_chase(told_at, now) if kept.made.alerts else None)
        return False

    async def _next(self, kept: Kept, due: Sequence[Chase]) -> list[Told]:
        """Return who is told because those who were have done nothing: the leader's deputy, then the leader's desk."""
        leader = next((told for told in kept.told or () if told.leads), None)
        if leader is None or Chase.DEPUTY not in due:
            return []
        desks = await self._desks(key_of(leader.ambassador).cluster) if Chase.DESK in due else []
        return [*await self._deputies(kept, [leader]), *_untold(kept, desks)]

    async def _deputies(self, kept: Kept, of: Sequence[Told]) -> list[Told]:
        people = await self._ambassadors.known([key_of(told.ambassador) for told in of])
        keys = [
            AmbassadorKey(cluster=person.cluster, ambassador_id=person.deputy)
            for person in people.values()
            if person.deputy is not None
        ]
        return _untold(kept, (await self._ambassadors.known(keys)).values())

    async def _desks(self, cluster: str) -> list[Person]:
        everybody = await self._ambassadors.of_clusters([cluster])
        return [person for person in everybody.values() if person.role is AmbassadorRole.DESK]

    async def _remind(self, kept: Kept, whom: Sequence[Told]) -> None:
        mails = [one for one in whom if Channel.EMAIL in one.channels]
        rows = await self._pacing.plan([row_of(kept, one, Channel.EMAIL, number=1) for one in mails])
        await self._deliveries.add(rows, now=self._clock())
        await self._pacing.settle(rows)


def _where(kept: Kept, told: Iterable[Told], where: Standing) -> list[Told]:
    """Return those for whom a suggestion stands so."""
    return [
        one
        for one in told
        if standing(kept.acts, ambassador=one.ambassador, revision=kept.revision, lapsed=False) is where
    ]


def _untold(kept: Kept, people: Iterable[Person]) -> list[Told]:
    """Return how those are told who are not yet."""
    known = {told.ambassador for told in kept.told or ()}
    alerts = kept.made is not None and kept.made.alerts
    return [
        Told(str(person.key), leads=False, channels=channels_of(person, alerts=alerts), stands_in=True)
        for person in people
        if str(person.key) not in known
    ]
