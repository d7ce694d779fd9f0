"""The inbox in a browser: three languages, a phone and a desktop, without scripts, with nothing from elsewhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page

from schemas.feedback import Act, FeedbackGiven
from schemas.notifications import Channel
from schemas.suggestions import Evidence, SharedTerm, SuggestionMade
from services.notifier.store.deliveries import notification_id
from tests.browser.conftest import Site
from tests.component.notifier.world import inbox
from tests.unit.notifier.samples import lapsed, made, passage, person, sid

pytestmark = pytest.mark.browser

LANGUAGES = ["fr", "ar", "en"]
WIDTHS = [390, 1280]
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

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


@asynccontextmanager
async def opened(
    browser: Browser, *, width: int, scheme: Literal["light", "dark"] = "light"
) -> AsyncIterator[tuple[Page, list[str]]]:
    """A page without scripts, with everything that went wrong on it or was asked of elsewhere."""
    context = await browser.new_context(
        viewport={"width": width, "height": 900}, java_script_enabled=False, color_scheme=scheme, has_touch=width < 600
    )
    page = await context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("requestfailed", lambda request: wrong.append(f"failed {request.url}"))
    page.on(
        "request", lambda request: None if request.url.startswith("http://127.0.0.1") else wrong.append(request.url)
    )
    yield page, wrong
    await context.close()


async def measure(browser: Browser, page: Page) -> dict[str, Any]:
    """What the layout is. Scripts are off on the page itself: the same bytes are measured in another."""
    context = await browser.new_context(viewport=page.viewport_size, bypass_csp=True)
    twin = await context.new_page()
    await twin.goto(page.url)
    found: dict[str, Any] = await twin.evaluate(
        """() => ({
            overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
            cut: [...document.querySelectorAll('main *')]
                .filter(e => { const r = e.getBoundingClientRect(); return r.right > innerWidth + 1 || r.left < -1; })
                .map(e => e.outerHTML.slice(0, 80)),
            dir: document.documentElement.dir, lang: document.documentElement.lang,
            small: [...document.querySelectorAll('button, .button, summary, .choice, nav a, .back')]
                .filter(e => e.getClientRects().length && e.getBoundingClientRect().height < 43.5)
                .map(e => e.outerHTML.slice(0, 80)),
            h1: document.querySelectorAll('h1').length,
            scripts: document.scripts.length,
            inline: document.querySelectorAll('[style]').length,
        })"""
    )
    await context.close()
    return found


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", WIDTHS)
async def test_pages_fit_and_read(browser: Browser, site: Site, shots: Path | None, language: str, width: int) -> None:
    await site.process.take(person(language=language), person("badr"), made(), argan(), unbreakable(), made("gone"))
    await site.process.take(lapsed("gone"))
    paths = {
        "list": "",
        "done": "?view=done",
        "empty": "?view=ongoing",
        "item": f"/s/{sid('soil')}",
        "argan": f"/s/{sid('argan')}",
        "long": f"/s/{sid('long')}",
        "lapsed": f"/s/{sid('gone')}",
        "reason": f"/s/{sid('soil')}?missing=reason",
        "notfound": f"/s/{sid('none')}",
    }
    for name, path in paths.items():
        async with opened(browser, width=width) as (page, wrong):
            await page.goto(site.url(inbox() + path))
            layout = await measure(browser, page)
            assert layout["overflow"] <= 0, name
            assert layout["cut"] == [], name
            assert (layout["lang"], layout["dir"]) == (language, "rtl" if language == "ar" else "ltr")
            assert layout["small"] == [], name
            assert (layout["h1"], layout["scripts"], layout["inline"]) == (1, 0, 0)
            assert [line for line in wrong if name != "notfound"] == [], name
        for scheme in SCHEMES if shots else ():
            async with opened(browser, width=width, scheme=scheme) as (page, _):
                await page.goto(site.url(inbox() + path))
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

        await page.locator("a.back").click()
        await page.locator(f'a[href$="{sid("argan")}"]').click()
        await page.locator("summary", has_text="…").click()
        await page.locator('input[value="wrong_topic"]').check()
        if shots:
            await page.screenshot(path=f"{shots}/why-{language}-390-light.png", full_page=True)
        await page.locator("fieldset + button").click()
        await page.wait_for_url("**#said")
        assert await page.locator("form").count() == 0
        assert wrong == []
    await site.process.run()
    given = site.process.world.log.of(FeedbackGiven)
    assert {(event.suggestion_id, event.act) for event in given} == {
        (sid("soil"), Act.TAKEN),
        (sid("argan"), Act.NOT_RELEVANT),
    }


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
