"""What nobody does anything about: told once more, then to the deputy, then to the desk; what is passed on, at once."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from schemas.ambassadors import AmbassadorKey, AmbassadorRole
from schemas.notifications import Channel
from services.notifier.composing import key_of
from services.notifier.domain.chasing import REMINDED_AFTER, Chase, due_chases, next_chase
from services.notifier.domain.preferences import Person
from services.notifier.domain.standing import Standing, standing, taken_by
from services.notifier.pacing import Pacing
from services.notifier.service import Notifying, channels_of, row_of
from services.notifier.store import Kept, NotifierStore, Row, Told
from services.notifier.store.rows import State
from services.runtime.clock import Clock

_ABOUT: Final = timedelta(hours=1)
"""What is told at once is told a moment after it was decided on."""


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
        if kept.made is None or kept.lapsed is not None:
            await self._suggestions.stepped(kept, next_at=None)
            return False
        taken, open_to = taken_by(kept.acts, kept.revision), _where(kept, told, Standing.OPEN)
        if not taken and (passed := await self._passed(kept)):
            await self._suggestions.also_tell(kept, passed, told_at=now)
            return True
        chased = kept.made.alerts and open_to and not taken and told_at is not None
        due = due_chases(told_at, now) if chased and told_at else ()
        if more := await self._next(kept, due):
            await self._suggestions.also_tell(kept, more, told_at=None)
            return True
        await self._notifying.settle([kept.suggestion_id])  # whoever was added is told, should we have ended before
        rows = await self._remind(kept, open_to, now) if Chase.REMIND in due else []
        next_at = next_chase(told_at, now) if chased and told_at else None
        if not await self._suggestions.stepped(kept, next_at=next_at):
            await self._take_back(rows)
        return False

    async def _passed(self, kept: Kept) -> list[Told]:
        """Return who is to have what was passed on: the deputy of who did; the desk, should there be none any more.

        Once it was, or when somebody has said that it is beside the point, nobody.
        """
        told = kept.told or ()
        passed = _where(kept, told, Standing.PASSED)
        for one in passed:
            had = any(other.passed_by == one.ambassador for other in told)
            if not had and (deputies := await self._deputies(kept, [one], passed_by=one.ambassador)):
                return deputies
        if not passed or len(passed) < len(told):
            return []
        return _untold(kept, await self._desks(key_of(told[0].ambassador).cluster), passed_by=passed[0].ambassador)

    async def _next(self, kept: Kept, due: Sequence[Chase]) -> list[Told]:
        """Return who is told because those who were have done nothing: the leader's deputy, then the leader's desk."""
        leader = next((told for told in kept.told or () if told.leads), None)
        if leader is None or Chase.DEPUTY not in due:
            return []
        desks = await self._desks(key_of(leader.ambassador).cluster) if Chase.DESK in due else []
        return [*await self._deputies(kept, [leader]), *_untold(kept, desks)]

    async def _deputies(self, kept: Kept, of: Sequence[Told], *, passed_by: str | None = None) -> list[Told]:
        people = await self._ambassadors.known([key_of(told.ambassador) for told in of])
        keys = [
            AmbassadorKey(cluster=person.cluster, ambassador_id=person.deputy)
            for person in people.values()
            if person.deputy is not None
        ]
        return _untold(kept, (await self._ambassadors.known(keys)).values(), passed_by=passed_by)

    async def _desks(self, cluster: str) -> list[Person]:
        everybody = await self._ambassadors.of_clusters([cluster])
        return [person for person in everybody.values() if person.role is AmbassadorRole.DESK]

    async def _remind(self, kept: Kept, whom: Sequence[Told], now: datetime) -> list[Row]:
        """Tell once more who was told long ago, and not because others did nothing; return the rows."""
        rows: list[Row] = []
        for one in whom:
            if Channel.EMAIL in one.channels and (one.passed_by or not one.stands_in):
                sent = await self._deliveries.to_ambassador(kept.suggestion_id, kept.revision, one.ambassador)
                first = next((row for row in sent if row.channel is Channel.EMAIL and row.number == 0), None)
                told_at = await self._told_at(first) if first is not None else None
                if told_at is not None and told_at + REMINDED_AFTER <= now + _ABOUT:
                    rows.append(row_of(kept, one, Channel.EMAIL, number=1))
        planned = await self._pacing.plan(rows)
        await self._deliveries.add(planned, now=now)
        await self._pacing.settle(planned)
        return planned

    async def _told_at(self, row: Row) -> datetime | None:
        """Return when an e-mail, or the chat message beside it, told somebody; none: neither has."""
        if row.state is State.DELIVERED:
            return row.ended_at
        return await self._deliveries.told_beside(row)

    async def _take_back(self, rows: Sequence[Row]) -> None:
        """The suggestion or somebody told of it may have been erased between our reading and our rows for them."""
        for row in rows:
            kept = await self._suggestions.get(row.suggestion_id) if row.suggestion_id else None
            if kept is None or row.ambassador not in {told.ambassador for told in kept.told or ()}:
                await self._deliveries.remove([row.notification_id])


def _where(kept: Kept, told: Iterable[Told], where: Standing) -> list[Told]:
    """Return those for whom a suggestion stands so."""
    return [
        one
        for one in told
        if standing(kept.acts, ambassador=one.ambassador, revision=kept.revision, lapsed=False) is where
    ]


def _untold(kept: Kept, people: Iterable[Person], *, passed_by: str | None = None) -> list[Told]:
    """Return how those are told who are not yet."""
    known = {told.ambassador for told in kept.told or ()}
    alerts = kept.made is not None and kept.made.alerts
    return [
        Told(
            str(person.key),
            leads=False,
            channels=channels_of(person, alerts=alerts),
            stands_in=True,
            passed_by=passed_by,
        )
        for person in people
        if str(person.key) not in known
    ]
