"""What the desk of a cluster sees: figures of what became of suggestions, of its own cluster and for it alone."""

import csv
import io
import re
from datetime import timedelta

import httpx
import pytest
from pymongo.errors import ServerSelectionTimeoutError

from schemas.ambassadors import AmbassadorKey
from schemas.feedback import Side
from schemas.suggestions import SuggestionKey, SuggestionMade
from tests.component.notifier.world import BASE, Process, World, answer_address, erased, hidden_field, inbox
from tests.unit.notifier.samples import NOW, changed, contact, made, person, sid

DESK = inbox("souss/desk")
PAGE, FILE = DESK + "/desk", DESK + "/desk.csv"
CITY = "Cité de l’innovation d’Agadir"
BY_A_PERSON = {"sec-fetch-mode": "navigate", "sec-fetch-user": "?1", "sec-fetch-site": "cross-site"}
FROM_OUR_PAGE = {"sec-fetch-mode": "navigate", "sec-fetch-site": "same-origin"}


@pytest.fixture
async def process(world: World) -> Process:
    """Two clusters, each with an ambassador at Agadir and a desk."""
    process = await world.start()
    for cluster in ("souss", "rabat"):
        name = "amina" if cluster == "souss" else "nour"
        await process.take(person(name, cluster=cluster), person("desk", cluster=cluster, city=None, language="en"))
    return process


def item(name: str, ambassador: str = "souss/amina") -> str:
    return f"{inbox(ambassador)}/s/{sid(name)}"


async def act(process: Process, name: str, ambassador: str = "souss/amina", **data: str) -> None:
    async with process.browser() as client:
        field = hidden_field((await client.get(item(name, ambassador))).text)
        answer = await client.post(item(name, ambassador), data={"form": field, **data})
    assert answer.status_code == 303


async def accept(process: Process, name: str, rev: int) -> None:
    for side in Side:
        async with process.browser() as client:
            answer = await client.post(answer_address(sid(name), side, rev), data={"act": "accepted"})
        assert answer.status_code == 303


async def look(process: Process, address: str, **headers: str) -> httpx.Response:
    async with process.browser(**{name.replace("_", "-"): value for name, value in headers.items()}) as client:
        return await client.get(address)


async def figures(process: Process, desk: str = DESK) -> list[dict[str, str]]:
    """The rows of the file, without the zeros."""
    answer = await process.see(desk + "/desk.csv")
    assert answer.status_code == 200
    rows = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
    return [{name: value for name, value in row.items() if value not in ("0", "")} for row in rows]


def shown(page: httpx.Response) -> str:
    """What a page says, on one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def shared(name: str) -> SuggestionMade:
    """A request of one cluster facing a laboratory of the other."""
    base = made(name)
    party = base.offer.party.model_copy(update={"cluster": "rabat"})
    return base.model_copy(update={"offer": base.offer.model_copy(update={"party": party})})


def somewhere(name: str) -> SuggestionMade:
    """A suggestion that concerns no city."""
    base = made(name)
    party = base.offer.party.model_copy(update={"city": None, "city_name": ""})
    request = base.request.model_copy(update={"request_id": "elsewhere", "title": "Un séchoir solaire"})
    return base.model_copy(update={"request": request, "offer": base.offer.model_copy(update={"party": party})})


async def test_the_desk_sees_what_became_of_suggestions(process: Process) -> None:
    world = process.world
    await process.take(contact("atlas"), contact("sensors-lab"))
    await process.take(made("met", posted_at=NOW - timedelta(hours=3)), made("aside"))
    await process.take(made("waits"), made("waits too"), somewhere("none"))
    assert (await look(process, item("met"), **BY_A_PERSON)).status_code == 200
    world.now += timedelta(hours=5)
    await act(process, "aside", act="not_relevant", reason="other")
    await act(process, "met", act="taken")
    await act(process, "met", act="introduced")
    world.now += timedelta(days=4)
    await accept(process, "met", rev=2)
    await act(process, "met", act="outcome", result="contract")
    world.now += timedelta(days=5)

    at_agadir = {
        "month": "2026-11", "city": "agadir", "city_name": CITY, "told": "4", "opened": "1", "taken": "1",
        "introduced": "1", "both_accepted": "1", "contract": "1", "put_aside": "1",
    }  # fmt: skip
    assert await figures(process) == [at_agadir, {"month": "2026-11", "told": "1"}]
    page = await process.see(PAGE)
    text = shown(page)
    assert page.status_code == 200
    assert f"{CITY} 4 1 1 1 1 0 1 0 1 November 2026 4 1 1 1 1 0 1 0 1" in text
    assert "No city: the desk 1 0 0 0" in text
    assert "In all 5 1 1 1 1 0 1 0 1" in text
    for said in ("until it is told 3 hours", "takes it in hand 5 hours", "last answer 4 days"):
        assert said in text
    waiting = text.partition("Requests that nobody answers")[2].partition("silent")[0]
    assert "Un séchoir solaire Atlas Irrigation 9" in waiting
    assert waiting.count("Atlas Irrigation") == 2  # each request once, whatever the number of its pairings
    silent = text.partition("Ambassadors who are silent")[2].partition("Messages that")[0]
    assert "There is nothing of the kind." in silent
    assert 'href="' + DESK.removeprefix(BASE) + '/desk"' in (await process.see(DESK)).text
    assert "/desk" not in (await process.see(inbox())).text


async def test_who_is_silent_and_what_did_not_arrive_is_named(process: Process) -> None:
    world = process.world
    world.mail.answer_recipient = lambda _: "554 5.7.1 not from you"
    await process.take(person("badr"), made("a"), made("b"))
    await process.run()
    await act(process, "a", act="taken")
    text = shown(await process.see(PAGE))
    silent = text.partition("Ambassadors who are silent")[2].partition("Messages that")[0]
    assert f"Badr Tazi {CITY} 1" in silent
    assert "Amina" not in silent
    failed = text.partition("Messages that did not arrive")[2]
    for name in ("Amina", "Badr"):
        assert re.search(rf"{name} Tazi E-mail 2 [^A-Z]*554", failed)
    world.now += timedelta(days=31)
    text = shown(await process.see(PAGE))
    assert "Tazi" not in text


async def test_another_clusters_desk_sees_nothing_of_it(process: Process) -> None:
    await process.take(made("ours"))
    await look(process, item("ours"), **BY_A_PERSON)
    process.world.now += timedelta(days=9)
    assert await figures(process, inbox("rabat/desk")) == []
    text = shown(await process.see(inbox("rabat/desk") + "/desk"))
    for word in ("Atlas", "capteurs", CITY, "agadir", "Amina", "November"):
        assert word not in text


async def test_what_two_clusters_are_told_of_counts_in_both_each_with_its_own_openings(process: Process) -> None:
    await process.take(shared("both"))
    await look(process, item("both"), **BY_A_PERSON)
    await act(process, "both", "rabat/nour", act="not_relevant", reason="other")
    common = {"month": "2026-11", "city": "agadir", "city_name": CITY, "told": "1"}
    assert await figures(process) == [common | {"opened": "1"}]
    assert await figures(process, inbox("rabat/desk")) == [common | {"put_aside": "1"}]


@pytest.mark.parametrize("path", ["/desk", "/desk.csv"])
async def test_an_ambassador_is_told_that_it_is_the_desks(process: Process, path: str) -> None:
    await process.take(made())
    answer = await process.see(inbox() + path)
    assert answer.status_code == 403
    assert "Cette page est celle du bureau" in answer.text
    assert "agadir" not in answer.text.lower()
    assert (await process.see(inbox("souss/nobody") + path)).status_code == 403
    assert (await process.see(DESK + "x" + path)).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-mode": "navigate", "sec-fetch-site": "cross-site"},  # nobody tapped
        {"sec-fetch-mode": "cors", "sec-fetch-user": "?1"},
        {"sec-fetch-mode": "cors", "sec-fetch-site": "same-origin"},  # a page that keeps itself up to date
        {"sec-fetch-mode": "no-cors", "sec-fetch-site": "same-origin"},
        {**BY_A_PERSON, "sec-purpose": "prefetch"},
        {**FROM_OUR_PAGE, "purpose": "prefetch"},
    ],
)
async def test_what_looks_behind_links_opens_nothing(process: Process, headers: dict[str, str]) -> None:
    await process.take(made())
    before = await process.world.words()
    assert (await look(process, item("soil"), **headers)).status_code == 200
    assert await process.world.words() == before


@pytest.mark.parametrize("headers", [BY_A_PERSON, FROM_OUR_PAGE])
async def test_a_person_opens_it_once(process: Process, headers: dict[str, str]) -> None:
    await process.take(person("badr"), made())
    await look(process, item("soil"), **headers)
    once = await process.world.words()
    process.world.now += timedelta(hours=1)
    await look(process, item("soil"), **headers)
    await look(process, item("soil", "souss/desk"), **headers)  # who is not told of it
    assert await process.world.words() == once
    await look(process, item("soil", "souss/badr"), **headers)
    [row] = await figures(process)
    assert (row["told"], row["opened"]) == ("1", "1")


async def test_what_an_erased_ambassador_opened_and_did_is_gone(process: Process) -> None:
    await process.take(person("badr"), made(), made("alone"))
    await look(process, item("soil"), **BY_A_PERSON)
    await act(process, "soil", act="taken")
    await process.run()
    await process.take(erased(AmbassadorKey(cluster="souss", ambassador_id="amina"), 2))
    [row] = await figures(process)
    assert (row["told"], row.get("opened"), row.get("taken")) == ("2", None, None)
    assert "souss/amina" not in await process.world.words()


async def test_an_erased_ambassador_of_a_revision_that_others_are_told_leaves_no_opening(process: Process) -> None:
    await process.take(made())
    await look(process, item("soil"), **BY_A_PERSON)
    party = made().offer.party.model_copy(update={"city": "taroudant", "city_name": "Taroudant"})
    offer = made().offer.model_copy(update={"party": party})
    await process.take(person("badr", city="taroudant"), changed(made(), rev=2, revision=2, offer=offer))
    await process.run()
    assert "souss/amina" in await process.world.words()
    await process.take(erased(AmbassadorKey(cluster="souss", ambassador_id="amina"), 2))
    assert "souss/amina" not in await process.world.words()


async def test_an_erased_suggestion_is_in_no_figure(process: Process) -> None:
    await process.take(made(), made("stays"))
    await look(process, item("soil"), **BY_A_PERSON)
    await process.take(erased(SuggestionKey(suggestion_id=sid("soil")), 2))
    [row] = await figures(process)
    assert (row["told"], row.get("opened")) == ("1", None)
    kept = await process.store.suggestions._all.find_one({"_id": sid("soil")})
    assert kept is not None
    assert set(kept) <= {"_id", "rev", "erased", "pending", "acts_given"}


async def test_a_new_revision_counts_where_the_first_was_told(process: Process) -> None:
    await process.take(made(posted_at=NOW - timedelta(hours=2)))
    process.world.now += timedelta(days=40)
    await process.take(changed(made(), rev=2, revision=2, made_at=process.world.now, posted_at=process.world.now))
    assert [row["month"] for row in await figures(process)] == ["2026-11"]
    assert "until it is told 2 hours" in shown(await process.see(PAGE))


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)"])
async def test_a_name_is_no_formula(process: Process, name: str) -> None:
    party = made().offer.party.model_copy(update={"city_name": name + ', "so"'})
    await process.take(made(offer=made().offer.model_copy(update={"party": party})))
    answer = await process.see(FILE)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="maillage-souss.csv"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content.startswith(b"\xef\xbb\xbfmonth,city,city_name,told,opened,")
    [row] = await figures(process)
    assert row["city_name"] == "'" + name + ', "so"'


async def test_reading_the_overview_changes_nothing(process: Process) -> None:
    await process.take(made())
    before = await process.world.words()
    for address in (PAGE, FILE):
        await look(process, address, **BY_A_PERSON)
    assert await process.world.words() == before


async def test_a_database_that_is_away_is_told(process: Process) -> None:
    def away(*_: object) -> None:
        raise ServerSelectionTimeoutError("mongodb://secret:27017")

    process.store.figures.seen = away  # type: ignore[method-assign, assignment]
    for address in (PAGE, FILE):
        answer = await process.see(address)
        assert answer.status_code == 503
        assert "secret" not in answer.text
