"""A start from a snapshot tells what a start without one tells, whatever happened to the store meanwhile."""

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.base import Event
from schemas.cloudevents import Envelope
from schemas.ids import derived_id
from schemas.members import Admission, MemberKind, Reach, Visibility
from schemas.needs import Direction, NeedStatus
from services.matcher.keeping import ENOUGH, LATEST_SECONDS, WRITE_SECONDS
from tests.component.matcher.actors import (
    FISH_ASSET,
    SOIL_ASSET,
    erased_member,
    erased_need,
    grower,
    irrigation,
    member,
    need,
    others,
    soil_lab,
)
from tests.component.matcher.conftest import System
from tests.component.matcher.log import RecordingLog, compacted

SUGGESTION = derived_id("suggestion", "atlas/irrigation", "atlas/labo-sol")

BEFORE: list[list[Envelope]] = [
    [*others(), grower(), soil_lab(), irrigation()],
    [
        member("conserverie", MemberKind.COMPANY, interests=["Chaîne du froid de la sardine", "Sondes de température"]),
        member("coop", MemberKind.COMPANY, SOIL_ASSET),
        need("froid", "conserverie", "Sondes de température pour caisses de sardine", "Chaîne du froid du quai"),
        need("banc", "labo-tissu", "Banc d’étalonnage de capteurs d’humidité à prêter", direction=Direction.OFFER),
        need("orphelin", "inconnu", "Étalonnage de capteurs d’humidité du sol"),
        member("rif", MemberKind.PARTNER_CLUSTER, represents="rif"),
    ],
]
AFTER: list[list[Envelope]] = [
    [soil_lab(member_id="labo-sol-2")],
    [member("inconnu", MemberKind.COMPANY, rev=2)],
    [irrigation(rev=7, need_id="serre", title="Tensiomètres et capteurs d’humidité du sol pour la serre")],
    [member("station", MemberKind.INNOVATION_CITY, FISH_ASSET)],
    [member("equipementier", MemberKind.COMPANY, interests=["Étalonnage de tensiomètres", "Teinture sans eau"])],
    [member("labo-rif", MemberKind.LABORATORY, SOIL_ASSET, cluster="rif")],
    [member("atlas", MemberKind.PARTNER_CLUSTER, cluster="rif", represents="atlas")],
]


@dataclass(frozen=True)
class Meanwhile:
    """What happens to the store between the snapshot and the start, and how many members differ by it."""

    batches: Sequence[Sequence[Envelope]]
    differ: int
    passes: timedelta = timedelta(0)
    """Time in which no process runs."""


HAPPENINGS = {
    "nothing": Meanwhile([], 0),
    "a member changed": Meanwhile([[soil_lab(rev=2, assets=[FISH_ASSET])]], 1),
    "a member renamed": Meanwhile([[soil_lab(rev=2, name="Institut de la serre")]], 1),
    "a member of other traits": Meanwhile([[soil_lab(rev=2, visibility=Visibility(reach=Reach.OWN_CLUSTER))]], 1),
    "a member left": Meanwhile([[soil_lab(rev=2, admission=Admission.LEFT)]], 1),
    "a member came": Meanwhile([[soil_lab(member_id="labo-sol-3")]], 1),
    "a member erased": Meanwhile([[erased_member("labo-sol", 2)]], 1),
    "an asker erased": Meanwhile([[erased_need("irrigation", 2)], [erased_member("verger", 2)]], 1),
    "a need changed": Meanwhile([[irrigation(rev=2, text="Étalonnage de capteurs et de sondes de la serre.")]], 1),
    "a need of a member changed twice": Meanwhile([[irrigation(rev=2, title="Teinture")], [irrigation(rev=3)]], 1),
    "a need withdrawn": Meanwhile([[irrigation(rev=2, status=NeedStatus.WITHDRAWN)]], 1),
    "a need erased": Meanwhile([[erased_need("froid", 2)]], 1),
    "a need came": Meanwhile([[irrigation(need_id="encore", title="Modèle du besoin en eau des agrumes")]], 1),
    "an offered need erased": Meanwhile([[erased_need("banc", 2)]], 1),
    "a request moved": Meanwhile([[irrigation(rev=2, member_id="conserverie")]], 2),
    "an offer moved": Meanwhile(
        [[need("banc", "labo-peche", "Banc d’étalonnage de capteurs à prêter", rev=2, direction=Direction.OFFER)]], 2
    ),
    "a request became an offer": Meanwhile([[irrigation(rev=2, direction=Direction.OFFER)]], 1),
    "a convention ended": Meanwhile([[member("rif", MemberKind.PARTNER_CLUSTER, rev=2)]], 1),
    "a convention was erased": Meanwhile([[erased_member("rif", 2)]], 1),
    "many events": Meanwhile(
        [
            [soil_lab(rev=2), irrigation(rev=2), erased_need("froid", 2)],
            [soil_lab(rev=3, assets=[]), erased_member("labo-peche", 2)],
            [*(member(f"neuf-{number}", MemberKind.COMPANY, FISH_ASSET) for number in range(5))],
            [erased_member("neuf-3", 1), irrigation(rev=3, member_id="neuf-1")],
        ],
        8,
    ),
}


@pytest.fixture
async def system(mongo_url: str, tmp_path: Path) -> AsyncIterator[System]:
    system = System(url=mongo_url, log=RecordingLog(), snapshot=tmp_path / "snapshot")
    await system.start()
    yield system
    await system.close()


@pytest.fixture
async def plain(mongo_url: str) -> AsyncIterator[System]:
    """The same without a snapshot."""
    system = System(url=mongo_url, log=RecordingLog())
    await system.start()
    yield system
    await system.close()


async def play(system: System, batches: Sequence[Sequence[Envelope]]) -> None:
    for batch in batches:
        await system.give(*batch)


async def elsewhere(system: System, batches: Sequence[Sequence[Envelope]]) -> None:
    """Have another process, which keeps no snapshot, handle batches on the same store."""
    other = system.beside()
    other.snapshot = None
    await other.start()
    await play(other, batches)
    other.leave()


async def live(system: System, story: Sequence[Sequence[Envelope]], meanwhile: Meanwhile) -> dict[str, Event | None]:
    """Return all that is told of a story, with a restart in it."""
    await play(system, story)
    await system.matcher.keep_at_stop()
    if meanwhile.batches:
        await elsewhere(system, meanwhile.batches)
    system.now += meanwhile.passes
    await system.start()
    await system.pass_time(timedelta(seconds=1))
    await play(system, AFTER)
    return compacted(system.log.take())


def differed(capsys: pytest.CaptureFixture[str]) -> list[int]:
    """How many members each start since the last look had to bring in."""
    return [int(found) for found in re.findall(r"differed=.*?(\d+)", capsys.readouterr().out)]


@pytest.mark.parametrize("what", HAPPENINGS)
async def test_a_restart_from_a_snapshot_tells_what_a_restart_without_one_tells(
    system: System, plain: System, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    expected = await live(plain, BEFORE, HAPPENINGS[what])
    capsys.readouterr()
    assert await live(system, BEFORE, HAPPENINGS[what]) == expected
    assert differed(capsys)[-1] == HAPPENINGS[what].differ
    assert len(expected) > 5


async def test_needs_that_expired_while_no_process_ran_lapse(
    system: System, plain: System, capsys: pytest.CaptureFixture[str]
) -> None:
    deadline = system.now + timedelta(hours=1)
    story = [*BEFORE, [irrigation(rev=2, deadline=deadline)], [need("s", "verger", "Sardine", deadline=deadline)]]
    meanwhile = Meanwhile([], 1, passes=timedelta(hours=2))
    expected = await live(plain, story, meanwhile)
    assert await live(system, story, meanwhile) == expected
    assert differed(capsys)[-1] == meanwhile.differ


async def test_a_need_that_expired_before_the_snapshot_stays_so(
    system: System, plain: System, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for each in (plain, system):
        await play(each, [*BEFORE, [irrigation(rev=2, deadline=each.now + timedelta(hours=1))]])
        await each.pass_time(timedelta(hours=2))
        capsys.readouterr()
        told.append(await live(each, [], Meanwhile([], 0)))
    assert told[0] == told[1]
    assert differed(capsys)[-1] == 0


async def test_a_need_that_expired_after_the_snapshot_in_another_process_stays_so(
    system: System, plain: System
) -> None:
    told = []
    for each in (plain, system):
        await play(each, [*BEFORE, [irrigation(rev=2, deadline=each.now + timedelta(hours=1))]])
        await each.matcher.keep_at_stop()
        other = each.beside()
        other.snapshot, other.now = None, each.now
        await other.start()
        await other.pass_time(timedelta(hours=2))
        other.leave()
        each.now = other.now
        await each.start()
        await play(each, AFTER)
        told.append(compacted(each.log.take()))
    assert told[0] == told[1]


async def test_one_snapshot_serves_many_starts(
    system: System, plain: System, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for each in (plain, system):
        await play(each, BEFORE)
        for _ in range(3):
            await each.matcher.keep_at_stop()
            await each.start()
        await play(each, AFTER)
        await each.matcher.keep_at_stop()
        await each.start()
        await each.give(soil_lab(rev=5, assets=[FISH_ASSET]))
        told.append(compacted(each.log.take()))
    assert told[0] == told[1]
    assert differed(capsys)[-4:] == [0, 0, 0, 0]


async def test_a_snapshot_newer_than_the_store_is_brought_back_to_it(system: System, plain: System) -> None:
    """As after the store came back from a backup."""
    await play(system, BEFORE)
    rows = {name: await system.database[name].find().to_list() for name in ("members", "needs")}
    await play(system, [[soil_lab(rev=2, assets=[FISH_ASSET]), irrigation(rev=2, title="Teinture")]])
    await system.matcher.keep_at_stop()
    await play(plain, BEFORE)
    told = []
    for each in (plain, system):
        for name, kept in rows.items():
            await each.database[name].delete_many({})
            await each.database[name].insert_many(kept)
        await each.database["suggestions"].delete_many({})
        await each.start()
        each.log.take()
        await play(each, AFTER)
        told.append(compacted(each.log.take()))
    assert told[0] == told[1]


async def test_the_snapshot_of_another_database_is_brought_to_the_store(
    system: System, plain: System, mongo_url: str
) -> None:
    await play(system, BEFORE)
    await system.matcher.keep_at_stop()
    stranger = System(url=mongo_url, log=RecordingLog(), snapshot=system.snapshot)
    story = [[*others(), soil_lab(rev=1, assets=[FISH_ASSET]), grower(), irrigation(title="Chaîne du froid")]]
    await elsewhere(stranger, story)
    await stranger.start()
    await play(stranger, AFTER)
    await stranger.close()
    await elsewhere(plain, story)
    await plain.start()
    await play(plain, AFTER)
    assert compacted(stranger.log.take()) == compacted(plain.log.take())


def damage_a_file(folder: Path) -> None:
    [rows] = folder.glob("data-*/offers_rows.npy")
    content = rows.read_bytes()
    rows.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def remove_a_file(folder: Path) -> None:
    [rows] = folder.glob("data-*/requests_rows.npy")
    rows.unlink()


def tear_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")


def another_engine(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"engine": "tfidf-0"}))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (damage_a_file, "offers_rows.npy is damaged"),
        (remove_a_file, "a file is missing"),
        (tear_the_manifest, "is no JSON"),
        (another_engine, "it was made with engine tfidf-0"),
    ],
)
async def test_a_snapshot_that_cannot_be_used_is_told_in_one_line_and_ignored(
    system: System, plain: System, capsys: pytest.CaptureFixture[str], harm: Callable[[Path], None], said: str
) -> None:
    told: list[Any] = []
    for each in (plain, system):
        await play(each, BEFORE)
        await each.matcher.keep_at_stop()
        if each.snapshot is not None:
            harm(each.snapshot)
        capsys.readouterr()
        await each.start()
        await play(each, AFTER)
        told.append(compacted(each.log.take()))
    assert told[0] == told[1]
    assert said in next(line for line in capsys.readouterr().out.splitlines() if "snapshot_ignored" in line)
    await system.matcher.keep()
    await system.start()
    assert differed(capsys)[-1] == 0


async def test_a_row_that_is_no_event_any_more_stops_the_start(system: System) -> None:
    await play(system, BEFORE)
    await system.matcher.keep_at_stop()
    await system.database["needs"].update_one(
        {"_id": "atlas/orphelin"}, {"$set": {"event.title": ""}, "$unset": {"slot": 1}}
    )
    with pytest.raises(ValueError, match="title"):
        await system.start()


async def test_rows_that_an_earlier_version_wrote_are_read(system: System, plain: System) -> None:
    told = []
    for each in (plain, system):
        await play(each, [*BEFORE, [irrigation(rev=2, deadline=each.now + timedelta(hours=1))]])
        told.append(compacted(each.log.take()))
    await system.database["members"].update_many({}, {"$unset": {"kind": 1, "mark": 1, "slot": 1}})
    await system.database["members"].update_many({"since": {"$exists": True}}, {"$set": {"seq": 77, "since.$[].1": 77}})
    old = {"owner": 1, "deadline": 1, "mark": 1, "slot": 1}
    await system.database["needs"].update_many({}, {"$unset": old})
    await system.database["suggestions"].update_many({}, {"$unset": {"slot": 1, "known": 1}, "$set": {"seq": 77}})
    for each in (plain, system):
        await each.start()
        await each.pass_time(timedelta(hours=2))
        await play(each, AFTER)
        told.append(compacted(each.log.take()))
    assert told[2] == told[3]
    assert len(told[2]) > 5


@pytest.mark.parametrize("gone", [erased_member("labo-sol", 2), erased_need("irrigation", 2)])
async def test_no_word_of_what_was_erased_is_left_on_the_disk(system: System, gone: Envelope) -> None:
    assert system.snapshot is not None
    await play(system, [[*others(), grower(), soil_lab(), irrigation()]])
    await system.matcher.keep_at_stop()
    assert b"agrum" in words_on_disk(system.snapshot)
    await system.give(gone)
    assert words_on_disk(system.snapshot) == b""
    await system.matcher.keep()
    assert b"textil" in words_on_disk(system.snapshot)
    await system.give(erased_member("labo-sol", 3), erased_need("irrigation", 3))
    await system.matcher.keep()
    assert b"agrum" not in words_on_disk(system.snapshot)
    assert b"textil" in words_on_disk(system.snapshot)


async def test_a_folder_that_cannot_be_written_stops_nobody(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    assert system.snapshot is not None
    system.snapshot.write_text("a file stands where the folder should")
    await play(system, BEFORE)
    await system.matcher.keep_at_stop()
    assert "snapshot_failed" in capsys.readouterr().out
    await system.start()
    await play(system, AFTER)
    assert SUGGESTION in {made.suggestion_id for made in system.log.made()}


async def test_a_start_reads_no_event_that_nobody_asks_for(system: System) -> None:
    await play(system, BEFORE)
    await system.matcher.keep_at_stop()
    await elsewhere(system, [[soil_lab(rev=2)]])
    await system.start()
    directory = system.matcher._view.directory
    assert [key for key, known in directory.members.items() if known.read.made] == ["atlas/labo-sol", "atlas/rif"]
    assert not any(known.read.made for known in directory.needs.values())
    await system.matcher.read_ahead()
    await system.database["members"].drop()
    assert {known.event.cluster for known in directory.members.values()} == {"atlas"}


async def test_what_a_few_members_changed_is_not_written_at_once(system: System) -> None:
    await play(system, BEFORE)
    await system.matcher.keep()
    first = written(system)
    await system.give(soil_lab(rev=2))
    await system.pass_time(timedelta(seconds=WRITE_SECONDS))
    await system.matcher.keep()
    assert written(system) == first
    await system.give(*(member(f"neuf-{number}", MemberKind.COMPANY) for number in range(ENOUGH)))
    await system.matcher.keep()
    second = written(system)
    assert second != first
    await system.give(irrigation(rev=2))
    await system.pass_time(timedelta(seconds=LATEST_SECONDS))
    await system.matcher.keep()
    assert written(system) != second


def written(system: System) -> str:
    """The name of the snapshot that is there."""
    assert system.snapshot is not None
    return str(json.loads((system.snapshot / "manifest.json").read_text())["data"])


def words_on_disk(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
