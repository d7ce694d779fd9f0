"""The process that `bench.cold_start` starts: `python -m bench._cold_process MONGO DATABASE SNAPSHOT [NEED]`.

It is the matcher as it is deployed, without a log: it is composed, and starts as far as it would read its first event.
Then it is given NEED, an event in JSON, or, if that is empty, writes a snapshot. It writes one line of JSON for each
step, and the matcher's log.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from pathlib import Path


async def main() -> None:
    """Be the process."""
    mongo, database, snapshot, need = sys.argv[1:]
    gc.disable()  # as the service's own `__main__` does
    from schemas.cloudevents import Envelope
    from schemas.needs import NeedPublished
    from services.matcher.app import compose
    from services.matcher.service import Alone
    from services.matcher.settings import MatcherSettings
    from services.runtime import logs
    from services.runtime.microservice import Microservice

    _say("imported")
    settings = MatcherSettings.model_validate({"mongo": mongo, "database": database, "snapshot": snapshot})
    logs.configure("matcher", level="info", style="json")
    frame = Microservice("matcher", settings)
    matcher = compose(frame, settings, given=Alone())
    gc.enable()
    await frame.prepare()
    _say("ready")
    if need:
        event = NeedPublished.model_validate_json(need)
        await matcher.take([Envelope(event.key, event, event.rev, "bench", event.published_at)], {})
        _say("paired")
    else:
        await matcher.keep_at_stop()
        _say("kept")
    _say(f"peak {_peak_mib()}")
    frame.store.close()


def _peak_mib() -> int:
    """Return the most memory that this process had; `getrusage` would tell that of its parent, if that had more."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def _say(step: str) -> None:
    sys.stdout.write(json.dumps({"step": step}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
