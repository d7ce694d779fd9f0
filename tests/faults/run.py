"""One run: a system of its own, people who use it, one fault, and what came of it."""

import asyncio
import collections
import functools
import random
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import httpx

from services.console.embedded.process import PartError
from tests.faults.invariants import judge
from tests.faults.load import Load
from tests.faults.stack import Shape, Stack, running
from tests.faults.story import Act, Story, people, story
from tests.faults.traces import Traces, collect

# Needs of the load: enough that something is under way in every part at every moment of a fault.
COMPANIES = {"short": 60, "full": 400}

# Longer than any bound: what is not quiet by then has stopped.
QUIET_WITHIN = 400.0

# Longer than 200 kills of each service and the recovery from the last: every run ends by itself.
ENDS_WITHIN = 1_800.0

# Work passes from one service to the next between two questions; three answers in a row cannot all miss it.
QUIET_ANSWERS = 3
ASK_EVERY = 0.3


@dataclass
class Run:
    """What a fault has in hand.

    Attributes:
        short: the form for continuous integration.
        chance: of its own for each fault and seed.
        done: how often what was done, for the report.
        problems: what else is not as it must be.
        letters: dead letters that are to be at the end.
        shuffled: the log holds older states behind newer ones, because the fault put them there.
        past_ingest: the fault wrote to the log what ingest knows nothing of.
        acts: what people do during the fault; a fault may have `taken` them to see to them itself.
        posting: the load; done once all of it is acknowledged.
        failing: an ambassador whose receiver refuses for good.
    """

    stack: Stack
    load: Load
    short: bool
    chance: random.Random
    done: collections.Counter[str] = field(default_factory=collections.Counter)
    problems: list[str] = field(default_factory=list)
    letters: int = 0
    failing: str | None = None
    shuffled: bool = False
    past_ingest: bool = False
    acts: list[list[Act]] = field(default_factory=list)
    taken: list[list[Act]] = field(default_factory=list)
    posting: "asyncio.Task[None] | None" = None

    def times(self, short: int, full: int) -> range:
        """How often to do something."""
        return range(short if self.short else full)

    async def moment(self, least: float, most: float) -> None:
        """Wait for a moment nobody can foresee, so many seconds away."""
        await asyncio.sleep(self.chance.uniform(least, most))


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row of the table.

    Attributes:
        name: short, for `--only`.
        how: what is done, for a reader of the report.
        act: does it, and returns once it is over.
        bound: seconds from then until every service is ready and nothing waits anywhere.
        seconds: over which the load is spread, in the short and in the full form.
        before: done while nothing else happens yet.
        ci: whether continuous integration runs it.
    """

    name: str
    how: str
    act: Callable[[Run], Awaitable[None]]
    bound: float
    seconds: tuple[float, float]
    before: Callable[[Run], Awaitable[None]] | None = None
    shape: Shape = field(default_factory=Shape)
    ci: bool = False


@dataclass
class Outcome:
    """What came of a run.

    Attributes:
        done: how often what was done.
        problems: what is not as it must be, one line each.
        recovery: seconds, see `Fault.bound`; none: it never became quiet.
        seconds: that the run took.
        requests: entities whose last state was acknowledged.
        asked_again: requests that had to be repeated for it.
        messages: that came to receivers; `copies` came more than once, under the same id.
    """

    fault: Fault
    done: collections.Counter[str] = field(default_factory=collections.Counter)
    problems: list[str] = field(default_factory=list)
    recovery: float | None = None
    seconds: float = 0.0
    requests: int = 0
    asked_again: int = 0
    suggestions: int = 0
    messages: int = 0
    copies: int = 0

    @property
    def passed(self) -> bool:
        """Whether everything was as it must be, in time."""
        return not self.problems and self.recovery is not None and self.recovery <= self.fault.bound


async def execute(fault: Fault, *, short: bool, seed: int) -> Outcome:
    """Run one fault and judge it. What cannot even start is a problem of the row, and does not end the others."""
    began = monotonic()
    calm = await undisturbed(seed, short)
    outcome = Outcome(fault=fault)
    with tempfile.TemporaryDirectory(prefix=f"maillage-{fault.name}-", ignore_cleanup_errors=True) as folder:
        try:
            async with asyncio.timeout(ENDS_WITHIN), running(fault.shape, Path(folder)) as stack:
                await _go_through(fault, stack, outcome, calm, short=short, seed=seed)
        except Exception as error:  # whatever it is, it is this row's, and the others are still to run
            outcome.problems.append(_say(error))
    outcome.seconds = monotonic() - began
    return outcome


async def _go_through(fault: Fault, stack: Stack, outcome: Outcome, calm: Traces, *, short: bool, seed: int) -> None:
    tale = story(seed, COMPANIES["short" if short else "full"])
    run = Run(stack, Load(stack, seed), short, random.Random(f"{fault.name}{seed}"), acts=list(tale.acts))
    outcome.done, outcome.problems = run.done, run.problems
    await settle_in(stack, run.load, tale)
    try:
        outcome.recovery = await disturb(run, fault, seconds=fault.seconds[0 if short else 1])
    except (TimeoutError, PartError, RuntimeError, ExceptionGroup) as error:
        run.problems.append(f"it did not end: {_say(error)}")
    outcome.requests, outcome.asked_again = len(run.load.acknowledged), run.load.refused
    found = await collect(stack)
    run.problems += judge(tale, people(stack.hooks()), run, found, calm)
    messages = found.webhooks + found.mails
    outcome.suggestions, outcome.messages = len(found.suggestions), len(messages)
    outcome.copies = messages.total() - len(messages)


async def settle_in(stack: Stack, load: Load, tale: Story) -> None:
    """Publish who is there before the fault, and wait until nothing waits."""
    await load.all_at_once(tale.before, alerts="false")
    await load.all_at_once(people(stack.hooks()))
    await until_quiet(stack)


async def disturb(run: Run, fault: Fault, *, seconds: float) -> float:
    """Have the load and the fault happen at the same time; return the seconds from the fault's end to quiet."""
    if fault.before is not None:
        await fault.before(run)
    async with asyncio.TaskGroup() as group:
        run.posting = group.create_task(run.load.spread(run.acts, seconds))
        await fault.act(run)
        over = monotonic()
        run.load.hurry()
    await until_quiet(run.stack)
    return monotonic() - over


async def until_quiet(stack: Stack) -> None:
    """Return when every service is ready and nothing waits anywhere, several times in a row.

    Raises:
        TimeoutError: it was not so in time; says what it waits for.
    """
    quiet, last = 0, "nothing answers"
    deadline = monotonic() + QUIET_WITHIN
    async with httpx.AsyncClient(timeout=20) as client:
        while quiet < QUIET_ANSWERS:
            if monotonic() > deadline:
                raise TimeoutError(f"not quiet after {QUIET_WITHIN:g} s: {last}")
            await asyncio.sleep(ASK_EVERY)
            still = True
            for name in sorted(stack.services):
                try:
                    answer = await client.get(f"{stack.addresses[name]}/readyz")
                except httpx.TransportError as error:
                    still, last = False, f"{name}: {type(error).__name__}"
                    continue
                if not answer.is_success or any(answer.json()["waiting"].values()):
                    still, last = False, f"{name}: {answer.text}"
            quiet = quiet + 1 if still else 0


@functools.cache
def _calm(seed: int, short: bool) -> "asyncio.Task[Traces]":
    return asyncio.create_task(_run_undisturbed(seed, short))


async def undisturbed(seed: int, short: bool) -> Traces:
    """What the same story leaves behind when nothing happens; run once."""
    return await _calm(seed, short)


async def _run_undisturbed(seed: int, short: bool) -> Traces:
    tale = story(seed, COMPANIES["short" if short else "full"])
    with tempfile.TemporaryDirectory(prefix="maillage-undisturbed-") as folder:
        async with running(Shape(), Path(folder)) as stack:
            load = Load(stack, seed)
            await settle_in(stack, load, tale)
            load.hurry()
            await load.spread(tale.acts, 0)
            await until_quiet(stack)
            found = await collect(stack)
            if problems := judge(tale, people(stack.hooks()), Run(stack, load, short, random.Random()), found, None):
                raise RuntimeError(f"the undisturbed run is not as it must be: {'; '.join(problems)}")
            return found


def _say(error: BaseException) -> str:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
