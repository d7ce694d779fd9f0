"""Who is told what, how often, and what happens when the process ends in between."""

import asyncio
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from pymongo.errors import AutoReconnect

from schemas.ambassadors import AmbassadorKey
from schemas.feedback import Act
from schemas.notifications import Channel, NotificationDelivered, NotificationFailed
from schemas.suggestions import LapseReason, SuggestionKey
from services.notifier import delivering
from services.notifier.domain.schedule import MAX_ATTEMPTS
from services.notifier.domain.standing import Given
from services.notifier.store import Kept, Sent, Suggestions
from services.notifier.store.rows import notification_id
from tests.component.notifier.receivers import HookReceiver
from tests.component.notifier.world import (
    LEASE,
    CrashError,
    Death,
    Process,
    World,
    counted,
    crashing,
    erased,
    eventually,
    inbox,
)
from tests.unit.notifier.samples import SECRET, changed, lapsed, made, person, sid

AMINA = AmbassadorKey(cluster="souss", ambassador_id="amina")


def with_hook(hook: HookReceiver, ambassador_id: str = "amina", **changes: object) -> object:
    return person(ambassador_id, webhook={"url": hook.url, "secret": SECRET}, **changes)


async def test_a_suggestion_is_told_by_every_channel_and_announced(world: World) -> None:
    process = await world.start()
    await process.take(with_hook(world.hook), made())
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == ["amina@example.org"]
    assert len(world.hook.taken) == 1
    ids = {notification_id(sid("soil"), 1, "souss/amina", channel) for channel in Channel}
    delivered = world.log.of(NotificationDelivered)
    assert {event.notification_id for event in delivered} == ids
    assert {event.channel for event in delivered} == set(Channel)
    assert {event.attempts for event in delivered} == {1}
    assert "irrigation" in (await process.see(inbox())).text


async def test_redelivery_is_harmless(world: World) -> None:
    process = await world.start()
    events = [person(), made(), made("other"), made()]
    for _ in range(3):
        await process.take(*events)
        await process.run()
    assert len(world.mail.mails) == 2
    assert len(world.log.events) == 4


async def test_an_older_state_is_ignored(world: World) -> None:
    process = await world.start()
    await process.take(person(), changed(made(), rev=3, revision=2), lapsed(rev=2))
    await process.take(changed(made(), rev=1), changed(person(), rev=1, name="Older"))
    await process.run()
    assert len(world.mail.mails) == 1
    assert len(await world.rows(revision=2)) == 2
    assert await world.rows(revision=1) == []


async def test_a_new_revision_is_told_again_once_and_another_state_of_the_same_is_not(world: World) -> None:
    process = await world.start()
    await process.take(person(), made())
    await process.run()
    await process.take(changed(made(), rev=2))
    await process.run()
    assert len(world.mail.mails) == 1
    for _ in range(2):
        await process.take(changed(made(), rev=3, revision=2))
        await process.run()
    assert len(world.mail.mails) == 2
    assert len(set(world.mail.ids())) == 2


async def test_a_revision_that_was_not_delivered_gives_way_to_the_next(world: World) -> None:
    process = await world.start()
    await process.take(person(), made())
    await process.take(changed(made(), rev=2, revision=2))
    await process.run()
    assert len(world.mail.mails) == 1
    assert [row["state"] for row in await world.rows(revision=1, channel="email")] == ["cancelled"]


async def test_two_cities_are_both_told_and_one_leads(world: World) -> None:
    process = await world.start()
    request = made().request
    sits = request.party.model_copy(update={"city": "taroudant", "city_name": "Cité de Taroudant"})
    suggestion = made(request=request.model_copy(update={"party": sits}))
    await process.take(person(), person("badr", city="taroudant"), suggestion)
    await process.run()
    leading = (await process.see(inbox() + f"/s/{sid('soil')}")).text
    following = (await process.see(inbox("souss/badr") + f"/s/{sid('soil')}")).text
    assert "L’initiative vous revient" in leading
    assert "Badr Tazi" in leading
    assert "Cité de Taroudant" in leading
    assert "L’initiative revient à" in following
    assert "Amina Tazi" in following
    assert "badr@example.org" not in leading + following


async def test_of_several_at_a_city_whom_it_concerns_is_told(world: World) -> None:
    process = await world.start()
    irrigation = {"scheme": "nace-2.1", "code": "01.61"}
    asked = made(request=made().request.model_dump(mode="json") | {"activities": [irrigation]})
    farms = person("farms", concerns={"themes": [{"scheme": "nace-2.1", "code": "01"}]})
    startups = person("startups", concerns={"kinds": ["startup"]})
    await process.take(person(), farms, startups, asked, made("other"))
    await process.run()
    told = {row["ambassador"]: row["suggestion_id"] for row in await world.rows(channel="email")}
    assert told == {"souss/farms": sid("soil"), "souss/amina": sid("other")}


async def test_what_nobody_can_be_told_waits_for_somebody(world: World) -> None:
    process = await world.start()
    await process.take(made())
    await process.take(person("far", city="dakhla"))
    await process.run()
    assert await world.rows() == []
    assert await process.store.suggestions.count_unrouted() == 1
    await process.take(person("desk", city=None))
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == ["desk@example.org"]
    assert await process.store.suggestions.count_unrouted() == 0


async def test_who_arrives_later_is_not_told_what_others_know(world: World) -> None:
    process = await world.start()
    await process.take(person("desk", city=None), made())
    await process.take(person())
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == ["desk@example.org"]
    await process.take(made("next"))
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == ["desk@example.org", "amina@example.org"]


async def test_without_alerts_it_is_in_the_inbox_alone(world: World) -> None:
    process = await world.start()
    await process.take(with_hook(world.hook), made(alerts=False))
    await process.run()
    assert world.mail.mails == []
    assert world.hook.requests == []
    assert [event.channel for event in world.log.of(NotificationDelivered)] == [Channel.INBOX]
    assert "Atlas Irrigation" in (await process.see(inbox())).text


async def test_a_lapsed_suggestion_is_not_delivered_and_the_inbox_says_so(world: World) -> None:
    process = await world.start()
    await process.take(person(), made(), lapsed(reason=LapseReason.EXPIRED))
    assert [row["state"] for row in await world.rows(channel="email")] == ["cancelled"]
    await process.run()
    assert world.mail.mails == []
    assert "L’échéance de la demande est passée" in (await process.see(inbox() + f"/s/{sid('soil')}")).text
    assert "Rien ne vous attend" in (await process.see(inbox())).text
    assert "Ne tient plus" in (await process.see(inbox() + "?view=done")).text


async def test_a_suggestion_that_stands_again_is_told(world: World) -> None:
    process = await world.start()
    await process.take(person(), made(), lapsed())
    await process.take(changed(made(), rev=3))
    await process.run()
    assert len(world.mail.mails) == 1


async def test_transient_failures_are_tried_again_later_and_end_some_day(world: World) -> None:
    process = await world.start()
    world.mail.answer_recipient = lambda address: f"450 4.2.0 <{address}> greylisted"
    await process.take(person(), made())
    for _ in range(MAX_ATTEMPTS):
        await process.run()
        world.now += timedelta(hours=13)
    await process.run()
    [failed] = world.log.of(NotificationFailed)
    assert failed.attempts == MAX_ATTEMPTS
    assert failed.reason == (
        f"not reached in {MAX_ATTEMPTS} tries; the last: the mail server did not take the recipient for now (450 4.2.0)"
    )
    assert "ne vous est pas parvenu" in (await process.see(inbox() + f"/s/{sid('soil')}")).text


async def test_a_permanent_failure_ends_at_once(world: World) -> None:
    process = await world.start()
    world.hook.answer = lambda _: (410, {})
    await process.take(with_hook(world.hook, email=None), made())
    await process.run()
    [failed] = world.log.of(NotificationFailed)
    assert (failed.attempts, failed.reason) == (1, "the webhook refused the message (410)")
    assert len(world.hook.requests) == 1


async def test_an_address_that_changed_meanwhile_is_the_one_used(world: World) -> None:
    process = await world.start()
    await process.take(person(), made())
    await process.take(changed(person(), rev=2, email="new@example.org"))
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == ["new@example.org"]


async def test_one_slow_receiver_holds_up_nobody_else(world: World) -> None:
    process = await world.start()
    world.hook.gate.clear()
    quick = HookReceiver()
    await quick.start()
    await process.take(with_hook(world.hook, email=None), with_hook(quick, "badr"))
    await process.take(*[made(f"s{i}") for i in range(40)])

    async def badr_knows_all() -> bool:
        if len(world.mail.mails) + len(quick.taken) < 80:
            return False
        assert world.hook.taken == []
        world.hook.gate.set()
        return True

    await process.run(badr_knows_all)
    await quick.stop()


async def test_hands_are_not_more_than_sixteen(world: World) -> None:
    process = await world.start()
    world.mail.gate.clear()
    await process.take(*[person(f"a{i}") for i in range(40)])
    await process.take(made())

    seen: list[int] = []

    async def hands_are_full() -> bool:
        seen.append(len(await world.rows(lease={"$ne": None})))
        if seen.count(16) > 30:  # for long enough that a seventeenth would have been taken
            world.mail.gate.set()
        return len(world.mail.mails) == 40

    await process.run(hands_are_full)
    assert max(seen) == 16


# Crashes

STEPS = [
    f"{when} {call}"
    for call in ("put", "put_made", "decide", "add", "follow", "settled", "lease", "delivered", "announced")
    for when in ("before", "after")
]


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_anywhere_loses_nothing_and_tells_nobody_twice(world: World, step: str) -> None:
    death = Death(step)
    events = (with_hook(world.hook), person("badr"), made(), made("other"))
    first = await world.start(death)
    taken = False

    try:
        await first.take(*events)
        taken = True
    except CrashError:
        pass
    if taken:
        await crashing(first.run(death.is_over))
    assert death.over
    world.now += LEASE
    second = await world.start()
    if not taken:  # its offset was not committed
        await second.take(*events)
    await second.run()
    ids = world.mail.ids() + [request.headers["webhook-id"] for request in world.hook.taken]
    assert len(set(ids)) == 6
    # Only a crash between sending and noting it sends again, under the same ids: at most what was in hand, which is
    # one message of each channel to each receiver. Two have e-mails, and one of them a webhook.
    assert len(ids) <= (6 + 3 if step.endswith("delivered") else 6)
    assert max(counted(ids).values()) <= 2
    assert len(world.log.of(NotificationDelivered)) == 10
    assert {row["state"] for row in await world.rows()} == {"delivered"}


async def test_a_lease_runs_out_and_the_row_is_sent_under_the_same_id(world: World) -> None:
    first = await world.start()
    await first.take(person(), made())
    [row] = await first.store.deliveries.lease(Channel.EMAIL, busy=[], most=9, now=world.now, until=world.now + LEASE)
    second = await world.start()
    assert await second.store.deliveries.lease(Channel.EMAIL, busy=[], most=9, now=world.now, until=world.now) == []
    world.now += LEASE
    await second.run()
    assert world.mail.ids() == [f"<{row.notification_id}@example.org>"]
    assert await first.store.deliveries.delivered([Sent(row, [], world.now)]) == [False]


async def test_a_replica_that_is_back_after_a_crash_sends_what_it_had_in_hand_at_once(world: World) -> None:
    world.settings = world.settings.model_copy(update={"instance": "one"})
    first = await world.start()
    await first.take(person(), made())
    now, until = world.now, world.now + LEASE
    [row] = await first.store.deliveries.lease(Channel.EMAIL, busy=[], most=9, now=now, until=until, holder="one")
    world.settings = world.settings.model_copy(update={"instance": "another"})
    another = await world.start()
    await another.parts.delivering._take_back()
    assert await another.store.deliveries.lease(Channel.EMAIL, busy=[], most=9, now=now, until=until) == []
    world.settings = world.settings.model_copy(update={"instance": "one"})
    second = await world.start()
    await second.run()
    assert world.mail.ids() == [f"<{row.notification_id}@example.org>"]


@pytest.mark.parametrize("where", ["before delivered", "after delivered", "before lease", "after lease"])
async def test_a_database_that_is_away_for_a_moment_delays_no_message_and_doubles_none(
    world: World, where: str
) -> None:
    calls = []

    def away(here: str) -> bool | Exception:
        calls.append(here)
        return AutoReconnect("away") if here == where and calls.count(here) == 1 else False

    process = await world.start(away)
    await process.take(person(), made())
    await process.run()  # no lease runs out: the clock stands still
    assert len(world.mail.ids()) == 1
    assert {row["state"] for row in await world.rows()} == {"delivered"}
    assert {row["attempts"] for row in await world.rows()} == {1}  # what was never begun is no try


async def test_no_try_begins_when_less_is_left_of_the_lease_than_it_may_take(world: World) -> None:
    put_back = []

    def look(here: str) -> bool:
        if here == "after put_back":
            put_back.append(here)
            process.parts.delivering._lease_for = LEASE
        return False

    process = await world.start(look)
    process.parts.delivering._lease_for = timedelta(seconds=delivering.TRY_SECONDS)  # look-ups take some of it
    await process.take(person(), made())
    await process.run()
    assert put_back
    assert len(world.mail.ids()) == 1
    assert {row["attempts"] for row in await world.rows()} == {1}


async def test_a_database_that_is_away_does_not_hold_up_the_stop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivering, "_TAKE_BACK_SECONDS", 0.05)
    process = await world.start()

    async def begun() -> bool:
        return process.parts.delivering._begun

    running = asyncio.create_task(process.parts.delivering.run())
    await eventually(begun)
    monkeypatch.setattr(process.store.deliveries, "take_back", lambda *_, **__: asyncio.Event().wait(), raising=False)
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=5)
    assert done


async def test_what_the_broker_did_not_confirm_is_published_again_under_the_same_id(world: World) -> None:
    process = await world.start()
    world.log.lost_after = 2
    await process.take(person(), made())
    await process.run()
    assert len(world.log.events) > 2
    assert len(world.log.of(NotificationDelivered)) == 2


async def test_a_new_log_is_told_everything_again(world: World) -> None:
    process = await world.start()
    await process.take(person(), made())
    await process.run()
    before = {event_id for event_id, _ in world.log.events}
    world.log.events.clear()
    await process.parts.announcing.announce_again()
    await process.run()
    assert {event_id for event_id, _ in world.log.events} == before
    assert len(world.mail.mails) == 1


@pytest.mark.parametrize("step", ["after also_by_chat", "before redirect", "after redirect"])
async def test_a_crash_on_the_way_to_a_chat_service_loses_nothing_and_rings_once(world: World, step: str) -> None:
    death = Death(step)
    chat = {"chat": (f"json://{world.hook.address}/x",)}
    first = await world.start(death)
    await first.take(person(**chat), person("badr", email=None, **chat), made())
    await crashing(first.run(death.is_over))
    world.now += LEASE
    await (await world.start()).run()
    assert len(world.mail.mails) == 1
    assert len(world.hook.taken) == 2
    assert {row["state"] for row in await world.rows()} == {"delivered"}


# Erasure


async def test_an_erased_suggestion_leaves_no_word(world: World) -> None:
    process = await world.start()
    await process.take(person(), made())
    await process.run()
    await process.take(erased(SuggestionKey(suggestion_id=sid("soil")), 2))
    await process.run()
    left = (await world.words()).casefold()
    for word in ("atlas", "irrigation", "capteur", "laboratoire", "taroudant"):
        assert word not in left
    assert await world.rows() == []
    assert (await process.see(inbox() + f"/s/{sid('soil')}")).status_code == 404
    await process.take(made())
    await process.run()
    assert "atlas" not in (await world.words()).casefold()


@pytest.mark.parametrize("rev", [2, None])
async def test_an_erased_ambassador_leaves_nothing(world: World, rev: int | None) -> None:
    process = await world.start()
    await process.take(with_hook(world.hook), person("badr"), made())
    await process.run()
    await process.take(erased(AMINA, rev))
    left = (await world.words()).casefold()
    for word in ("amina", world.hook.address, SECRET.casefold()):
        assert word not in left
    assert (await process.see(inbox())).status_code == 403
    await process.take(changed(person(), rev=1))
    assert "amina" not in (await world.words()).casefold()
    assert "amina" not in (await process.see(inbox("souss/badr") + f"/s/{sid('soil')}")).text.casefold()


async def test_an_ambassador_erased_before_delivery_is_not_told(world: World) -> None:
    process = await world.start()
    await process.take(person(), person("badr"), made())
    await process.take(erased(AMINA, 2))
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == ["badr@example.org"]


async def test_what_an_erased_ambassador_alone_knew_is_told_to_the_desk(world: World) -> None:
    process = await world.start()
    await process.take(person(), made())
    await process.take(person("desk", city=None))
    await process.take(erased(AMINA, 2))
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == ["desk@example.org"]


async def test_what_an_erased_ambassador_alone_knew_is_told_to_the_desk_after_a_crash_in_between(world: World) -> None:
    """The crash comes when the suggestion was taken from them, and before anybody else is decided on."""
    await (await world.start()).take(person(), made())
    await (await world.start()).take(person("desk", city=None))
    process = await world.start(dying_at=lambda place: place == "after forget_ambassador")
    await crashing(process.take(erased(AMINA, 2)))
    process = await world.start()
    await process.take(erased(AMINA, 2))
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == ["desk@example.org"]


async def test_what_is_taken_from_its_only_reader_while_being_settled_waits_for_the_next(world: World) -> None:
    """Two replicas: one is about to note that a suggestion is settled, the other erases whom it was told to."""
    settling, erasing = await world.start(), await world.start()
    await settling.take(person())
    settled = settling.store.suggestions.settled

    async def late_settled(*args: object) -> object:
        await erasing.take(erased(AMINA, 2))
        return await settled(*args)  # type: ignore[arg-type]

    settling.store.suggestions.settled = late_settled  # type: ignore[method-assign, assignment]
    await settling.take(made())
    process = await world.start()
    await process.take(person("desk", city=None))
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == ["desk@example.org"]


async def test_somebody_leads_when_whoever_led_is_erased(world: World) -> None:
    process = await world.start()
    await process.take(person(), person("badr", language="en"), person("chama", language="en"), made())
    await process.take(erased(AMINA, 2))
    assert "You lead." in await page_of(process, "badr")
    assert re.search(r"Badr Tazi[^.]* leads\.", await page_of(process, "chama"))


async def test_an_act_that_was_begun_before_an_erasure_does_not_bring_back_acts(world: World) -> None:
    process = await world.start()
    await process.take(person(), person("badr"), made())
    suggestions = process.store.suggestions
    first = Given(rev=1, revision=1, ambassador="souss/amina", act=Act.TAKEN, reason=None, at=world.now)
    assert await suggestions.add_act(await kept(suggestions), first)
    before = await kept(suggestions)
    await process.take(erased(AMINA, 2))
    assert not await suggestions.add_act(before, replace(first, rev=2, ambassador="souss/badr"))
    assert "amina" not in await world.words()
    assert await suggestions.add_act(await kept(suggestions), replace(first, rev=2, ambassador="souss/badr"))


async def test_what_was_sent_while_it_lapsed_is_not_sent_again_when_it_stands_again(world: World) -> None:
    process = await world.start()
    await process.take(person(), made())
    [in_hand] = await process.store.deliveries.lease(Channel.EMAIL, busy=(), most=9, now=world.now, until=world.now)
    await process.take(lapsed(rev=2))
    assert await process.store.deliveries.delivered([Sent(in_hand, [], world.now)]) == [True]
    await process.take(changed(made(), rev=3))
    await process.run()
    assert world.mail.mails == []
    assert Channel.EMAIL in {event.channel for event in world.log.of(NotificationDelivered)}


async def page_of(process: Process, ambassador: str) -> str:
    async with process.browser() as client:
        page = await client.get(inbox(f"souss/{ambassador}") + f"/s/{sid('soil')}")
    return re.sub(r"<[^>]+>", "", page.text)


async def kept(suggestions: Suggestions) -> Kept:
    found = await suggestions.get(sid("soil"))
    assert found is not None
    return found


async def test_somebody_erased_while_being_routed_to_is_forgotten(world: World) -> None:
    """Two replicas: one has read the ambassador and decides, the other erases meanwhile."""
    routing, erasing = await world.start(), await world.start()
    await routing.take(person(), person("badr"))
    add = routing.store.deliveries.add

    async def late_add(*args: object, **kwargs: object) -> object:
        await erasing.take(erased(AMINA, 2))
        return await add(*args, **kwargs)  # type: ignore[arg-type]

    routing.store.deliveries.add = late_add  # type: ignore[method-assign]
    await routing.take(made())
    assert "amina" not in await world.words()
    assert {row["ambassador"] for row in await world.rows()} == {"souss/badr"}


async def test_what_lapses_while_being_routed_is_not_delivered(world: World) -> None:
    routing, lapsing = await world.start(), await world.start()
    await routing.take(person())
    add = routing.store.deliveries.add

    async def late_add(*args: object, **kwargs: object) -> object:
        await lapsing.take(lapsed())
        return await add(*args, **kwargs)  # type: ignore[arg-type]

    routing.store.deliveries.add = late_add  # type: ignore[method-assign]
    await routing.take(made())
    assert [row["state"] for row in await world.rows(channel="email")] == ["cancelled"]
    await routing.run()
    assert world.mail.mails == []
    await eventually(routing.quiet)


async def test_rows_hold_no_contact_and_no_words(world: World) -> None:
    process = await world.start()
    world.mail.answer_recipient = lambda address: f"550 5.1.1 <{address}> unknown"
    await process.take(with_hook(world.hook), made())
    await process.run()
    text = repr(await world.rows()).casefold()
    for word in ("@", "tazi", "atlas", "irrigation", world.hook.address):
        assert word not in text


async def test_the_time_from_posting_to_telling_is_measured_once_for_each_channel(world: World) -> None:
    def measured(what: str) -> list[float]:
        name = f"maillage_post_to_told_seconds_{what}"
        return [REGISTRY.get_sample_value(name, {"channel": channel}) or 0 for channel in ("inbox", "email")]

    process = await world.start()
    counts, sums = measured("count"), measured("sum")
    posted = made().model_copy(update={"posted_at": world.now - timedelta(seconds=3)})
    for _ in range(2):
        await process.take(person(), posted, made("other"))
        await process.run()
    assert [after - before for after, before in zip(measured("count"), counts, strict=True)] == [1, 1]
    assert [after - before for after, before in zip(measured("sum"), sums, strict=True)] == pytest.approx([3, 3])


async def test_what_is_overdue_is_told_to_the_operator(world: World) -> None:
    def overdue() -> float | None:
        return REGISTRY.get_sample_value("maillage_deliveries_overdue_seconds", {"channel": "email"})

    process = await world.start()
    await process.take(person(), made())
    world.now += timedelta(minutes=7)
    await process.works["count"]._work()
    assert overdue() == 7 * 60
    await process.run()
    await process.works["count"]._work()
    assert overdue() == 0
