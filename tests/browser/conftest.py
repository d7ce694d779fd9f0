"""A browser, and the notifier's pages served to it."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.component.notifier.conftest import hook, mail, world
from tests.component.notifier.world import Process, World, served

__all__ = ["hook", "mail", "world"]

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A Chromium. Skipped without one, unless MAILLAGE_TEST_ALL is set."""
    if not CHROMIUM:
        if os.environ.get("MAILLAGE_TEST_ALL"):
            pytest.fail("no chromium on the PATH; name one in CHROMIUM")
        pytest.skip("no chromium on the PATH; name one in CHROMIUM")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


class Site:
    """The notifier with its pages on a loopback port."""

    def __init__(self, process: Process, base: str) -> None:
        self.process = process
        self.base = base

    def url(self, address: str) -> str:
        """An inbox's address on this port."""
        return self.base + "/" + address.split("/", 3)[3]


@pytest.fixture
async def site(world: World) -> AsyncIterator[Site]:
    process = await world.start()
    async with served(process) as base:
        yield Site(process, base)


@pytest.fixture(scope="session")
def shots() -> Path | None:
    """Folder for pictures of the pages, to be looked at: MAILLAGE_SHOTS."""
    folder = os.environ.get("MAILLAGE_SHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder) if folder else None
