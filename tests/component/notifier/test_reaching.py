"""Ways that do not reach somebody: turned off, the desk told once, turned on again by what gets through."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import aiosmtplib
import httpx
import pytest
from pymongo.errors import ServerSelectionTimeoutError

from schemas.ambassadors import AmbassadorKey
from schemas.feedback import Side
from schemas.notifications import Channel, NotificationDelivered, NotificationFailed
from services.notifier import metrics
from services.notifier.address import Tokens
from services.notifier.bouncing import LARGEST, Bouncing
from services.notifier.domain.reaching import TESTED_EVERY, Matter, Off, Reason, Way
from services.runtime.errors import RefusedError
from tests.component.notifier.introductions import ITEM, introduced
from tests.component.notifier.letters import EVENING, HOUSE, MORNING
from tests.component.notifier.receivers import LOOPBACK, TAKEN, parts_of
from tests.component.notifier.world import (
    LEASE,
    SIGNING,
    CrashError,
    Death,
    Process,
    Trouble,
    World,
    erased,
    eventually,
    hidden_field,
    inbox,
)
from tests.unit.notifier.samples import SECRET, contact, made, person, sid
from tests.unit.notifier.test_bounces import BOUNCES

AMINA = AmbassadorKey(cluster="souss", ambassador_id="amina")
ADDRESS, DESK_ADDRESS = "amina@example.org", "desk@example.org"
PREFERENCES = inbox() + "/preferences"
TEST = inbox() + "/test"
NEW_SECRET = "whsec_" + base64.b64encode(b"n" * 32).decode()
STEPS = ["after failed", "after turn_off", "after add", "before judged", "after lease", "after delivered"]


def desk(**changes: Any) -> Any:
    return person("desk", city=None, language="en", **changes)


def unknown(address: str) -> str:
    """A mail server that does not know Amina."""
    return f"550 5.1.1 <{address}> unknown" if address == ADDRESS else TAKEN


async def press(process: Process, way: Way = Way.EMAIL, form: str | None = None, **headers: str) -> httpx.Response:
    async with process.browser(**headers) as client:
        field = hidden_field((await client.get(PREFERENCES)).text) if form is None else form
        return await client.post(TEST, data={"way": way.value, "form": field})


def to(world: World, address: str) -> list[str]:
    """The subjects of what an address got, each message once."""
    by_id = {str(mail["Message-ID"]): str(mail["Subject"]) for whom, mail in world.mail.mails if whom == address}
    return sorted(by_id.values())


async def off(process: Process) -> set[Way]:
    found = await process.store.ambassadors.get(AMINA)
    return set(found.off) if found else set()


async def test_an_address_that_is_refused_is_written_to_no_more_and_the_desk_knows(world: World) -> None:
    world.mail.answer_recipient = unknown
    process = await world.start()
    await process.take(person(language="en"), desk(), made("a"))
    await process.run()
    await process.take(made("b"), made("c"))
    await process.run()
    assert world.mail.asked == [ADDRESS, DESK_ADDRESS]
    assert {row["suggestion_id"] for row in await world.rows(channel="email", ambassador="souss/amina")} == {sid("a")}
    [(_, mail)] = world.mail.mails
    assert mail["Subject"] == "E-mails to Amina Tazi do not arrive"
    for part in parts_of(mail):
        assert "November 23, 2026" in part
        assert "no such mailbox" in part
        assert "Only the inbox is left" in part
        assert inbox("souss/desk") + "/desk" in part
        assert ADDRESS not in part
    page = (await process.see(inbox())).text
    assert f"E-mails to {ADDRESS} do not arrive." in page
    assert all(f"/s/{sid(name)}" in page for name in "abc")
    assert "no such mailbox" in (await process.see(PREFERENCES)).text
    overview = (await process.see(inbox("souss/desk") + "/desk")).text
    assert "since November 23, 2026 · only the inbox is left" in overview
    await process.works["count"]._work()
    assert metrics.CHANNELS_OFF.labels(Way.EMAIL)._value.get() == 1


async def test_what_waits_when_a_channel_is_turned_off_is_never_sent(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)
    world.mail.answer_recipient = unknown
    world.now = MORNING
    process = await world.start()
    await process.take(person(alerting={"most_per_day": 1}), made("a", score=0.9), made("b", score=0.8))
    await process.run()
    assert await off(process) == {Way.EMAIL}
    world.mail.answer_recipient = lambda _: TAKEN
    world.now += timedelta(days=2)
    await process.run()
    assert world.mail.asked == [ADDRESS]
    assert {row["state"] for row in await world.rows(channel="email")} == {"failed", "cancelled"}


@pytest.mark.parametrize(
    "answer",
    [
        "550 5.7.1 not from you",
        "552 5.2.2 full",
        "450 4.1.1 not now",
        "550 5.1.8 the sender is unknown",
        "550 relay not permitted",
        "550 blocked 5.1.1.23",
    ],
)
async def test_what_is_no_fault_of_the_address_turns_nothing_off(world: World, answer: str) -> None:
    world.mail.answer_recipient = lambda _: answer
    process = await world.start()
    await process.take(person(), desk(), made("a"))
    await process.run()
    world.mail.answer_recipient, world.mail.answer_message = lambda _: TAKEN, lambda _: "550 5.1.1 looks like spam"
    await process.take(made("b"))
    await process.run()
    assert await off(process) == set()
    assert to(world, DESK_ADDRESS) == []


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_anywhere_turns_off_and_tells_the_desk_once(world: World, step: str) -> None:
    world.mail.answer_recipient = unknown
    setting = await world.start()
    await setting.take(person(), desk(), made("a"), made("b"))
    death = Death(step)
    first = await world.start(death)
    with suppress(CrashError):
        await first.run(death.is_over)
    assert death.over
    world.now += LEASE
    second = await world.start()
    await second.run()
    assert await off(second) == {Way.EMAIL}
    assert to(world, DESK_ADDRESS) == ["E-mails to Amina Tazi do not arrive"]
    assert len(world.log.of(NotificationFailed)) + len(await world.rows(state="cancelled")) == 2


async def test_replicas_that_judge_at_once_tell_the_desk_once(world: World) -> None:
    world.mail.answer_recipient = unknown
    replicas = [await world.start() for _ in range(3)]
    await replicas[0].take(person(), desk(), *(made(name) for name in "abcdef"))
    await asyncio.gather(*(replica.run() for replica in replicas))
    assert to(world, DESK_ADDRESS) == ["E-mails to Amina Tazi do not arrive"]


async def test_a_corrected_address_works_by_itself_and_the_desk_is_not_told_any_more(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)
    world.mail.answer_recipient = unknown
    world.now = EVENING
    awake = {"quiet": {"start": "00:00", "end": "00:00"}}
    process = await world.start()
    await process.take(person(alerting=awake), desk(), made("a"))
    await process.run()
    assert await off(process) == {Way.EMAIL}
    assert to(world, DESK_ADDRESS) == []  # it is quiet where the desk is
    await process.take(person(rev=2, email="amina.tazi@example.org", alerting=awake))
    await process.take(made("b"))
    await process.run()
    assert len(to(world, "amina.tazi@example.org")) == 1
    world.now = MORNING
    await process.run()
    assert to(world, DESK_ADDRESS) == []
    await process.take(person(rev=3, alerting=awake), made("c"))  # the old one is as bad as it was
    assert await off(process) == {Way.EMAIL}


async def test_a_test_message_that_gets_through_turns_a_channel_on_again(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)
    world.mail.answer_recipient = unknown
    world.now = MORNING
    process = await world.start()
    await process.take(person(), desk(), made("a"))
    await process.run()
    world.now = EVENING + timedelta(days=1)  # a quiet hour: it is asked for all the same
    assert (await press(process)).status_code == 303
    await process.run()
    assert "n’est pas arrivé" in (await process.see(PREFERENCES)).text
    world.mail.answer_recipient = lambda _: TAKEN
    world.now += TESTED_EVERY - timedelta(minutes=1)
    await press(process)
    await process.run()
    assert to(world, ADDRESS) == []
    assert await off(process) == {Way.EMAIL}
    world.now += timedelta(minutes=1)
    await asyncio.gather(press(process), press(process))
    await process.run()
    assert to(world, ADDRESS) == ["Message d’essai de Maillage"]
    assert await off(process) == set()
    assert "a été remis" in (await process.see(PREFERENCES)).text
    world.now = MORNING + timedelta(days=2)
    await process.take(made("b"))
    await process.run()
    assert len(to(world, ADDRESS)) == 2
    assert len(to(world, DESK_ADDRESS)) == 1
    # Refused once more: that is news.
    world.mail.answer_recipient = unknown
    await process.take(made("c"))
    await process.run()
    assert len(to(world, DESK_ADDRESS)) == 2


@pytest.mark.parametrize("step", ["begin_test", "add", "delivered", "turn_on"])
async def test_a_crash_anywhere_sends_a_test_message_once(world: World, step: str) -> None:
    world.mail.answer_recipient = unknown
    setting = await world.start()
    await setting.take(person(), made("a"))
    await setting.run()
    world.mail.answer_recipient = lambda _: TAKEN
    death = Death(f"after {step}")
    first = await world.start(death)
    with suppress(CrashError):
        await press(first)
        await first.run(death.is_over)
    assert death.over
    world.now += LEASE
    second = await world.start()
    asked = (await second.see(PREFERENCES)).text
    assert ("est en route" in asked) is (step == "add")
    assert ('name="way" value="email"' in asked) is (step == "begin_test")  # another one may be sent at once
    await press(second)
    await second.run()
    assert to(world, ADDRESS) == ["Message d’essai de Maillage"]
    assert await off(second) == set()


async def test_a_test_message_from_elsewhere_or_by_no_channel_is_not_sent(world: World) -> None:
    process = await world.start()
    await process.take(person())
    assert (await press(process, **{"sec-fetch-site": "cross-site"})).status_code == 403
    assert (await press(process, form="")).status_code == 403
    for way in (Way.CHAT, Way.WEBHOOK):
        assert (await press(process, way)).status_code == 303
    await process.run()
    assert await world.rows() == []


async def test_a_webhook_that_is_gone_or_fails_for_a_day_is_turned_off(world: World) -> None:
    target = {"url": world.hook.url, "secret": SECRET}
    process = await world.start()
    await process.take(person(webhook=target), desk())
    world.hook.answer = lambda _: (410, {})
    await process.take(made("gone"))
    await process.run()
    assert await off(process) == {Way.WEBHOOK}
    assert to(world, DESK_ADDRESS) == ["The webhook of Amina Tazi does not work"]
    world.hook.answer = lambda _: (204, {})
    await press(process, Way.WEBHOOK)
    await process.run()
    assert await off(process) == set()
    world.hook.answer = lambda _: (400, {})
    for hours in (0, 1, 1, 1, 1):  # a bad morning
        world.now += timedelta(hours=hours)
        await process.take(made(f"fails {world.now}"))
        await process.run()
    assert await off(process) == set()
    world.hook.answer = lambda _: (204, {})
    await process.take(made("between"))
    await process.run()
    world.hook.answer = lambda _: (400, {})
    for hours in (1, 7, 7, 7):
        world.now += timedelta(hours=hours)
        await process.take(made(f"fails {world.now}"))
        await process.run()
    assert await off(process) == set()
    world.now += timedelta(hours=7)
    await process.take(made("last"))
    await process.run()
    assert await off(process) == {Way.WEBHOOK}
    asked = len(world.hook.requests)
    await process.take(made("more"))
    await process.run()
    assert len(world.hook.requests) == asked
    assert len(to(world, DESK_ADDRESS)) == 2
    assert b'"maillage.test"' in world.hook.taken[0].body
    await process.take(person(rev=2, webhook=target | {"secret": NEW_SECRET}))  # the old one may have been the reason
    assert await off(process) == set()


async def test_chat_that_takes_nothing_for_a_day_is_turned_off_and_a_letter_counts_once(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)
    process = await world.start()
    await process.take(person(email=None, chat=("json://-",), alerting={"most_per_day": 20}), desk())
    for day in range(2):
        world.now = EVENING + timedelta(days=day)
        await process.take(*(made(f"{day} {number}") for number in range(6)))
        world.now = MORNING + timedelta(days=day)
        await process.run()
    assert len(await world.rows(state="failed", suggestion_id=None)) == 2
    assert await off(process) == set()
    for name in "abc":
        await process.take(made(name))
        await process.run()
    assert await off(process) == {Way.CHAT}
    assert to(world, DESK_ADDRESS) == ["Messages by chat to Amina Tazi do not arrive"]
    await process.take(made("d"))
    assert len(await world.rows(suggestion_id=sid("d"))) == 1  # in the inbox
    # Another address is believed, and a test message rings there, at any hour.
    await process.take(person(rev=2, email=None, chat=(f"json://{world.hook.address}/x",)))
    assert await off(process) == set()
    world.now = EVENING + timedelta(days=2)
    await press(process, Way.CHAT)
    await process.run()
    [rung] = world.hook.taken
    assert "message d’essai" in json.loads(rung.body)["message"]


async def test_what_may_be_our_fault_turns_nothing_off(world: World) -> None:
    nowhere = {"url": f"http://{LOOPBACK}:{free_port()}/x", "secret": SECRET}
    process = await world.start()
    await process.take(person(email=None, webhook=nowhere, chat=("syslog://not-allowed",)), desk())

    async def days(count: int) -> None:
        for _ in range(2 * count):
            world.now += timedelta(hours=12)
            await process.run()

    for name in "abcdef":
        await process.take(made(name))
        await days(1)
    await days(8)
    assert {row["state"] for row in await world.rows(channel="email")} == {"failed"}
    assert {row["state"] for row in await world.rows(channel="webhook")} == {"failed"}
    assert await off(process) == set()
    # Somebody else was reached that way meanwhile, so it is not we who reach nobody.
    await process.take(person("badr", webhook={"url": world.hook.url, "secret": SECRET}), made("g"))
    await days(9)
    assert world.hook.taken
    assert await off(process) == {Way.WEBHOOK}


async def test_a_warning_that_does_not_arrive_is_told_the_other_way(world: World) -> None:
    world.mail.answer_recipient = lambda _: "550 5.1.1 unknown"
    process = await world.start()
    await process.take(person(), desk(chat=(f"json://{world.hook.address}/x",)), made("a"))
    await process.run()
    await process.run()
    warnings = await world.rows(matter="warning", concerns="souss/amina")
    assert sorted((row["by_chat"], row["state"]) for row in warnings) == [(False, "failed"), (True, "delivered")]
    # And what waited for the desk's hours when its e-mail was turned off goes by chat.
    rung = len(world.hook.taken)
    await process.take(person("badr", email="badr@example.org"), made("b"))
    await process.run()
    assert len(world.hook.taken) == rung + 1
    assert {row["state"] for row in await world.rows(matter="warning", concerns="souss/badr")} == {"delivered"}


async def test_a_warning_that_waits_goes_by_the_way_that_is_left(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)
    world.now = EVENING
    world.mail.answer_recipient = lambda _: "550 5.1.1 unknown"
    process = await world.start()
    awake = {"quiet": {"start": "00:00", "end": "00:00"}}
    await process.take(person(alerting=awake), desk(chat=(f"json://{world.hook.address}/x",)), made("a"))
    await process.run()
    at_desk = AmbassadorKey(cluster="souss", ambassador_id="desk")
    known = await process.store.ambassadors.get(at_desk)
    assert known is not None
    there, gone = known.reach[Way.EMAIL].address, Off(world.now, Reason.REFUSED)
    await process.store.ambassadors.turn_off(at_desk, Way.EMAIL, there, gone, sent_at=world.now)
    world.now = MORNING + timedelta(days=1)
    await process.run()
    assert DESK_ADDRESS not in world.mail.asked
    assert len(world.hook.taken) == 1


async def test_what_nobody_would_get_by_chat_that_is_off_is_ended_unsent(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)
    world.now = EVENING
    process = await world.start()
    await process.take(person(email=None, chat=(f"json://{world.hook.address}/x",)), made("a"))
    known = await process.store.ambassadors.get(AMINA)
    assert known is not None
    there, failing = known.reach[Way.CHAT].address, Off(world.now, Reason.FAILING)
    await process.store.ambassadors.turn_off(AMINA, Way.CHAT, there, failing, sent_at=world.now)
    world.now = MORNING
    await process.run()
    assert [row["state"] for row in await world.rows(channel="email")] == ["cancelled"]
    assert world.log.of(NotificationFailed) == []


async def test_who_was_told_by_chat_beside_a_refused_e_mail_is_reminded(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)
    world.now = MORNING
    world.mail.answer_recipient = unknown
    process = await world.start()
    await process.take(person(chat=(f"json://{world.hook.address}/x",)), desk(), made("a"))
    await process.run()
    assert len(world.hook.taken) == 1
    world.now = MORNING + timedelta(days=8)
    await process.run()
    assert len(world.hook.taken) == 2


async def test_a_test_message_goes_before_what_programs_tell(world: World) -> None:
    process = await world.start()
    await process.take(person(), made("a"))
    await press(process)
    [row] = await process.store.deliveries.lease(
        Way.EMAIL, busy=[], most=1, now=world.now, until=world.now + timedelta(minutes=1)
    )
    assert row.matter is Matter.TEST


async def test_what_a_way_that_is_off_was_to_tell_goes_by_another(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)
    world.now = MORNING
    world.mail.answer_recipient = lambda _: "450 4.2.0 later"
    process = await world.start()
    chat = {"chat": (f"json://{world.hook.address}/x",)}
    await process.take(person(**chat), desk(), made("late"))
    await process.run()
    world.mail.answer_recipient = unknown
    await process.take(made("a"))
    await process.run()
    assert await off(process) == {Way.EMAIL}
    world.now += timedelta(hours=1)
    await process.run()
    assert len(world.hook.taken) == 2  # each rang when its e-mail was tried, and not again
    [warning] = [mail for whom, mail in world.mail.mails if whom == DESK_ADDRESS]
    assert "Only the inbox is left" not in parts_of(warning)[0]
    world.now = EVENING + timedelta(days=1)
    await process.take(made("b"), made("c"))
    world.now = MORNING + timedelta(days=1)
    world.hook.answer = lambda _: (500, {})
    await process.run()
    assert world.mail.asked.count(ADDRESS) == 2
    assert len(world.hook.requests) == 3
    # And back: the letter that no chat service takes is an e-mail again when there is no chat any more.
    await process.take(person(rev=2, email="amina.tazi@example.org"))
    world.now += timedelta(hours=1)
    await process.run()
    assert len(to(world, "amina.tazi@example.org")) == 1
    assert {row["state"] for row in await world.rows(suggestion_id=sid("b"))} == {"delivered"}


async def test_a_desk_without_e_mail_is_warned_by_chat(world: World) -> None:
    world.mail.answer_recipient = unknown
    process = await world.start()
    await process.take(person(), desk(email=None, chat=(f"json://{world.hook.address}/x",)), made("a"))
    await process.run()
    [rung] = world.hook.taken
    said = json.loads(rung.body)["message"]
    assert inbox("souss/desk") + "/desk" in said
    assert "Amina" not in said  # who reads it there is not known


async def test_what_a_members_server_refuses_says_nothing_of_the_ambassador(world: World) -> None:
    world.mail.answer_recipient = lambda address: TAKEN if "amina" in address or "desk" in address else "550 5.1.1 no"
    process = await world.start()
    await process.take(person(), desk(), made(), contact("atlas"), contact("sensors-lab"))
    await introduced(process)
    assert await off(process) == set()
    assert to(world, DESK_ADDRESS) == []


async def test_erasing_an_ambassador_erases_what_was_known_of_their_channels(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)
    world.mail.answer_recipient = unknown
    world.now = EVENING
    process = await world.start()
    await process.take(person(alerting={"quiet": {"start": "00:00", "end": "00:00"}}), desk(), made("a"))
    await process.run()
    await press(process)
    await process.take(erased(AMINA, 2))
    assert "souss/amina" not in await world.words()
    assert "reach" not in await world.words()
    world.now = MORNING
    await process.run()
    assert not any("do not arrive" in subject for subject in to(world, DESK_ADDRESS))


# E-mails that come back


def free_port() -> int:
    with socket.socket() as one:
        one.bind((LOOPBACK, 0))
        return int(one.getsockname()[1])


@asynccontextmanager
async def listening(world: World, trouble: Trouble = lambda _: False) -> AsyncIterator[Process]:
    """A process to which e-mails come back."""
    world.settings = world.settings.model_copy(update={"bounces": f"{LOOPBACK}:{free_port()}"})
    process = await world.start(trouble)
    task = asyncio.create_task(process.works["bounces"].run())
    try:
        yield process
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def back_of(world: World) -> str:
    """The return address of the one e-mail there is."""
    [row] = await world.rows(channel="email")
    return f"bounces+{Tokens(SIGNING).bouncing(row['_id'], ADDRESS)}@example.org"


async def send_back(world: World, file: str, *whom: str, about: str = ADDRESS) -> str:
    """Pass a report on as a mail server does; return what it was answered."""
    raw = (BOUNCES / f"{file}.eml").read_bytes().replace(b"somebody@example.com", about.encode())
    return await pass_on(world, raw, *whom)


async def pass_on(world: World, raw: bytes, *whom: str) -> str:
    host, _, port = world.settings.bounces.rpartition(":")
    client = aiosmtplib.SMTP(hostname=host, port=int(port), local_hostname="mail.example.org")
    for _ in range(200):
        with suppress(aiosmtplib.SMTPConnectError):
            await client.connect()
            break
        await asyncio.sleep(0.01)
    try:
        await client.ehlo()
        await client.mail("")
        for address in whom:
            await client.rcpt(address)
        answer = await client.data(raw)
    except aiosmtplib.SMTPResponseException as error:
        return str(error.code)
    finally:
        client.close()
    return str(answer.code)


async def test_an_e_mail_that_comes_back_was_not_delivered(world: World) -> None:
    async with listening(world) as process:
        await process.take(person(), desk(), made("a"))
        await process.run()
        [back] = world.mail.senders
        local, _, domain = back.rpartition("@")
        assert len(local) <= 64
        assert domain == "example.org"
        [(_, mail)] = world.mail.mails
        assert "bounces" not in str(mail["From"])
        world.now += timedelta(minutes=1)
        counted = metrics.BOUNCES.labels("yes")._value.get()
        assert await send_back(world, "no-such-user.postfix", back.upper()) == "250"
        assert metrics.BOUNCES.labels("yes")._value.get() == counted + 1
        assert await send_back(world, "no-such-user.postfix", back) == "250"  # once more
        await process.run()
    assert await off(process) == {Way.EMAIL}
    assert to(world, DESK_ADDRESS) == ["E-mails to Amina Tazi do not arrive"]
    [said] = [one for one in world.log.of(NotificationDelivered) if one.channel is Channel.EMAIL]
    [failed] = world.log.of(NotificationFailed)
    assert failed.notification_id == said.notification_id
    assert (said.rev, failed.rev) == (1, 2)
    assert failed.failed_at - said.delivered_at == timedelta(minutes=1)
    assert "5.1.1" in failed.reason


async def test_a_test_message_that_comes_back_is_no_news_for_the_desk(world: World) -> None:
    async with listening(world) as process:
        await process.take(person(), desk(), made("a"))
        await process.run()
        await send_back(world, "not-found.exchange", world.mail.senders[0])
        await process.run()
        world.now += timedelta(hours=1)
        await press(process)
        await process.run()
        assert await off(process) == set()  # for all that is known
        await send_back(world, "not-found.exchange", world.mail.senders[-1])
        await process.run()
    assert await off(process) == {Way.EMAIL}
    assert to(world, DESK_ADDRESS) == ["E-mails to Amina Tazi do not arrive"]
    assert "n’est pas arrivé" in (await process.see(PREFERENCES)).text


async def test_what_was_sent_before_a_test_message_got_through_does_not_undo_it(world: World) -> None:
    async with listening(world) as process:
        await process.take(person(), desk(), made("a"), made("b"))
        await process.run()
        first, late = world.mail.senders
        await send_back(world, "no-such-user.postfix", first)
        await process.run()
        world.now += timedelta(hours=1)
        await press(process)
        await process.run()
        world.now += timedelta(hours=1)
        await send_back(world, "no-such-user.postfix", late)
        await process.run()
        assert await off(process) == set()
        assert len(to(world, DESK_ADDRESS)) == 1
        # The test message itself: whatever it came back for, it did not get through.
        await send_back(world, "policy.postfix", world.mail.senders[-1])
        await process.run()
    assert await off(process) == {Way.EMAIL}
    assert len(to(world, DESK_ADDRESS)) == 1


@pytest.mark.parametrize("step", ["before judged", "before announced"])
async def test_what_comes_back_between_two_steps_is_not_lost(world: World, step: str) -> None:
    waits, goes_on = asyncio.Event(), asyncio.Event()
    async with listening(world) as process:
        await process.take(person(), desk(), made("a"))
        if step == "before judged":
            await process.run()
            await send_back(world, "no-such-user.postfix", world.mail.senders[0])
            await process.run()
            world.now += timedelta(hours=1)
            await press(process)
        deliveries, name = process.store.deliveries._real, step.removeprefix("before ")  # type: ignore[attr-defined]
        noted = getattr(deliveries, name)

        async def held(what: Any) -> None:
            if any(row.channel is Channel.EMAIL for row in (what if isinstance(what, list) else [what])):
                waits.set()
                await goes_on.wait()
            await noted(what)

        setattr(deliveries, name, held)
        running = asyncio.create_task(process.run())
        await waits.wait()
        assert await send_back(world, "no-such-user.postfix", world.mail.senders[-1]) == "250"
        goes_on.set()
        await running
        await process.run()
    assert await off(process) == {Way.EMAIL}
    assert len(world.log.of(NotificationFailed)) == 1


async def test_a_letter_that_comes_back_takes_all_it_told_with_it(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)
    world.now = EVENING
    async with listening(world) as process:
        await process.take(person(), made("a"), made("b"))
        world.now = MORNING
        await process.run()
        assert len(world.mail.mails) == 1
        await send_back(world, "full.gmail", world.mail.senders[0])
        await process.run()
    assert await off(process) == set()  # a full mailbox empties
    assert len(world.log.of(NotificationFailed)) == 2
    assert "5.2.2" in str([failed.reason for failed in world.log.of(NotificationFailed)])


@pytest.mark.parametrize("file", ["delayed.postfix", "away.vacation", "forwarded.person"])
async def test_what_is_no_bounce_changes_nothing(world: World, file: str) -> None:
    async with listening(world) as process:
        await process.take(person(), made("a"))
        await process.run()
        before = await world.words()
        assert await send_back(world, file, world.mail.senders[0]) == "250"
    assert await world.words() == before


async def test_only_our_own_return_addresses_are_taken(world: World) -> None:
    async with listening(world) as process:
        await process.take(person(), made("a"))
        await process.run()
        before = await world.words()
        good = world.mail.senders[0]
        [row] = await world.rows(channel="email")
        forged = Tokens("another-secret-another-secret-another").bouncing(row["_id"], ADDRESS)
        for address in ("somebody@example.com", "maillage@example.org", "bounces+@example.org",
                        f"bounces+{forged}@example.org", good.replace("bounces+", "bounces")):  # fmt: skip
            assert await send_back(world, "no-such-user.postfix", address) == "550", address
        assert await pass_on(world, b"x\r\n" * (LARGEST // 3 + 1), good) == "552"
        with pytest.raises((aiosmtplib.SMTPServerDisconnected, ConnectionError)):
            await pass_on(world, b"x" * (8 * LARGEST), good)  # one line, of which none is kept
    assert await world.words() == before


async def test_what_comes_back_about_somebody_else_or_weeks_later_turns_nothing_off(world: World) -> None:
    async with listening(world) as process:
        await process.take(person(), desk(), made("a"))
        await process.run()
        [back] = world.mail.senders
        world.now += timedelta(days=15)
        assert await send_back(world, "no-such-user.postfix", back) == "250"
        await process.run()
        assert world.log.of(NotificationFailed) == []
        world.now -= timedelta(days=2)
        assert await send_back(world, "no-such-user.postfix", back, about="other@example.com") == "250"
        await process.run()
        assert len(world.log.of(NotificationFailed)) == 1
    assert await off(process) == set()


async def test_conversations_that_ended_make_room_and_none_lasts_for_ever(world: World) -> None:
    listen = f"{LOOPBACK}:{free_port()}"
    process = await world.start()
    bouncing = Bouncing(
        listen=listen,
        deliveries=process.store.deliveries,
        tokens=Tokens(SIGNING),
        clock=lambda: world.now,
        came_back=lambda: None,
        at_once=2,
        longest_seconds=0.5,
    )
    task = asyncio.create_task(bouncing.run())

    async def greeted() -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = listen.rpartition(":")
        for _ in range(200):
            with suppress(ConnectionRefusedError):
                reader, writer = await asyncio.open_connection(host, int(port))
                return (await reader.readline())[:3], reader, writer
            await asyncio.sleep(0.01)
        raise AssertionError("nobody listens")

    try:
        first, _, writer = await greeted()
        another = Bouncing(
            listen=listen,
            deliveries=process.store.deliveries,
            tokens=Tokens(SIGNING),
            clock=lambda: world.now,
            came_back=lambda: None,
        )
        with pytest.raises(RefusedError, match="Correct MAILLAGE_BOUNCES"):
            await another.listen()
        second, reader, kept = await greeted()
        third, _, _ = await greeted()
        assert (first, second, third) == (b"220", b"220", b"421")
        writer.close()
        await eventually(lambda: room(bouncing, 1))
        again, _, other = await greeted()
        assert again == b"220"
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 10) == b""  # it has said nothing for too long
        await eventually(lambda: room(bouncing, 0))
        kept.close()
        other.close()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def room(bouncing: Bouncing, taken: int) -> bool:
    return len(bouncing._open) <= taken


async def test_what_comes_back_before_it_was_noted_as_sent_is_to_come_again(world: World) -> None:
    async with listening(world) as process:
        await process.take(person(), desk(), made("a"))
        answers: list[str] = []
        back = await back_of(world)
        answers.append(await send_back(world, "no-such-user.postfix", back))
        await process.run()
        answers.append(await send_back(world, "no-such-user.postfix", back))
        await process.run()
    assert answers == ["451", "250"]
    assert await off(process) == {Way.EMAIL}


async def test_what_is_noted_of_a_bounce_while_the_answer_is_lost_is_told_when_it_comes_again(world: World) -> None:
    first = await world.start()
    await first.take(person(), desk(), made("a"))
    back = await back_of(world)
    await first.run()
    lost = [ServerSelectionTimeoutError("lost")]
    async with listening(world, lambda here: bool(here == "after bounced" and lost) and lost.pop()):
        assert await send_back(world, "no-such-user.postfix", back) == "451"
    async with listening(world) as process:
        assert await send_back(world, "no-such-user.postfix", back) == "250"
        await process.run()
    assert to(world, DESK_ADDRESS) == ["E-mails to Amina Tazi do not arrive"]
    assert len(world.log.of(NotificationFailed)) == 1


async def test_what_comes_back_from_an_address_that_they_have_no_more_turns_nothing_off(world: World) -> None:
    death = Death("before delivered")
    async with listening(world, death) as first:
        await first.take(person(), desk(), made("a"))
        with suppress(CrashError):
            await first.run(death.is_over)
    world.now += LEASE
    async with listening(world) as process:
        await process.take(person(rev=2, email="amina.tazi@example.org"))
        await process.run()  # the same e-mail, to where they are now
        to_old, to_new = world.mail.senders
        assert to_old != to_new
        await send_back(world, "no-such-user.postfix", to_old)
        await process.run()
        assert world.log.of(NotificationFailed) == []
        await process.take(person(rev=3, email="amina@example.com"))
        await send_back(world, "no-such-user.postfix", to_new)
        await process.run()
    assert await off(process) == set()
    assert to(world, DESK_ADDRESS) == []


async def test_an_invitation_that_comes_back_is_said_on_the_ambassadors_page(world: World) -> None:
    async with listening(world) as process:
        await process.take(person(language="en"), desk(), made(), contact("atlas"), contact("sensors-lab"))
        await introduced(process)
        sent = [whom for whom, _ in world.mail.mails]
        before = (await process.see(ITEM)).text
        back = world.mail.senders[sent.index("atlas@example.org")]
        await send_back(world, "no-such-user.postfix", back, about="atlas@example.org")
        await process.run()
        after = (await process.see(ITEM)).text
    assert await off(process) == set()
    assert to(world, DESK_ADDRESS) == []
    assert before != after
    [failed] = world.log.of(NotificationFailed)
    assert failed.side is Side.REQUESTING
