"""The export: all that is kept of a person, in one file, and nothing that is somebody else's."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from schemas.feedback import Act
from services.notifier.address import Tokens
from services.notifier.exporting import FORMAT
from services.runtime.errors import TransientError
from tests.component.notifier.world import SIGNING, Process, World, hidden_field, inbox
from tests.unit.notifier.samples import SECRET, lapsed, made, person, sid

FILE = inbox() + "/export"


async def export(process: Process) -> dict[str, Any]:
    answer = await process.see(FILE)
    assert answer.status_code == 200
    said: dict[str, Any] = answer.json()
    return said


async def test_all_that_is_kept_of_somebody_is_in_it(world: World) -> None:
    process = await world.start()
    hook = {"url": world.hook.url.replace("://", "://login:hidden@") + "?token=hidden", "secret": SECRET}
    chat = (f"json://login:hidden@{world.hook.address}/hidden",)
    await process.take(person(webhook=hook, chat=chat, language="en"), person("badr"), made(), made("other"))
    page = inbox() + f"/s/{sid('soil')}"
    async with process.browser(**{"sec-fetch-mode": "navigate", "sec-fetch-user": "?1"}) as amina:
        form = hidden_field((await amina.get(page)).text)
        await amina.post(page, data={"form": form, "act": "not_relevant", "reason": "wrong_topic"})
    async with process.browser() as badr:
        theirs = page.replace(inbox(), inbox("souss/badr"))
        form = hidden_field((await badr.get(theirs)).text)
        await badr.post(theirs, data={"form": form, "act": "taken"})
    await process.run()
    answer = await process.see(FILE)
    assert answer.headers["content-disposition"] == 'attachment; filename="maillage-amina.json"'
    assert answer.headers["cache-control"] == "no-store"
    said = answer.json()
    assert set(said) == {
        *("format", "exported_at", "profile", "preferences", "channels_off", "test_messages", "sessions"),
        *("suggestions", "deliveries"),
    }
    assert said["format"] == FORMAT
    assert (said["profile"]["name"], said["profile"]["email"]) == ("Amina Tazi", "amina@example.org")
    assert said["profile"]["webhook"] == {"url": world.hook.url}
    assert said["preferences"]["digits"] == "latn"

    by_id = {one["suggestion_id"]: one for one in said["suggestions"]}
    soil = by_id[str(sid("soil"))]
    assert (soil["standing"], soil["opened_at"], soil["lapsed"]) == ("dismissed", "2026-11-23T09:30:00Z", None)
    assert [(act["act"], act["reason"]) for act in soil["acts"]] == [(Act.NOT_RELEVANT, "wrong_topic")]
    assert soil["told_with"] == [{"name": "Badr Tazi", "city": "Cité de l’innovation d’Agadir", "leads": False}]
    assert (soil["request"]["name"], soil["offer"]["name"]) == ("Atlas Irrigation", "Laboratoire Capteurs et Énergie")
    assert soil["why"]["terms"][0] == {"request_words": ["capteurs"], "offer_words": ["capteur"], "percent": 31}
    assert (by_id[str(sid("other"))]["acts"], by_id[str(sid("other"))]["opened_at"]) == ([], None)

    delivered = {(one["suggestion_id"], one["channel"]): one["state"] for one in said["deliveries"]}
    assert delivered[str(sid("other")), "email"] == "delivered"
    assert len(delivered) == 6  # two suggestions, in the inbox, by e-mail, by webhook

    assert "chat" not in said["profile"]
    for secret in (
        SECRET,
        "hidden",
        "badr@example.org",
        Tokens(SIGNING).inbox(person().key),
        Tokens(SIGNING).feed(person().key),
    ):
        assert secret not in answer.text


async def test_what_comes_in_many_pieces_is_whole(world: World) -> None:
    process = await world.start()
    names = [f"number {i}" for i in range(130)]
    await process.take(person(email=None), *(made(name) for name in names), lapsed(names[0]))
    said = await export(process)
    assert sorted(one["suggestion_id"] for one in said["suggestions"]) == sorted(str(sid(name)) for name in names)
    assert sum(one["lapsed"] == "withdrawn" for one in said["suggestions"]) == 1
    assert len(said["deliveries"]) == len(names)


async def test_a_file_that_is_cut_off_does_not_look_whole(world: World) -> None:
    process = await world.start()
    await process.take(person(), made())

    async def away(_: str) -> AsyncIterator[Any]:
        raise AutoReconnect("mongodb://secret:27017")
        yield

    process.store.deliveries.of_ambassador = away  # type: ignore[method-assign]
    with pytest.raises(TransientError, match="cut off"):
        await process.see(FILE)
