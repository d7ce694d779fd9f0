"""Finding: by words and by what a pairing is, in one's own inbox alone, also what an earlier version kept."""

import re
from datetime import timedelta
from typing import Any, Final

import pytest

from schemas.members import MemberKind
from schemas.suggestions import SuggestionKey, SuggestionMade
from services.notifier.inbox import MOST_FOUND, PAGE
from tests.component.notifier.world import Process, World, erased, hidden_field, inbox
from tests.unit.notifier.samples import NOW, made, person, sid

ARABIC = "تعاونية أركان الأطلس"


def about(name: str, /, *, side: str = "request", minutes: int = 0, **party: Any) -> SuggestionMade:
    """A suggestion of which one side is somebody else."""
    base = made(name, made_at=NOW + timedelta(minutes=minutes))
    half = getattr(base, side)
    return base.model_copy(update={side: half.model_copy(update={"party": half.party.model_copy(update=party)})})


@pytest.fixture
async def process(world: World) -> Process:
    process = await world.start()
    late = made("later", made_at=NOW)
    late = late.model_copy(
        update={"request": late.request.model_copy(update={"deadline": NOW + timedelta(days=90), "title": "Énergie"})}
    )
    elsewhere = about("city", side="offer", city="dakhla", city_name="Cité de Dakhla", locality="Dakhla")
    here = elsewhere.request.party.model_copy(update={"city": "agadir", "kind": MemberKind.LABORATORY})
    elsewhere = elsewhere.model_copy(update={"request": elsewhere.request.model_copy(update={"party": here})})
    await process.take(person(), person("far", city="dakhla"))
    await process.take(made("soil"), late, about("argan", name=ARABIC), elsewhere)
    await process.run()
    return process


NAMES = ("soil", "later", "argan", "city")


async def found(process: Process, query: str, whose: str = "souss/amina") -> set[str]:
    answer = await process.see(inbox(whose) + query)
    assert answer.is_success
    return {name for name in NAMES if f"/s/{sid(name)}" in answer.text}


FITS: Final = {
    "?q=energie": {"soil", "later", "argan", "city"},  # the laboratory's name
    "?q=energ+atlas": {"soil", "later", "city"},
    "?q=%D8%A7%D8%B1%D9%83%D8%A7%D9%86": {"argan"},  # without its hamza
    "?q=nowhere": set(),
    "?soon=1": {"soil", "argan", "city"},
    "?kind=company": {"soil", "later", "argan"},
    "?kind=laboratory": {"city"},  # at Agadir it is not the other side
    "?city=dakhla": {"city"},
    "?lead=1": {"soil", "later", "argan"},
    "?q=capteurs&kind=company&soon=1&lead=1&city=agadir": {"soil", "argan"},
    "?q=.*&kind=robot": {"soil", "later", "argan", "city"},
}


async def test_it_is_found_by_words_and_by_what_it_is(process: Process) -> None:
    process.world.now = NOW + timedelta(days=6)  # what is to be answered soon is so within two weeks
    assert {query: await found(process, query) for query in FITS} == FITS


async def test_nobody_finds_what_they_are_not_told_of(process: Process) -> None:
    assert await found(process, "?q=capteurs", "souss/far") == {"city"}
    assert await found(process, "?q=argan", "souss/far") == set()


async def test_parts_and_pages_keep_what_is_looked_for_and_one_tap_shows_all(world: World) -> None:
    process = await world.start()
    await process.take(person(email=None))
    events = [about(f"n{number}", name=f"Oasis {number}", minutes=number) for number in range(PAGE + 1)]
    await process.take(*events, *[about(f"m{number}", name="Autre") for number in range(3)])
    page = (await process.see(inbox() + "?q=oas")).text
    assert f"{PAGE + 1} rapprochements trouvés" in page
    assert "Page 1 sur 2" in page
    [older] = re.findall(r'rel="next" href="[^"?]*(\?[^"]*)"', page)
    second = (await process.see(inbox() + older.replace("&amp;", "&"))).text
    assert re.findall(r"<bdi>(Oasis \d+)</bdi>", second) == ["Oasis 0"]
    assert 'value="oas"' in second
    async with process.browser() as client:
        item = inbox() + f"/s/{sid('n0')}"
        await client.post(item, data={"form": hidden_field((await client.get(item)).text), "act": "taken"})
    assert "Rien trouvé" in (await process.see(inbox() + "?q=oasis&view=done")).text
    assert "Oasis 0" in (await process.see(inbox() + "?q=oasis&view=ongoing")).text
    assert re.search(r'href="[^"]*\?view=ongoing&amp;q=oas"', page)
    assert re.search(rf'href="{re.escape(inbox().partition("example.org")[2])}">Tout afficher', page)


async def test_many_are_counted_only_so_far(world: World) -> None:
    process = await world.start()
    await process.take(person(email=None))
    await process.take(*[made(f"n{number}") for number in range(MOST_FOUND + 5)])
    assert "200 rapprochements trouvés ou plus" in (await process.see(inbox() + "?q=capteur")).text


async def test_what_an_earlier_version_kept_is_found_and_what_was_erased_is_not(process: Process) -> None:
    rows = process.world.database["suggestions"]
    await rows.update_many({}, {"$unset": {"words": "", "sides": "", "deadline": ""}})
    process = await process.world.start()
    assert await found(process, "?q=energie") == set()
    await process.works["find"]._work()
    assert await found(process, "?q=energie") == set(NAMES)
    for name in NAMES:
        await process.take(erased(SuggestionKey(suggestion_id=sid(name)), 9))
    await process.works["find"]._work()
    words = await process.world.words()
    assert "energie" not in words
    assert "Dakhla" not in words


async def test_a_search_uses_the_index_of_words(process: Process) -> None:
    """A rare word in a long inbox is not looked for by reading all of it."""
    await process.take(*[made(f"n{number}") for number in range(300)])
    rows = process.world.database["suggestions"]
    query = {"told.ambassador": "souss/amina", "words": {"$regex": "^اركان"}}
    plan = await rows.find(query).sort("made_at", -1).limit(PAGE).explain()
    assert plan["executionStats"]["totalDocsExamined"] <= 2
