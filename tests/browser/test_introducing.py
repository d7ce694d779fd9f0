"""An introduction in a browser: the ambassador introduces, both sides accept, contacts appear, an outcome is told."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from schemas.feedback import Act, FeedbackGiven, Side
from tests.browser.conftest import Site
from tests.browser.looking import LANGUAGES, measure, opened
from tests.component.notifier.world import answer_address, inbox
from tests.unit.notifier.samples import contact, made, person, sid

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("language", "width"), [("fr", 390), ("ar", 390), ("en", 1280)])
async def test_from_introducing_to_the_outcome(
    browser: Browser, site: Site, shots: Path | None, language: str, width: int
) -> None:
    contacts = [contact("atlas", language=language, phone="+212 600-000000"), contact("sensors-lab", language=language)]
    await site.process.take(person(language=language), made(), *contacts)

    async def look(page: Page, name: str) -> None:
        layout = await measure(browser, page)
        assert (layout["overflow"], layout["cut"], layout["small"], layout["violations"]) == (0, [], [], []), name
        assert (layout["lang"], layout["dir"]) == (language, "rtl" if language == "ar" else "ltr")
        if shots:
            await page.screenshot(path=f"{shots}/introduction-{name}-{language}-{width}.png", full_page=True)

    async with opened(browser, width=width) as (page, wrong):
        await page.goto(site.url(inbox()))
        await page.locator("a.open").click()
        await look(page, "before")
        await page.locator('button[value="introduced"]').click()
        await page.wait_for_url("**#said")
        await look(page, "asked")
        for side, member in ((Side.REQUESTING, "atlas"), (Side.OFFERING, "sensors-lab")):
            await page.goto(site.url(answer_address(sid("soil"), side)))
            await look(page, f"{side}-before")
            await page.locator('button[value="accepted"]').click()
            await page.wait_for_url("**#said")
            await look(page, f"{side}-after")
            assert await page.locator("form").count() == 0
            shown = await page.locator("#said").inner_text()
            assert ("atlas@example.org" in shown) is (member == "sensors-lab")
        await page.goto(site.url(answer_address(sid("soil"), Side.REQUESTING)))
        assert "sensors-lab@example.org" in await page.locator("#said").inner_text()
        await page.goto(site.url(inbox() + f"/s/{sid('soil')}"))
        await look(page, "met")
        assert "atlas@example.org" in await page.locator("#said").inner_text()
        await page.locator('button[value="contract"]').click()
        await page.wait_for_url("**#said")
        await look(page, "ended")
        assert wrong == []
    await site.process.run()
    acts = [event.act for event in site.process.world.log.of(FeedbackGiven)]
    assert acts == [Act.INTRODUCED, Act.ACCEPTED, Act.ACCEPTED, Act.OUTCOME]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_ends_otherwise_is_designed_too(
    browser: Browser, site: Site, shots: Path | None, language: str
) -> None:
    await site.process.take(person(language=language), made(), contact("atlas", language=language))
    async with opened(browser, width=390) as (page, _):
        for name, path, selector in (
            ("without-contact", inbox() + f"/s/{sid('soil')}", ".acts .hint"),
            ("gone", answer_address(sid("soil"), Side.REQUESTING), ".past"),
        ):
            await page.goto(site.url(path))
            assert await page.locator(selector).first.is_visible()
            layout = await measure(browser, page)
            assert (layout["overflow"], layout["small"], layout["violations"]) == (0, [], []), name
            if shots:
                await page.screenshot(path=f"{shots}/introduction-{name}-{language}-390.png", full_page=True)
        await site.process.take(contact("sensors-lab", language=language))
        await page.goto(site.url(inbox() + f"/s/{sid('soil')}"))
        await page.locator('button[value="introduced"]').click()
        await page.goto(site.url(answer_address(sid("soil"), Side.OFFERING)))
        await page.locator('button[value="declined"]').click()
        await page.wait_for_url("**#said")
        assert (await measure(browser, page))["violations"] == []
        if shots:
            await page.screenshot(path=f"{shots}/introduction-declined-{language}-390.png", full_page=True)
