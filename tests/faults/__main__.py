"""The command line: `python -m tests.faults [--only NAME] [--scale short|full] [--seed N] [--report FILE]`."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from tests.faults.report import line, write
from tests.faults.run import Outcome, execute
from tests.faults.table import FAULTS


async def run(names: list[str], *, short: bool, seed: int) -> list[Outcome]:
    """Run the faults of these names, one after another; say what came of each."""
    me = asyncio.current_task()
    if me is not None:  # told to end, it ends its processes and file systems, too
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    outcomes = []
    for fault in FAULTS:
        if fault.name in names:
            outcomes.append(await execute(fault, short=short, seed=seed))
            print(line(outcomes[-1]), flush=True)
    return outcomes


def main() -> None:
    """Exits 1 where something was not as it must be."""
    names = [fault.name for fault in FAULTS]
    parser = argparse.ArgumentParser(description="Disturb the running system and compare with an undisturbed run.")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument("--scale", choices=("short", "full"), default="full")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="a file to write the table to")
    options = parser.parse_args()
    short = options.scale == "short"
    outcomes = asyncio.run(run(options.only or names, short=short, seed=options.seed))
    if options.report:
        write(options.report, outcomes, seed=options.seed, short=short)
    broken = [outcome.fault.name for outcome in outcomes if not outcome.passed]
    print(f"{len(outcomes) - len(broken)} of {len(outcomes)} held" + (f"; not {', '.join(broken)}" if broken else ""))
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
