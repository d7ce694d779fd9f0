"""How pages are looked at: without scripts, as wide as a phone and a desktop, with all that goes wrong on them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page

LANGUAGES = ["fr", "ar", "en"]
WIDTHS = [390, 1280]
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@asynccontextmanager
async def opened(
    browser: Browser,
    *,
    width: int,
    scheme: Literal["light", "dark"] = "light",
    scripts: bool = False,
    language: str = "en",
) -> AsyncIterator[tuple[Page, list[str]]]:
    """A page without scripts, unless wanted, with everything that went wrong on it or was asked of elsewhere."""
    context = await browser.new_context(
        viewport={"width": width, "height": 900},
        java_script_enabled=scripts,
        color_scheme=scheme,
        has_touch=width < 600,
        locale=language,
    )
    page = await context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    # What a page had asked for when it was left for the next is no failure.
    aborted = "net::ERR_ABORTED"
    page.on(
        "requestfailed",
        lambda request: None if request.failure == aborted else wrong.append(f"failed {request.url}"),
    )
    page.on(
        "request", lambda request: None if request.url.startswith("http://127.0.0.1") else wrong.append(request.url)
    )
    yield page, wrong
    await context.close()


async def measure(browser: Browser, page: Page, language: str = "en") -> dict[str, Any]:
    """What the layout is, and what axe-core says of it.

    Scripts are off on the page itself: the same bytes are measured in another, which asks for the same `language`.
    """
    size = page.viewport_size or {"width": WIDTHS[0], "height": 900}
    twin = await _twin(browser)
    await twin.set_viewport_size(size)
    await twin.set_extra_http_headers({"accept-language": language})
    await twin.context.clear_cookies()
    await twin.context.add_cookies(await page.context.cookies())  # type: ignore[arg-type]  # what one gives another takes
    await twin.goto(page.url)
    found: dict[str, Any] = await twin.evaluate(
        """() => ({
            overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
            cut: [...document.querySelectorAll('main *:not(.scrolled *)')]  // which a reader can move in its box
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
    # What a screen reader stumbles over does not depend on the width, and looking for it takes longer than all else.
    narrow = size["width"] == WIDTHS[0]
    violations = (await Axe().run(twin)).response["violations"] if narrow else []
    found["violations"] = [f"{violation['id']}: {violation['nodes'][0]['html']}" for violation in violations]
    return found


_TWINS: dict[Browser, Page] = {}


async def _twin(browser: Browser) -> Page:
    """Return the page, with scripts, on which others are measured; one for all: that is faster."""
    if browser not in _TWINS:
        _TWINS[browser] = await (await browser.new_context(bypass_csp=True)).new_page()
    twin = _TWINS[browser]
    await twin.goto("about:blank")  # or the same address with another mark would not be asked for again
    return twin
