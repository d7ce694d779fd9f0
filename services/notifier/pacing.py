"""Letters at the right hour, and not too many: what is not sent by itself waits in the store for the next one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from schemas.ambassadors import AmbassadorPublished
from schemas.notifications import Channel
from services.notifier.composing import key_of
from services.notifier.domain.pace import House, Pace, absence_on, pace_of
from services.notifier.store import NotifierStore, Row
from services.notifier.store.deliveries import State
from services.notifier.store.letters import Agenda
from services.runtime import logs
from services.runtime.clock import Clock

UNKNOWN: Final = timedelta(minutes=5)
"""When to look again for the letters of somebody who is not known: what is held of them is about to be removed."""


@dataclass(slots=True)
class _Room:
    """How many suggestions somebody's letters of today may still tell, and from when on there may be any letter."""

    pace: Pace
    now: datetime
    day: str
    left: int
    opens: datetime


class Pacing:
    """Decides of each row whether it is a letter by itself, now, and writes the letters that are due."""

    def __init__(self, *, store: NotifierStore, house: House, clock: Clock, written: Callable[[], None]) -> None:
        self._ambassadors = store.ambassadors
        self._letters = store.letters
        self._house = house
        self._clock = clock
        self._written = written
        self._log = logs.get()

    def today(self, person: AmbassadorPublished) -> date:
        """Return the day that it is where somebody is."""
        return pace_of(person.alerting, self._house).day(self._clock())

    def opens(self, person: AmbassadorPublished, moment: datetime) -> datetime:
        """Return the earliest moment, not before this one, at which an e-mail may be sent to somebody."""
        return pace_of(person.alerting, self._house).open_from(moment)

    async def plan(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows as they are to be stored, if they are not: a letter by itself, held for one, or no letter.

        The best come first into what room there is. Have `expect` follow once they are stored.
        """
        mails = [row for row in rows if row.channel is Channel.EMAIL]
        if not mails:
            return list(rows)
        there = await self._letters.there([row.notification_id for row in mails])
        people = await self._ambassadors.known({key_of(row.ambassador) for row in mails})
        rooms: dict[str, _Room] = {}
        planned: dict[UUID, Row] = {}
        for row in sorted(mails, key=lambda row: -row.score):
            person = people.get(row.ambassador)
            if person is None or row.notification_id in there:
                continue  # about to be removed; decided before
            if row.ambassador not in rooms:
                rooms[row.ambassador] = await self._room(person)
            planned[row.notification_id] = _planned(row, rooms[row.ambassador])
        return [planned.get(row.notification_id, row) for row in rows]

    async def expect(self, rows: Sequence[Row]) -> None:
        """Have what is held of these looked at when it is due. Repeated after a crash, it does no harm."""
        mails = [row.notification_id for row in rows if row.channel is Channel.EMAIL]
        if mails:
            await self._letters.expect(mails)

    async def keep_pace(self, person: AmbassadorPublished) -> None:
        """Somebody may want letters at other hours now: what is held of them comes with the next, or sooner."""
        pace = pace_of(person.alerting, self._house)
        await self._letters.expect_by(str(person.key), pace.next_letter(self._clock()))

    async def write_letters(self) -> None:
        """Write all letters that are due. One that could not be written in time, because we were away, is one."""
        while (agenda := await self._letters.next_agenda(self._clock())) is not None:
            not_before = await self._write(agenda)
            await self._letters.look_again(agenda, not_before=not_before)

    async def _write(self, agenda: Agenda) -> datetime | None:
        """Write the letter that is due to somebody; return before when there may be no other, if not at any time."""
        person = await self._ambassadors.get(key_of(agenda.ambassador))
        if person is None:
            return self._clock() + UNKNOWN
        room = await self._room(person)
        if room.opens > room.now:
            return room.opens
        tomorrow = room.pace.next_day(room.now)
        rows = await self._letters.best(
            agenda.ambassador, now=room.now, pressing=room.pace.presses(room.now), limit=room.left
        )
        if rows:
            if not await self._letters.write(agenda, rows, day=room.day, now=room.now):
                return None
            self._log.info("letter_written", suggestions=len(rows))
            self._written()
        return tomorrow if len(rows) == room.left else None

    async def _room(self, person: AmbassadorPublished) -> _Room:
        pace, now = pace_of(person.alerting, self._house), self._clock()
        today = pace.day(now)
        left = pace.most_per_day - await self._letters.told_on(str(person.key), today.isoformat())
        absence = absence_on(person.absences, today)
        if absence is not None:
            opens = pace.first_on(absence.last_day + timedelta(days=1))
        elif left <= 0:
            opens = pace.next_day(now)
        else:
            opens = pace.open_from(now)
        return _Room(pace, now, today.isoformat(), left, opens)


def _planned(row: Row, room: _Room) -> Row:
    due = room.pace.due(row.deadline, room.now)
    if max(due, room.opens) > room.now or room.left <= 0:
        return replace(row, state=State.HELD, due=due)
    room.left -= 1
    return replace(row, due=due, day=room.day)
