"""The delivery loop: driven by the store, so that it survives restarts; nobody slow holds up anybody else."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never
from uuid import UUID, uuid4

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from schemas.ambassadors import AmbassadorPublished
from schemas.contacts import ContactPublished
from schemas.notifications import Channel as ChannelName
from services.notifier import metrics
from services.notifier.channels import Channel, Message, Outgoing, RefusedError, UnreachableError
from services.notifier.composing import Composing, Known, UnwantedError
from services.notifier.domain.preferences import Person
from services.notifier.domain.reaching import TESTED_EVERY, Fault, Matter
from services.notifier.domain.schedule import wait_after
from services.notifier.store import Deliveries, Row, Sent, Way
from services.runtime import logs, tracing
from services.runtime.clock import Clock
from services.runtime.outcome import describe
from services.runtime.store import StoreError
from services.runtime.together import Together

AT_ONCE: Final = 16
"""Messages in hand at a time, of each channel: enough to hide receivers' latency, few enough for a small server."""

TRY_SECONDS: Final = 115.0
"""Longest try. Longer than all steps of a channel may take together: cut off in the last, it would be made twice."""

LEASE: Final = timedelta(seconds=130)
"""How long a row stays with a holder that may be gone: longer than any try and what is looked up before it, or one
message would be sent twice. Of a row for which less is left than a try may take, none is begun."""

NOTE_SECONDS: Final = 60.0
"""How long it is tried to note what became of a row, while the database is away."""

LOOK_SECONDS: Final = 1.0
"""Between two looks into the store for what became due by itself; what is new wakes the loop at once."""

_FINISH_SECONDS: Final = 10.0
"""What is in hand at the stop may still end: a try cut off is a message that may be sent twice."""

_TAKE_BACK_SECONDS: Final = 2.0
"""How long the stop waits for the database to take back what was not begun: else that is due when its lease ends."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver's side took it."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """Not now."""

    reason: str
    at_least: timedelta | None = None
    fault: Fault = Fault.UNKNOWN
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Never; `gone`: nor anything else that way."""

    reason: str
    gone: bool = False
    fault: Fault = Fault.THEIRS


@dataclass(frozen=True, slots=True)
class Stale:
    """There is nothing to tell any more."""


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Its reader wants no e-mails, or would not get it."""


@dataclass(frozen=True, slots=True)
class Redirected:
    """Its reader is told that way alone: by chat and by no e-mail, or the other way round."""

    way: Way


@dataclass(frozen=True, slots=True)
class Untried:
    """Too little was left of its lease to begin."""


Outcome = Delivered | Postponed | Failed | Stale | Unwanted | Redirected | Untried


class Delivering:
    """Leases due rows, sends, and notes what became of each."""

    def __init__(
        self,
        *,
        deliveries: Deliveries,
        composing: Composing,
        channels: Mapping[Way, Channel],
        clock: Clock,
        chance: random.Random,
        ended: Callable[[], None],
        tested: Callable[[], None],
        opens: Callable[[AmbassadorPublished | ContactPublished, datetime], datetime],
        lease: timedelta = LEASE,
        instance: str | None = None,
    ) -> None:
        """`opens` says from when on somebody may be written to, not before a moment.

        `ended` is called when a delivery ended, `tested` when from how it did it is to be concluded what works.

        `instance` names this replica; started again after a crash, it has the same.
        """
        self._deliveries = deliveries
        self._delivered = Together(deliveries.delivered)
        self._composing = composing
        self._channels = channels
        self._clock = clock
        self._chance = chance
        self._ended = ended
        self._tested = tested
        self._opens = opens
        self._lease_for = lease
        self._holder = instance or uuid4().hex
        self._woken = asyncio.Event()
        self._in_hand: dict[asyncio.Task[None], Row] = {}
        self._tried: set[UUID] = set()  # rows of which a try began, and whose end is not noted
        self._begun = False  # whether what an earlier process of our name had in hand is taken back
        self._failed = False  # whether something that was in hand is not, and was not noted
        self._log = logs.get()

    def wake(self) -> None:
        """There is something to deliver."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled; what is in hand then is brought to its end.

        Raises:
            StoreError: the store is away. Call again.
        """
        await self._take_back()  # what was in hand at a crash, or taken by a request of which the answer was lost
        try:
            while True:
                self._woken.clear()
                if self._failed:
                    await self._take_back()
                await self._fill()
                with suppress(TimeoutError):
                    # Not `wait_for`: before Python 3.12 it swallows a cancellation that comes together with the wake.
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._woken.wait()
        except asyncio.CancelledError:
            if self._in_hand:
                await asyncio.wait(self._in_hand, timeout=_FINISH_SECONDS)
            for channel in self._channels.values():
                await channel.close()
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(_TAKE_BACK_SECONDS):
                    await self._take_back()  # what was leased and not begun
            raise

    async def _take_back(self) -> None:
        """Have rows that are leased to us and not in hand due at once: nobody need wait for the lease to end."""
        self._failed = False
        in_hand = [row.notification_id for row in self._in_hand.values()]
        tried = [*self._tried] if self._begun else None  # what a process before us had begun is not known
        if rows := await self._deliveries.take_back(self._holder, but=in_hand, tried=tried, now=self._clock()):
            self._log.info("taken_back", rows=rows)
        self._begun = True
        self._tried.intersection_update(in_hand)

    async def _fill(self) -> None:
        """Take due rows into hand until hands are full: one of each receiver at a time, so that nobody fills them."""
        leased_until = asyncio.get_running_loop().time() + self._lease_for.total_seconds()
        rows = [row for way in self._channels for row in await self._lease(way)]
        known = await self._look_up(rows)
        for row in rows:
            task = asyncio.create_task(self._deliver(row, known, leased_until), name=f"deliver {row.notification_id}")
            self._in_hand[task] = row
            task.add_done_callback(self._let_go)

    async def _lease(self, way: Way) -> list[Row]:
        in_hand = [row.to for row in self._in_hand.values() if row.way is way]
        if len(in_hand) >= AT_ONCE:
            return []
        now = self._clock()
        return await self._deliveries.lease(
            way,
            busy=in_hand,
            most=AT_ONCE - len(in_hand),
            now=now,
            until=now + self._lease_for,
            holder=self._holder,
        )

    async def _look_up(self, rows: Sequence[Row]) -> Known | None:
        """Return what these rows deliver; none when something is wrong with one: each is looked up by itself then."""
        if not rows:
            return None
        try:
            return await self._composing.look_up(rows)
        except StoreError:
            raise
        except Exception as error:  # a fault of ours with one row must not keep all others back
            self._log.warning("not_looked_up", error=describe(error))
            return None

    def _let_go(self, task: "asyncio.Task[None]") -> None:
        del self._in_hand[task]
        self.wake()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Not noted: the row is due again, under the same id.
            self._log.warning("not_noted", error=describe(error))
            self._failed = True

    async def _deliver(self, row: Row, known: Known | None, leased_until: float) -> None:
        name = f"deliver {row.way}"
        with tracing.part(name, kind="client", parent=row.traceparent, attributes=row.about) as span:
            message, outcome = await self._make(row, known, leased_until)
            span.note({"maillage.outcome": type(outcome).__name__.lower()})
            if isinstance(outcome, Postponed | Failed):
                span.fail(outcome.reason)
        # What is done is done: a database that is away for a moment must not make us do it again.
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(StoreError),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            stop=stop_after_delay(NOTE_SECONDS),
            reraise=True,
        ):
            with attempt:
                await self._note(row, message, outcome)
        self._tried.discard(row.notification_id)

    async def _note(self, row: Row, message: Outgoing | None, outcome: Outcome) -> None:
        now, address = self._clock(), _address(row, message)
        items = message.items if isinstance(message, Message) else ()
        # What a chat message tells beside an e-mail is told by that, as far as anybody is told of it.
        told = [item.row for item in items if item.row != row.notification_id and row.beside is None]
        log = self._log.bind(notification_id=str(row.notification_id), channel=row.way.value, attempt=row.attempts)
        if isinstance(outcome, Postponed) and outcome.until is not None:
            await self._deliveries.postpone(row, outcome.reason, now=now, wait=outcome.until - now)
        elif isinstance(outcome, Postponed):
            wait = wait_after(row.attempts, self._chance.random(), outcome.at_least)
            if wait is None:
                reason = f"not reached in {row.attempts} tries; the last: {outcome.reason}"
                outcome = Failed(reason, fault=outcome.fault)
            else:
                if message is not None and _keeps_hours(row, now + wait):
                    wait = self._opens(message.to, now + wait) - now
                await self._deliveries.postpone(row, outcome.reason, now=now, wait=wait)
                log.warning("postponed", reason=outcome.reason, seconds=round(wait.total_seconds()))
        match outcome:
            case Delivered():
                if await self._delivered(Sent(row, told, now, address)):
                    for item in items:
                        if item.told_at is not None:  # a reminder: how long it took to tell is known
                            continue
                        made = item.suggestion
                        metrics.told(row.way.value, posted_at=made.posted_at, made_at=made.made_at, at=now)
                if row.matter is Matter.TEST:
                    self._tested()
            case Failed(reason, gone, fault):
                await self._deliveries.failed(row, told, reason, now=now, address=address, gone=gone, fault=fault)
                self._tested()
                log.warning("failed", reason=reason)
            case Stale():
                await self._deliveries.drop(row)
            case Unwanted():
                await self._deliveries.end_unsent(row, now=now)
            case Redirected(way):
                await self._deliveries.redirect(row, way, now=now)
                self.wake()
            case Untried():
                await self._deliveries.put_back(row, now=now)
                log.warning("untried")
                self.wake()
            case Postponed():
                pass
            case unreachable:
                assert_never(unreachable)
        self._ended()
        metrics.DELIVERIES.labels(row.way, type(outcome).__name__.lower()).inc()

    async def _make(self, row: Row, known: Known | None, leased_until: float) -> tuple[Outgoing | None, Outcome]:
        try:
            known = known or await self._composing.look_up([row])
            message = await self._composing.message(row, known)
            ways = self._composing.ways(row, known)
            if message is not None and row.way not in ways:
                [other] = ways
                return message, Redirected(other)
            if message is not None and len(ways) > 1:  # before the e-mail: that one has a retry of its own
                await self._deliveries.also_by_chat(row, now=self._clock())
                self.wake()
        except UnwantedError:
            return None, Unwanted()
        except UnreachableError as error:
            return None, Postponed(str(error))
        except StoreError:
            raise
        except Exception as error:  # a fault of ours: a later version may send it
            return None, Postponed(describe(error), fault=Fault.OURS)
        return message, await self._try(row, message, leased_until)

    async def _try(self, row: Row, message: Outgoing | None, leased_until: float) -> Outcome:
        if message is None:
            return Stale()
        if _keeps_hours(row, message.now) and (opens := self._opens(message.to, message.now)) > message.now:
            # It was not when this was put into the queue.
            return Postponed("it is a quiet hour of the reader's", until=opens)
        if leased_until < asyncio.get_running_loop().time() + TRY_SECONDS:
            return Untried()  # somebody else might take it into hand while we are at it
        self._tried.add(row.notification_id)
        try:
            async with asyncio.timeout(TRY_SECONDS):
                await self._channels[row.way].deliver(message)
        except RefusedError as error:
            return Failed(str(error), error.gone, error.fault)
        except UnreachableError as error:
            return Postponed(str(error), error.retry_after, error.fault)
        except TimeoutError:
            return Postponed(f"no answer within {TRY_SECONDS:g} s")
        except Exception as error:  # a fault of ours or of a library: a later version may send it
            return Postponed(describe(error), fault=Fault.OURS)
        return Delivered()


def _keeps_hours(row: Row, moment: datetime) -> bool:
    """Return whether a row waits at a moment for the hours of its reader: not what they have asked for just now."""
    just_now = row.errand is not None or (row.matter is Matter.TEST and moment < row.made_at + TESTED_EVERY)
    return row.channel is ChannelName.EMAIL and not just_now


def _address(row: Row, message: Outgoing | None) -> str | None:
    """Return a digest of where a message to an ambassador went; none of one to a member, or that was not made."""
    if message is None or not isinstance(message.to, Person):
        return None
    reach = message.to.reach.get(row.way)
    return reach.address if reach else None
