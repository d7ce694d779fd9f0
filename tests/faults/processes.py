"""Faults of processes: killed, stopped, ended in order, joining and leaving."""

import asyncio
import signal

from services.console.embedded.process import PartError
from tests.faults.run import Run
from tests.faults.stack import SERVICES, Kept
from tests.parts.kafka import RealKafkaCluster
from tests.parts.mongo import ReplicaSet

# Seconds after which the broker takes a replica for dead: the default of `MAILLAGE_SESSION_SECONDS`.
SESSION = 10.0

STOPPED = '"event": "stopped"'
"""A service's last line when it ends in order."""


async def kill_services(run: Run) -> None:
    """Kill each service at random moments, each time once it is back."""

    async def one(name: str) -> None:
        kept = run.stack.services[name]
        for _ in run.times(2, 200):
            await run.moment(0.1, 1.0)
            await kept.kill()
            run.done[f"kill -9 {name}"] += 1
            await kept.ready.wait()

    await asyncio.gather(*(one(name) for name in SERVICES))


async def kill_broker(run: Run) -> None:
    """Kill the only broker, and start it again."""
    for _ in run.times(1, 5):
        await run.moment(1, 5)
        await _kill_and_await(run, run.stack.kafka_kept, "broker")


async def kill_mongod(run: Run) -> None:
    """Kill mongod, and start it again."""
    for _ in run.times(2, 20):
        await run.moment(1, 4)
        await _kill_and_await(run, run.stack.mongo_kept, "mongod")


async def kill_one_of_three(run: Run) -> None:
    """Kill each of three brokers in turn, and start it again after a while."""
    cluster = run.stack.kafka
    if not isinstance(cluster, RealKafkaCluster):
        raise PartError("there is one broker only")
    for node in cluster.nodes[: len(run.times(1, 3))]:
        await run.moment(1, 3)
        await node.kill()
        run.done["kill -9 one of three brokers"] += 1
        await run.moment(3, 8)
        await node.start()


async def pause_broker(run: Run) -> None:
    """Stop the broker's process for 30 s."""
    await _pause(run, run.stack.kafka_kept, "broker", 8 if run.short else 30)


async def pause_mongod(run: Run) -> None:
    """Stop mongod's process for 30 s."""
    await _pause(run, run.stack.mongo_kept, "mongod", 8 if run.short else 30)


async def pause_services(run: Run) -> None:
    """Stop one of two replicas of each service for longer than its session: another takes over, then it goes on."""
    for name in ("matcher",) if run.short else SERVICES:
        await run.moment(0.5, 2)
        await _pause(run, run.stack.services[name], name, SESSION + 5)


async def step_down(run: Run) -> None:
    """Have the primary of a replica set step down, or kill it."""
    mongods = run.stack.mongo
    if not isinstance(mongods, ReplicaSet):
        raise PartError("there is one mongod only")
    for turn in run.times(2, 10):
        await run.moment(1, 3)
        primary = await mongods.primary()
        if turn % 2:
            await primary.kill()
            run.done["kill -9 primary"] += 1
            await primary.start()
        else:
            await mongods.command(primary, {"replSetStepDown": 10, "secondaryCatchUpPeriodSecs": 5})
            run.done["step-down"] += 1
        await mongods.primary()


async def terminate(run: Run) -> None:
    """Ask each service to end, at random moments; it must end in order."""

    async def one(name: str) -> None:
        kept = run.stack.services[name]
        for _ in run.times(2, 20):
            await run.moment(0.2, 2)
            log = run.stack.folder / "logs" / f"{name}.log"
            before = log.read_text().count(STOPPED)
            await kept.terminate()
            run.done[f"SIGTERM {name}"] += 1
            if log.read_text().count(STOPPED) == before:
                run.problems.append(f"{name} did not stop in order when asked to end")
            await kept.ready.wait()

    await asyncio.gather(*(one(name) for name in SERVICES))


async def rolling_restart(run: Run) -> None:
    """Restart each of two replicas of each service, one after another, as an upgrade does."""
    for _ in run.times(1, 3):
        for name in sorted(run.stack.services):
            service, _, number = name.partition("-")
            await run.stack.leave(name)
            await run.stack.join(service, int(number or 1))
            run.done[f"restart of a replica of {service}"] += 1


async def rebalance_storm(run: Run) -> None:
    """Have a second replica of each service join, or leave in order or without a word, each 5 s."""
    for _ in run.times(2, 24):
        await asyncio.gather(asyncio.sleep(5), *(_come_or_go(run, service) for service in SERVICES))
    await asyncio.gather(*(run.stack.leave(name) for name in list(run.stack.services) if name not in SERVICES))


async def _come_or_go(run: Run, service: str) -> None:
    name = f"{service}-2"
    if name in run.stack.services:
        await run.stack.leave(name, in_order=run.chance.random() < 0.5)
        run.done[f"{service} left"] += 1
    else:
        await run.stack.join(service, 2)
        run.done[f"{service} joined"] += 1


async def _kill_and_await(run: Run, kept: Kept | None, what: str) -> None:
    if kept is None:
        raise PartError(f"there are several of {what}")
    await kept.kill()
    run.done[f"kill -9 {what}"] += 1
    await kept.ready.wait()


async def _pause(run: Run, kept: Kept | None, what: str, seconds: float) -> None:
    if kept is None:
        raise PartError(f"there are several of {what}")
    kept.send(signal.SIGSTOP)
    run.done[f"SIGSTOP {what} for {seconds:g} s"] += 1
    try:
        await asyncio.sleep(seconds)
    finally:
        kept.send(signal.SIGCONT)
