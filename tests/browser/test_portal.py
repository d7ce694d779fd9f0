"""The portal in a browser: in Arabic, as wide as a telephone, from the mailed link to a need that is posted."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.browser.looking import measure, opened
from tests.component.ingest.portal import Portal, running

pytestmark = pytest.mark.browser

TITLE = "كشف غش زيت أركان"
TEXT = "نبحث عن مختبر يكشف غش زيت أركان بالتحليل الطيفي قبل التصدير نحو أوروبا."


@pytest.fixture
async def portal(mongo_url: str) -> AsyncIterator[Portal]:
    async with running(mongo_url) as portal:
        await portal.people()
        yield portal


async def test_an_organisation_describes_itself_previews_and_posts(
    browser: Browser, portal: Portal, shots: Path | None
) -> None:
    email = await portal.member("taawuniya", name="تعاونية أركان", language="ar")
    await portal.quiet()
    async with opened(browser, width=390, scripts=True, language="ar") as (page, wrong):

        async def look(name: str, scripts: int = 0) -> None:
            layout = await measure(browser, page, "ar")
            assert (layout["overflow"], layout["cut"], layout["small"], layout["violations"]) == (0, [], [], []), name
            told = (layout["lang"], layout["dir"], layout["h1"], layout["scripts"], layout["inline"])
            assert told == ("ar", "rtl", 1, scripts, 0), name
            if shots:
                await page.screenshot(path=f"{shots}/portal-{name}-ar-390-light.png", full_page=True)

        await page.goto(f"{portal.base}/portal")
        await page.wait_for_url("**/portal/sign-in")
        await look("sign-in")
        await page.goto(portal.base + await portal.link(email))
        await look("link")
        await page.locator("button.first").click()
        await page.wait_for_url("**/portal")
        await look("home-empty")

        await page.locator('a[href="/portal/organisation/assets/new"]').click()
        await page.locator("#title").fill("معصرة زيت أركان")
        await page.locator("#text").fill("عصر على البارد، وتعبئة للتصدير.")
        await look("asset")
        await page.locator('button[value="keep"]').click()
        await page.wait_for_url("**/portal?said=described#said")
        await page.locator('a[href="/portal/organisation"]').click()
        await page.locator("#summary").fill("تعاونية نسائية تنتج زيت أركان.")
        await page.locator('select[name="city"]').select_option("agadir")
        await look("organisation")
        await page.locator("button.first").click()
        await page.wait_for_url("**#said")

        await page.locator('a[href="/portal/needs/new"]').click()
        await look("need-empty", scripts=1)
        await page.locator("#title").fill(TITLE)
        await page.locator("#text").fill(TEXT)
        await page.locator(".near li", has_text="Laboratoire Sols").wait_for()  # while it is being written
        assert await page.locator(".near bdi", has_text="أركان").count() >= 1
        if shots:
            await page.screenshot(path=f"{shots}/portal-need.ar.png", full_page=True)
        await page.locator('button[value="preview"]').click()  # as it goes without scripts
        await page.locator(".near li", has_text="Laboratoire Sols").wait_for()
        assert await page.locator("#title").input_value() == TITLE
        await page.locator('button[value="post"]').click()
        await page.wait_for_url("**/portal?said=posted#said")
        assert await page.locator("#said").is_visible()
        await look("home")
        await page.locator("li a", has_text=TITLE).click()
        await look("need", scripts=1)
        assert wrong == []
    await portal.quiet()
    [need] = [one async for one in portal.services[0].store.database["needs"].find()]
    assert (need["value"]["title"], need["value"]["text"]) == (TITLE, TEXT)
