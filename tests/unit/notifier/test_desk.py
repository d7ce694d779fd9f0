"""What the desk counts of suggestions: steps, months, medians, what waits, who is silent."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from schemas.feedback import Act, NotRelevantReason, Result, Side
from services.notifier.domain.acts import Given
from services.notifier.domain.desk import RECENT, UNANSWERED_AFTER, Counting, Seen, Silent, Step, in_all
from tests.unit.notifier.samples import NOW, sid

AMINA, BADR, DESK, ABROAD = "souss/amina", "souss/badr", "souss/desk", "rabat/nour"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SIDES = {"requesting": Side.REQUESTING, "offering": Side.OFFERING}


def acts(*said: tuple[str, Act, timedelta], **of_last: Any) -> tuple[Given, ...]:
    """Acts on a suggestion that was told at `NOW`: whose (or which side's), what, how long after."""
    given = [
        Given(
            rev=number,
            revision=1,
            ambassador=AMINA if who in SIDES else who,
            act=act,
            reason=NotRelevantReason.OTHER if act is Act.NOT_RELEVANT else None,
            at=NOW + after,
            side=SIDES.get(who),
            **(of_last if number == len(said) else {}),
        )
        for number, (who, act, after) in enumerate(said, 1)
    ]
    return tuple(given)


def seen(name: str = "soil", **changes: Any) -> Seen:
    fields: dict[str, Any] = {"suggestion_id": sid(name), "revision": 1, "told": (AMINA, BADR), "told_at": NOW}
    return Seen(**fields | changes)


def counted(told: Iterable[Seen], *, now: datetime = NOW) -> Counting:
    cities = {AMINA: "agadir", BADR: "taroudant", DESK: None}
    counting = Counting(cities, zone=ZoneInfo("Africa/Casablanca"), now=now)
    for one in told:
        counting.add(one)
    return counting


TAKE = (AMINA, Act.TAKEN, 3 * HOUR)
INTRODUCE = (AMINA, Act.INTRODUCED, DAY)
YES = ("requesting", Act.ACCEPTED, 2 * DAY)
BOTH = (YES, ("offering", Act.ACCEPTED, 3 * DAY))
END = (AMINA, Act.OUTCOME, 9 * DAY)
ASIDE = (BADR, Act.NOT_RELEVANT, HOUR)


@pytest.mark.parametrize(
    ("one", "came"),
    [
        (seen(), "told"),
        (seen(opened={AMINA: NOW}), "told opened"),
        (seen(acts=acts(TAKE)), "told taken"),
        (seen(acts=acts(INTRODUCE)), "told taken introduced"),  # without an act of taking
        (seen(acts=acts(TAKE, INTRODUCE, YES)), "told taken introduced"),
        (seen(acts=acts(TAKE, INTRODUCE, *BOTH)), "told taken introduced both_accepted"),
        (
            seen(acts=acts(TAKE, INTRODUCE, *BOTH, END, result=Result.CONTRACT)),
            "told taken introduced both_accepted contract",
        ),
        (seen(acts=acts(ASIDE)), "told put_aside"),
        (seen(acts=acts(ASIDE), lapsed=True), "told put_aside"),
        (seen(acts=acts(ASIDE), revision=2), "told"),  # of a revision that is no more
        (seen(acts=acts((ABROAD, Act.NOT_RELEVANT, HOUR))), "told"),  # another cluster's affair
        (seen(acts=acts((AMINA, Act.PASSED, HOUR))), "told"),
    ],
)
def test_a_suggestion_takes_steps(one: Seen, came: str) -> None:
    assert in_all(counted([one]).by_city()) == Counter(Step(step) for step in came.split())


def test_figures_are_by_the_city_of_who_leads_and_the_month_of_telling_there() -> None:
    late = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)  # in Casablanca it is December already
    told = [
        seen("a"),
        seen("b", told=(BADR, AMINA), opened={BADR: NOW}),
        seen("c", told_at=late),
        seen("d", told=(DESK,)),
    ]
    cities = counted(told, now=late).by_city()
    assert [of.city for of in cities] == ["agadir", "taroudant", None]
    assert cities[0].months == (
        (date(2026, 12, 1), Counter({Step.TOLD: 1})),
        (date(2026, 11, 1), Counter({Step.TOLD: 1})),
    )
    assert cities[0].total == Counter({Step.TOLD: 2})
    assert in_all(cities) == Counter({Step.TOLD: 4, Step.OPENED: 1})


def test_a_year_is_counted() -> None:
    first = datetime(2025, 11, 30, 23, tzinfo=UTC)  # midnight in Casablanca
    told = [seen("a", told_at=first), seen("b", told_at=first - timedelta(seconds=1), posted_at=NOW - 900 * DAY)]
    assert in_all(counted(told).by_city()) == Counter({Step.TOLD: 1})
    assert counted(told).spans().posted_to_told is None


def test_times_are_medians() -> None:
    told = [
        seen("a", posted_at=NOW - HOUR, acts=acts(TAKE, INTRODUCE, *BOTH)),
        seen("b", posted_at=NOW - 3 * HOUR, acts=acts((BADR, Act.TAKEN, 5 * HOUR))),
        seen("c", posted_at=NOW - 300 * DAY),
        seen("d"),  # nothing was posted
    ]
    found = counted(told).spans()
    assert (found.posted_to_told, found.told_to_taken, found.introduced_to_answered) == (3 * HOUR, 3 * HOUR, 2 * DAY)


@pytest.mark.parametrize(
    ("said", "took"),
    [
        ([YES], None),  # an answer is awaited
        ([("requesting", Act.DECLINED, 2 * DAY)], DAY),  # nothing is
        ([*BOTH, END], 2 * DAY),
    ],
)
def test_what_is_answered_is_measured(said: list[tuple[str, Act, timedelta]], took: timedelta | None) -> None:
    assert counted([seen(acts=acts(INTRODUCE, *said))]).spans().introduced_to_answered == took


def test_silence_is_no_answer() -> None:
    one = seen(acts=acts(INTRODUCE, YES, ("offering", Act.DECLINED, 15 * DAY), silent=True))
    assert counted([one]).spans().introduced_to_answered is None


def test_without_suggestions_nothing_is_known() -> None:
    found = counted([]).spans()
    assert (found.posted_to_told, found.told_to_taken, found.introduced_to_answered) == (None, None, None)
    assert counted([]).by_city() == ()


def test_what_nobody_answers_is_listed_the_oldest_first() -> None:
    old = NOW - UNANSWERED_AFTER - HOUR
    told = [
        seen("new", told_at=NOW - UNANSWERED_AFTER),
        seen("waits", told_at=old),
        seen("waits longer", told_at=old - DAY, acts=acts((AMINA, Act.PASSED, HOUR))),
        seen("taken", told_at=old, acts=acts(TAKE)),
        seen("introduced", told_at=old, acts=acts(INTRODUCE)),
        seen("aside", told_at=old, acts=acts(ASIDE)),
        seen("aside elsewhere", told_at=old - 2 * DAY, acts=acts((ABROAD, Act.NOT_RELEVANT, HOUR))),
        seen("lapsed", told_at=old, lapsed=True),
    ]
    waiting = [suggestion_id for _, suggestion_id in counted(told).unanswered()]
    assert waiting == [sid("aside elsewhere"), sid("waits longer"), sid("waits")]


def test_who_was_told_and_does_nothing_is_silent() -> None:
    now = NOW + 10 * DAY
    told = [seen("a"), seen("b"), seen("c", told_at=NOW - RECENT), seen("d", lapsed=True)]
    assert counted(told, now=now).silent() == [Silent(AMINA, 3), Silent(BADR, 3)]
    assert counted([*told, seen("e", opened={AMINA: NOW})], now=now).silent() == [Silent(BADR, 4)]
    assert counted([*told, seen("e", acts=acts(ASIDE))], now=now).silent() == [Silent(AMINA, 4)]
    assert counted([seen("e", acts=acts(TAKE))], now=now).silent() == [Silent(BADR, 0)]
    assert counted(told, now=NOW + RECENT + HOUR).silent() == []  # nobody was told of anything lately


def test_answers_of_members_are_no_acts_of_the_ambassador() -> None:
    now = NOW + RECENT + 25 * HOUR
    one = seen("a", told=(AMINA,), acts=acts(INTRODUCE, ("requesting", Act.ACCEPTED, 30 * DAY)))
    assert counted([one, seen("b", told=(AMINA,), told_at=NOW + 20 * DAY)], now=now).silent() == [Silent(AMINA, 1)]
