"""Who is reached by what: ways that do not work are turned off, a desk is told, a test message turns them on again.

What a delivery ended with is stored on its row, marked as not judged; what follows is made from the row, as often as
needed, and then the mark is taken away.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from schemas.ambassadors import AmbassadorKey, AmbassadorRole
from schemas.notifications import Channel
from services.notifier.composing import key_of
from services.notifier.domain.preferences import Person
from services.notifier.domain.reaching import TESTED_EVERY, Failure, Fault, Matter, Off, Way, turned_off
from services.notifier.store import NotifierStore, Row
from services.notifier.store.rows import State, test_id, warning_id
from services.runtime import logs
from services.runtime.clock import Clock
from services.runtime.outcome import describe
from services.runtime.store import StoreError

_AT_ONCE: Final = 100
"""Rows that are asked for in one go."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A way to somebody, as they see it.

    Attributes:
        off: since when and why it is turned off; none: it works, as far as is known.
        tested_at: when the last test message that way was asked for; none: none was.
        state: where that one stands; none where there is none.
        may_test: whether another one may be asked for.
    """

    way: Way
    off: Off | None
    tested_at: datetime | None
    state: State | None
    may_test: bool


class Reaching:
    """Judges how deliveries ended, and sends test messages."""

    def __init__(self, *, store: NotifierStore, clock: Clock, queued: Callable[[], None]) -> None:
        """`queued` is called when something is to be delivered."""
        self._ambassadors = store.ambassadors
        self._deliveries = store.deliveries
        self._clock = clock
        self._queued = queued
        self._log = logs.get()

    async def judge(self) -> None:
        """Make what follows from how deliveries ended: of all that have not been judged.

        Raises:
            StoreError: the store is away. Call again.
        """
        seen: set[UUID] = set()
        while rows := [row for row in await self._deliveries.unjudged(_AT_ONCE) if row.notification_id not in seen]:
            for row in rows:
                seen.add(row.notification_id)
                try:
                    await self._judge(row)
                except StoreError:
                    raise
                except Exception as error:  # a fault of ours with one must not keep all others waiting
                    self._log.warning("not_judged", notification_id=str(row.notification_id), error=describe(error))

    async def ways(self, person: Person) -> tuple[Shown, ...]:
        """Return the ways to somebody besides the inbox."""
        tests, now = await self._ambassadors.tests(person.key), self._clock()
        ids = {way: test_id(str(person.key), way, at) for way, at in tests.items()}
        rows = await self._deliveries.some(list(ids.values()))
        # Should we have ended before one was queued, it was not sent, and whoever asks again has it sent.
        sent = {way: rows[ids[way]].state for way in ids if ids[way] in rows}
        return tuple(
            Shown(
                way,
                reach.off,
                tests[way] if way in sent else None,
                sent.get(way),
                may_test=way not in sent or tests[way] + TESTED_EVERY <= now,
            )
            for way, reach in person.reach.items()
        )

    async def test(self, person: Person, way: Way) -> None:
        """Send somebody a test message one of the ways to them, unless one was not long ago."""
        if way not in person.reach:
            return
        asked_at = await self._ambassadors.begin_test(person.key, way, now=self._clock())
        if asked_at is None:
            return
        # Should we end before, whoever asks next sends it: it has the id of when it was asked for.
        row = _test(str(person.key), way, asked_at)
        await self._deliveries.add([row], now=self._clock())
        await self._take_back([row])
        self._queued()

    async def _judge(self, row: Row) -> None:
        key = key_of(row.ambassador)
        person = await self._ambassadors.get(key)
        reach = person.reach.get(row.way) if person else None
        # What is said of an address that they have no more would be kept in place of what is known of the new one.
        if reach is not None and row.address == reach.address and row.ended_at is not None:
            if row.state is State.DELIVERED:
                await self._ambassadors.turn_on(key, row.way, reach.address, at=row.ended_at)
            elif row.state is State.FAILED and row.fault is not Fault.OURS:
                await self._turn_off(key, row, reach.address, row.ended_at)
        if row.matter is Matter.WARNING and row.state is State.FAILED:
            await self._warn_again(row)
        await self._deliveries.judged(row)

    async def _turn_off(self, key: AmbassadorKey, row: Row, address: str, ended_at: datetime) -> None:
        if row.matter is Matter.TEST and row.bounced_at is not None:
            await self._ambassadors.turn_off_again(key, row.way, address, tested_at=ended_at)
        failure = Failure(row.bounced_at or ended_at, gone=row.gone, bounced=row.bounced_at is not None)
        alone = row.gone or row.way is Way.EMAIL
        in_a_row = [] if alone else await self._deliveries.failures_in_a_row(row.ambassador, row.way, address)
        if (off := turned_off(row.way, failure, in_a_row)) is None:
            return
        if await self._ambassadors.turn_off(key, row.way, address, off, sent_at=ended_at):
            self._log.info("channel_off", channel=row.way, reason=off.reason)
        person = await self._ambassadors.get(key)
        # Since when it is off may have been known before, from another delivery.
        stands = person.off.get(row.way) if person else None
        if person is None or stands is None:
            return
        await self._warn(person, row.way, stands)

    async def _warn(self, person: Person, way: Way, off: Off) -> None:
        """Tell the desks of the cluster, each once: by e-mail, else by chat, and not by what does not work."""
        everybody = await self._ambassadors.of_clusters([person.cluster])
        desks = [one for one in everybody.values() if one.role is AmbassadorRole.DESK]
        rows = [
            _warning(desk, str(person.key), way, off, by_chat=Way.EMAIL not in desk.works)
            for desk in desks
            if desk.works & {Way.EMAIL, Way.CHAT}
        ]
        if await self._deliveries.add(rows, now=self._clock()):
            self._queued()
        await self._take_back(rows)

    async def _warn_again(self, row: Row) -> None:
        """Tell a desk by the other way what did not reach it by the one, once."""
        desk = await self._ambassadors.get(key_of(row.ambassador))
        about = await self._ambassadors.get(key_of(row.concerns)) if row.concerns else None
        if desk is None or about is None or row.concerns_way is None:
            return
        off, other = about.off.get(row.concerns_way), Way.EMAIL if row.by_chat else Way.CHAT
        first = warning_id(row.ambassador, str(about.key), row.concerns_way, row.made_at)
        if off is None or off.since != row.made_at or other not in desk.works or row.notification_id != first:
            return
        rows = [_warning(desk, str(about.key), row.concerns_way, off, by_chat=other is Way.CHAT, again=other)]
        if await self._deliveries.add(rows, now=self._clock()):
            self._queued()
        await self._take_back(rows)

    async def _take_back(self, rows: Sequence[Row]) -> None:
        """Somebody may have been erased between our reading of them and our rows for or about them."""
        about = {row.notification_id: [row.ambassador, *([row.concerns] if row.concerns else [])] for row in rows}
        keys = {key_of(name) for names in about.values() for name in names}
        known: Mapping[str, Person] = await self._ambassadors.known(keys) if keys else {}
        gone = [one for one, names in about.items() if any(name not in known for name in names)]
        if gone:
            await self._deliveries.remove(gone)


def _test(ambassador: str, way: Way, asked_at: datetime) -> Row:
    return Row(
        notification_id=test_id(ambassador, way, asked_at),
        suggestion_id=None,
        revision=0,
        ambassador=ambassador,
        channel=Channel.WEBHOOK if way is Way.WEBHOOK else Channel.EMAIL,
        by_chat=way is Way.CHAT,
        made_at=asked_at,
        state=State.TO_NOTIFY,
        matter=Matter.TEST,
    )


def _warning(desk: Person, concerns: str, way: Way, off: Off, *, by_chat: bool, again: Way | None = None) -> Row:
    return Row(
        notification_id=warning_id(str(desk.key), concerns, way, off.since, again),
        suggestion_id=None,
        revision=0,
        ambassador=str(desk.key),
        channel=Channel.EMAIL,
        by_chat=by_chat,
        made_at=off.since,
        state=State.TO_NOTIFY,
        matter=Matter.WARNING,
        concerns=concerns,
        concerns_way=way,
    )
