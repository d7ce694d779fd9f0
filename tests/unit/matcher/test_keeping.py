"""When a snapshot is written: at once where there is none, and not again for a few members."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.matcher.domain.pairing import Bar, Pairing
from services.matcher.index import Analyser, OfferIndex, Weighting
from services.matcher.index.snapshot import Image
from services.matcher.keeping import ENOUGH, LATEST_SECONDS, WRITE_SECONDS, Keeper

BAR = Bar(0.3, 5, 5)


@dataclass
class Time:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def keeper(tmp_path: Path, time: Time) -> Keeper:
    """One that has just written a snapshot."""
    keeper = Keeper(tmp_path, clock=time)
    await write(keeper)
    return keeper


async def write(keeper: Keeper, *, members: int = 0) -> None:
    """Write a snapshot that knows so many members."""
    marks = {f"atlas/member-{number}": b"" for number in range(members)}
    await keeper.write(await keeper.take(Pairing(index=OfferIndex(Analyser()), bar=BAR, marks=marks)))


def some(count: int) -> list[str]:
    return [f"atlas/labo-{number}" for number in range(count)]


def test_without_a_folder_there_is_nothing_to_write() -> None:
    assert not Keeper(None).due(now=True)


async def test_one_that_is_missing_is_written_at_once(tmp_path: Path, time: Time, keeper: Keeper) -> None:
    assert Keeper(tmp_path / "new", clock=time).due()
    assert not keeper.due()
    (tmp_path / "manifest.json").unlink()  # as anybody may
    assert keeper.due()
    await keeper.discard()
    assert keeper.due()


async def test_one_that_cannot_be_used_is_replaced_at_once(tmp_path: Path, time: Time, keeper: Keeper) -> None:
    (tmp_path / "manifest.json").write_text("{")
    other = Keeper(tmp_path, clock=time)
    assert await other.open(BAR, lambda: None) is None
    assert other.due()


def test_what_nobody_changed_is_not_written_again(time: Time, keeper: Keeper) -> None:
    keeper.change(())
    time.now += 2 * LATEST_SECONDS
    assert not keeper.due()
    assert not keeper.due(now=True)


def test_what_enough_members_changed_is_written_after_a_while(time: Time, keeper: Keeper) -> None:
    keeper.change(some(ENOUGH))
    time.now += WRITE_SECONDS - 1
    assert not keeper.due()
    time.now += 1
    assert keeper.due()


def test_what_a_few_changed_is_written_at_a_stop_and_in_the_end(time: Time, keeper: Keeper) -> None:
    keeper.change(some(ENOUGH - 1))
    assert keeper.due(now=True)
    time.now += LATEST_SECONDS - 1
    assert not keeper.due()
    time.now += 1
    assert keeper.due()


def test_a_member_that_changes_often_is_one(time: Time, keeper: Keeper) -> None:
    for _ in range(2 * ENOUGH):
        keeper.change(some(1))
    time.now += WRITE_SECONDS
    assert not keeper.due()


async def test_of_many_members_more_must_have_changed(time: Time, keeper: Keeper) -> None:
    await write(keeper, members=1000 * ENOUGH)
    time.now += WRITE_SECONDS
    keeper.change(some(2 * ENOUGH - 1))
    assert not keeper.due()
    keeper.change(some(2 * ENOUGH))
    assert keeper.due()


async def test_one_that_was_opened_is_as_one_that_was_written(tmp_path: Path, time: Time, keeper: Keeper) -> None:
    await write(keeper, members=1000 * ENOUGH)
    opened = Keeper(tmp_path, clock=time)
    assert await opened.open(BAR, lambda: None) is not None
    assert not opened.due(now=True)
    opened.change(some(2 * ENOUGH - 1))
    time.now += WRITE_SECONDS
    assert not opened.due()
    opened.change(some(2 * ENOUGH))
    assert opened.due()


async def test_what_is_written_counts_no_more_and_what_comes_meanwhile_does(time: Time, keeper: Keeper) -> None:
    keeper.change(some(ENOUGH))
    image = await keeper.take(Pairing(index=OfferIndex(Analyser()), bar=BAR))
    keeper.change(["atlas/verger"])
    await keeper.write(image)
    time.now += WRITE_SECONDS
    assert not keeper.due()
    assert keeper.due(now=True)


async def test_one_that_could_not_be_written_is_tried_again_after_a_while(time: Time, keeper: Keeper) -> None:
    def full() -> Iterator[tuple[str, object]]:
        raise OSError(28, "No space left on device")

    keeper.change(some(1))
    await keeper.take(Pairing(index=OfferIndex(Analyser()), bar=BAR))
    await keeper.write(Image(full, Weighting(), 0))
    assert not keeper.due()
    assert keeper.due(now=True)
    time.now += WRITE_SECONDS
    assert keeper.due()
