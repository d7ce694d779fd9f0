"""Faults of the network between each two parts, by the proxies between them."""

import asyncio

from tests.faults.proxy import Network
from tests.faults.run import Run


async def cut(run: Run) -> None:
    """Cut the network between each two parts, one pair after another."""
    await _between_each(run, Network.CUT, "cut", short=1, full=6)


async def slow_down(run: Run) -> None:
    """Have everything arrive late between each two parts, one pair after another."""
    await _between_each(run, Network.SLOW, "200 ms late each way", short=1, full=10)


async def half_open(run: Run) -> None:
    """Have connections swallow what is said between each two parts, one pair after another; they stay so."""
    await _between_each(run, Network.HALF_OPEN, "half-open", short=1, full=8)


async def _between_each(run: Run, network: Network, what: str, *, short: float, full: float) -> None:
    for pair, proxy in run.stack.proxies.items():
        await run.moment(0.2, 1)
        await proxy.be(network)
        await asyncio.sleep(short if run.short else full)
        await proxy.be(Network.WHOLE)
        run.done[f"{'-'.join(pair)} {what}"] += 1
