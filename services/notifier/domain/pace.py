"""When somebody may be told, by their own clock, and when their next letter is due."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from schemas.ambassadors import Absence, Alerting, Hours, Rhythm, Season, Weekday

URGENT: Final = timedelta(days=3)
"""What is to be answered so soon after a letter is told before it: an introduction takes two or three days."""

_DAYS: Final = tuple(Weekday)
_SEARCHED: Final = 16
"""Days looked at for one on which something may be sent: each weekday twice, should a change of clock swallow one."""


@dataclass(frozen=True, slots=True)
class House:
    """What the operator has set for whoever says nothing else."""

    time_zone: str
    quiet: Hours
    most_per_day: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one person is told."""

    zone: ZoneInfo
    rhythm: Rhythm
    at: time
    days: frozenset[int]
    """0 is Monday."""

    first_day: int
    quiet: Hours
    seasons: tuple[Season, ...]
    most_per_day: int

    def day(self, moment: datetime) -> date:
        """Return the day that it is there."""
        return moment.astimezone(self.zone).date()

    def open_from(self, moment: datetime) -> datetime:
        """Return the earliest moment, not before this one, at which something may be sent.

        Raises:
            ValueError: there is none, which takes a quiet time of the whole day.
        """
        for start, end in self._open(moment):
            if end > max(start, moment):
                return max(start, moment)
        raise ValueError("nothing may ever be sent")

    def next_letter(self, after: datetime) -> datetime:
        """Return when the next regular letter goes out; to who is told at once, as soon as something may be sent."""
        if self.rhythm is Rhythm.AT_ONCE:
            return self.open_from(after)
        if self.rhythm is Rhythm.HOURLY:
            here = after.astimezone(self.zone)
            full = after + timedelta(minutes=60 - here.minute) - timedelta(seconds=here.second)
            return self.open_from(full.replace(microsecond=0))
        weekdays = {self.first_day} if self.rhythm is Rhythm.WEEKLY else self.days
        for day in self._days_from(
            after - timedelta(days=1)
        ):  # a late hour may be a quiet one, and move to the next day
            if day.weekday() not in weekdays:
                continue
            slot = self.open_from(self._moment(day, self._at(day)))
            if slot > after:
                return slot
        raise ValueError("nothing may ever be sent")

    def first_on(self, day: date) -> datetime:
        """Return when the first letter of a day goes out, or of a later one if there is none on it."""
        midnight = self._moment(day, time())
        if self.rhythm is Rhythm.AT_ONCE:
            return self.open_from(midnight)
        return self.next_letter(midnight - timedelta(microseconds=1))

    def due(self, deadline: datetime | None, moment: datetime) -> datetime:
        """Return when to tell what comes at this moment: with the next letter, or before if that would be late."""
        regular = self.next_letter(moment)
        late = deadline is not None and deadline < regular + URGENT
        return self.open_from(moment) if late else regular

    def opens_on(self, day: date) -> datetime:
        """Return from when on something may be sent on a day, or on a later one if nothing may on it."""
        return self.open_from(self._moment(day, time()))

    def _at(self, day: date) -> time:
        season = self._season(day)
        return self.at if season is None or season.at is None else time.fromisoformat(season.at)

    def _season(self, day: date) -> Season | None:
        return next((season for season in self.seasons if season.first_day <= day <= season.last_day), None)

    def _open(self, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the times, in order, at which something may be sent, from about this moment on."""
        for day in self._days_from(moment):
            if day.weekday() not in self.days:
                continue
            season = self._season(day)
            quiet = self.quiet if season is None or season.quiet is None else season.quiet
            begins, ends = time.fromisoformat(quiet.start), time.fromisoformat(quiet.end)
            midnight, next_midnight = self._moment(day, time()), self._moment(day + timedelta(days=1), time())
            if begins == ends:
                yield midnight, next_midnight
            elif begins > ends:  # over midnight
                yield self._moment(day, ends), self._moment(day, begins)
            else:
                yield midnight, self._moment(day, begins)
                yield self._moment(day, ends), next_midnight

    def _days_from(self, moment: datetime) -> Iterator[date]:
        today = self.day(moment)
        return (today + timedelta(days=number) for number in range(_SEARCHED))

    def _moment(self, day: date, at: time) -> datetime:
        """Return when a clock there shows this: the first time if twice; if never, as much later as it was put on."""
        return datetime.combine(day, at, self.zone).astimezone(UTC)


def pace_of(alerting: Alerting, house: House) -> Pace:
    """Return how fast somebody is told who has said this."""
    days = frozenset(_DAYS.index(day) for day in alerting.days)
    return Pace(
        zone=ZoneInfo(alerting.time_zone or house.time_zone),
        rhythm=alerting.rhythm,
        at=time.fromisoformat(alerting.at),
        days=days,
        first_day=min(days),
        quiet=alerting.quiet or house.quiet,
        seasons=alerting.seasons,
        most_per_day=alerting.most_per_day or house.most_per_day,
    )


def absence_on(absences: tuple[Absence, ...], day: date) -> Absence | None:
    """Return the absence that a day is in; none: who is asked about is there."""
    return next((absence for absence in absences if absence.first_day <= day <= absence.last_day), None)
