"""Introductions: two are asked, answer, learn how to reach each other."""

import asyncio
import re
from collections import Counter
from datetime import timedelta

import pytest

from schemas.ambassadors import AmbassadorKey
from schemas.feedback import Act, Result
from schemas.members import MemberKey
from schemas.notifications import NotificationDelivered, NotificationFailed
from schemas.suggestions import SuggestionKey
from tests.component.notifier.introductions import (
    ASKING,
    ATLAS,
    INTRODUCE,
    ITEM,
    LAB,
    NO,
    OFFERING,
    YES,
    act,
    answer,
    feedback,
    introduced,
    sent,
)
from tests.component.notifier.receivers import parts_of
from tests.component.notifier.world import (
    BASE,
    LEASE,
    Process,
    World,
    answer_address,
    erased,
    hidden_field,
    inbox,
)
from tests.unit.notifier.samples import changed, contact, lapsed, made, person, sid


@pytest.fixture
async def process(world: World) -> Process:
    """Two ambassadors are told, and both sides have named whom to write to: one reads French, the other English."""
    process = await world.start()
    await process.take(person(), person("badr"), made())
    await process.take(contact("atlas", phone="+212 600-000000"), contact("sensors-lab", language="en"))
    await process.run()
    world.mail.mails.clear()
    return process


async def test_both_are_asked_in_their_language_in_the_ambassadors_name(process: Process) -> None:
    await introduced(process)
    world = process.world
    assert sent(world) == [
        (ATLAS, "Amina Tazi aimerait vous présenter à Laboratoire Capteurs et Énergie"),
        (LAB, "Amina Tazi would like to introduce you to Atlas Irrigation"),
    ]
    for recipient, mail in world.mail.mails:
        side = ASKING if recipient == ATLAS else OFFERING
        text, html = parts_of(mail)
        assert answer_address(sid("soil"), side) in text
        assert answer_address(sid("soil"), side) in html
        assert mail["From"].addresses[0].display_name == "Amina Tazi · Maillage"
        assert mail["Reply-To"].addresses[0].addr_spec == "amina@example.org"
        other = LAB if recipient == ATLAS else ATLAS
        for private in (other, "600-000000", "Idrissi" if recipient == ATLAS else "Amrani"):
            assert private not in mail.as_string()
    [given] = feedback(world)
    assert (given.act, given.ambassador_id) == (Act.INTRODUCED, "amina")


async def test_contacts_appear_once_both_have_accepted_and_not_before(process: Process) -> None:
    world = process.world
    await introduced(process)
    world.mail.mails.clear()
    assert (await answer(process, ASKING, YES)).status_code == 303
    await process.run()
    assert world.mail.mails == []
    page = (await process.see(answer_address(sid("soil"), ASKING))).text
    assert "Vous avez accepté" in page
    assert LAB not in page
    assert "Idrissi" not in page
    assert ATLAS not in (await process.see(answer_address(sid("soil"), OFFERING))).text
    assert ATLAS not in (await process.see(ITEM)).text
    await answer(process, OFFERING, YES)
    await process.run()
    assert sent(world) == [
        (ATLAS, "Laboratoire Capteurs et Énergie souhaite aussi vous rencontrer"),
        (LAB, "Atlas Irrigation would like to meet you too"),
    ]
    letters = {recipient: parts_of(mail) for recipient, mail in world.mail.mails}
    for part in letters[ATLAS]:
        assert "Youssef Idrissi" in part
        assert LAB in part
    for part in letters[LAB]:
        assert "Nadia Amrani" in part
        assert "+212 600-000000" in part
    for page, private in ((answer_address(sid("soil"), ASKING), LAB), (answer_address(sid("soil"), OFFERING), ATLAS)):
        assert private in (await process.see(page)).text
    theirs = (await process.see(ITEM)).text
    assert "Les deux ont accepté" in theirs
    assert ATLAS in theirs
    assert [(one.act, one.side) for one in feedback(world)] == [
        (Act.INTRODUCED, None),
        (Act.ACCEPTED, ASKING),
        (Act.ACCEPTED, OFFERING),
    ]


async def test_the_audit_says_to_which_side_a_letter_went_and_names_nobody(process: Process) -> None:
    await introduced(process)
    delivered = [one for one in process.world.log.of(NotificationDelivered) if one.side is not None]
    assert sorted(one.side for one in delivered) == [OFFERING, ASKING]
    assert all(one.suggestion_id == sid("soil") for one in delivered)
    assert "@" not in "".join(event.model_dump_json() for _, event in process.world.log.events)


async def test_who_declines_is_left_in_peace_and_who_had_accepted_is_told(process: Process) -> None:
    world = process.world
    await introduced(process)
    await answer(process, OFFERING, YES)
    await process.run()
    world.mail.mails.clear()
    await answer(process, ASKING, NO)
    await process.run()
    assert sent(world) == [(LAB, "No meeting with Atlas Irrigation this time")]
    world.now += timedelta(days=60)
    await process.run()
    assert len(world.mail.mails) == 1
    assert "Vous avez décliné" in (await process.see(answer_address(sid("soil"), ASKING))).text
    theirs = (await process.see(answer_address(sid("soil"), OFFERING))).text
    assert "No meeting this time" in theirs
    assert ATLAS not in theirs
    assert "Les deux ne se rencontreront pas" in (await process.see(ITEM)).text
    assert "Atlas Irrigation" in (await process.see(inbox() + "?view=done")).text


async def test_silence_is_reminded_twice_and_then_closed(process: Process) -> None:
    world = process.world
    await introduced(process)
    await answer(process, ASKING, YES)
    subjects: list[list[tuple[str, str]]] = []
    for days in (2, 1, 2, 2, 6, 1, 30):
        world.mail.mails.clear()
        world.now += timedelta(days=days)
        await process.run()
        subjects.append(sent(world))
    remind = [(LAB, "Still open: would you like to meet Atlas Irrigation?")]
    closed = [(ATLAS, "Pas de rencontre avec Laboratoire Capteurs et Énergie cette fois")]
    assert subjects == [[], remind, [], remind, [], closed, []]
    assert [(one.act, one.side, one.silent) for one in feedback(world)][-1] == (Act.DECLINED, OFFERING, True)
    page = (await process.see(answer_address(sid("soil"), OFFERING))).text
    assert "This introduction is closed" in page
    assert "<form" not in page


async def test_a_notifier_that_was_away_sends_one_reminder_and_not_two(process: Process) -> None:
    world = process.world
    await introduced(process)
    world.mail.mails.clear()
    world.now += timedelta(days=10)
    await (await world.start()).run()
    assert Counter(recipient for recipient, _ in world.mail.mails) == {ATLAS: 1, LAB: 1}


async def test_a_month_later_the_ambassador_is_asked_and_says_what_came_of_it(process: Process) -> None:
    world = process.world
    await introduced(process)
    await answer(process, ASKING, YES)
    await answer(process, OFFERING, YES)
    await process.run()
    world.mail.mails.clear()
    world.now += timedelta(days=30)
    await process.run()
    [(recipient, mail)] = world.mail.mails
    assert recipient == "amina@example.org"
    assert ITEM in parts_of(mail)[0]
    assert mail["Reply-To"] is None
    await act(process, {"act": "outcome", "result": "meeting"})
    await act(process, {"act": "outcome", "result": "contract"})
    await process.run()
    assert [one.result for one in feedback(world)][-2:] == [Result.MEETING, Result.CONTRACT]
    page = (await process.see(ITEM)).text
    assert "Ce que cela a donné : Ils travaillent ensemble" in page
    assert "Atlas Irrigation" in (await process.see(inbox() + "?view=done")).text
    world.now += timedelta(days=60)
    await process.run()
    assert len(world.mail.mails) == 1


async def test_where_it_is_in_the_inboxes(process: Process) -> None:
    await introduced(process)
    for whom in ("souss/amina", "souss/badr"):
        assert "Rien ne vous attend" in (await process.see(inbox(whom))).text
        assert "Présentés ; une réponse est attendue" in (await process.see(inbox(whom) + "?view=ongoing")).text
    await process.take(lapsed())
    assert "Atlas Irrigation" in (await process.see(inbox() + "?view=ongoing")).text
    assert "Atlas Irrigation" not in (await process.see(inbox() + "?view=done")).text


async def test_a_scanner_that_follows_every_link_changes_nothing(process: Process) -> None:
    await introduced(process)
    before = await process.world.words()
    links = {
        link for _, mail in process.world.mail.mails for link in re.findall(r"https://[^\s\"<>]+", mail.as_string())
    }
    text_links = {link for _, mail in process.world.mail.mails for link in _links(parts_of(mail)[1])}
    assert len(text_links) == 2
    for link in links | text_links | {link + "?act=accepted" for link in text_links}:
        await process.see(link)
    assert await process.world.words() == before


def _links(html: str) -> set[str]:
    return set(re.findall(r'href="(https://[^"]+)"', html))


async def test_a_double_tap_counts_once(process: Process) -> None:
    await asyncio.gather(*(act(process, INTRODUCE) for _ in range(4)))
    await process.run()
    await asyncio.gather(*(answer(process, ASKING, YES) for _ in range(4)))
    await asyncio.gather(answer(process, OFFERING, YES), answer(process, OFFERING, NO))
    await process.run()
    acts = Counter((one.act, one.side) for one in feedback(process.world))
    assert acts[(Act.INTRODUCED, None)] == 1
    assert acts[(Act.ACCEPTED, ASKING)] == 1
    assert acts[(Act.ACCEPTED, OFFERING)] + acts[(Act.DECLINED, OFFERING)] == 1


async def test_without_a_contact_of_both_nobody_is_introduced(process: Process) -> None:
    form = hidden_field((await process.see(ITEM)).text)
    await process.take(erased(MemberKey(cluster="souss", member_id="atlas"), 2))
    page = (await process.see(ITEM)).text
    assert "Atlas Irrigation n’a désigné personne à qui écrire" in page
    assert 'value="introduced"' not in page
    async with process.browser() as client:
        await client.post(ITEM, data={"form": form, **INTRODUCE})
    await process.run()
    assert feedback(process.world) == []
    assert process.world.mail.mails == []


async def test_an_answer_from_elsewhere_or_with_a_forged_address_does_nothing(process: Process) -> None:
    await introduced(process)
    assert (await answer(process, ASKING, YES, **{"sec-fetch-site": "cross-site"})).status_code == 403
    assert (await answer(process, ASKING, {"act": "outcome"})).status_code == 403
    async with process.browser() as client:
        for token in ("x", answer_address(sid("soil"), ASKING, rev=2).rpartition("/")[2]):
            forged = await client.post(f"{BASE}/introduction/{token}", data=YES)
            assert forged.status_code == 404
            assert "n’est plus ici" in forged.text
    await process.run()
    assert len(feedback(process.world)) == 1


async def test_pages_keep_their_address_to_themselves(process: Process) -> None:
    await introduced(process)
    page = await process.see(answer_address(sid("soil"), ASKING))
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_a_letter_that_is_refused_is_told_to_the_ambassador(process: Process) -> None:
    process.world.mail.answer_recipient = lambda address: "550 5.1.1 nobody" if address == ATLAS else "250 ok"
    await introduced(process)
    assert [recipient for recipient, _ in process.world.mail.mails] == [LAB]
    assert "n’a pas pu leur être remis" in (await process.see(ITEM)).text
    [failed] = process.world.log.of(NotificationFailed)
    assert failed.side is ASKING


async def test_a_new_revision_or_a_lapse_takes_back_no_letter_but_reminders(process: Process) -> None:
    world = process.world
    await introduced(process)
    await process.take(changed(made(), rev=2, revision=2))
    await answer(process, ASKING, YES)
    await process.take(lapsed(rev=3))
    world.mail.mails.clear()
    world.now += timedelta(days=3)
    await process.run()
    assert world.mail.mails == []
    await answer(process, OFFERING, YES)
    await process.run()
    assert [recipient for recipient, _ in sorted(world.mail.mails, key=lambda one: one[0])] == [ATLAS, LAB]


async def test_erasing_leaves_nothing_of_an_introduction(process: Process) -> None:
    world = process.world
    await introduced(process)
    await process.take(erased(SuggestionKey(suggestion_id=sid("soil")), 2))
    await process.take(erased(MemberKey(cluster="souss", member_id="atlas"), 2))
    assert (await process.see(answer_address(sid("soil"), OFFERING))).status_code == 404
    words = await world.words()
    assert "Amrani" not in words
    assert ATLAS not in words
    assert "introduced" not in words.replace("introduced_", "")
    world.mail.mails.clear()
    world.now += timedelta(days=20)
    await process.run()
    assert world.mail.mails == []


async def test_an_erased_ambassadors_introduction_ends_and_nobody_is_asked_anew(process: Process) -> None:
    world = process.world
    await introduced(process)
    await answer(process, ASKING, NO)
    await process.run()
    await process.take(erased(AmbassadorKey(cluster="souss", ambassador_id="amina"), 2))
    assert (await process.see(answer_address(sid("soil"), ASKING))).status_code == 404
    assert "amina" not in (await world.words()).lower()
    world.mail.mails.clear()
    world.now += timedelta(days=60)
    await process.run()
    assert world.mail.mails == []
    theirs = inbox("souss/badr") + f"/s/{sid('soil')}"
    assert "Les deux ne se rencontreront pas" in (await process.see(theirs)).text
    assert "<form" not in (await process.see(theirs)).text


async def test_what_the_only_one_told_had_introduced_is_nobodys_task_when_they_are_erased(world: World) -> None:
    process = await world.start()
    await process.take(person(), person("desk", city=None), made(), contact("atlas"), contact("sensors-lab"))
    await act(process, INTRODUCE)
    await process.run()
    await process.take(erased(AmbassadorKey(cluster="souss", ambassador_id="amina"), 2))
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails if recipient == "desk@example.org"] == []


async def test_a_new_contact_is_told_of_nobody_whom_it_has_not_accepted(process: Process) -> None:
    """Whoever accepted is gone: neither is the other side shown to their successor, nor the successor to it."""
    world = process.world
    await introduced(process)
    await answer(process, ASKING, YES)
    await process.take(contact("atlas", rev=2, name="Karim Alami", email="karim@example.org"))
    assert (await process.see(answer_address(sid("soil"), ASKING))).status_code == 404
    world.mail.mails.clear()
    await answer(process, OFFERING, YES)
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == [LAB]
    for page in (answer_address(sid("soil"), OFFERING), answer_address(sid("soil"), ASKING, email="karim@example.org")):
        text = (await process.see(page)).text
        assert "karim@example.org" not in text
        assert LAB not in text
    assert "Karim" not in world.mail.mails[0][1].as_string()
    assert "has named nobody to write to any more" in parts_of(world.mail.mails[0][1])[0]
    assert "karim@example.org" not in (await process.see(ITEM)).text


async def test_who_is_named_after_the_letters_gets_one_and_their_own_time(process: Process) -> None:
    world = process.world
    await introduced(process)
    await answer(process, OFFERING, YES)
    world.now += timedelta(days=8)
    await process.run()
    await process.take(contact("atlas", rev=2, name="Karim Alami", email="karim@example.org"))
    world.mail.mails.clear()
    world.now += timedelta(days=6)
    await process.run()
    assert "karim@example.org" in {recipient for recipient, _ in world.mail.mails}
    assert [one.act for one in feedback(world)] == [Act.INTRODUCED, Act.ACCEPTED]
    world.now += timedelta(days=14)
    await process.run()
    assert [one.silent for one in feedback(world)] == [False, False, True]


async def test_a_contact_that_is_corrected_meanwhile_gets_its_letter(process: Process) -> None:
    world = process.world
    await process.take(erased(MemberKey(cluster="souss", member_id="atlas"), 2), contact("atlas", rev=3))
    await introduced(process)
    await answer(process, ASKING, YES)
    await answer(process, OFFERING, YES)
    await process.take(erased(MemberKey(cluster="souss", member_id="atlas"), 4))
    world.mail.mails.clear()
    await process.run(lambda: _sent_to(world, LAB))
    await process.take(contact("atlas", rev=5))
    world.now += timedelta(hours=1)
    await process.run()
    assert sorted(recipient for recipient, _ in world.mail.mails) == [ATLAS, LAB]


async def _sent_to(world: World, recipient: str) -> bool:
    rows = await world.rows(purpose="met")
    return any(to == recipient for to, _ in world.mail.mails) and any(row["reason"] for row in rows)


async def test_letters_to_members_keep_the_quiet_hours(world: World) -> None:
    world.settings = world.settings.model_copy(update={"quiet_hours": "10:00-20:00"})  # it is half past ten there
    process = await world.start()
    await process.take(person(email=None), made(), contact("atlas"), contact("sensors-lab"))
    await act(process, INTRODUCE)
    await process.run()
    assert world.mail.mails == []
    await process.take(lapsed())  # the first letter goes all the same
    world.now += timedelta(hours=10)
    await process.run()
    assert len(world.mail.mails) == 2


async def test_silence_counts_from_when_the_first_letter_came(world: World) -> None:
    process = await world.start()
    await process.take(person(), made(), contact("atlas"), contact("sensors-lab"))
    await act(process, INTRODUCE)
    world.now += timedelta(days=14)  # away since
    later = await world.start()
    await later.run()
    assert [one.act for one in feedback(world)] == [Act.INTRODUCED]
    assert {ATLAS, LAB} <= {recipient for recipient, _ in world.mail.mails}
    world.now += timedelta(days=14)
    await later.run()
    assert [one.silent for one in feedback(world)] == [False, True, True]


async def test_an_address_ends_after_half_a_year(process: Process) -> None:
    await introduced(process)
    await answer(process, ASKING, YES)
    await answer(process, OFFERING, YES)
    process.world.now += timedelta(days=179)
    assert LAB in (await process.see(answer_address(sid("soil"), ASKING))).text
    process.world.now += timedelta(days=1)
    assert (await process.see(answer_address(sid("soil"), ASKING))).status_code == 404


async def test_the_ambassadors_page_stands_when_a_contact_is_gone(process: Process) -> None:
    await introduced(process)
    await answer(process, ASKING, YES)
    await answer(process, OFFERING, YES)
    await process.take(erased(MemberKey(cluster="souss", member_id="atlas"), 2))
    page = await process.see(ITEM)
    assert page.status_code == 200
    assert ATLAS not in page.text
    assert LAB in page.text


async def test_the_same_outcome_twice_counts_once(process: Process) -> None:
    await introduced(process)
    await answer(process, ASKING, YES)
    await answer(process, OFFERING, YES)
    for _ in range(2):
        await act(process, {"act": "outcome", "result": "meeting"})
    await process.run()
    assert [one.act for one in feedback(process.world)].count(Act.OUTCOME) == 1


async def test_what_an_earlier_version_stored_is_acted_on_and_erased(process: Process) -> None:
    """Acts were stored without what introductions have; suggestions without what is due of them."""
    await act(process, {"act": "taken"})
    suggestions = process.world.database["suggestions"]
    old = {"rev", "revision", "ambassador", "act", "reason", "at"}
    found = await suggestions.find_one({"_id": sid("soil")})
    acts = [{name: one[name] for name in old} for one in found["acts"]]
    gone = dict.fromkeys(("introduced", "step_at", "told_at"), "")
    await suggestions.update_one({"_id": sid("soil")}, {"$set": {"acts": acts}, "$unset": gone})
    await act(process, INTRODUCE)
    await process.run()
    assert [one.act for one in feedback(process.world)] == [Act.TAKEN, Act.INTRODUCED]
    await suggestions.update_one({"_id": sid("soil")}, {"$set": {"acts": acts}, "$unset": gone})
    await process.take(erased(AmbassadorKey(cluster="souss", ambassador_id="amina"), 2))
    assert "amina" not in (await process.world.words()).lower()


async def test_what_is_due_is_found_by_an_index(process: Process) -> None:
    due = process.world.database["suggestions"].find({"step_at": {"$lte": process.world.now}}, {"_id": 1})
    plan = await due.sort("step_at", 1).limit(100).explain()
    assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"])
    invited = {"state": "to_invite", "due": {"$lte": process.world.now}, "receiver": {"$nin": []}}
    rows = process.world.database["notifications"]
    for query in (invited, {"state": "to_invite", "channel": "email"}, {"state": "waiting", "channel": "email"}):
        found = await rows.find(query).sort("due", 1).explain()
        assert "COLLSCAN" not in str(found["queryPlanner"]["winningPlan"])


async def test_one_that_cannot_be_read_keeps_no_other_waiting(process: Process) -> None:
    await process.take(made("other"))
    await act(process, INTRODUCE)
    suggestions = process.world.database["suggestions"]
    await suggestions.update_one({"_id": sid("other")}, {"$set": {"body": "{", "step_at": process.world.now - LEASE}})
    await process.run()
    assert {recipient for recipient, _ in process.world.mail.mails} >= {ATLAS, LAB}
