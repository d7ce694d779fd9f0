"""Signing in by a mailed link: once, for whoever is known at an address; sessions that end; a new private address."""

import asyncio
import re
from collections import Counter
from datetime import timedelta

import httpx
import pytest

from schemas.ambassadors import AmbassadorKey
from services.notifier.address import Tokens, inbox_url
from services.web.entrance import OF_ADDRESS, OF_CLIENT
from tests.component.notifier.receivers import TAKEN
from tests.component.notifier.signing import AMINA, COOKIE, ask, mailed, signed_in
from tests.component.notifier.world import BASE, SIGNING, Process, World, erased, hidden_field, inbox
from tests.unit.notifier.samples import made, person, sid

ITEM = f"/inbox/me/s/{sid('soil')}"
KEY = AmbassadorKey(cluster="souss", ambassador_id="amina")


@pytest.fixture
async def process(world: World) -> Process:
    process = await world.start()
    await process.take(person(), made())
    await process.run()
    world.mail.mails.clear()
    return process


def where(answer: httpx.Response) -> str:
    assert answer.status_code == httpx.codes.SEE_OTHER
    return str(answer.headers["location"])


async def open_to(client: httpx.AsyncClient) -> bool:
    """Whether a browser may read its inbox."""
    answer = await client.get("/inbox/me")
    if answer.is_success:
        assert "Amina Tazi" in answer.text
        return True
    assert where(answer) == "/sign-in"
    return False


async def test_a_link_opens_the_inbox_once_however_often_it_is_looked_at(world: World, process: Process) -> None:
    await process.take(person(language="ar", rev=2))
    world.settings = world.settings.model_copy(update={"quiet_hours": "00:00-23:59"})  # who asks is answered
    process = await world.start()
    assert where(await ask(process, "Amina@Example.org")) == "/sign-in/sent"
    link = await mailed(process)
    [(recipient, mail)] = world.mail.mails
    assert (recipient, str(mail["Content-Language"]), "List-Unsubscribe" in mail) == (AMINA, "ar", False)
    for _ in range(2):
        assert "<button" in (await process.see(link)).text
    another = await world.start()
    async with process.browser() as one, another.browser() as other:
        answers = await asyncio.gather(one.post(link), other.post(link))
        assert sorted(answer.status_code for answer in answers) == [303, 404]
        assert sorted([await open_to(one), await open_to(other)]) == [False, True]
    [cookie] = [answer.headers["set-cookie"] for answer in answers if answer.status_code == httpx.codes.SEE_OTHER]
    assert {part.strip().lower() for part in cookie.split(";")[1:]} == {
        "httponly", "max-age=2592000", "path=/", "samesite=lax", "secure",
    }  # fmt: skip
    secret = cookie.partition("=")[2].partition(";")[0]
    assert len(secret) >= 43
    words = await world.words()
    assert secret not in words
    assert link.rpartition("/")[2] not in words
    assert (await process.see(link)).status_code == 404


async def test_a_stranger_learns_nothing_of_who_is_known(world: World, process: Process) -> None:
    known, unknown = await ask(process), await ask(process, "nobody@example.org")
    assert (known.status_code, known.headers, known.content) == (unknown.status_code, unknown.headers, unknown.content)
    await process.run()
    assert [recipient for recipient, _ in world.mail.mails] == [AMINA]
    assert "nobody" not in await world.words()


async def test_whoever_asks_too_often_is_not_mailed(world: World, process: Process) -> None:
    for _ in range(OF_ADDRESS[0].most + 2):
        assert where(await ask(process)) == "/sign-in/sent"
    await process.run()
    assert len(world.mail.mails) == OF_ADDRESS[0].most
    async with process.browser(**{"x-forwarded-for": "203.0.113.7"}) as client:
        answers = [await client.post("/sign-in", data={"email": "x@example.org"}) for _ in range(OF_CLIENT.most + 1)]
    assert Counter(answer.status_code for answer in answers) == {303: OF_CLIENT.most, 429: 1}
    assert "203.0.113.7" not in await world.words()
    world.now += OF_ADDRESS[0].within
    await ask(process)
    await process.run()
    assert len(world.mail.mails) == OF_ADDRESS[0].most + 1


async def test_a_link_is_good_for_a_quarter_of_an_hour_and_not_sent_after_it(world: World, process: Process) -> None:
    await ask(process)
    link = await mailed(process)
    world.mail.answer_recipient = lambda _: "450 4.2.0 later"
    await ask(process)
    await process.run()
    world.now += timedelta(minutes=15)
    world.mail.answer_recipient = lambda _: TAKEN
    await process.run()
    assert len(world.mail.mails) == 1
    async with process.browser() as client:
        assert (await client.post(link)).status_code == 404


async def test_a_session_ends_by_itself_by_the_reader_and_with_the_address(world: World, process: Process) -> None:
    async with signed_in(process) as one, signed_in(process) as other, signed_in(process) as third:
        page = (await other.get("/sign-out")).text
        data = {"form": hidden_field(page), "where": "here"}
        assert (await other.post("/sign-out", data=data, headers={"sec-fetch-site": "cross-site"})).status_code == 403
        assert (await other.post("/sign-out", data={"where": "here"})).status_code == 403
        assert await open_to(other)
        await other.post("/sign-out", data=data)
        assert [await open_to(each) for each in (one, other, third)] == [True, False, True]
        await one.post("/sign-out", data=data | {"where": "everywhere"})
        assert [await open_to(each) for each in (one, third)] == [False, False]
    world.now += timedelta(days=1)
    async with signed_in(process) as client:
        for days in (13, 13, 3):
            world.now += timedelta(days=days)
            assert await open_to(client)
        world.now += timedelta(days=1)  # 30 in all
        assert not await open_to(client)
    async with signed_in(process) as client:
        world.now += timedelta(days=14)
        assert not await open_to(client)
    async with signed_in(process) as client:
        await process.take(person(rev=2, email="another@example.org"))
        assert not await open_to(client)


async def test_erasing_somebody_ends_and_removes_what_let_them_in(world: World, process: Process) -> None:
    async with signed_in(process) as client:
        await ask(process)
        await process.take(erased(KEY, 9))
        assert not await open_to(client)
    assert "amina" not in (await world.words()).casefold()


async def test_signing_in_ends_what_the_browser_had_before(world: World, process: Process) -> None:
    """Whoever had somebody else's browser keep a session of theirs does not share what comes after."""
    async with signed_in(process) as client:
        planted = client.cookies[COOKIE]
        await ask(process)
        await client.post(await mailed(process))
        assert client.cookies[COOKIE] != planted
        assert await open_to(client)
    async with process.browser(cookie=f"{COOKIE}={planted}") as other:
        assert not await open_to(other)


async def test_pages_under_me_work_as_those_of_the_private_address_and_do_not_show_it(process: Process) -> None:
    async with process.browser() as client:
        assert where(await client.get(ITEM + "?missing=reason")) == f"/sign-in?to={ITEM}%3Fmissing%3Dreason"
    async with signed_in(process, to=ITEM) as client:
        page = await client.get(ITEM)
        token = Tokens(SIGNING).inbox(KEY)
        for path in ("/inbox/me", ITEM, "/inbox/me/preferences"):
            text = (await client.get(path)).text
            assert token not in text
            assert not re.findall(r'href="/inbox/(?!me)', text)
        taken = await client.post(ITEM, data={"form": hidden_field(page.text), "act": "taken"})
        assert where(taken) == f"{ITEM}#said"
        assert "Vous vous en occupez" in (await client.get(ITEM)).text
        # Nothing but the session says whose preferences these are: a form from elsewhere lacks the field.
        data = {"rhythm": "never", "mail": "on"}
        assert (await client.post("/inbox/me/preferences", data=data)).status_code == 403
        assert (await client.post("/inbox/me/address", data={"form": hidden_field(page.text)})).status_code == 403
    assert (await process.store.ambassadors.preferences(KEY)).mail


@pytest.mark.parametrize("to", ["//evil.example", "/\\evil.example", "https://evil.example", "/inbox/me/%2e%2e//evil"])
async def test_nobody_is_led_elsewhere(process: Process, to: str) -> None:
    assert "evil" not in (await process.see("/sign-in?to=" + to)).text
    await ask(process, to=to)
    async with process.browser() as client:
        assert where(await client.post(await mailed(process))) == "/inbox/me"


async def test_one_address_of_several_ambassadors_opens_the_one_they_choose(process: Process) -> None:
    await process.take(person("zaid", email=AMINA, city="dakhla"), person("badr"))
    async with signed_in(process, to=ITEM) as client:
        assert where(await client.get(ITEM)) == f"/sign-in/inboxes?to={ITEM}"
        page = (await client.get(f"/sign-in/inboxes?to={ITEM}")).text
        assert re.findall(r'name="inbox" value="(.*?)"', page) == ["souss/amina", "souss/zaid"]
        data = {"form": hidden_field(page), "to": ITEM}
        assert where(await client.post("/sign-in/inboxes", data=data | {"inbox": "souss/badr"})).startswith("/sign-in")
        assert where(await client.post("/sign-in/inboxes", data=data | {"inbox": "souss/zaid"})) == ITEM
        assert "Zaid Tazi" in (await client.get("/inbox/me")).text


async def test_a_new_private_address_ends_the_old_one_and_all_sessions(world: World, process: Process) -> None:
    old = inbox() + f"/s/{sid('soil')}"
    async with signed_in(process) as client, process.browser() as thief:
        form = hidden_field((await thief.get(old)).text)
        data = {"form": hidden_field((await thief.get(inbox() + "/preferences")).text)}
        assert where(await thief.post(inbox() + "/address", data=data)) == "/sign-in?renewed=1"
        assert not await open_to(client)
        assert where(await thief.get(old)) == f"/sign-in?to={ITEM}"
        assert where(await thief.post(old, data={"form": form, "act": "taken"})).startswith("/sign-in")
    assert await process.store.suggestions.get(sid("soil")) is not None
    async with signed_in(process, to=ITEM) as client:
        assert "Atlas Irrigation" in (await client.get(ITEM)).text
    new = inbox_url(BASE, SIGNING, KEY, 1)
    assert (await process.see(new)).is_success
    await process.take(made("other"))
    world.mail.mails.clear()
    await process.run()
    [(_, mail)] = world.mail.mails
    assert new in mail.as_string().replace("=\n", "").replace("=3D", "=")


async def test_who_has_no_e_mail_is_shown_the_new_address(process: Process) -> None:
    await process.take(person("badr", email=None))
    page = inbox("souss/badr") + "/preferences"
    async with process.browser() as client:
        data = {"form": hidden_field((await client.get(page)).text)}
        new = where(await client.post(inbox("souss/badr") + "/address", data=data))
        assert (await client.get(new)).is_success
        assert where(await client.get(page)).startswith("/sign-in")


async def test_ambassadors_of_an_earlier_version_may_sign_in(world: World, process: Process) -> None:
    await world.database["ambassadors"].update_many({}, {"$unset": {"address": ""}})
    async with signed_in(await world.start()) as client:
        assert await open_to(client)
