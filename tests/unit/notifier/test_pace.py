"""When somebody may be told: a table of clocks and calendars, and what holds for any of them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ambassadors import Absence, Alerting, Hours, Rhythm, Weekday
from services.notifier.domain.pace import URGENT, House, Pace, absence_on, pace_of

HOUSE = House("Africa/Casablanca", Hours(start="21:00", end="07:00"), 10)
NEVER_QUIET = {"start": "00:00", "end": "00:00"}
WORKDAYS = ["MO", "TU", "WE", "TH", "FR"]
RAMADAN = {
    "first_day": "2027-02-08",
    "last_day": "2027-03-09",
    "at": "10:30",
    "quiet": {"start": "15:00", "end": "09:30"},
}


def pace(**said: Any) -> Pace:
    return pace_of(Alerting.model_validate(said), HOUSE)


def at(text: str) -> datetime:
    """Local time and place, as 2026-11-23 10:30 Africa/Casablanca; Casablanca if none is named."""
    day, time, *zone = text.split()
    moment = datetime.fromisoformat(f"{day} {time}")
    return moment.replace(tzinfo=ZoneInfo(zone[0] if zone else "Africa/Casablanca")).astimezone(UTC)


# 2026-11-23 is a Monday.
@pytest.mark.parametrize(
    ("said", "moment", "opens"),
    [
        pytest.param({}, "2026-11-23 10:30", "2026-11-23 10:30", id="by day"),
        pytest.param({}, "2026-11-23 07:00", "2026-11-23 07:00", id="on the minute it opens"),
        pytest.param({}, "2026-11-23 06:59", "2026-11-23 07:00", id="before it opens"),
        pytest.param({}, "2026-11-23 20:59", "2026-11-23 20:59", id="in the last minute"),
        pytest.param({}, "2026-11-23 21:00", "2026-11-24 07:00", id="on the minute it closes"),
        pytest.param({}, "2026-11-23 23:59", "2026-11-24 07:00", id="before midnight"),
        pytest.param({}, "2026-11-24 00:00", "2026-11-24 07:00", id="at midnight"),
        pytest.param({"quiet": NEVER_QUIET}, "2026-11-24 03:00", "2026-11-24 03:00", id="never quiet"),
        pytest.param({"quiet": NEVER_QUIET}, "2026-11-24 00:00", "2026-11-24 00:00", id="never quiet, midnight"),
        pytest.param(
            {"quiet": {"start": "12:00", "end": "14:00"}}, "2026-11-23 13:00", "2026-11-23 14:00", id="quiet at noon"
        ),
        pytest.param(
            {"quiet": {"start": "12:00", "end": "14:00"}}, "2026-11-23 11:59", "2026-11-23 11:59", id="before noon"
        ),
        pytest.param(
            {"quiet": {"start": "12:00", "end": "14:00"}}, "2026-11-23 23:00", "2026-11-23 23:00", id="open at night"
        ),
        pytest.param(
            {"quiet": {"start": "00:00", "end": "07:00"}}, "2026-11-23 23:59", "2026-11-23 23:59", id="until midnight"
        ),
        pytest.param(
            {"quiet": {"start": "00:00", "end": "07:00"}}, "2026-11-24 00:00", "2026-11-24 07:00", id="from midnight"
        ),
        pytest.param(
            {"quiet": {"start": "18:00", "end": "00:00"}}, "2026-11-23 18:00", "2026-11-24 00:00", id="till midnight"
        ),
        pytest.param({"days": WORKDAYS}, "2026-11-27 20:00", "2026-11-27 20:00", id="Friday evening"),
        pytest.param({"days": WORKDAYS}, "2026-11-27 21:00", "2026-11-30 07:00", id="Friday night to Monday"),
        pytest.param({"days": WORKDAYS}, "2026-11-28 12:00", "2026-11-30 07:00", id="Saturday to Monday"),
        pytest.param({"days": ["SU"]}, "2026-11-23 12:00", "2026-11-29 07:00", id="Sundays alone"),
        pytest.param(
            {"days": ["MO"], "quiet": {"start": "00:00", "end": "07:00"}},
            "2026-11-22 22:00",
            "2026-11-23 07:00",
            id="a day that begins with quiet hours",
        ),
        pytest.param({"days": ["MO"]}, "2026-11-23 21:30", "2026-11-30 07:00", id="a week later"),
        pytest.param(
            {"days": WORKDAYS, "quiet": NEVER_QUIET}, "2026-11-28 00:00", "2026-11-30 00:00", id="days end at midnight"
        ),
        pytest.param(
            {"time_zone": "Asia/Dubai"}, "2026-11-23 21:00", "2026-11-24 07:00 Asia/Dubai", id="abroad, by that clock"
        ),
        pytest.param(
            {"time_zone": "America/Montreal"},
            "2026-11-23 03:00 America/Montreal",
            "2026-11-23 07:00 America/Montreal",
            id="overseas",
        ),
        pytest.param(
            {"time_zone": "Asia/Kathmandu"},
            "2026-11-23 23:00 Asia/Kathmandu",
            "2026-11-24 07:00 Asia/Kathmandu",
            id="an offset of 5:45",
        ),
        # Morocco puts its clocks back an hour for Ramadan: on 2027-02-07 at 3:00, and on 2027-03-14 at 2:00 again on.
        pytest.param({}, "2027-02-06 23:30", "2027-02-07 07:00", id="the night the clocks go back"),
        pytest.param({}, "2027-03-13 23:30", "2027-03-14 07:00", id="the night they go on again"),
        pytest.param(
            {"time_zone": "Europe/Paris", "quiet": {"start": "22:00", "end": "02:30"}},
            "2027-03-27 23:00 Europe/Paris",
            "2027-03-28 03:30 Europe/Paris",
            id="quiet until an hour that is not there",
        ),
        pytest.param(
            {"time_zone": "Europe/Paris", "quiet": {"start": "22:00", "end": "02:30"}},
            "2026-10-24 23:00 Europe/Paris",
            "2026-10-25 02:30 Europe/Paris",
            id="quiet until an hour that comes twice: the first",
        ),
        pytest.param({"seasons": [RAMADAN]}, "2027-02-10 08:00", "2027-02-10 09:30", id="Ramadan: later"),
        pytest.param({"seasons": [RAMADAN]}, "2027-02-10 16:00", "2027-02-11 09:30", id="Ramadan: not after three"),
        pytest.param({"seasons": [RAMADAN]}, "2027-02-07 16:00", "2027-02-07 16:00", id="the day before Ramadan"),
        pytest.param({"seasons": [RAMADAN]}, "2027-03-09 15:00", "2027-03-10 07:00", id="its last day is over"),
        pytest.param(
            {"seasons": [{"first_day": "2027-08-01", "last_day": "2027-08-31", "at": "09:00"}]},
            "2027-08-10 06:00",
            "2027-08-10 07:00",
            id="a season without quiet hours of its own",
        ),
    ],
)
def test_when_it_opens(said: dict[str, Any], moment: str, opens: str) -> None:
    assert pace(**said).open_from(at(moment)) == at(opens)


@pytest.mark.parametrize(
    ("said", "moment", "letter"),
    [
        pytest.param({}, "2026-11-23 10:30", "2026-11-23 10:30", id="at once"),
        pytest.param({}, "2026-11-23 22:00", "2026-11-24 07:00", id="at once, at night"),
        pytest.param({"rhythm": "hourly"}, "2026-11-23 10:30", "2026-11-23 11:00", id="hourly"),
        pytest.param({"rhythm": "hourly"}, "2026-11-23 11:00", "2026-11-23 12:00", id="hourly, on the hour: the next"),
        pytest.param({"rhythm": "hourly"}, "2026-11-23 20:10", "2026-11-24 07:00", id="hourly, the day's last"),
        pytest.param(
            {"rhythm": "hourly", "time_zone": "Asia/Kathmandu"},
            "2026-11-23 10:50 Asia/Kathmandu",
            "2026-11-23 11:00 Asia/Kathmandu",
            id="hourly, by an odd clock",
        ),
        pytest.param(
            {"rhythm": "hourly", "quiet": NEVER_QUIET, "time_zone": "Europe/Paris"},
            "2027-03-28 01:30 Europe/Paris",
            "2027-03-28 03:00 Europe/Paris",
            id="hourly, over an hour that is not there",
        ),
        pytest.param({"rhythm": "daily"}, "2026-11-23 07:59", "2026-11-23 08:00", id="daily"),
        pytest.param({"rhythm": "daily"}, "2026-11-23 08:00", "2026-11-24 08:00", id="daily, just missed"),
        pytest.param({"rhythm": "daily", "at": "17:45"}, "2026-11-23 10:00", "2026-11-23 17:45", id="in the evening"),
        pytest.param({"rhythm": "daily", "days": WORKDAYS}, "2026-11-27 09:00", "2026-11-30 08:00", id="no weekends"),
        pytest.param({"rhythm": "daily", "at": "06:00"}, "2026-11-23 22:00", "2026-11-24 07:00", id="never in quiet"),
        pytest.param({"rhythm": "daily", "at": "22:00"}, "2026-11-23 10:00", "2026-11-24 07:00", id="late in quiet"),
        pytest.param({"rhythm": "daily", "at": "22:00"}, "2026-11-23 06:00", "2026-11-23 07:00", id="last night's"),
        pytest.param({"rhythm": "daily"}, "2027-02-06 09:00", "2027-02-07 08:00", id="daily, the clocks went back"),
        pytest.param({"rhythm": "daily"}, "2027-03-13 09:00", "2027-03-14 08:00", id="daily, the clocks went on"),
        pytest.param(
            {"rhythm": "daily", "seasons": [RAMADAN]}, "2027-02-10 08:30", "2027-02-10 10:30", id="daily, in Ramadan"
        ),
        pytest.param(
            {"rhythm": "daily", "seasons": [RAMADAN]}, "2027-03-09 11:00", "2027-03-10 08:00", id="daily, after it"
        ),
        pytest.param({"rhythm": "weekly"}, "2026-11-23 07:00", "2026-11-23 08:00", id="weekly, today"),
        pytest.param({"rhythm": "weekly"}, "2026-11-23 08:00", "2026-11-30 08:00", id="weekly, just missed"),
        pytest.param({"rhythm": "weekly", "days": ["TH", "TU"]}, "2026-11-25 12:00", "2026-12-01 08:00", id="Tuesdays"),
        pytest.param({"rhythm": "weekly", "days": ["SA"]}, "2026-12-30 12:00", "2027-01-02 08:00", id="a new year"),
    ],
)
def test_when_the_next_letter_goes_out(said: dict[str, Any], moment: str, letter: str) -> None:
    assert pace(**said).next_letter(at(moment)) == at(letter)


@pytest.mark.parametrize(
    ("said", "moment", "deadline", "due"),
    [
        pytest.param({"rhythm": "weekly"}, "2026-11-24 10:00", None, "2026-11-30 08:00", id="no deadline"),
        pytest.param({"rhythm": "weekly"}, "2026-11-24 10:00", "2027-01-31 12:00", "2026-11-30 08:00", id="far off"),
        pytest.param({"rhythm": "weekly"}, "2026-11-24 10:00", "2026-12-02 12:00", "2026-11-24 10:00", id="urgent"),
        pytest.param({"rhythm": "weekly"}, "2026-11-24 10:00", "2026-11-28 12:00", "2026-11-24 10:00", id="too late"),
        pytest.param(
            {"rhythm": "weekly"}, "2026-11-24 22:00", "2026-11-28 12:00", "2026-11-25 07:00", id="not at night"
        ),
        pytest.param(
            {"rhythm": "weekly", "days": WORKDAYS},
            "2026-11-28 10:00",
            "2026-12-01 12:00",
            "2026-11-30 07:00",
            id="not on a Saturday, but before the letter",
        ),
        pytest.param({"rhythm": "daily"}, "2026-11-24 10:00", "2026-11-28 08:01", "2026-11-25 08:00", id="in time"),
        pytest.param({"rhythm": "daily"}, "2026-11-24 10:00", "2026-11-28 07:59", "2026-11-24 10:00", id="just not"),
        pytest.param({}, "2026-11-24 22:00", "2026-11-25 08:00", "2026-11-25 07:00", id="at once, at night"),
    ],
)
def test_when_something_new_is_told(said: dict[str, Any], moment: str, deadline: str | None, due: str) -> None:
    assert pace(**said).due(at(deadline) if deadline else None, at(moment)) == at(due)


@pytest.mark.parametrize(
    ("said", "moment", "tomorrow"),
    [
        pytest.param({}, "2026-11-23 10:30", "2026-11-24 07:00", id="at once"),
        pytest.param({"quiet": NEVER_QUIET}, "2026-11-23 10:30", "2026-11-24 00:00", id="never quiet"),
        pytest.param({"rhythm": "hourly"}, "2026-11-23 10:30", "2026-11-24 07:00", id="hourly"),
        pytest.param(
            {"rhythm": "hourly", "quiet": NEVER_QUIET}, "2026-11-23 10:30", "2026-11-24 00:00", id="at midnight"
        ),
        pytest.param({"rhythm": "daily"}, "2026-11-23 08:00", "2026-11-24 08:00", id="daily"),
        pytest.param({"rhythm": "weekly"}, "2026-11-23 08:00", "2026-11-30 08:00", id="weekly"),
        pytest.param({"days": WORKDAYS}, "2026-11-27 10:00", "2026-11-30 07:00", id="after the weekend"),
        pytest.param(
            {"time_zone": "Asia/Dubai"}, "2026-11-23 23:30 Asia/Dubai", "2026-11-24 07:00 Asia/Dubai", id="abroad"
        ),
    ],
)
def test_when_there_is_room_again(said: dict[str, Any], moment: str, tomorrow: str) -> None:
    paced = pace(**said)
    assert paced.first_on(paced.day(at(moment)) + timedelta(days=1)) == at(tomorrow)


def test_on_another_day_it_opens_when_that_day_does() -> None:
    weekly = pace(rhythm="weekly", days=["TU", "FR"])
    assert weekly.opens_on(date(2026, 11, 25)) == at("2026-11-27 07:00")
    assert weekly.opens_on(date(2026, 11, 24)) == at("2026-11-24 07:00")


@pytest.mark.parametrize(
    ("day", "deputy"),
    [
        ("2026-11-30", None),
        ("2026-12-01", "badr"),
        ("2026-12-15", "badr"),
        ("2026-12-16", None),
        ("2026-12-31", "desk"),
    ],
)
def test_absences_hold_on_their_first_and_last_day(day: str, deputy: str | None) -> None:
    absences = (
        Absence(first_day=date(2026, 12, 1), last_day=date(2026, 12, 15), deputy="badr"),
        Absence(first_day=date(2026, 12, 31), last_day=date(2026, 12, 31), deputy="desk"),
    )
    absence = absence_on(absences, date.fromisoformat(day))
    assert (absence.deputy if absence else None) == deputy


times = st.times().map(lambda time: time.strftime("%H:%M"))
hours = st.builds(Hours, start=times, end=times)
alertings = st.builds(
    Alerting,
    rhythm=st.sampled_from(Rhythm),
    at=times,
    days=st.sets(st.sampled_from(Weekday), min_size=1).map(tuple),
    quiet=st.none() | st.just(Hours(start="00:00", end="00:00")) | hours,
    time_zone=st.sampled_from(
        ["Africa/Casablanca", "Europe/Paris", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia"]
    ),
)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC))


@given(alertings, moments)
def test_whatever_the_clock_nothing_is_sent_in_quiet_hours(said: Alerting, moment: datetime) -> None:
    pace = pace_of(said, HOUSE)
    quiet = said.quiet or HOUSE.quiet
    tomorrow = pace.first_on(pace.day(moment) + timedelta(days=1))
    for sent in (pace.open_from(moment), pace.next_letter(moment), tomorrow):
        here = sent.astimezone(pace.zone)
        assert sent >= moment
        assert list(Weekday)[here.weekday()] in said.days
        if quiet.start <= quiet.end:
            assert not quiet.start <= here.strftime("%H:%M") < quiet.end
        else:
            assert quiet.end <= here.strftime("%H:%M") < quiet.start
        assert pace.open_from(sent) == sent
    assert pace.day(tomorrow) > pace.day(moment)


@given(alertings, moments, st.timedeltas(timedelta(0), timedelta(days=30)))
def test_what_is_urgent_is_told_as_soon_as_anything_may_be(said: Alerting, moment: datetime, left: timedelta) -> None:
    pace = pace_of(said, HOUSE)
    due = pace.due(moment + left, moment)
    assert due in (pace.open_from(moment), pace.next_letter(moment))
    assert due + URGENT <= moment + left or due == pace.open_from(moment)
