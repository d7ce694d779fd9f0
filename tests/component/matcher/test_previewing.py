"""A preview says what posting then brings, and leaves no trace."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from schemas.base import Event
from schemas.cloudevents import Envelope
from schemas.members import MemberKind
from schemas.needs import NeedPublished
from schemas.previews import AdviceCode, NeedPreview
from services.matcher.previewing import preview_routes
from services.matcher.service import PREVIEWS, PreviewBusyError
from tests.component.matcher.actors import (
    ABOUT_IRRIGATION,
    FABRIC_ASSET,
    IRRIGATION,
    SOIL_ASSET,
    grower,
    irrigation,
    member,
    others,
    soil_lab,
)
from tests.component.matcher.conftest import System
from tests.component.matcher.log import RecordingLog

KEY = SecretStr("preview-key-of-the-tests-0123456789abcdef")
LIKE = [
    member(f"labo-{number}", MemberKind.LABORATORY, {**SOIL_ASSET, "title": title, "text": text})
    for number, (title, text) in enumerate(
        [
            ("Étalonnage de tensiomètres", "Banc d’étalonnage, avec des capteurs d’humidité."),
            ("Irrigation des agrumes", "Modèle du besoin en eau des parcelles d’agrumes, goutte à goutte."),
            ("Capteurs d’humidité du sol", "Réseau de capteurs pour piloter l’irrigation."),
        ]
    )
]
WORLD: list[Envelope] = [*others(), *LIKE, soil_lab(), grower()]
NEEDS = [
    irrigation(),
    irrigation(need_id="court", title="Tensiomètres et capteurs d’humidité", text=""),
    irrigation(need_id="inedit", text=f"{ABOUT_IRRIGATION} Des agrumiculteurs cherchent un tensiométriste."),
]


def event_of(envelope: Envelope) -> NeedPublished:
    assert isinstance(envelope.value, NeedPublished)
    return envelope.value


@pytest.mark.parametrize("posted", NEEDS, ids=lambda posted: str(posted.key))
async def test_what_a_preview_shows_is_what_is_suggested_when_the_need_is_posted(
    system: System, posted: Envelope
) -> None:
    await system.give(*WORLD)
    stored = await system.words_left()
    found = await system.matcher.preview(event_of(posted))
    assert await system.words_left() == stored
    system.log.take()
    await system.give(posted)
    made = sorted(system.log.made(), key=lambda made: -made.score)
    assert len(made) == found.suggested >= 2
    told = [(one.offer.party.member_id, one.score) for one in made][:3]
    shown = [(near.member.member_id, near.score) for near in found.nearest if near.suggested and near.member]
    assert shown == told  # to the last digit


async def test_of_an_unchanged_and_of_a_changed_need_it_says_what_then_stands(system: System) -> None:
    await system.give(*WORLD, irrigation())
    again = await system.matcher.preview(event_of(irrigation(rev=2)))
    assert (again.suggested, again.nearest[0].name) == (4, "Nom de labo-sol")
    other = event_of(irrigation(rev=2, title="Teinture de fibres textiles", text=""))
    assert AdviceCode.FEW_WORDS in {one.code for one in (await system.matcher.preview(other)).advice}
    system.log.take()
    await system.give(member("labo-fibres", MemberKind.LABORATORY, FABRIC_ASSET))
    await system.give(irrigation(rev=2))
    assert system.log.made() == []  # nothing of the other text has remained


async def test_after_a_start_from_a_snapshot_all_members_are_counted(mongo_url: str, tmp_path: Path) -> None:
    system = System(url=mongo_url, log=RecordingLog(), snapshot=tmp_path)
    await system.start()
    await system.give(*WORLD)
    before = await system.matcher.preview(event_of(irrigation()))
    await system.matcher.keep_at_stop()
    await system.start()
    after = await system.matcher.preview(event_of(irrigation()))
    assert before.reached.members == 6
    assert after == before
    await system.close()


async def test_many_at_once_are_refused_and_the_batch_in_hand_goes_on(system: System) -> None:
    await system.give(*WORLD)
    need, results = event_of(irrigation()), list[NeedPreview | BaseException]()

    async def ask_much() -> None:
        asking = [asyncio.create_task(system.matcher.preview(need)) for _ in range(PREVIEWS + 2)]
        done, _ = await asyncio.wait(asking[PREVIEWS:])
        assert all(isinstance(one.exception(), PreviewBusyError) for one in done)
        waiting.extend(asking[:PREVIEWS])

    waiting: list[asyncio.Task[NeedPreview]] = []
    system.store.between["before commit"] = ask_much
    await system.give(irrigation())
    results += await asyncio.gather(*waiting)
    assert len(results) == PREVIEWS
    # They waited for the batch, whose need is known by then.
    assert all(isinstance(one, NeedPreview) and one.suggested == 4 for one in results)


@pytest.fixture
async def port(system: System) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette()
    preview_routes(app, system.matcher, KEY)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://matcher") as client:
        yield client


async def test_only_who_has_the_key_is_answered(system: System, port: httpx.AsyncClient) -> None:
    await system.give(*WORLD)
    body = event_of(irrigation()).model_dump_json()
    for header in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {KEY.get_secret_value()}x"}):
        refused = await port.post("/preview", content=body, headers=header)
        assert (refused.status_code, refused.content) == (401, b"")
    key = {"Authorization": f"Bearer {KEY.get_secret_value()}"}
    assert (await port.post("/preview", content="{}", headers=key)).status_code == 422
    found = NeedPreview.model_validate_json((await port.post("/preview", content=body, headers=key)).content)
    assert found.nearest[0].name == "Nom de labo-sol"
    stranger: Event = event_of(irrigation(member_id="inconnu"))
    later = await port.post("/preview", content=stranger.model_dump_json(), headers=key)
    assert (later.status_code, later.headers["retry-after"]) == (503, "3")
    assert IRRIGATION not in str(later.headers)
