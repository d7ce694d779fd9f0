"""What ambassadors set themselves: when e-mails come, none at all, who stands in; and one click that ends them."""

import re
from datetime import timedelta

import httpx
import pytest

from schemas.ambassadors import AmbassadorKey
from services.notifier.address import Tokens
from tests.component.notifier.letters import EVENING, HOUSE, MORNING, names_of, paced, some
from tests.component.notifier.receivers import parts_of
from tests.component.notifier.world import BASE, SIGNING, Process, World, erased, hidden_field, inbox
from tests.unit.notifier.samples import made, person, sid

PAGE = inbox() + "/preferences"
AMINA = AmbassadorKey(cluster="souss", ambassador_id="amina")
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
FILLED = {
    "rhythm": "daily", "at": "08:30", "days": ["MO", "TU", "WE", "TH", "FR", "SA", "SU"],
    "quiet_from": "20:00", "quiet_to": "07:00", "most": "2",
}  # fmt: skip


@pytest.fixture(autouse=True)
def house(world: World) -> None:
    world.settings = world.settings.model_copy(update=HOUSE)


async def send(process: Process, address: str, data: dict[str, object], **headers: str) -> httpx.Response:
    """Fill in a form, with the hidden field that its page has."""
    async with process.browser(**headers) as client:
        page = await client.get(address)
        field = {"form": hidden_field(page.text)} if page.is_success and address == PAGE else {}
        return await client.post(address, data=field | data)


async def test_what_is_set_holds_for_what_waits_and_for_what_comes(world: World) -> None:
    world.now = MORNING + timedelta(hours=1)
    process = await world.start()
    await process.take(person())
    assert (await send(process, PAGE, FILLED)).status_code == 303
    await process.take(*some("abc"))
    await process.run()
    assert world.mail.mails == []
    world.now = MORNING + timedelta(hours=1, minutes=30)  # half past eight in Casablanca
    await process.run()
    assert [names_of(mail) for _, mail in world.mail.mails] == ["ab"]
    page = (await process.see(PAGE)).text
    assert 'value="08:30"' in page
    assert re.search(r'value="daily" checked', page)
    # The profile comes again, with other hours: what the reader has set goes before.
    await process.take(paced(rhythm="at_once", most_per_day=50).model_copy(update={"rev": 2}))
    world.now += timedelta(hours=1)
    await process.run()
    assert len(world.mail.mails) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rhythm": "sometimes"}, "Choisissez une des possibilités."),
        ({"at": "25:00"}, "Écrivez l’heure comme 08:30."),
        ({"quiet_from": "late"}, "Écrivez les heures comme 21:00."),
        ({"days": []}, "Choisissez au moins un jour."),
        ({"most": "0"}, "Écrivez un nombre de 1 à 100."),
        ({"most": "many"}, "Écrivez un nombre de 1 à 100."),
        ({"away_from": "tomorrow"}, "Choisissez le premier jour."),
        ({"away_from": "2026-12-24", "away_to": "2026-12-20"}, "Le dernier jour précède le premier."),
        ({"away_to": "2026-12-20"}, "Choisissez le premier jour."),
        ({"away_from": "2026-12-24", "deputy": "no body"}, "Choisissez une des possibilités."),
    ],
)
async def test_what_cannot_be_is_said_beside_its_field_and_nothing_is_kept(
    world: World, change: dict[str, object], said: str
) -> None:
    process = await world.start()
    await process.take(person())
    before = await world.words()
    answer = await send(process, PAGE, FILLED | change)
    assert answer.status_code == 422
    assert said in answer.text
    assert 'value="08:30"' in answer.text or "at" in change  # what was right is still there
    assert await world.words() == before


async def test_who_reads_arabic_chooses_the_digits_of_pages_and_letters(world: World) -> None:
    world.now = MORNING
    process = await world.start()
    await process.take(person(language="ar"), *some("abc"))
    assert 'name="digits" value="latn" checked' in (await process.see(PAGE)).text
    assert "TRL 5" in (await process.see(inbox() + f"/s/{sid('a')}")).text
    assert (await send(process, PAGE, FILLED | {"digits": "arab"})).status_code == 303
    page = (await process.see(inbox())).text
    assert "٣ اقتراحات بانتظارك" in page
    assert "١٢ دجنبر ٢٠٢٦" in page
    assert "٣١٪" in page.replace("\u200e", "")
    assert not re.search(r">[^<]*[0-9][^<]*<", page.partition("<main")[2])
    world.now += timedelta(hours=2)
    await process.run()
    for part in parts_of(world.mail.mails[0][1]):
        assert "١٢ دجنبر ٢٠٢٦" in part
    # Kept when something else is set, and by a form of before there was a choice.
    assert (await send(process, PAGE, FILLED | {"most": "3"})).status_code == 303
    assert 'name="digits" value="arab" checked' in (await process.see(PAGE)).text
    assert (await send(process, PAGE, FILLED | {"digits": "roman"})).status_code == 422


async def test_one_click_ends_letters_and_one_more_brings_them_back(world: World) -> None:
    world.now = MORNING
    process = await world.start()
    await process.take(person(), made("a"))
    await process.run()
    [(_, mail)] = world.mail.mails
    [address] = re.findall(r"^<(.*)>$", str(mail["List-Unsubscribe"]))
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert address in parts_of(mail)[0]
    assert address.removeprefix(BASE) == "/unsubscribe/" + Tokens(SIGNING).unsubscribe(AMINA)
    assert (await process.see(address)).status_code == 200  # a scanner follows the link
    await process.take(made("b"))
    await process.run()
    assert len(world.mail.mails) == 2
    assert (await send(process, address, dict(ONE_CLICK))).status_code == 200
    await process.take(made("c"))
    await process.run()
    assert len(world.mail.mails) == 2
    assert f"/s/{sid('c')}" in (await process.see(inbox())).text
    assert 'value="never" checked' in (await process.see(PAGE)).text
    await send(process, address, {"mail": "again"})
    await process.take(made("d"))
    await process.run()
    assert [names_of(mail) for _, mail in world.mail.mails] == ["a", "b", "d"]


async def test_what_waits_when_letters_end_is_never_sent(world: World) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(), *some("abc"))
    await send(process, f"{BASE}/unsubscribe/{Tokens(SIGNING).unsubscribe(AMINA)}", dict(ONE_CLICK))
    world.now = MORNING
    await process.run()
    assert world.mail.mails == []
    assert {row["state"] for row in await world.rows(channel="email")} == {"cancelled"}
    await send(process, f"{BASE}/unsubscribe/{Tokens(SIGNING).unsubscribe(AMINA)}", {"mail": "again"})
    world.now += timedelta(days=2)
    await process.run()
    assert world.mail.mails == []


async def test_what_ended_stays_ended_when_the_log_is_read_again(world: World) -> None:
    world.now = EVENING
    process = await world.start()
    await process.take(person(), *some("abc"))
    await send(process, f"{BASE}/unsubscribe/{Tokens(SIGNING).unsubscribe(AMINA)}", dict(ONE_CLICK))
    world.now = MORNING
    await process.run()
    await send(process, f"{BASE}/unsubscribe/{Tokens(SIGNING).unsubscribe(AMINA)}", {"mail": "again"})
    await process.take(person(), *some("abc"))
    await process.run()
    assert world.mail.mails == []


async def test_a_page_that_was_open_when_one_click_ended_letters_does_not_begin_them_again(world: World) -> None:
    process = await world.start()
    await process.take(person())
    await send(process, f"{BASE}/unsubscribe/{Tokens(SIGNING).unsubscribe(AMINA)}", dict(ONE_CLICK))
    await send(process, PAGE, FILLED | {"mail": "on"})
    assert 'value="never" checked' in (await process.see(PAGE)).text
    await send(process, PAGE, FILLED | {"mail": "off"})
    assert 'value="never" checked' not in (await process.see(PAGE)).text


async def test_what_is_not_set_follows_the_profile(world: World) -> None:
    process = await world.start()
    await process.take(paced(rhythm="daily", at="08:00", days=["MO"]))
    shown = {"rhythm": "daily", "at": "08:00", "days": ["MO"], "quiet_from": "21:00", "quiet_to": "07:00", "most": ""}
    away = {"away_from": "2026-12-24", "away_to": "2026-12-31"}
    assert (await send(process, PAGE, shown | {"mail": "on"} | away)).status_code == 303
    kept = await process.store.ambassadors.preferences(AMINA)
    assert kept.absence is not None
    assert (kept.rhythm, kept.at, kept.days, kept.quiet, kept.most_per_day) == (None, None, None, None, None)
    await process.take(paced(rhythm="weekly", at="09:00", days=["TU"]).model_copy(update={"rev": 2}))
    page = (await process.see(PAGE)).text
    assert 'value="weekly" checked' in page
    assert 'value="2026-12-24"' in page


async def test_who_wants_text_alone_gets_no_html(world: World) -> None:
    process = await world.start()
    await process.take(person())
    assert (await send(process, PAGE, FILLED | {"rhythm": "at_once", "plain": "on"})).status_code == 303
    assert 'name="plain" value="on" checked' in (await process.see(PAGE)).text
    await process.take(made("a"))
    await process.run()
    [(_, mail)] = world.mail.mails
    assert mail.get_content_type() == "text/plain"
    assert mail["Content-Language"] == "fr"
    assert f"/s/{sid('a')}" in mail.get_content()
    await send(process, PAGE, dict(FILLED))
    assert 'name="plain" value="on" checked' not in (await process.see(PAGE)).text


async def test_the_address_that_ends_letters_opens_nothing(world: World) -> None:
    process = await world.start()
    await process.take(person(), made("a"))
    token = Tokens(SIGNING).unsubscribe(AMINA)
    page = await process.see(f"{BASE}/unsubscribe/{token}")
    assert Tokens(SIGNING).inbox(AMINA) not in page.text
    assert (await process.see(f"{BASE}/inbox/{token}")).status_code == 403
    assert (await process.see(f"{BASE}/unsubscribe/{Tokens(SIGNING).inbox(AMINA)}")).status_code == 403
    assert (await send(process, f"{BASE}/unsubscribe/x", dict(ONE_CLICK))).status_code == 403


async def test_an_absence_set_on_the_page_sends_what_comes_to_the_deputy(world: World) -> None:
    world.now = MORNING
    process = await world.start()
    await process.take(person(), person("badr", city="elsewhere"))
    assert "Badr Tazi" in (await process.see(PAGE)).text
    today = MORNING.date()
    away = {"away_from": today.isoformat(), "away_to": (today + timedelta(days=3)).isoformat(), "deputy": "badr"}
    assert (await send(process, PAGE, FILLED | away)).status_code == 303
    await process.take(made("a"))
    assert f"/s/{sid('a')}" in (await process.see(inbox("souss/badr"))).text
    assert f"/s/{sid('a')}" not in (await process.see(inbox())).text
    world.now += timedelta(days=4)
    await process.take(made("b"))
    assert f"/s/{sid('b')}" in (await process.see(inbox())).text


async def test_a_form_from_elsewhere_sets_nothing(world: World) -> None:
    process = await world.start()
    await process.take(person())
    before = await world.words()
    answer = await send(process, PAGE, dict(FILLED), **{"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert await world.words() == before


async def test_erasing_an_ambassador_erases_what_they_set(world: World) -> None:
    process = await world.start()
    await process.take(person())
    await send(process, PAGE, FILLED | {"most": "17"})
    assert "17" in await world.words()
    await process.take(erased(AMINA, 2))
    assert "rhythm" not in await world.words()
    assert (await send(process, PAGE, dict(FILLED))).status_code == 403
