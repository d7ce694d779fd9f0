"""What the services say of themselves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from services.console.doctor.findings import Finding, ok, problem
from services.console.doctor.times import judge_clock
from services.runtime.clock import Clock

# A service waits for its own database before it answers.
_ANSWER_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What one service answered.

    Attributes:
        away: why there was no answer; none: there was.
        ahead: how far its clock is ahead of ours; none: it does not tell.
        within: how much of that may come of the way, and of a clock that tells whole seconds.
    """

    name: str
    url: str
    away: str | None = None
    problems: Sequence[str] = ()
    waiting: Mapping[str, int] = field(default_factory=dict)
    ahead: timedelta | None = None
    within: timedelta = timedelta(seconds=1)


async def ask(name: str, url: str, clock: Clock) -> ServiceFacts:
    """Ask one service whether it is ready."""
    try:
        async with httpx.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=False) as client:
            began = clock()
            answer = await client.get(f"{url.rstrip('/')}/readyz")
            ended = clock()
        said = answer.json()
        problems, waiting = list(said["problems"]), dict(said["waiting"])
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return ServiceFacts(name, url, away=type(error).__name__)
    except (ValueError, KeyError, TypeError):
        return ServiceFacts(name, url, away=f"something else answers there (status {answer.status_code})")
    ahead = None
    if "date" in answer.headers:
        # Whole seconds, cut off: on average half a second has passed since.
        told = parsedate_to_datetime(answer.headers["date"]).astimezone(UTC) + timedelta(seconds=0.5)
        ahead = told - (began + (ended - began) / 2)
    return ServiceFacts(
        name, url, problems=problems, waiting=waiting, ahead=ahead, within=timedelta(seconds=1) + (ended - began) / 2
    )


def judge(facts: ServiceFacts) -> Iterator[Finding]:
    """Yield what is to be said of one service."""
    if facts.away is not None:
        yield problem(
            "services",
            facts.name,
            f"no answer from {facts.url}: {facts.away}",
            "Start it, or correct the address. Its log's last lines say why it ended.",
        )
        return
    for said in facts.problems:
        yield problem("services", facts.name, said, "Mend what it names: it goes on by itself.")
    if not facts.problems:
        waiting = ", ".join(f"{what} {count:,}" for what, count in sorted(facts.waiting.items()) if count)
        yield ok("services", facts.name, f"ready; waiting: {waiting or 'nothing'}")
    if facts.ahead is not None:
        yield judge_clock(f"{facts.name}'s machine", ahead=facts.ahead, within=facts.within)


def named(text: str) -> tuple[str, str]:
    """Read `NAME=URL`, or a URL alone, whose host is then the name.

    Raises:
        ValueError: it is neither.
    """
    name, _, url = text.rpartition("=")
    parsed = httpx.URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("expected NAME=http://HOST:PORT")
    return name or parsed.host, url
