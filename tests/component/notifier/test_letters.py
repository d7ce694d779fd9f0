"""Letters at the right hour and not too many: what waits, and what is in which letter."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.ambassadors import AmbassadorKey
from schemas.notifications import Channel, NotificationDelivered, NotificationFailed
from tests.component.notifier.letters import EVENING, HOUSE, MORNING, due_by, paced, some, told
from tests.component.notifier.receivers import HookReceiver, parts_of
from tests.component.notifier.world import World, erased, inbox
from tests.unit.notifier.samples import NOW, SECRET, changed, lapsed, made, person, sid


@pytest.fixture(autouse=True)
def house(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)


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


def rung(hook: HookReceiver) -> list[str]:
    """What came by chat, each message by the names of the suggestions in it, or the number of them."""
    said = [json.loads(taken.body)["message"] for taken in hook.taken if "/x " in taken.line]
    return [next((name for name in "abc" if str(sid(name)) in one), one.split()[0]) for one in said]


async def test_chat_keeps_the_hours_of_letters_and_stands_beside_them_or_for_them(
    world: World, hook: HookReceiver
) -> None:
    world.now = EVENING
    chat = {"chat": (f"json://{hook.address}/x",)}
    process = await world.start()
    await process.take(person(**chat), person("badr", email=None, **chat), *some("ab"))
    await process.run()
    assert hook.taken == []
    world.now = MORNING
    await process.run()
    assert told(world) == ["ab"]
    assert rung(hook) == ["2", "2"]
    assert f"/s/{sid('a')}" in (await process.see(await link_in(hook))).text
    by_chat = [event for event in world.log.of(NotificationDelivered) if event.chat]
    assert {(event.ambassador_id, event.suggestion_id) for event in by_chat} == {("badr", sid("a")), ("badr", sid("b"))}
    assert {event.channel for event in by_chat} == {Channel.EMAIL}
    await process.take(made("c"))
    await process.run()
    assert rung(hook)[2:] == ["c", "c"]
    assert len(world.mail.mails) == 2
    assert {(e.ambassador_id, e.chat) for e in world.log.of(NotificationDelivered) if e.suggestion_id == sid("c")} == {
        ("amina", False),
        ("amina", True),
        ("badr", False),  # the inbox
        ("badr", True),
    }


async def link_in(hook: HookReceiver) -> str:
    return str(json.loads(hook.taken[-1].body)["message"].split()[-1])


async def test_what_is_in_the_way_of_one_channel_is_in_no_others(world: World, hook: HookReceiver) -> None:
    """Nobody takes e-mails and one chat service refuses; what has lapsed meanwhile rings no more."""
    world.now = MORNING
    world.mail.answer_recipient = lambda _: "450 4.2.0 later"
    process = await world.start()
    await process.take(person(webhook={"url": hook.url, "secret": SECRET}, chat=(f"json://{hook.address}/x",)))
    await process.take(made("a"))
    await process.run()
    assert sorted(taken.line.split()[1] for taken in hook.taken) == ["/hook", "/x"]
    hook.answer = lambda request: (403 if "/x" in request.line else 204, {})
    world.mail.answer_recipient = lambda _: "250 2.1.5 known"
    await process.take(made("b"))
    await process.run()
    assert len(hook.taken) == 3
    await process.take(lapsed("b"))
    hook.answer = lambda _: (204, {})
    world.now += timedelta(minutes=1)
    await process.run()
    assert sorted(told(world)) == ["a", "b"]
    assert rung(hook).count("b") == 0


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
