"""Letters at the right hour and not too many: what waits, what is in which letter, and what a crash does to it."""

import asyncio
import email.utils
import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest

from schemas.ambassadors import Alerting, AmbassadorKey, AmbassadorPublished
from schemas.notifications import Channel, NotificationDelivered, NotificationFailed
from schemas.suggestions import SuggestionMade
from services.notifier.domain.pace import pace_of
from tests.component.notifier.receivers import HookReceiver, parts_of
from tests.component.notifier.world import LEASE, CrashError, Process, World, crashing, erased, inbox
from tests.unit.notifier.samples import NOW, SECRET, changed, lapsed, made, person, sid

EVENING = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
"""Half past nine in Casablanca: quiet since half an hour."""

MORNING = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
"""When the quiet hours end."""


@pytest.fixture(autouse=True)
def house(world: World) -> None:
    world.settings = world.settings.model_copy(update={"quiet_hours": "21:00-07:00", "letters_per_day": 3})


def paced(ambassador_id: str = "amina", **alerting: Any) -> AmbassadorPublished:
    return person(ambassador_id, alerting=alerting)


def some(names: str, **changes: Any) -> list[SuggestionMade]:
    """Suggestions called by each letter of `names`, the first the best."""
    return [made(name, score=1 - place / 100, **changes) for place, name in enumerate(names)]


def due_by(name: str, deadline: datetime) -> SuggestionMade:
    request = made().request.model_copy(update={"deadline": deadline})
    return made(name, request=request)


def names_of(mail: EmailMessage) -> str:
    """The suggestions that a mail tells, in its order."""
    by_id = {sid(chr(letter)): chr(letter) for letter in range(ord("a"), ord("z") + 1)}
    return "".join(by_id[UUID(found)] for found in re.findall(r"/s/([0-9a-f-]{36})", parts_of(mail)[0]))


def told(world: World) -> list[str]:
    return [names_of(mail) for _, mail in world.mail.mails]


async def test_what_comes_in_quiet_hours_is_one_letter_when_they_end(world: World) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(), *some("abc"))
    world.now = MORNING - timedelta(seconds=1)
    await process.run()
    assert told(world) == []
    world.now = MORNING
    await process.run()
    assert told(world) == ["abc"]
    _, mail = world.mail.mails[0]
    assert str(mail["Subject"]).startswith("3 rapprochements vous attendent · ")
    assert mail["Date"].datetime == MORNING
    delivered = [event for event in world.log.of(NotificationDelivered) if event.channel is Channel.EMAIL]
    assert {event.suggestion_id for event in delivered} == {sid(name) for name in "abc"}
    await process.run()
    assert len(world.mail.mails) == 1


async def test_the_inbox_and_the_webhook_know_no_quiet_hours(world: World, hook: HookReceiver) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(webhook={"url": hook.url, "secret": SECRET}), *some("ab"))
    await process.run()
    assert len(hook.taken) == 2
    assert world.mail.mails == []
    assert (await process.see(inbox())).text.count("Lire les deux textes") == 2


@pytest.mark.parametrize("language", ["fr", "ar", "en"])
async def test_the_link_of_a_letter_leads_to_just_what_it_told(world: World, language: str) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(language=language), *some("ab"))
    world.now = MORNING
    await process.run()
    world.now += timedelta(hours=3)
    await process.take(made("c"), lapsed("b"))
    text, html = parts_of(world.mail.mails[0][1])
    [link] = set(re.findall(r"https://\S+/l/[0-9a-f-]+", text))
    assert link in html
    page = await process.see(link)
    assert page.status_code == 200
    assert re.findall(r"/s/([0-9a-f-]{36})", page.text) == [str(sid("a")), str(sid("b"))]
    assert {"fr": "1 rapprochement vous attend", "ar": "بانتظارك", "en": "One pairing awaits you"}[
        language
    ] in page.text
    others = await process.see(inbox("souss/badr") + link[link.index("/l/") :])
    assert others.status_code == 403
    await process.take(person("badr"))
    assert (await process.see(inbox("souss/badr") + link[link.index("/l/") :])).status_code == 404
    assert (await process.see(inbox() + "/l/none")).status_code == 404


async def test_the_best_come_first_and_the_rest_waits_for_another_day(world: World) -> None:
    process = await world.start()
    await process.take(person(), *reversed(some("abcde")))
    await process.run()
    assert sorted(told(world)) == ["a", "b", "c"]
    world.now += timedelta(hours=8)
    await process.take(made("f", score=1))
    await process.run()
    assert len(world.mail.mails) == 3
    world.now = MORNING
    await process.run()
    assert told(world)[3:] == ["fde"]


async def test_more_than_a_day_takes_goes_on_for_days_and_nothing_is_forgotten(world: World) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(), *some("abcdefgh"))
    for day in range(5):
        world.now = MORNING + timedelta(days=day)
        await process.run()
    assert told(world) == ["abc", "def", "gh"]
    assert await world.database["agendas"].count_documents({}) == 0


@pytest.mark.parametrize(
    ("alerting", "quiet_until", "letter"),
    [
        ({"rhythm": "hourly"}, NOW.replace(hour=9, minute=59), NOW.replace(hour=10, minute=0)),
        ({"rhythm": "daily", "at": "17:00"}, NOW.replace(hour=15, minute=59), NOW.replace(hour=16, minute=0)),
        ({"rhythm": "weekly", "days": ["TU"]}, MORNING + timedelta(minutes=59), MORNING + timedelta(minutes=60)),
    ],
    ids=["hourly", "daily", "weekly"],
)  # fmt: skip
async def test_letters_keep_their_rhythm(
    world: World, alerting: dict[str, Any], quiet_until: datetime, letter: datetime
) -> None:
    process = await world.start()
    await process.take(paced(**alerting), *some("ab"))
    world.now = quiet_until
    await process.run()
    assert told(world) == []
    world.now = letter
    await process.run()
    assert told(world) == ["ab"]


async def test_a_weekly_reader_is_told_before_when_it_would_be_late(world: World) -> None:
    process = await world.start()
    await process.take(paced(rhythm="weekly"), made("a"), due_by("b", NOW + timedelta(days=5)))
    await process.run()
    assert told(world) == ["b"]
    world.now += timedelta(days=7)
    await process.run()
    assert told(world) == ["b", "a"]


async def test_a_weekly_reader_with_too_much_that_presses_is_told_the_rest_on_other_days(world: World) -> None:
    world.now = datetime(2026, 11, 30, 6, 30, tzinfo=UTC)
    process = await world.start()
    pressing = [due_by(name, world.now + timedelta(days=9)) for name in "abcd"]
    await process.take(paced(rhythm="weekly"), *pressing, made("e", score=0.2), made("f", score=0.1))
    letters = []
    for day in range(8):
        world.now = datetime(2026, 11, 30, 7, tzinfo=UTC) + timedelta(days=day)
        await process.run()
        letters.append("".join(sorted("".join(told(world)))))
    assert len(letters[0]) == 3
    assert letters[1] == "abcd"  # on Tuesday; what does not press waits for Monday
    assert letters[1] == letters[6]
    assert letters[7] == "abcdef"


async def test_what_presses_is_told_before_what_is_better(world: World) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(), *some("abc"), due_by("d", EVENING + timedelta(days=3)))
    world.now = MORNING
    await process.run()
    assert told(world) == ["dab"]


async def test_who_was_down_for_days_sends_one_letter(world: World) -> None:
    process = await world.start()
    await process.take(paced(rhythm="daily"), *some("ab"))
    world.now += timedelta(days=3)
    again = await world.start()
    await again.run()
    assert told(world) == ["ab"]
    world.now += timedelta(days=1)
    await again.run()
    assert told(world) == ["ab"]


async def test_who_comes_back_at_night_waits_for_the_morning(world: World) -> None:
    process = await world.start()
    await process.take(paced(rhythm="daily"), *some("ab"))
    world.now = EVENING + timedelta(days=1)
    again = await world.start()
    await again.run()
    assert told(world) == []
    world.now = MORNING + timedelta(days=1)
    await again.run()
    assert told(world) == ["ab"]


async def test_a_try_that_fails_is_not_repeated_at_night(world: World) -> None:
    world.now = EVENING - timedelta(minutes=31)
    world.mail.answer_message = lambda _: "451 4.3.0 later"
    process = await world.start()
    await process.take(person(), made("a"))

    async def postponed() -> bool:
        return bool(await world.rows(channel="email", lease=None, reason={"$ne": None}))

    await process.run(postponed)
    world.mail.answer_message = lambda _: "250 2.0.0 taken"
    world.now = EVENING
    await process.run()
    assert told(world) == []
    world.now = MORNING
    await process.run()
    assert told(world) == ["a"]


async def test_what_lapsed_is_in_no_letter_and_an_empty_letter_is_none(world: World) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(), *some("ab"), lapsed("a"), lapsed("b"))
    world.now = MORNING
    await process.run()
    assert told(world) == []
    world.now = EVENING + timedelta(days=1)
    await process.take(*some("cde"), lapsed("c"))
    world.now = MORNING + timedelta(days=1)
    await process.run()
    assert told(world) == ["de"]


async def test_what_lapses_when_the_letter_is_written_is_left_out(world: World) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(), *some("abc"))
    world.now = MORNING
    await process.parts.pacing.write_letters()
    assert [row["state"] for row in await world.rows(suggestion_id=sid("b"), channel="email")] == ["in_letter"]
    await process.take(lapsed("b"))
    await process.run()
    assert told(world) == ["ac"]
    await process.take(changed(made("b"), rev=3))  # it stands again
    await process.run()
    assert told(world) == ["ac", "b"]


async def test_what_all_lapsed_and_stands_again_is_told_after_all(world: World) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(), *some("ab"))
    world.now = MORNING
    await process.parts.pacing.write_letters()
    await process.take(lapsed("a"), lapsed("b"))
    await process.run()
    assert told(world) == []
    await process.take(changed(made("a"), rev=3), changed(made("b"), rev=3))
    await process.run()
    assert sorted("".join(told(world))) == ["a", "b"]


async def test_what_stands_again_keeps_the_rhythm(world: World) -> None:
    process = await world.start()
    await process.take(paced(rhythm="daily"), made("a"), lapsed("a"), changed(made("a"), rev=3))
    await process.run()
    assert told(world) == []
    world.now = MORNING + timedelta(hours=1)
    await process.run()
    assert told(world) == ["a"]


async def test_the_link_does_not_show_what_was_left_out(world: World) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(), *some("abc"))
    world.now = MORNING
    await process.parts.pacing.write_letters()
    await process.take(lapsed("b"))
    await process.run()
    text, _ = parts_of(world.mail.mails[0][1])
    [link] = set(re.findall(r"https://\S+/l/[0-9a-f-]+", text))
    assert re.findall(r"/s/([0-9a-f-]{36})", (await process.see(link)).text) == [str(sid("a")), str(sid("c"))]


async def test_what_an_older_version_took_out_of_the_queue_is_told_all_the_same(world: World) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(), *some("ab"))
    world.now = MORNING
    await process.parts.pacing.write_letters()
    # As it does with a row whose suggestion it does not find.
    await world.database["notifications"].update_one({"suggestion_id": None}, {"$set": {"state": "cancelled"}})
    again = await world.start()
    await again.parts.pacing.free()
    await again.run()
    assert told(world) == ["ab"]


async def test_a_new_revision_takes_the_place_of_the_one_that_waits(world: World) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(), *some("ab"))
    await process.take(changed(made("a", score=0.9), rev=2, revision=2))
    world.now = MORNING
    await process.run()
    assert told(world) == ["ba"]


async def test_who_is_erased_is_written_no_letter(world: World) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(), person("desk", city=None), *some("ab"))
    await process.take(erased(AmbassadorKey(cluster="souss", ambassador_id="amina"), 2))
    world.now = MORNING
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == ["desk@example.org"]
    assert "amina" not in await world.words()


async def test_other_hours_bring_what_waits_sooner(world: World) -> None:
    process = await world.start()
    await process.take(paced(rhythm="weekly"), *some("ab"))
    await process.take(changed(paced(rhythm="daily", at="18:00"), rev=2))
    world.now = NOW.replace(hour=17, minute=0)
    await process.run()
    assert told(world) == ["ab"]


async def test_an_older_profile_changes_no_hours(world: World) -> None:
    process = await world.start()
    await process.take(changed(paced(rhythm="weekly"), rev=2), *some("ab"))
    await process.take(person())
    await process.run()
    assert told(world) == []


async def test_what_comes_while_an_agenda_is_looked_at_is_not_forgotten(world: World) -> None:
    process = await world.start()
    await process.take(paced(rhythm="daily"), made("a"))
    letters = process.store.letters
    world.now = MORNING + timedelta(hours=1)
    agenda = await letters.next_agenda(world.now)
    assert agenda is not None
    [row] = await letters.best("souss/amina", now=world.now, pressing=world.now, limit=1, only_pressing=False)
    assert await letters.write(agenda, [row], day="2026-11-24", now=world.now)
    await process.take(made("b"))
    await letters.look_again(agenda, not_before=world.now + timedelta(days=1), regular=None)
    world.now += timedelta(days=1)
    await process.run()
    assert sorted(told(world)) == ["a", "b"]


async def test_one_letter_that_cannot_be_written_keeps_nobody_else_from_theirs(world: World) -> None:
    world.now = EVENING
    mended: list[bool] = []
    fault = RuntimeError("a fault of ours")
    process = await world.start(lambda here: fault if here == "before best" and not mended else False)
    await process.take(person("aaa"), made("a"))
    world.now = MORNING
    await process.parts.pacing.write_letters()
    mended.append(True)
    await process.run()
    assert told(world) == []
    world.now += timedelta(minutes=6)
    await process.run()
    assert told(world) == ["a"]


async def test_a_night_is_no_try_that_failed(world: World) -> None:
    world.now = EVENING - timedelta(minutes=31)
    process = await world.start()
    await process.take(person(), made("a"))
    rows = world.database["notifications"]
    await rows.update_one({"channel": "email"}, {"$set": {"attempts": 15}})  # the next try is the last
    world.now = EVENING
    await process.run()
    world.now = MORNING
    await process.run()
    assert told(world) == ["a"]


async def test_a_letter_that_is_refused_is_said_of_each_suggestion(world: World) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(), *some("ab"))
    world.mail.answer_recipient = lambda _: "550 5.1.1 nobody here"
    world.now = MORNING
    await process.run()
    failed = world.log.of(NotificationFailed)
    assert {event.suggestion_id for event in failed} == {sid("a"), sid("b")}
    assert {event.attempts for event in failed} == {1}
    assert "Die E-Mail" not in (page := (await process.see(inbox() + f"/s/{sid('a')}")).text)
    assert "ne vous est pas parvenu" in page


async def test_the_deputy_is_told_while_somebody_is_away(world: World) -> None:
    away = [{"first_day": "2026-11-23", "last_day": "2026-11-25", "deputy": "badr"}]
    process = await world.start()
    await process.take(person(absences=away), person("badr", city="dakhla"), made("a"))
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == ["badr@example.org"]
    world.now += timedelta(days=3)
    await process.take(made("b"))
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == ["badr@example.org", "amina@example.org"]


async def test_who_is_away_is_told_later_where_there_is_nobody_else(world: World) -> None:
    away = [{"first_day": "2026-11-23", "last_day": "2026-11-23"}]
    process = await world.start()
    await process.take(person(absences=away), made("a"))
    await process.run()
    assert told(world) == []
    world.now = MORNING
    await process.run()
    assert told(world) == ["a"]


async def test_what_waits_for_somebody_who_is_away_waits_until_they_are_back(world: World) -> None:
    world.now = EVENING
    process = await world.start()
    away = [{"first_day": "2026-11-24", "last_day": "2026-11-26"}]
    await process.take(person(absences=away), *some("ab"))
    for days in range(3):
        world.now = MORNING + timedelta(days=days)
        await process.run()
    assert told(world) == []
    world.now = MORNING + timedelta(days=3)
    await process.run()
    assert told(world) == ["ab"]


# Crashes and neighbours

STEPS = [
    f"{when} {call}"
    for call in (
        *("states", "told_on", "add", "expect"),
        *("next_agenda", "best", "write", "look_again", "in_letter", "delivered"),
    )
    for when in ("before", "after")
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_anywhere_leaves_every_suggestion_in_one_letter(world: World, step: str) -> None:
    died: list[str] = []

    def dying_at(here: str) -> bool:
        if here == step and not died:
            died.append(here)
            return True
        return False

    events = (person(), *some("abcde"))
    world.now = EVENING
    first = await world.start(dying_at)
    taken = False
    try:
        await first.take(*events)
        taken = True
        world.now = MORNING
        await first.parts.pacing.write_letters()
        await crashing(first.run(lambda: _is(died)))
    except CrashError:
        pass
    assert died
    world.now = MORNING + LEASE
    second = await world.start()
    if not taken:  # its offset was not committed
        await second.take(*events)
    await second.run()
    world.now += timedelta(days=1)
    await second.run()
    by_id = {str(mail["Message-ID"]): names_of(mail) for _, mail in world.mail.mails}
    assert sorted("".join(by_id.values())) == list("abcde")
    assert sorted(map(len, by_id.values())) in ([2, 3], [1, 1, 1, 2])
    # Only a crash between sending and noting it sends a letter again, under the same id.
    assert len(world.mail.mails) - len(by_id) <= (1 if step.endswith("delivered") else 0)
    assert {row["state"] for row in await world.rows()} == {"delivered"}


async def _is(died: list[str]) -> bool:
    return bool(died)


async def test_replicas_that_write_letters_at_once_write_each_once(world: World) -> None:
    world.now = EVENING
    replicas = [await world.start() for _ in range(4)]
    people = [person(f"p{number}") for number in range(6)]
    await replicas[0].take(*people, *some("abcdefg"))
    for day in range(3):
        world.now = MORNING + timedelta(days=day)
        await asyncio.gather(*(replica.parts.pacing.write_letters() for replica in replicas))
        await asyncio.gather(*(replica.run() for replica in replicas))
    told_to: dict[str, list[str]] = {}
    for recipient, mail in world.mail.mails:
        told_to.setdefault(recipient, []).append(names_of(mail))
    assert len(told_to) == 6
    assert all(letters == ["abc", "def", "g"] for letters in told_to.values())


@pytest.mark.parametrize("seed", range(3))
async def test_a_random_life_tells_everything_once_at_open_hours(world: World, seed: int) -> None:
    """Arrivals, corrections, crashes and jumps of the clock, by chance."""
    chance = random.Random(seed)
    people = [
        paced("amina", rhythm=chance.choice(["at_once", "hourly", "daily"]), days=["MO", "TU", "WE", "TH", "FR"]),
        paced("badr", rhythm=chance.choice(["at_once", "daily"]), time_zone="Asia/Dubai", most_per_day=2),
    ]
    alphabet = list("abcdefghijklmnop")
    process = await world.start()
    await process.take(*people)
    while alphabet:
        come = [made(alphabet.pop(), score=chance.random()) for _ in range(min(len(alphabet), chance.randrange(4)))]
        await _crash_or_not(world, chance, come)
        world.now += timedelta(minutes=chance.choice([1, 20, 200, 700]))
    for _ in range(24):
        world.now += timedelta(hours=7)
        await (await world.start()).run()
    for whom in people:
        mails = [mail for recipient, mail in world.mail.mails if recipient == whom.email]
        told = Counter("".join(names_of(mail) for mail in {str(mail["Message-ID"]): mail for mail in mails}.values()))
        assert told == Counter("abcdefghijklmnop")
        pace = pace_of(Alerting.model_validate(whom.alerting), world.settings.house)
        days: Counter[object] = Counter()
        for mail in mails:
            sent = email.utils.parsedate_to_datetime(str(mail["Date"]))
            assert pace.open_from(sent) == sent
            days[pace.day(sent)] += len(names_of(mail))
        assert max(days.values()) <= pace.most_per_day


async def _crash_or_not(world: World, chance: random.Random, events: list[SuggestionMade]) -> None:
    """Have a process take events and deliver; it may end anywhere, and another goes on."""
    ends_in = chance.randrange(60)

    def dying_at(_: str) -> bool:
        nonlocal ends_in
        ends_in -= 1
        return ends_in == 0

    process: Process = await world.start(dying_at)
    try:
        await process.take(*events)
        await process.parts.pacing.write_letters()
    except CrashError:
        await (await world.start()).take(*events)
    world.now += LEASE
    await (await world.start()).run()
