"""What nobody touches is told once more, then to the deputy, then to the desk; what is passed on, at once."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from schemas.ambassadors import AmbassadorKey
from schemas.feedback import Act, FeedbackGiven
from tests.component.notifier.letters import names_of
from tests.component.notifier.receivers import parts_of
from tests.component.notifier.world import LEASE, Death, Process, World, crashing, erased, hidden_field, inbox
from tests.unit.notifier.samples import changed, contact, lapsed, made, person, sid

AMINA, ZINEB, DESK = "amina@example.org", "zineb@example.org", "desk@example.org"


@pytest.fixture
async def process(world: World) -> Process:
    """Amina leads, Badr is told too; her deputy sits elsewhere; there is a desk."""
    process = await world.start()
    await process.take(
        person(deputy="zineb"), person("badr", email=None), person("zineb", city="dakhla"), person("desk", city=None)
    )
    await process.take(made("a"))
    await process.run()
    return process


async def act(process: Process, data: dict[str, str], whom: str = "souss/amina") -> None:
    page = inbox(whom) + f"/s/{sid('a')}"
    async with process.browser() as client:
        form = hidden_field((await client.get(page)).text)
        assert (await client.post(page, data={"form": form, **data})).status_code == 303


async def weeks(process: Process, number: int) -> list[list[str]]:
    """Whom the next weeks bring an e-mail, week by week."""
    came: list[list[str]] = []
    for _ in range(number):
        process.world.mail.mails.clear()
        process.world.now += timedelta(days=7)
        await process.run()
        came.append(sorted(recipient for recipient, _ in process.world.mail.mails))
    return came


async def test_a_reminder_then_the_deputy_then_the_desk_and_no_more(process: Process) -> None:
    assert await weeks(process, 6) == [[AMINA], [ZINEB], [DESK], [], [], []]
    for whom in ("souss/zineb", "souss/desk"):
        assert f"/s/{sid('a')}" in (await process.see(inbox(whom))).text


async def test_what_a_reminder_and_a_stand_in_read(process: Process) -> None:
    await weeks(process, 1)
    [(_, reminder)] = process.world.mail.mails
    assert "Toujours en attente depuis le 23 novembre 2026" in parts_of(reminder)[0]
    assert "Toujours en attente depuis le 23 novembre 2026" in parts_of(reminder)[1]
    await weeks(process, 1)
    [(_, to_deputy)] = process.world.mail.mails
    for part in parts_of(to_deputy):
        assert "Personne ne s’en occupe encore" in part
    assert "Personne ne s’en occupe encore" in (await process.see(inbox("souss/zineb") + f"/s/{sid('a')}")).text


@pytest.mark.parametrize("what", ["taken", "introduced", "lapsed", "put aside by all"])
async def test_what_somebody_did_something_about_is_left_alone(process: Process, what: str) -> None:
    if what == "taken":
        await act(process, {"act": "taken"}, "souss/badr")
    elif what == "introduced":
        await process.take(contact("atlas", email="a@example.org"), contact("sensors-lab", email="b@example.org"))
        await act(process, {"act": "introduced"})
    elif what == "lapsed":
        await process.take(lapsed("a"))
    else:
        for whom in ("souss/amina", "souss/badr"):
            await act(process, {"act": "not_relevant", "reason": "other"}, whom)
    await process.run()
    told = {recipient for week in await weeks(process, 4) for recipient in week}
    assert told.isdisjoint({AMINA, ZINEB, DESK})


async def test_who_put_it_aside_is_not_reminded_but_others_still_wait(process: Process) -> None:
    await act(process, {"act": "not_relevant", "reason": "other"})
    assert await weeks(process, 3) == [[], [ZINEB], [DESK]]


async def test_a_census_that_is_to_alert_nobody_chases_nobody(world: World) -> None:
    process = await world.start()
    await process.take(person(deputy="zineb"), person("zineb", city="dakhla"), made("a", alerts=False))
    await process.run()
    assert await weeks(process, 4) == [[], [], [], []]


async def test_a_new_revision_begins_again(process: Process) -> None:
    await weeks(process, 2)
    await process.take(changed(made("a"), rev=2, revision=2))
    await process.run()
    assert await weeks(process, 2) == [[AMINA], [ZINEB]]


async def test_who_has_it_in_hand_keeps_it_when_others_look_after_it_by_then(process: Process) -> None:
    await act(process, {"act": "taken"})
    farms = person("farms", concerns={"themes": [{"scheme": "nace-2.1", "code": "01"}]})
    asked = made("a").request.model_dump(mode="json") | {"activities": [{"scheme": "nace-2.1", "code": "01.61"}]}
    await process.take(farms, changed(made("a", request=asked), rev=2, revision=2))
    await process.run()
    told = {row["ambassador"] for row in await process.world.rows(revision=2, channel="inbox")}
    assert told == {"souss/farms", "souss/amina"}
    await act(process, {"act": "not_relevant", "reason": "other"})
    assert await weeks(process, 1) == [["farms@example.org"]]


async def test_a_notifier_that_was_away_for_months_does_all_that_is_due_once(process: Process) -> None:
    process.world.mail.mails.clear()
    process.world.now += timedelta(days=90)
    await (await process.world.start()).run()
    assert sorted(recipient for recipient, _ in process.world.mail.mails) == [AMINA, DESK, ZINEB]


async def test_reminders_keep_the_readers_hours_and_come_with_the_rest(world: World) -> None:
    world.settings = world.settings.model_copy(update={"quiet_hours": "12:00-07:00"})
    process = await world.start()
    await process.take(person(), made("a"), made("b"))
    await process.run()
    world.mail.mails.clear()
    world.now += timedelta(days=7, hours=3)  # quiet
    await process.run()
    assert world.mail.mails == []
    world.now += timedelta(days=1) - timedelta(hours=3)
    await process.run()
    assert [sorted(names_of(mail, again=True)) for _, mail in world.mail.mails] == [["a", "b"]]


async def test_a_reminder_that_waits_is_not_sent_once_it_is_in_hand(world: World) -> None:
    world.settings = world.settings.model_copy(update={"quiet_hours": "12:00-07:00"})
    process = await world.start()
    await process.take(person(), made("a"))
    await process.run()
    world.mail.mails.clear()
    world.now += timedelta(days=7, hours=3)
    await process.run()
    await act(process, {"act": "taken"})
    world.now += timedelta(days=1)
    await process.run()
    assert world.mail.mails == []


async def test_what_is_passed_on_is_the_deputys_at_once(process: Process) -> None:
    process.world.mail.mails.clear()
    assert "Le transmettre à Zineb Tazi" in (await process.see(inbox() + f"/s/{sid('a')}")).text
    await act(process, {"act": "passed"})
    await process.run()
    assert [recipient for recipient, _ in process.world.mail.mails] == [ZINEB]
    assert f"/s/{sid('a')}" not in (await process.see(inbox())).text
    assert "Transmis par vous" in (await process.see(inbox() + "?view=done")).text
    await act(process, {"act": "taken"}, "souss/zineb")
    await process.run()
    assert [(one.act, one.ambassador_id) for one in process.world.log.of(FeedbackGiven)] == [
        (Act.PASSED, "amina"),
        (Act.TAKEN, "zineb"),
    ]


async def test_who_gets_it_passed_on_reads_by_whom_and_is_reminded(process: Process) -> None:
    await act(process, {"act": "not_relevant", "reason": "other"}, "souss/badr")
    process.world.now += timedelta(days=30)  # chased already
    await process.run()
    process.world.mail.mails.clear()
    await process.take(person("chama", city="tan-tan"), person(rev=2, deputy="chama"))
    await act(process, {"act": "passed"})
    await process.run()
    [(recipient, mail)] = process.world.mail.mails
    assert recipient == "chama@example.org"
    for part in parts_of(mail):
        assert "vous le transmet" in part
        assert "Amina Tazi" in part
    assert (await weeks(process, 1))[0].count("chama@example.org") == 1


async def test_what_was_passed_on_to_somebody_who_is_gone_goes_to_the_desk(world: World) -> None:
    process = await world.start()
    await process.take(person(deputy="zineb"), person("zineb", city="dakhla"), person("desk", city=None), made("a"))
    await act(process, {"act": "passed"})
    await process.run()
    world.mail.mails.clear()
    await process.take(erased(AmbassadorKey(cluster="souss", ambassador_id="zineb"), 2))
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == [DESK]


async def test_a_deputy_who_put_aside_what_was_passed_on_ends_it(world: World) -> None:
    process = await world.start()
    await process.take(person(deputy="zineb"), person("zineb", city="dakhla"), person("desk", city=None), made("a"))
    await act(process, {"act": "passed"})
    await process.run()
    await act(process, {"act": "not_relevant", "reason": "other"}, "souss/zineb")
    await process.take(person("chama", city="tan-tan"), person(rev=2, deputy="chama"))
    await process.run()
    world.mail.mails.clear()
    assert await weeks(process, 4) == [[], [], [], []]


async def test_what_an_earlier_version_told_can_be_passed_on(process: Process) -> None:
    gone = {"$unset": dict.fromkeys(("told_at", "step_at", "introduced"), "")}
    await process.world.database["suggestions"].update_one({"_id": sid("a")}, gone)
    process.world.mail.mails.clear()
    await act(process, {"act": "passed"})
    await process.run()
    assert [recipient for recipient, _ in process.world.mail.mails] == [ZINEB]


async def test_nobody_is_reminded_of_what_their_letters_have_not_told_yet(world: World) -> None:
    world.settings = world.settings.model_copy(update={"letters_per_day": 1})
    process = await world.start()
    await process.take(
        person(alerting={"rhythm": "weekly", "days": ["MO"]}), made("a", score=0.9), made("b", score=0.1)
    )
    told: list[str] = []
    for _ in range(40):
        world.mail.mails.clear()
        world.now += timedelta(days=1)
        await process.run()
        told += [f"{names_of(mail)}/{names_of(mail, again=True)}" for _, mail in world.mail.mails]
    assert [one for one in told if one.startswith(("a/", "b/"))] == ["a/", "b/"]
    assert sorted(one.strip("/") for one in told if one.startswith("/")) in (["a"], ["a", "b"], ["ab"])


async def test_what_stands_again_is_chased_again(process: Process) -> None:
    await process.take(lapsed("a"))
    process.world.now += timedelta(days=8)
    await process.run()
    process.world.mail.mails.clear()
    await process.take(made("a", rev=3))
    await process.run()
    assert AMINA in {recipient for recipient, _ in process.world.mail.mails}


async def test_what_the_erased_had_in_hand_is_chased_with_who_is_left(world: World) -> None:
    process = await world.start()
    await process.take(person(), person("badr"), person("desk", city=None), made("a"))
    await act(process, {"act": "taken"})
    await process.run()
    await process.take(erased(AmbassadorKey(cluster="souss", ambassador_id="amina"), 2))
    world.mail.mails.clear()
    came = await weeks(process, 3)
    assert came == [["badr@example.org"], [], [DESK]]


async def test_without_a_deputy_nothing_can_be_passed_on(world: World) -> None:
    process = await world.start()
    await process.take(person(), made("a"))
    page = (await process.see(inbox() + f"/s/{sid('a')}")).text
    assert 'value="passed"' not in page
    async with process.browser() as client:
        await client.post(inbox() + f"/s/{sid('a')}", data={"form": hidden_field(page), "act": "passed"})
    await process.run()
    assert world.log.of(FeedbackGiven) == []


STEPS = [f"{when} {call}" for call in ("also_tell", "add", "stepped") for when in ("before", "after")]


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_anywhere_reminds_and_escalates_once(world: World, step: str) -> None:
    setting = await world.start()
    await setting.take(person(deputy="zineb"), person("zineb", city="dakhla"), person("desk", city=None), made("a"))
    await setting.run()
    world.mail.mails.clear()
    death = Death(step)
    for _ in range(4):
        world.now += timedelta(days=7)
        process = await world.start(death)
        await crashing(process.parts.stepping.take_steps())
        world.now += LEASE
        await (await world.start()).run()
    assert death.over
    came = Counter({mail["Message-ID"]: recipient for recipient, mail in world.mail.mails}.values())
    assert came == {AMINA: 1, ZINEB: 1, DESK: 1}


async def test_replicas_that_chase_at_once_tell_each_once(world: World) -> None:
    replicas = [await world.start() for _ in range(3)]
    await replicas[0].take(person(deputy="zineb"), person("zineb", city="dakhla"), person("desk", city=None), made("a"))
    await replicas[0].run()
    world.mail.mails.clear()
    for _ in range(3):
        world.now += timedelta(days=7)
        await asyncio.gather(*(replica.parts.stepping.take_steps() for replica in replicas))
        await asyncio.gather(*(replica.run() for replica in replicas))
    assert Counter(recipient for recipient, _ in world.mail.mails) == {AMINA: 1, ZINEB: 1, DESK: 1}
