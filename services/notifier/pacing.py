"""Letters at the right hour, and not too many: what is not sent by itself waits in the store for the next one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

from schemas.ambassadors import Alerting, AmbassadorKey, AmbassadorPublished
from schemas.contacts import ContactPublished
from schemas.notifications import Channel
from services.notifier.composing import key_of
from services.notifier.domain.pace import URGENT, House, Pace, absence_on, pace_of
from services.notifier.store import NotifierStore, Row
from services.notifier.store.letters import Agenda
from services.notifier.store.rows import State
from services.runtime import logs
from services.runtime.clock import Clock
from services.runtime.outcome import describe
from services.runtime.store import StoreError

LATER: Final = timedelta(minutes=5)
"""When to look again for what could not be written: of who is not known, what is held is about to be removed."""


@dataclass(slots=True)
class _Room:
    """How many suggestions somebody's letters of today may still tell, and from when on there may be any letter."""

    pace: Pace
    now: datetime
    day: str
    left: int
    opens: datetime


@dataclass(frozen=True, slots=True)
class _Look:
    """When to look again: see `Letters.look_again`."""

    not_before: datetime | None = None
    regular: datetime | None = None


class Pacing:
    """Decides of each row whether it is a letter by itself, now, and writes the letters that are due."""

    def __init__(self, *, store: NotifierStore, house: House, clock: Clock, written: Callable[[], None]) -> None:
        self._ambassadors = store.ambassadors
        self._letters = store.letters
        self._house = house
        self._clock = clock
        self._written = written
        self._log = logs.get()

    def pace(self, person: AmbassadorPublished | ContactPublished) -> Pace:
        """Return how fast somebody is told. Members' contacts have the hours of the house."""
        return pace_of(person.alerting if isinstance(person, AmbassadorPublished) else Alerting(), self._house)

    def today(self, person: AmbassadorPublished) -> date:
        """Return the day that it is where somebody is."""
        return self.pace(person).day(self._clock())

    def opens(self, person: AmbassadorPublished | ContactPublished, moment: datetime) -> datetime:
        """Return the earliest moment, not before this one, at which an e-mail may be sent to somebody."""
        return self.pace(person).open_from(moment)

    async def plan(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows as they are to be stored, if they are not: a letter by itself, held for one, or no letter.

        The best come first into what room there is. Have `settle` follow once they are stored.
        """
        mails = [row for row in rows if row.channel is Channel.EMAIL]
        states = await self._letters.states([row.notification_id for row in mails])
        new = [row for row in mails if row.notification_id not in states]
        planned = {row.notification_id: row for row in await self._planned(new)}
        return [planned.get(row.notification_id, row) for row in rows]

    async def settle(self, rows: Sequence[Row]) -> None:
        """Queue what stands again after it had lapsed, and have what is held looked at when it is due.

        Repeated after a crash, it does no harm.
        """
        mails = [row for row in rows if row.channel is Channel.EMAIL]
        states = await self._letters.states([row.notification_id for row in mails])
        again = [row for row in mails if states.get(row.notification_id) is State.CANCELLED]
        for row in await self._planned(again):
            await self._letters.put_back(row)
        if states:
            await self._letters.expect(states)

    async def keep_pace(self, keys: Iterable[AmbassadorKey]) -> None:
        """Somebody may want letters at other hours now: what is held of them comes with the next, or sooner."""
        for name, person in (await self._ambassadors.known(keys)).items():
            pace = self.pace(person)
            await self._letters.expect_by(name, pace.next_letter(self._clock()))

    async def write_letters(self) -> None:
        """Write all letters that are due. One that could not be written in time, because we were away, is one.

        Raises:
            StoreError: the store is away. Call again.
        """
        while (agenda := await self._letters.next_agenda(self._clock())) is not None:
            try:
                look = await self._write(agenda)
            except StoreError:
                raise
            except Exception as error:  # a fault of ours with one person must not keep all others from their letters
                self._log.warning("letter_not_written", error=describe(error))
                look = _Look(not_before=self._clock() + LATER, regular=agenda.regular)
            await self._letters.look_again(agenda, not_before=look.not_before, regular=look.regular)

    async def free(self) -> None:
        """Hold again what an older version of us took out of the queue without telling it."""
        if freed := await self._letters.free():
            self._log.warning("letters_freed", suggestions=freed)

    async def count_due(self) -> int:
        """Return of how many people something is due to be written."""
        return await self._letters.count_due(self._clock())

    async def _write(self, agenda: Agenda) -> _Look:
        """Write the letter that is due to somebody; return when to look again."""
        person = await self._ambassadors.get(key_of(agenda.ambassador))
        if person is None:
            return _Look(not_before=self._clock() + LATER)
        room = await self._room(person)
        if room.opens > room.now:
            return _Look(not_before=room.opens, regular=agenda.regular)
        next_day = room.pace.day(room.now) + timedelta(days=1)
        tomorrow = room.pace.opens_on(next_day)
        # What found no room in a regular letter waits for the next, unless it presses.
        waits = agenda.regular is not None and room.now < agenda.regular
        regular = agenda.regular if waits else room.pace.first_on(next_day)
        rows = await self._letters.best(
            agenda.ambassador,
            now=room.now,
            pressing=((regular if waits else None) or tomorrow) + URGENT,
            limit=room.left,
            only_pressing=waits,
        )
        if rows:
            if not await self._letters.write(agenda, rows, day=room.day, now=room.now):
                return _Look(regular=agenda.regular)
            self._log.info("letter_written", suggestions=len(rows))
            self._written()
        if len(rows) == room.left:
            return _Look(not_before=tomorrow, regular=regular)
        return _Look(not_before=regular, regular=regular) if waits else _Look()

    async def _planned(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows, the best first, with when they are told; without those of people who are about to be removed."""
        people = await self._ambassadors.known({key_of(row.ambassador) for row in rows}) if rows else {}
        rooms = {name: await self._room(person) for name, person in people.items()}
        ranked = sorted(rows, key=lambda row: -row.score)
        return [_planned(row, rooms[row.ambassador]) for row in ranked if row.ambassador in rooms]

    async def _room(self, person: AmbassadorPublished) -> _Room:
        pace, now = self.pace(person), self._clock()
        today = pace.day(now)
        left = pace.most_per_day - await self._letters.told_on(str(person.key), today.isoformat())
        absence = absence_on(person.absences, today)
        if absence is not None:
            opens = pace.opens_on(absence.last_day + timedelta(days=1))
        elif left <= 0:
            opens = pace.opens_on(today + timedelta(days=1))
        else:
            opens = pace.open_from(now)
        return _Room(pace, now, today.isoformat(), left, opens)


def _planned(row: Row, room: _Room) -> Row:
    due = room.pace.due(row.deadline, room.now)
    if max(due, room.opens) > room.now or room.left <= 0:
        return replace(row, state=State.HELD, due=due)
    room.left -= 1
    return replace(row, due=due, day=room.day)
