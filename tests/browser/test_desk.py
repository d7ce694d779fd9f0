"""The desk's overview in a browser: its tables fit a phone, and what a person opens is counted."""

from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from tests.browser.conftest import Site
from tests.browser.looking import LANGUAGES, WIDTHS, measure, opened
from tests.browser.test_inbox import argan, unbreakable
from tests.component.notifier.world import inbox
from tests.unit.notifier.samples import made, person, sid

pytestmark = pytest.mark.browser

DESK = inbox("souss/desk")


async def look(browser: Browser, page: Page, language: str) -> None:
    layout = await measure(browser, page)
    assert (layout["overflow"], layout["cut"], layout["small"], layout["violations"]) == (0, [], [], [])
    assert (layout["lang"], layout["dir"]) == (language, "rtl" if language == "ar" else "ltr")
    assert (layout["h1"], layout["scripts"], layout["inline"]) == (1, 0, 0)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_overview_fits_and_counts_what_was_opened(
    browser: Browser, site: Site, shots: Path | None, language: str
) -> None:
    process, world = site.process, site.process.world
    world.mail.answer_recipient = lambda _: "550 5.1.1 unknown"
    elsewhere = unbreakable()
    party = elsewhere.offer.party.model_copy(update={"city": "dakhla", "city_name": elsewhere.request.title})
    elsewhere = elsewhere.model_copy(update={"offer": elsewhere.offer.model_copy(update={"party": party})})
    await process.take(
        person(language=language), person("badr", city="dakhla"), person("desk", city=None, language=language)
    )
    await process.take(argan(), elsewhere)
    await process.run()
    world.now += timedelta(days=20)
    await process.take(made())
    async with opened(browser, width=390) as (page, wrong):
        await page.goto(site.url(inbox()))
        await page.locator(f'a[href$="{sid("soil")}"]').click()
        await page.wait_for_url(f"**/s/{sid('soil')}")
        await page.goto(site.url(DESK))
        await page.locator('a[href$="/desk"]').click()
        await page.wait_for_url("**/desk")
        assert await page.locator("tfoot td").all_inner_texts() == ["3", "1", *"0000000"]
        assert await page.locator("table").count() == 4  # figures, what waits, who is silent, what did not arrive
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 900})
            await look(browser, page, language)
            if shots:
                await page.screenshot(path=f"{shots}/desk-{language}-{width}.png", full_page=True)
        assert wrong == []
        await page.set_viewport_size({"width": 390, "height": 900})
        await page.goto(site.url(inbox() + "/desk"))
        await look(browser, page, language)
