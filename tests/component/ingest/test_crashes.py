"""A crash between any two steps heals: the state reaches the log, once, and is shown; or it never was."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from schemas.cloudevents import Envelope
from services.ingest.claims import claim_of
from services.ingest.entities import CONTACT, MEMBER, NEED
from services.ingest.keys import KeyAsked
from services.ingest.ledger import Asked
from services.ingest.problems import Problem
from services.runtime.errors import BrokerUnavailableError
from services.runtime.store import StoreError
from tests.component.ingest.log import entity, newest, revs
from tests.component.ingest.replica import CLUSTER, Crash, Dying, Replica, World, member_key, need_key

STEPS = [f"{when} {step}" for step in ("propose", "publish", "confirm") for when in ("before", "after")]


@pytest.fixture
async def world(mongo_url: str) -> AsyncIterator[World]:
    world = World(mongo_url)
    yield world
    await world.close()


def at(step: str, number: int = 1) -> Dying:
    """End the process when it comes to a step for the `number`-th time."""
    seen = 0

    def dying(here: str) -> bool:
        nonlocal seen
        seen += here == step
        return here == step and seen == number

    return dying


async def name_of(replica: Replica, member: str) -> str | None:
    value = (await replica.entities.get(MEMBER, member_key(member))).value
    return None if value is None else str(value["name"])


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("first", [True, False], ids=["first state", "later state"])
async def test_the_relay_of_another_process_completes_what_was_stored(world: World, step: str, first: bool) -> None:
    replica = await world.replica()
    before = 0 if first else await replica.member("m", name="Before")
    replica.die_at(at(step))
    with pytest.raises(Crash):
        await replica.member("m", name="After")
    stored = step != "before propose"
    shown = await name_of(replica, "m")
    assert shown == ("After" if step == "after confirm" else None if first else "Before")

    other = await world.replica()
    await world.later(other)
    assert await name_of(other, "m") == ("After" if stored else None if first else "Before")
    assert revs(world.log.envelopes, "m") == list(range(1, before + 1 + stored))
    assert await other.entities.count_pending() == 0


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_client_that_asks_again_gets_what_it_asked_for_once(world: World, step: str, idempotent: bool) -> None:
    claim = claim_of("operator", "key", b"After") if idempotent else None
    replica = await world.replica()
    await replica.member("m", name="Before")
    replica.die_at(at(step))
    with pytest.raises(Crash):
        await replica.member("m", Asked(claim=claim), name="After")
    other = await world.replica()
    assert await other.member("m", Asked(claim=claim), name="After") == 2
    assert revs(newest_checked(world), "m") == [1, 2]


@pytest.mark.parametrize("step", STEPS[1:])
async def test_an_idempotent_request_is_not_applied_again_after_others_wrote(world: World, step: str) -> None:
    asked = Asked(claim=claim_of("operator", "key", b"Mine"))
    replica = await world.replica()
    replica.die_at(at(step))
    with pytest.raises(Crash):
        await replica.member("m", asked, name="Mine")
    other = await world.replica()
    assert await other.member("m", name="Theirs") == 2, "what was pending goes first"
    assert await other.member("m", asked, name="Mine") == 1
    assert await name_of(other, "m") == "Theirs"
    assert revs(newest_checked(world), "m") == [1, 2]


ERASURE_STEPS = [(step, number) for step in STEPS for number in (1, 2, 3, 4)]


@pytest.mark.parametrize(("step", "number"), ERASURE_STEPS)
async def test_an_erasure_that_was_stored_is_carried_to_its_end(world: World, step: str, number: int) -> None:
    replica = await world.replica()
    await replica.member("m", summary="zitoun")
    await replica.contact("m", name="zitoun", email="zitoun@example.org")
    await replica.need("n1", "m", text="zitoun")
    await replica.need("n2", "m", text="zitoun")
    await replica.keyring.issue(KeyAsked(**member_key("m").model_dump()))
    replica.die_at(at(step, number))
    with pytest.raises(Crash):
        await replica.erase("m")
    other = await world.replica()
    await world.later(other)
    if (step, number) == ("before propose", 1):
        assert await name_of(other, "m"), "nothing was stored, nothing is erased"
        return
    assert "zitoun" not in await world.words_left()
    assert await world.database["keys"].count_documents({}) == 0
    kept = newest(world.log.envelopes)
    assert {key: envelope.value for key, envelope in kept.items()} == {
        f"{CLUSTER}/m": None,
        f"{CLUSTER}/m/contact": None,
        f"{CLUSTER}/n1": None,
        f"{CLUSTER}/n2": None,
    }


async def test_whoever_is_told_to_ask_again_for_an_erasure_still_has_a_key(world: World) -> None:
    replica = await world.replica()
    await replica.member("m")
    await replica.keyring.issue(KeyAsked(**member_key("m").model_dump()))
    replica.wire.unreachable = True
    with pytest.raises(BrokerUnavailableError):
        await replica.erase("m")
    assert await world.database["keys"].count_documents({}) == 1
    replica.wire.unreachable = False
    await replica.ledger.relay()
    assert await replica.erase("m") == 2
    assert await world.database["keys"].count_documents({}) == 0


@pytest.mark.parametrize("reaches", [True, False], ids=["only the answer is lost", "nothing comes through"])
async def test_without_confirmation_nothing_shows_until_the_relay_is_heard(world: World, reaches: bool) -> None:
    replica = await world.replica()
    await replica.member("m", name="Before")
    replica.wire.mute, replica.wire.unreachable = reaches, not reaches
    with pytest.raises(BrokerUnavailableError):
        await replica.member("m", name="After")
    assert await name_of(replica, "m") == "Before"

    sent = replica.wire.sent
    with pytest.raises(BrokerUnavailableError, match="at the moment"):
        await replica.member("x")
    assert replica.wire.sent == sent, "refused at once"
    assert (await replica.entities.get(MEMBER, member_key("x"))).pending is None, "and nothing stored"
    with pytest.raises(BrokerUnavailableError):
        await replica.ledger.relay()

    replica.wire.mute = replica.wire.unreachable = False
    await replica.ledger.relay()
    assert await name_of(replica, "m") == "After"
    assert await replica.member("x") == 1
    assert revs(newest_checked(world), "m") == [1, 2]


async def test_what_a_cut_off_producer_sends_late_does_not_outlive_a_newer_state(world: World) -> None:
    cut_off, other = await world.replica(), await world.replica()
    cut_off.wire.unreachable, cut_off.wire.held = True, []
    with pytest.raises(BrokerUnavailableError):
        await cut_off.member("m", name="One")
    await world.later(other)
    await other.member("m", name="Two")
    cut_off.wire.flush()
    assert [envelope.rev for envelope in world.log.envelopes] == [1, 2, 1], "the old one is last"
    await cut_off.ledger.relay()
    assert newest(world.log.envelopes)[f"{CLUSTER}/m"].rev == 2


async def test_a_replica_that_was_overtaken_says_the_newest_state_again(world: World) -> None:
    slow, other = await world.replica(), await world.replica()
    waiting, go = asyncio.Event(), asyncio.Event()
    publish = slow.wire.publish

    async def stall(*args: object, **kwargs: object) -> None:
        waiting.set()
        await go.wait()
        await publish(*args, **kwargs)  # type: ignore[arg-type]

    slow.ledger._publisher.publish = stall  # type: ignore[method-assign]
    late = asyncio.create_task(slow.member("m", name="One"))
    await waiting.wait()
    assert await other.member("m", name="Two") == 2
    go.set()
    assert await late == 1
    assert [envelope.rev for envelope in world.log.envelopes] == [1, 2, 1, 2]


async def test_two_replicas_count_one_entity_together(world: World) -> None:
    replicas = [await world.replica() for _ in range(3)]
    writes = [replicas[n % 3].member("m", name=f"M{n}") for n in range(12)]
    assert sorted(await asyncio.gather(*writes)) == list(range(1, 13))
    assert revs(newest_checked(world), "m") == list(range(1, 13))


@pytest.mark.parametrize("what", ["need", "contact"])
async def test_what_is_stored_while_its_owner_is_erased_goes_too(world: World, what: str) -> None:
    replica, other = await world.replica(), await world.replica()
    await replica.member("m")
    erased = False
    propose: Callable[..., Awaitable[bool]] = replica.entities.propose

    async def erase_first(*args: object, **kwargs: object) -> bool:
        nonlocal erased
        if not erased:
            erased = True
            await other.erase("m")
        return await propose(*args, **kwargs)

    replica.ledger._entities = _With(replica.entities, propose=erase_first)  # type: ignore[assignment]
    with pytest.raises(Problem, match="no member any more"):
        await (replica.need("n", "m", text="zitoun") if what == "need" else replica.contact("m", name="zitoun"))
    assert "zitoun" not in await world.words_left()
    assert (await other.entities.get(NEED, need_key("n"))).value is None
    assert (await other.entities.get(CONTACT, member_key("m"))).value is None
    assert all(envelope.value is None for envelope in newest(world.log.envelopes).values())


async def test_a_need_waits_for_nobody_but_its_owner_on_its_way(world: World) -> None:
    replica, other = await world.replica(), await world.replica()
    replica.die_at(at("before publish"))
    with pytest.raises(Crash):
        await replica.member("m")
    assert await other.need("n", "m") == 1, "its owner's pending profile is completed first"
    assert [str(envelope.key) for envelope in world.log.envelopes] == [f"{CLUSTER}/m", f"{CLUSTER}/n"]


async def test_a_contact_waits_for_its_member_on_its_way(world: World) -> None:
    replica, other = await world.replica(), await world.replica()
    replica.die_at(at("before publish"))
    with pytest.raises(Crash):
        await replica.member("m")
    assert await other.contact("m") == 1, "its member's pending profile is completed first"
    assert [entity(envelope) for envelope in world.log.envelopes] == [f"{CLUSTER}/m", f"{CLUSTER}/m/contact"]


@pytest.mark.parametrize("step", STEPS[1:])
async def test_a_contact_that_was_on_its_way_goes_with_its_member(world: World, step: str) -> None:
    replica = await world.replica()
    await replica.member("m")
    replica.die_at(at(step))
    with pytest.raises(Crash):
        await replica.contact("m", name="zitoun")
    other = await world.replica()
    await other.erase("m")
    await world.later(other)
    assert "zitoun" not in await world.words_left()
    assert newest(world.log.envelopes)[f"{CLUSTER}/m/contact"].value is None


async def test_a_new_log_gets_every_current_state_under_its_rev(world: World) -> None:
    replica = await world.replica()
    await replica.member("m")
    await replica.member("m", name="Again")
    await replica.contact("m")
    await replica.need("n", "m", deadline="2026-03-03T08:00:00Z", status="withdrawn")
    await replica.member("gone")
    await replica.contact("gone")
    await replica.erase("gone")
    before = newest(world.log.envelopes)
    world.log.envelopes.clear()
    world.now = world.now.replace(year=2027)
    await (await world.replica()).ledger.republish()
    assert newest(world.log.envelopes) == before
    assert len(world.log.envelopes) == 5
    assert entity(world.log.envelopes[0]).endswith("/contact"), "who is written to comes before what there is to write"


class _With:
    """An object with some of its methods exchanged."""

    def __init__(self, whole: object, **methods: object) -> None:
        self._whole, self._methods = whole, methods

    def __getattr__(self, name: str) -> object:
        return self._methods.get(name) or getattr(self._whole, name)


def newest_checked(world: World) -> list[Envelope]:
    """What is on the log, where no older state may be last."""
    newest(world.log.envelopes)
    return world.log.envelopes


async def test_a_need_is_taken_though_nobody_can_say_whether_another_says_the_same(world: World) -> None:
    replica = await world.replica()
    await replica.member("m")

    def away(step: str) -> bool:
        if step == "before saying_the_same":
            raise StoreError("connection closed")
        return False

    replica.die_at(away)
    assert await replica.need("n", "m") == 1


async def test_indexes_of_an_older_version_give_way(world: World) -> None:
    replica = await world.replica()
    needs = world.database["needs"]
    for older in ("owner", [("owner", 1), ("_id", 1)]):
        await needs.create_index(older, sparse=True)
    for _ in range(2):
        await replica.entities.prepare()
    assert not {"owner_1", "owner_1__id_1"} & set(await needs.index_information())
    many = [{"_id": f"souss/{n}", "rev": 1, "value": {"status": "open"}, "owner": "souss/m"} for n in range(200)]
    await needs.insert_many([*many, {"_id": "souss/gone", "rev": 2}])
    of_status = {"_id": {"$gt": "souss/", "$lt": "souss0"}, "value": {"$exists": True}, "value.status": "withdrawn"}
    of_one = {name: of_status[name] for name in ("_id", "value")} | {"owner": "souss/other"}
    for where, index in ((of_status, "value.status_1__id_1"), (of_one, "owned")):
        plan = str((await needs.find(where).sort("_id", 1).explain())["queryPlanner"]["winningPlan"])
        assert index in plan, plan
