"""Undoing: an act is seen by colleagues at once, and nothing else follows from it until it is final."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest

from schemas.feedback import Act, FeedbackGiven
from tests.component.notifier.introductions import INTRODUCE, ITEM, act, feedback, sent
from tests.component.notifier.world import (
    CrashError,
    Death,
    Process,
    RecordingLog,
    World,
    crashing,
    erased,
    hidden_field,
    inbox,
)
from tests.unit.notifier.samples import changed, contact, lapsed, made, person, sid

BADR = inbox("souss/badr") + f"/s/{sid('soil')}"
TAKE = {"act": "taken"}
DISMISS = {"act": "not_relevant", "reason": "other"}
SECONDS = 30


@pytest.fixture
async def process(world: World) -> Process:
    """Amina leads, Badr is told too; Zineb is her deputy."""
    world.settings = world.settings.model_copy(update={"undo_seconds": SECONDS})
    process = await world.start()
    await process.take(person(deputy="zineb"), person("badr", email=None), person("zineb", city="dakhla"))
    await process.take(made(), contact("atlas"), contact("sensors-lab"))
    await process.run()
    world.mail.mails.clear()
    return process


async def undo(process: Process, *, rev: int = 1, item: str = ITEM, form: str | None = None) -> httpx.Response:
    """Press the button of a page that was open since the act."""
    async with process.browser() as client:
        field = form or hidden_field((await client.get(item)).text)
        return await client.post(item, data={"form": field, "act": "undo", "rev": str(rev)})


def undone(answer: httpx.Response) -> bool:
    assert answer.status_code == httpx.codes.SEE_OTHER
    said = answer.headers["location"].partition("?said=")[2].partition("#")[0]
    assert said in ("undone", "final")
    return bool(said == "undone")


@pytest.mark.parametrize("data", [TAKE, INTRODUCE, {"act": "passed"}, DISMISS])
async def test_what_is_undone_never_was_but_for_its_number(
    world: World, process: Process, data: dict[str, str]
) -> None:
    form = hidden_field((await process.see(ITEM)).text)
    await act(process, data)
    page = (await process.see(ITEM)).text
    assert "Cela prend effet à 10:30:30." in page  # in Casablanca
    if data is TAKE:
        assert "s’en occupe depuis" in (await process.see(BADR)).text
    world.now += timedelta(seconds=SECONDS - 1)
    await process.run()
    assert (world.mail.mails, feedback(world)) == ([], [])
    answer = await undo(process, form=form)
    assert undone(answer)
    after = (await process.see(answer.headers["location"])).text
    assert "Annulé" in after
    assert 'value="taken"' in after
    assert 'value="taken"' in (await process.see(BADR)).text
    world.now += timedelta(minutes=1)
    await process.run()
    assert (world.mail.mails, feedback(world)) == ([], [])
    await act(process, TAKE)
    world.now += timedelta(seconds=SECONDS)
    await process.run()
    assert [(one.rev, one.act) for one in feedback(world)] == [(2, Act.TAKEN)]


async def test_what_is_not_undone_takes_effect_when_the_time_is_over(world: World, process: Process) -> None:
    form = hidden_field((await process.see(ITEM)).text)
    await act(process, INTRODUCE)
    page = (await process.see(ITEM)).text
    assert "ont reçu un e-mail" not in page
    world.now += timedelta(seconds=SECONDS)
    assert not undone(await undo(process, form=form))
    await process.run()
    assert len(sent(world)) == 2
    assert [one.act for one in feedback(world)] == [Act.INTRODUCED]
    assert 'value="undo"' not in (await process.see(ITEM)).text


async def test_what_a_colleague_did_after_it_makes_it_final(world: World, process: Process) -> None:
    form = hidden_field((await process.see(ITEM)).text)
    await act(process, TAKE)
    await act(process, DISMISS, item=BADR)
    assert not undone(await undo(process, form=form))
    assert not undone(await undo(process, rev=2))  # it is not hers
    world.now += timedelta(seconds=SECONDS)
    await process.run()
    assert [(one.rev, one.ambassador_id) for one in feedback(world)] == [(1, "amina"), (2, "badr")]


async def test_an_old_button_undoes_nothing_else(world: World, process: Process) -> None:
    form = hidden_field((await process.see(ITEM)).text)
    await act(process, TAKE)
    await act(process, DISMISS)
    assert not undone(await undo(process, rev=1, form=form))
    assert undone(await undo(process, rev=2, form=form))
    assert "Vous vous en occupez" in (await process.see(ITEM)).text


async def test_a_new_revision_and_an_erasure_meanwhile(world: World, process: Process) -> None:
    form = hidden_field((await process.see(ITEM)).text)
    await act(process, TAKE)
    await process.take(changed(made(), rev=2, revision=2))
    assert undone(await undo(process, form=form))
    await act(process, TAKE, item=BADR)
    await process.take(erased(person("badr").key, 9))
    world.now += timedelta(seconds=SECONDS)
    await process.run()
    assert feedback(world) == []
    assert 'value="taken"' in (await process.see(ITEM)).text


async def told(world: World, process: Process) -> tuple[list[Any], bool]:
    """What the log has, and whether the store has the act, once all is quiet."""
    world.now += timedelta(minutes=5)
    await process.run()
    kept = await process.store.suggestions.get(sid("soil"))
    assert kept is not None
    return world.log.of(FeedbackGiven), bool(kept.acts)


@pytest.mark.parametrize("call", ["undo_act", "make_final", "announced", "stepped", "add"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_crash_anywhere_leaves_it_done_or_undone_and_never_both(
    world: World, process: Process, call: str, when: str
) -> None:
    form = hidden_field((await process.see(ITEM)).text)
    await act(process, INTRODUCE)
    death = Death(f"{when} {call}")
    first = await world.start(death)
    if call == "undo_act":
        with suppress(CrashError):
            await undo(first, form=form)
    else:
        world.now += timedelta(seconds=SECONDS)
        await crashing(first.run(death.is_over))
    assert death.over
    given, is_done = await told(world, await world.start())
    assert (len(given), is_done) == ((0, False) if (call, when) == ("undo_act", "after") else (1, True))
    assert len(sent(world)) == 2 * len(given)


async def test_what_another_replica_is_telling_cannot_be_undone(world: World, process: Process) -> None:
    """The clocks of replicas differ a little: for one the time is over, for the other it is not."""
    ahead = await world.start()
    ahead.parts.announcing._clock = lambda: world.now + timedelta(seconds=SECONDS)
    form = hidden_field((await process.see(ITEM)).text)
    await act(process, TAKE)
    answers: list[bool] = []

    class Telling(RecordingLog):
        async def publish(self, *args: Any, **kwargs: Any) -> None:
            answers.append(undone(await undo(process, form=form)))
            await world.log.publish(*args, **kwargs)

    ahead.parts.announcing._publisher = Telling()
    await ahead.parts.announcing.announce()
    given, is_done = await told(world, process)
    assert (answers, len(given), is_done) == ([False], 1, True)


async def test_what_is_looked_at_for_another_reason_waits_too(world: World, process: Process) -> None:
    """What stands again is looked at at once."""
    form = hidden_field((await process.see(ITEM)).text)
    await act(process, INTRODUCE)
    await process.take(lapsed(), changed(made(), rev=3))
    await process.run()
    assert sent(world) == []
    assert undone(await undo(process, form=form))
    world.now += timedelta(minutes=1)
    await process.run()
    assert sent(world) == []
