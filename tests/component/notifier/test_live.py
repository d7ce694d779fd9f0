"""Pages that are told when something of their reader's changes: who is told, what of it, and when it ends."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import httpx
import pytest
from pymongo.errors import AutoReconnect

from schemas.suggestions import SuggestionKey
from services.notifier.live import EACH, Live
from services.notifier.store.changes import Change, Changes, PlaceLostError, Stream
from services.notifier.store.people import Ambassadors
from services.runtime.store import Document
from tests.component.notifier.world import BASE, Process, World, erased, eventually, inbox, served
from tests.unit.notifier.samples import changed, contact, made, person, sid

AMINA = person().key
SOON = 20.0


class Listener:
    """A page that listens."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.heard = ""
        self._lines = answer.aiter_lines()

    async def event(self) -> dict[str, str]:
        """The next event, its fields by name."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(SOON):
            async for line in self._lines:
                self.heard += line
                if not line and "data" in fields:
                    return fields
                name, _, value = line.partition(": ")
                fields[name] = value
        raise AssertionError("it ended")

    async def end(self) -> None:
        """Return when it has ended."""
        async with asyncio.timeout(SOON):
            async for line in self._lines:
                self.heard += line


@asynccontextmanager
async def listening(base: str, who: str = "souss/amina", **headers: str) -> AsyncIterator[Listener]:
    address = base + inbox(who).removeprefix(BASE) + "/live"
    async with httpx.AsyncClient(timeout=SOON) as client, client.stream("GET", address, headers=headers) as answer:
        yield Listener(answer)


@pytest.fixture
async def process(world: World) -> Process:
    process = await world.start()
    await process.take(person(), person("far", city="dakhla"))
    return process


async def test_a_page_is_told_that_something_changed_and_not_what(process: Process) -> None:
    async with served(process) as base, listening(base) as mine, listening(base, "souss/far") as theirs:
        assert mine.answer.headers["content-type"].startswith("text/event-stream")
        assert mine.answer.headers["cache-control"] == "no-store"
        first, others = await mine.event(), await theirs.event()  # what came before following began is not known
        await process.take(made())
        told = await mine.event()
        assert int(told["data"]) > int(first["data"])
        assert set(told) == {"data", "id", "retry"}
        assert str(sid("soil")) not in mine.heard
        # Who knows up to where they are hears of nothing; who does not, at once.
        async with listening(base, "souss/far", **{"last-event-id": others["id"]}) as again:
            async with listening(base, **{"last-event-id": first["id"]}) as missed:
                assert (await missed.event())["id"] == told["id"]
            await process.take(person("far", city="dakhla").model_copy(update={"rev": 2}))
            await again.end()
            assert "data" not in again.heard


async def test_a_page_says_where_it_is_and_only_its_script_runs(process: Process) -> None:
    await process.take(made())
    async with served(process) as base, listening(base) as mine:
        place = (await mine.event())["id"]
        for path in ("", f"/s/{sid('soil')}"):
            page = await process.see(inbox() + path)
            assert f'data-live="{inbox().removeprefix(BASE)}/live" data-after="{place}"' in page.text
            policy = page.headers["content-security-policy"]
            assert "script-src 'self'; connect-src 'self'" in policy
            assert "unsafe" not in policy
        assert "script-src" not in (await process.see(inbox() + "/preferences")).headers["content-security-policy"]


async def test_more_pages_than_are_told_go_on_without(process: Process) -> None:
    async with served(process) as base, AsyncExitStack() as pages:
        told = [await pages.enter_async_context(listening(base)) for _ in range(EACH)]
        for page in told:
            await page.event()
        one_more = await pages.enter_async_context(listening(base))
        somebody_else = await pages.enter_async_context(listening(base, "souss/far"))
        assert (one_more.answer.status_code, somebody_else.answer.status_code) == (429, 200)


async def test_what_is_open_ends_with_the_service_and_with_its_reader(process: Process) -> None:
    async with served(process) as base, listening(base) as mine, listening(base, "souss/far") as theirs:
        await mine.event()
        await theirs.event()
        await process.take(erased(AMINA, 2))
        await mine.end()
        async with listening(base) as again:
            assert again.answer.status_code == 403
        stopping = asyncio.get_running_loop().time()
        process.parts.live.close()
        await theirs.end()
    assert asyncio.get_running_loop().time() - stopping < 5


class _Interrupted(Changes):
    """A store whose connection is lost once, when wanted."""

    lost = False

    @asynccontextmanager
    async def follow(self, after: Document | None) -> AsyncIterator[Stream]:
        async with super().follow(after) as stream:
            real = stream.next

            async def next_() -> Change | None:
                if self.lost:
                    self.lost = False
                    raise AutoReconnect("lost")
                return await real()

            stream.next = next_  # type: ignore[method-assign]
            yield stream


def news_of(live: Live) -> AsyncGenerator[str, None]:
    news = live.news(str(AMINA), Ambassadors.id_of(AMINA), after="", seconds=SOON)
    assert news is not None
    return news


@asynccontextmanager
async def followed(world: World) -> AsyncIterator[tuple[Live, AsyncGenerator[str, None]]]:
    """Who is told, and a page of Amina's; what was taken away is told at once."""
    live = Live(changes=Changes(world.database), all_seconds=0.0)
    following = asyncio.create_task(live.follow())
    async with aclosing(news_of(live)) as news, asyncio.timeout(SOON):
        yield live, news
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_nothing_is_missed_while_the_store_was_away(world: World, process: Process) -> None:
    changes = _Interrupted(world.database)
    live = Live(changes=changes)
    async with aclosing(news_of(live)) as news, asyncio.timeout(SOON):
        following = asyncio.create_task(live.follow())
        first = await anext(news)
        changes.lost = True
        with pytest.raises(AutoReconnect):
            await following
        await process.take(made())
        assert live.place(str(AMINA)) == first
        following = asyncio.create_task(live.follow())
        assert (await anext(news)).partition(".")[0] == first.partition(".")[0]
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_what_is_erased_goes_from_open_pages_and_what_nobody_sees_disturbs_nobody(
    world: World, process: Process
) -> None:
    await process.take(made())
    async with followed(world) as (_, news):
        first = await anext(news)
        await process.run()  # deliveries are announced, and what was opened is noted
        await process.store.suggestions.opened(sid("soil"), str(AMINA), now=world.now)
        await process.store.suggestions.put_made([made("elsewhere")], {})  # which concerns nobody yet
        await process.take(erased(SuggestionKey(suggestion_id=sid("soil")), 2))
        assert int((await anext(news)).partition(".")[2]) == int(first.partition(".")[2]) + 1


async def test_who_loses_a_suggestion_and_who_sees_a_contact_that_changed_are_told(
    world: World, process: Process
) -> None:
    await process.take(made())
    async with followed(world) as (_, news):
        place = await anext(news)
        # By the time that this is looked up, it is told to somebody else.
        await process.store.suggestions.put_made([changed(made(), rev=2, revision=2)], {})
        others = {"$set": {"told": [{"ambassador": "souss/far"}]}}
        await world.database["suggestions"].update_one({"_id": sid("soil")}, others)
        lost = await anext(news)
        assert lost != place
        await process.take(contact("atlas"))
        assert await anext(news) != lost


async def test_a_burst_passes_no_bound_and_constant_news_no_time(process: Process) -> None:
    live = process.parts.live
    key, person_id = str(AMINA), Ambassadors.id_of(AMINA)
    at_once = [live.news(key, person_id, after="", seconds=0.05) for _ in range(EACH + 1)]
    assert [news is None for news in at_once] == [False] * EACH + [True]
    live._begun()
    async with asyncio.timeout(SOON):
        async for _ in at_once[0] or ():  # type: ignore[union-attr]
            live._tell(Change(readers=(key,)))

    async def left() -> bool:
        live._leave_overdue()
        return not live._pages

    await eventually(left)  # also what nobody ever listened to


async def test_a_store_that_ends_what_it_tells_is_asked_anew(world: World) -> None:
    other = world.database.client[f"{world.database.name}_gone"]
    await other["suggestions"].insert_one({"told": None})
    async with Changes(other).follow(None) as stream, asyncio.timeout(SOON):
        assert await stream.next() is None
        await world.database.client.drop_database(other.name)
        with pytest.raises(PlaceLostError):
            await _to_the_end(stream)


async def _to_the_end(stream: Stream) -> None:
    while True:
        await stream.next()
