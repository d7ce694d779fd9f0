"""The feed: what a feed reader finds at a person's address, and that the address opens nothing else."""

from datetime import timedelta
from uuid import UUID

import feedparser
import pytest

from schemas.suggestions import SuggestionKey
from services.notifier.address import Tokens
from services.notifier.pages.feed import ENTRIES
from tests.component.notifier.world import BASE, SIGNING, Process, World, erased, inbox
from tests.unit.notifier.samples import NOW, changed, lapsed, made, person, sid

FEED = f"{BASE}/feed/{Tokens(SIGNING).feed(person().key)}.atom"
WORDS = {
    "fr": ("Mots communs : capteurs / capteur (31\xa0%)", "Réponse avant le 12 décembre 2026", "Laboratoire · Agadir"),
    "ar": ("\u2068capteurs / capteur\u2069 (31", "12 دجنبر 2026", "مختبر · Agadir"),
    "en": ("Shared words: capteurs / capteur (31%)", "Answer by December 12, 2026", "Laboratory · Agadir"),
}


async def entries(process: Process) -> list[str]:
    """The links of the feed."""
    return [entry.link for entry in feedparser.parse((await process.see(FEED)).content).entries]


@pytest.mark.parametrize("language", WORDS)
async def test_a_feed_reader_reads_what_somebody_is_told(world: World, language: str) -> None:
    process = await world.start()
    await process.take(person(language=language), made())
    answer = await process.see(FEED)
    assert answer.headers["content-type"] == "application/atom+xml; charset=utf-8"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert Tokens(SIGNING).inbox(person().key) not in answer.text  # a feed goes to machines of others
    read = feedparser.parse(answer.content, response_headers=dict(answer.headers))
    assert not read.bozo, read.bozo_exception
    assert (read.version, read.feed.language, read.feed.author) == ("atom10", language, "Maillage")
    assert {link.rel: link.href for link in read.feed.links} == {"self": FEED, "alternate": f"{BASE}/inbox/me"}
    [entry] = read.entries
    assert UUID(entry.id.removeprefix("urn:uuid:")) != sid("soil")
    assert (entry.updated, entry.link) == (NOW.isoformat(), f"{BASE}/inbox/me/s/{sid('soil')}")
    assert (await process.see(entry.link)).headers["location"].startswith("/sign-in?to=/inbox/me/s/")
    for name in ("Des capteurs d’humidité du sol", "Atlas Irrigation", "Laboratoire Capteurs et Énergie"):
        assert f"\u2068{name}" in entry.title  # whatever the direction of the page that shows it
    assert entry.summary_detail.type == "text/plain"
    for said in WORDS[language]:
        assert said in entry.summary


async def test_who_has_it_already_is_told_so_until_something_changes(world: World) -> None:
    process = await world.start()
    await process.take(person(), made(), made("other"))
    answer = await process.see(FEED)
    tag, date = answer.headers["etag"], answer.headers["last-modified"]
    has = [{"if-none-match": f'"x", W/{tag}'}, {"if-modified-since": date}]
    for headers in has:
        async with process.browser(**headers) as client:
            again = await client.get(FEED)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    async with process.browser(**{"if-modified-since": "Mon, 23 Nov 99999999999999999999 09:30:00 GMT"}) as client:
        assert (await client.get(FEED)).status_code == 200
        asked = await client.head(FEED)
        assert (asked.status_code, asked.headers["etag"]) == (200, tag)
    first = {entry.id for entry in feedparser.parse(answer.content).entries}
    world.now += timedelta(hours=1)
    await process.take(changed(made(), rev=2, revision=2))
    for headers in has:
        async with process.browser(**headers) as client:
            assert (await client.get(FEED)).status_code == 200
    # What was unread since it was revised is another entry; the other is the one that it was.
    assert len(first & {entry.id for entry in feedparser.parse((await process.see(FEED)).content).entries}) == 1


async def test_a_feed_says_what_its_reader_is_called_now(world: World) -> None:
    process = await world.start()
    await process.take(person(), made())
    tag = (await process.see(FEED)).headers["etag"]
    await process.take(changed(person(), rev=2, name="Amina Tazi-Alaoui"))
    async with process.browser(**{"if-none-match": tag}) as client:
        assert "Tazi-Alaoui" in (await client.get(FEED)).text


async def test_a_feed_holds_the_newest_that_still_stand(world: World) -> None:
    process = await world.start()
    older = [made(f"older {i}", made_at=NOW - timedelta(minutes=i + 1)) for i in range(ENTRIES)]
    await process.take(person(), made(), made("gone"), made("erased"), *older)
    await process.take(lapsed("gone"), erased(SuggestionKey(suggestion_id=sid("erased")), 2))
    links = await entries(process)
    assert links == [f"{BASE}/inbox/me/s/{sid(name)}" for name in ("soil", *(f"older {i}" for i in range(ENTRIES - 1)))]


async def test_the_address_of_a_feed_opens_nothing_else_and_ends_with_its_owner(world: World) -> None:
    process = await world.start()
    await process.take(person(), person("badr", city="elsewhere"), made())
    assert FEED in (await process.see(inbox() + "/preferences")).text
    feed, own = Tokens(SIGNING).feed(person().key), Tokens(SIGNING).inbox(person().key)
    for path in (f"inbox/{feed}", f"inbox/{feed}/preferences", f"unsubscribe/{feed}", f"feed/{own}.atom"):
        answer = await process.see(f"{BASE}/{path}")
        assert answer.status_code == 403
        assert "Atlas" not in answer.text
    others = f"{BASE}/feed/{Tokens(SIGNING).feed(person('badr').key)}.atom"
    assert "Atlas" not in (await process.see(others)).text
    await process.store.ambassadors.renew_address(person().key, 0)  # it was on the page that others may have seen
    assert (await process.see(FEED)).status_code == 403
    await process.take(erased(person("badr").key, 2))
    assert (await process.see(others)).status_code == 403
