"""The inbox in a browser: three languages, a phone and a desktop, without scripts, with nothing from elsewhere."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser

from schemas.feedback import Act, FeedbackGiven
from schemas.notifications import Channel
from schemas.suggestions import Evidence, SharedTerm, SuggestionMade
from services.notifier.address import Tokens
from services.notifier.store.rows import notification_id
from tests.browser.conftest import Site
from tests.browser.looking import LANGUAGES, SCHEMES, measure, opened
from tests.component.notifier.signing import AMINA, mailed
from tests.component.notifier.world import BASE, SIGNING, World, erased, hidden_field, inbox
from tests.unit.notifier.samples import changed, lapsed, made, passage, person, sid

pytestmark = pytest.mark.browser

SECONDS = 30


@pytest.fixture(autouse=True)
def undoing(world: World) -> None:
    """As deployed: before `site` starts a process on it."""
    world.settings = world.settings.model_copy(update={"undo_seconds": SECONDS})


OIL = "نبحث عن شريك لتتبع جودة زيت أركان عند كل معصرة قبل التصدير نحو أوروبا."
LAB = "تحليل طيفي لكشف غش الزيوت، ومنها أركان، وشهادات الجودة المطلوبة عند تصدير المنتجات."
LONG = "Photobioréacteursthermorégulés" * 4


def argan() -> SuggestionMade:
    """A suggestion in Arabic."""
    base = made("argan")
    words = [("زيت", "الزيوت", 0.36), ("أركان", "أركان", 0.33), ("جودة", "الجودة", 0.18), ("التصدير", "تصدير", 0.13)]
    request = base.request.model_copy(
        update={
            "party": base.request.party.model_copy(update={"name": "تعاونية أركان الأطلس", "locality": "تارودانت"}),
            "title": "تتبع جودة زيت أركان من المعصرة إلى التصدير",
            "text": OIL,
            "language": "ar",
            "request_id": "argan",
        }
    )
    document = base.offer.documents[0].model_copy(
        update={"document_id": "oils", "title": "كشف غش الزيوت بالتحليل الطيفي", "text": LAB, "language": "ar"}
    )
    lab = base.offer.party.model_copy(
        update={"name": "مختبر تحليل الأغذية", "locality": "أكادير", "city_name": "مدينة الابتكار بأكادير"}
    )
    evidence = Evidence(
        terms=tuple(SharedTerm(request_words=(a,), offer_words=(b,), share=share) for a, b, share in words),
        request_passages=(passage("argan", OIL, *[a for a, _, _ in words]),),
        offer_passages=(passage("oils", LAB, *[b for _, b, _ in words]),),
    )
    return base.model_copy(
        update={
            "request": request,
            "offer": base.offer.model_copy(update={"documents": (document,), "party": lab}),
            "evidence": evidence,
        }
    )


def unbreakable() -> SuggestionMade:
    """A suggestion with a word longer than a phone is wide."""
    base = made("long")
    party = base.request.party.model_copy(update={"name": LONG, "locality": LONG})
    terms = (SharedTerm(request_words=(LONG,), offer_words=(LONG,), share=0.9), base.evidence.terms[1])
    passages = (passage("soil", f"{LONG} {LONG}", LONG),)
    return base.model_copy(
        update={
            "request": base.request.model_copy(update={"title": LONG, "party": party}),
            "evidence": Evidence(terms=terms, request_passages=passages),
        }
    )


@pytest.mark.parametrize(("language", "width"), [("fr", 390), ("ar", 390), ("en", 1280)])
async def test_pages_fit_and_read(browser: Browser, site: Site, shots: Path | None, language: str, width: int) -> None:
    await site.process.take(person(language=language), person("badr"), made(), argan(), unbreakable(), made("gone"))
    await site.process.take(lapsed("gone"))
    paths = {
        "list": "",
        "done": "?view=done",
        "empty": "?view=ongoing",
        "found": "?q=capteurs&lead=1",
        "nothing": "?q=nowhere",
        "item": f"/s/{sid('soil')}",
        "argan": f"/s/{sid('argan')}",
        "long": f"/s/{sid('long')}",
        "lapsed": f"/s/{sid('gone')}",
        "reason": f"/s/{sid('soil')}?missing=reason",
        "notfound": f"/s/{sid('none')}",
        "preferences": "/preferences",
    }
    addresses = {name: site.url(inbox() + path) for name, path in paths.items()}
    addresses["unsubscribe"] = site.url(f"{BASE}/unsubscribe/{Tokens(SIGNING).unsubscribe(person().key)}")
    for name, address in addresses.items():
        async with opened(browser, width=width) as (page, wrong):
            await page.goto(address)
            layout = await measure(browser, page)
            assert layout["overflow"] <= 0, name
            assert layout["cut"] == [], name
            assert (layout["lang"], layout["dir"]) == (language, "rtl" if language == "ar" else "ltr")
            assert layout["small"] == [], name
            assert layout["violations"] == [], name
            keeps_up = name not in ("notfound", "preferences", "unsubscribe")
            assert (layout["h1"], layout["scripts"], layout["inline"]) == (1, int(keeps_up), 0)
            assert [line for line in wrong if name != "notfound"] == [], name
        for scheme in SCHEMES if shots else ():
            async with opened(browser, width=width, scheme=scheme) as (page, _):
                await page.goto(address)
                await page.screenshot(path=f"{shots}/{name}-{language}-{width}-{scheme}.png", full_page=True)


async def test_the_right_words_are_marked(browser: Browser, site: Site) -> None:
    await site.process.take(person(language="ar"), argan())
    async with opened(browser, width=390) as (page, _):
        await page.goto(site.url(inbox() + f"/s/{sid('argan')}"))
        texts = page.locator("blockquote")
        assert await texts.nth(0).locator("mark").all_inner_texts() == ["جودة", "زيت", "أركان", "التصدير"]
        assert await texts.nth(1).locator("mark").all_inner_texts() == ["الزيوت", "أركان", "الجودة", "تصدير"]
        assert (await texts.nth(0).inner_text()).strip() == OIL
        assert await texts.nth(0).get_attribute("lang") == "ar"
        assert await texts.nth(0).get_attribute("dir") == "auto"
        assert "دجنبر" in await page.locator(".facts").inner_text()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_acts_work(browser: Browser, site: Site, shots: Path | None, language: str) -> None:
    await site.process.take(person(language=language), made(), argan())
    async with opened(browser, width=390) as (page, wrong):
        await page.goto(site.url(inbox()))
        await page.locator(f'a[href$="{sid("soil")}"]').click()
        await page.locator("button.first").click()
        await page.wait_for_url("**#said")
        assert await page.locator("#said h2").is_visible()
        assert await page.locator("button.first").count() == 0
        if shots:
            await page.screenshot(path=f"{shots}/taken-{language}-390-light.png", full_page=True)
        layout = await measure(browser, page)
        assert (layout["overflow"], layout["cut"], layout["small"], layout["violations"]) == (0, [], [], [])
        await page.locator('button[value="undo"]').click()
        await page.wait_for_url("**#undone")
        assert await page.locator("#undone").is_visible()
        if shots:
            await page.screenshot(path=f"{shots}/undone-{language}-390-light.png", full_page=True)
        await page.locator("button.first").click()
        await page.wait_for_url("**#said")

        await page.locator("a.back").click()
        await page.locator(f'a[href$="{sid("argan")}"]').click()
        await page.locator("summary", has_text="…").click()
        await page.locator('input[value="wrong_topic"]').check()
        if shots:
            await page.screenshot(path=f"{shots}/why-{language}-390-light.png", full_page=True)
        await page.locator("fieldset + button").click()
        await page.wait_for_url("**#said")
        assert await page.locator("form").count() == 1  # to undo it
        assert wrong == []
    site.process.world.now += timedelta(seconds=SECONDS)
    await site.process.run()
    given = site.process.world.log.of(FeedbackGiven)
    assert {(event.suggestion_id, event.act) for event in given} == {
        (sid("soil"), Act.TAKEN),
        (sid("argan"), Act.NOT_RELEVANT),
    }


async def test_what_is_new_appears_and_leaves_alone_what_is_being_filled_in(
    browser: Browser, site: Site, shots: Path | None
) -> None:
    await site.process.take(person(), person("badr"), made())
    async with opened(browser, width=390, scripts=True) as (page, wrong):
        await page.goto(site.url(inbox()))
        await page.locator(f'a[href$="{sid("soil")}"]').focus()
        await site.process.take(made("second"))
        second = page.locator(f'a[href$="{sid("second")}"]')
        await second.wait_for()
        # How many there are and which are two questions: a page asked for in between is asked for once more.
        await page.locator(".news", has_text="2 rapprochements vous attendent").wait_for(state="attached")
        assert await page.locator(f'a[href$="{sid("soil")}"]:focus').count() == 1

        await second.click()
        await page.locator("summary", has_text="…").click()
        await page.locator('input[value="wrong_topic"]').check()
        await page.locator("h1").click()  # the focus is nowhere
        theirs = inbox("souss/badr") + f"/s/{sid('second')}"
        async with site.process.browser() as badr:
            form = hidden_field((await badr.get(theirs)).text)
            await badr.post(theirs, data={"form": form, "act": "taken"})
        await page.locator(".news button").wait_for()
        assert await page.locator('input[value="wrong_topic"]').is_checked()
        assert await page.locator("#said").count() == 0
        if shots:
            await page.screenshot(path=f"{shots}/news-fr-390-light.png")
        await page.locator(".news button").click()
        await page.locator("#said").wait_for()
        assert "Badr Tazi" in await page.locator("#said").inner_text()

        # Nothing moves away under a pressed pointer.
        await page.goto(site.url(inbox()))
        await page.locator("h1").hover()
        await page.mouse.down()
        await site.process.take(made("third"))
        await page.locator(".news button").wait_for()
        assert await page.locator(f'a[href$="{sid("third")}"]').count() == 0
        await page.mouse.up()

        # A page is of one language.
        await page.goto(site.url(inbox()))
        await site.process.take(changed(person(language="ar"), rev=2), made("fourth"))
        await page.locator(".news button").wait_for()
        assert await page.locator(f'a[href$="{sid("fourth")}"]').count() == 0
        assert wrong == []

        # Who may not read it any more does not go on seeing it.
        await site.process.take(erased(person().key, 3))
        await page.locator("main a[href='/sign-in']").wait_for()


async def test_failed_and_denied_are_designed(browser: Browser, site: Site, shots: Path | None) -> None:
    site.process.world.mail.answer_recipient = lambda _: "550 5.1.1 unknown"
    await site.process.take(person(), made())
    await site.process.run()
    row = await site.process.store.deliveries.to_ambassador(sid("soil"), 1, "souss/amina")
    assert {one.notification_id for one in row} == {
        notification_id(sid("soil"), 1, "souss/amina", channel) for channel in (Channel.INBOX, Channel.EMAIL)
    }
    for name, path, selector in (
        ("failed", inbox() + f"/s/{sid('soil')}", ".warn"),
        ("denied", inbox() + "x", ".warn"),
    ):
        async with opened(browser, width=390) as (page, _):
            await page.goto(site.url(path))
            assert await page.locator(selector).is_visible()
            assert (await measure(browser, page))["overflow"] <= 0
            if shots:
                await page.screenshot(path=f"{shots}/{name}-fr-390-light.png", full_page=True)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_preferences_are_set_by_tapping(browser: Browser, site: Site, language: str) -> None:
    await site.process.take(person(language=language), person("badr"))
    async with opened(browser, width=390) as (page, wrong):
        await page.goto(site.url(inbox()))
        await page.locator('a[href$="/preferences"]').click()
        await page.locator('input[value="weekly"]').check()
        await page.locator('input[value="SU"]').uncheck()
        await page.locator('input[name="at"]').fill("09:15")
        await page.locator('input[name="away_from"]').fill("2026-12-24")
        await page.locator("select").select_option("badr")
        await page.locator("button.first").click()
        await page.wait_for_url("**#said")
        assert await page.locator("#said").is_visible()
        assert await page.locator('input[value="weekly"]').is_checked()
        assert wrong == []
    kept = await site.process.store.ambassadors.preferences(person().key)
    assert (kept.rhythm, kept.at, len(kept.days or ()), kept.quiet) == ("weekly", "09:15", 6, None)
    assert kept.absence is not None
    assert (kept.absence.first_day, kept.absence.last_day, kept.absence.deputy) == (
        date(2026, 12, 24),
        date(2026, 12, 24),
        "badr",
    )


@pytest.mark.parametrize(("language", "width"), [("fr", 1280), ("ar", 390), ("en", 390)])
async def test_signing_in_by_the_mail_that_comes(
    browser: Browser, site: Site, shots: Path | None, language: str, width: int
) -> None:
    await site.process.take(person(language=language), person("zaid", email=AMINA), made())
    async with opened(browser, width=width, language=language) as (page, wrong):

        async def look(name: str) -> None:
            layout = await measure(browser, page, language)
            assert (layout["overflow"], layout["cut"], layout["small"], layout["violations"]) == (0, [], [], []), name
            keeps_up_to_date = int(name == "sign-in-taken")
            assert (layout["lang"], layout["h1"], layout["inline"]) == (language, 1, 0), name
            assert layout["scripts"] == keeps_up_to_date, name
            if shots:
                await page.screenshot(path=f"{shots}/{name}-{language}-{width}-light.png", full_page=True)

        await page.goto(f"{site.base}/inbox/me/s/{sid('soil')}")
        await page.wait_for_url("**/sign-in?to=**")
        await look("sign-in")
        await page.locator("input[type=email]").fill("AMINA@example.org")
        await page.locator("button.first").click()
        await page.wait_for_url("**/sign-in/sent")
        await look("sign-in-sent")
        await site.process.parts.signing_in.looked_into()
        link = site.base + await mailed(site.process)
        await page.goto(link)
        await look("sign-in-link")
        await page.locator("button.first").click()
        await page.wait_for_url("**/sign-in/inboxes?to=**")
        await look("sign-in-inboxes")
        await page.locator('button[value="souss/amina"]').click()
        await page.wait_for_url(f"**/inbox/me/s/{sid('soil')}")
        await page.locator("button.first").click()
        await page.wait_for_url("**#said")
        await look("sign-in-taken")
        await page.locator('a[href="/sign-out"]').click()
        await page.wait_for_url("**/sign-out")
        await look("sign-out")
        await page.locator("button.first").click()
        await page.wait_for_url("**/sign-in")
        assert wrong == []
        await page.goto(link)
        assert await page.locator(".warn").is_visible()
        await look("sign-in-used")
