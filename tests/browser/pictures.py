"""Takes the README's pictures of the demonstration's inbox: `python -m tests.browser.pictures`."""

import asyncio
import os
import re
import tempfile
from pathlib import Path

from playwright.async_api import Browser, async_playwright
from rich.console import Console

from schemas.ambassadors import AmbassadorKey
from services.console import demo
from services.console.embedded.mail import read_mails
from services.console.system import System, Wanted, running
from services.notifier.address import inbox_url

CLUSTER = "atlas-numerique"
IMAGES = Path(__file__).parents[2] / "docs" / "images"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


async def take(browser: Browser, system: System, ambassador: str, name: str, *, width: int, height: int) -> None:
    """Open an ambassador's newest suggestion, and keep what is seen of it first."""
    key = AmbassadorKey(cluster=CLUSTER, ambassador_id=ambassador)
    page = await browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=2)
    await page.goto(inbox_url(system.inbox, system.inbox_secret, key))
    await page.locator("a.button, a.first, .suggestion a").first.click()
    await page.screenshot(path=IMAGES / f"{name}.png")


async def take_introduction(browser: Browser, system: System, ambassador: str, name: str) -> None:
    """Have an ambassador introduce the two of their newest suggestion, and keep what the asking side reads."""
    key = AmbassadorKey(cluster=CLUSTER, ambassador_id=ambassador)
    page = await browser.new_page(viewport={"width": 760, "height": 1000}, device_scale_factor=2)
    await page.goto(inbox_url(system.inbox, system.inbox_secret, key))
    await page.locator("a.button, a.first, .suggestion a").first.click()
    await page.locator('button[value="introduced"]').click()
    await page.wait_for_url("**#said")
    subject = "aimerait vous présenter"
    while not (mails := [mail for mail in read_mails(Path(system.maildir)) if subject in mail.subject]):
        await asyncio.sleep(0.2)
    [link] = re.findall(r"http\S+/introduction/\S+", mails[0].text)
    await page.goto(link)
    await page.screenshot(path=IMAGES / f"{name}.png", full_page=True)


async def main() -> None:
    """Play the demonstration in French and in Arabic, and photograph both."""
    IMAGES.mkdir(exist_ok=True)
    say = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        async with running(Wanted(data=Path(folder), port=0), say.print) as (system, _), async_playwright() as play:
            browser = await play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            await demo.play(system, say, language="fr")
            await take(browser, system, "chellah", "inbox-fr", width=1100, height=1000)
            await take_introduction(browser, system, "chellah", "introduction")
            await demo.play(system, say, language="ar")
            await take(browser, system, "nawair", "inbox-ar-phone", width=390, height=844)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
