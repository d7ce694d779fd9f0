"""The frame of a service: what it is composed of, the order in which it starts and stops, and how it ends.

frame = Microservice("matcher", settings, consumes=(MEMBERS, NEEDS))
...compose; frame.consumption.handle_with(...); frame.on_start(...); frame.every(...)
frame.run()
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from socket import socket
from time import monotonic

import uvicorn
from aiokafka.errors import KafkaError
from pymongo.errors import PyMongoError
from starlette.applications import Starlette
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from schemas.topics import READS, WRITES, Topic
from services.runtime import broker as brokers
from services.runtime import logs, metrics, tracing
from services.runtime.bounds import CONNECTIONS, Bounds, bounded
from services.runtime.broadcast import Broadcast
from services.runtime.clock import DatabaseClock
from services.runtime.consumption import Consumption
from services.runtime.dead_letters import DeadLetters
from services.runtime.errors import RefusedError, TransientError
from services.runtime.operational import Health, measure_regularly, operational_routes
from services.runtime.outcome import describe
from services.runtime.periodic import Periodic
from services.runtime.publishing import KafkaPublisher
from services.runtime.reading import Reading
from services.runtime.requests import Observed
from services.runtime.rights import group_of, rights_of
from services.runtime.settings import RuntimeSettings
from services.runtime.settlement import RawRecord, Settlement
from services.runtime.shares import Shares
from services.runtime.store import Store
from services.runtime.watchdog import Watchdog

# Parts of the grace period; what is left is for the periodic work and the database.
_HTTP_PART = 0.3
_BROKER_PART = 0.6

Hook = Callable[[], Awaitable[None]]

# What a dependency that is not there yet raises at start.
_AWAY = (TransientError, PyMongoError, KafkaError, OSError, TimeoutError)

# How late another log may be noticed: asking costs a connection.
_LOG_SECONDS = 30.0

# Two machines' clocks may drift apart by so little meanwhile that nobody notices; asking costs a round trip.
_CLOCK_SECONDS = 60.0

STUCK_STATUS = 70
"""Exit status of a process whose consumption or producer cannot recover by itself (EX_SOFTWARE)."""

REFUSED_STATUS = 78
"""Exit status of a process that broker or database do not let in: an operator has to act (EX_CONFIG)."""


class _Server(uvicorn.Server):
    """Calls `leaving` before it waits for answers that are being given."""

    def __init__(self, config: uvicorn.Config, leaving: Sequence[Callable[[], None]]) -> None:
        super().__init__(config)
        self._leaving = leaving

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        for hook in self._leaving:
            hook()
        await super().shutdown(sockets)


class Microservice:
    """One service as it is deployed: an HTTP side, a database of its own, a place on the log."""

    def __init__(
        self,
        name: str,
        settings: RuntimeSettings,
        *,
        consumes: Sequence[Topic] = (),
        beside: bool = False,
        without: Sequence[Topic] = (),
        app: Starlette | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        """Compose what every service has.

        Args:
            consumes: topics whose records are shared out among the replicas.
            beside: they are not what the service is there for: it is ready without, and there may be more replicas
                than there are partitions.
            without: topics that it is set to leave alone: no right to them is asked for.
            app: the HTTP side of a service that has more to say than how it is.
            bounds: what that is sent at most.
        """
        self.name = name
        self.settings = settings
        self.clock = DatabaseClock()
        self.log = logs.get()
        self.store = Store(
            url=settings.mongo.get_secret_value(),
            database=settings.database or f"maillage_{name}",
            password=settings.mongo_password.get_secret_value() if settings.mongo_password else None,
            ca=settings.mongo_ca,
        )
        self.broker = brokers.open_broker(
            settings.connection, client_id=f"maillage-{name}", grace_seconds=settings.grace_seconds
        )
        self.publisher = KafkaPublisher(broker=self.broker, source=f"/maillage/{name}")
        self.group = group_of(name)
        self._reading: Reading | None = None
        self._shares: Shares | None = None
        self._watchdog: Watchdog | None = None
        self._beside = beside
        self.rights = rights_of(name, without=without)
        """Without which it ends, and says so."""
        if consumes:
            consumption = Consumption(
                broker=self.broker,
                group=self.group,
                settlement=self._settlement(consumes),
                instance=settings.instance,
                session_seconds=settings.session_seconds,
            )
            self._read(consumption, spare=lambda: beside and consumption.spare)
        self.started = False
        self.log_id = settings.log_id or ""
        """Which log the service works with; none before the first start."""
        self._hooks: list[Hook] = []
        self._last: list[Hook] = []
        self._waiting: dict[str, Callable[[], Awaitable[int]]] = {}
        self._leaving: list[Callable[[], None]] = []
        self._republish: Hook | None = None
        self._periodic: list[Periodic] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._bounds = bounds or Bounds()
        self._server: uvicorn.Server | None = None
        self._status = 0
        self.app = Starlette() if app is None else app
        self.app.router.lifespan_context = self._lifespan
        self.app.add_middleware(Observed)
        operational_routes(self.app, self)
        measure_regularly(self)
        metrics.expect(self.group, READS.get(name, ()), WRITES.get(name, ()))

    def broadcast(self, topics: Sequence[Topic], *, shared_by: Topic) -> tuple[Broadcast, Shares]:
        """Read `topics` whole in each replica, and share out the work that follows by the partitions of one topic.

        A record that cannot be read is set aside by the replica that holds the share of its partition's number.
        """
        settlement = self._settlement(
            topics, sets_aside=lambda record: record.partition % (shares.of or 1) in shares.held
        )
        reading = Broadcast(broker=self.broker, name=self.group, settlement=settlement)
        shares = Shares(
            connection=self.settings.connection,
            group=self.group,
            topic=shared_by,
            reading=reading,
            instance=self.settings.instance,
            session_seconds=self.settings.session_seconds,
        )
        self._read(reading)
        self._shares = shares
        return reading, shares

    @property
    def consumption(self) -> Consumption:
        """What is shared out to this replica.

        Raises:
            RuntimeError: the service consumes nothing.
        """
        if not isinstance(self._reading, Consumption):
            raise RuntimeError(f"{self.name} consumes no topic")  # noqa: TRY004 - of the service, not of an argument
        return self._reading

    def on_start(self, *hooks: Hook) -> None:
        """Await `hooks`, in order, with the database there and before the first event is read."""
        self._hooks.extend(hooks)

    def on_stop(self, *hooks: Hook) -> None:
        """Await `hooks`, in order, after the last event and with the database still there; never before `on_start`'s.

        A failure is logged: it keeps nobody from stopping.
        """
        self._last.extend(hooks)

    def on_leaving(self, *hooks: Callable[[], None]) -> None:
        """Call `hooks` when the service is told to stop, before it waits for the answers that it is giving.

        For answers that would have no end by themselves.
        """
        self._leaving.extend(hooks)

    def on_new_log(self, republish: Hook) -> None:
        """Await `republish` when the log is another one than before: everything that this service owns must be on it.

        It is awaited with the producer connected and before the first event is read, and again after a crash in it.
        """
        self._republish = republish

    def every(self, seconds: float, name: str, work: Hook) -> Periodic:
        """Repeat `work` while the service runs; returns the handle that wakes it."""
        periodic = Periodic(name, work, seconds=seconds)
        self._periodic.append(periodic)
        return periodic

    async def start(self) -> None:
        """Start once: identity of the log, database, hooks, producer, new log, consumers, periodic work.

        The broker is asked first: hooks may take minutes, and an operator who has to mend something learns it at once.

        Raises:
            RefusedError, StoreError: broker or database do not let us in.
            TransientError, StoreError, KafkaError, OSError: something is away; `start` may be called again.
        """
        self.log_id = self.settings.log_id or await self._ask_log()
        await self.prepare()
        await self.broker.connect()
        await self._adopt_log(self.log_id)
        await self.broker.start()
        if self._shares is not None:
            await self._shares.start()
        self._tasks = [asyncio.create_task(periodic.run(), name=periodic.name) for periodic in self._periodic]
        watch = Periodic("watchdog", self._watch, seconds=min(5.0, self.settings.stuck_after_seconds / 4))
        self._tasks.append(asyncio.create_task(watch.run(), name="watchdog"))
        compare = Periodic("log", self.check_log, seconds=_LOG_SECONDS)
        self._tasks.append(asyncio.create_task(compare.run(), name="log"))
        agree = Periodic("clock", self._set_clock, seconds=_CLOCK_SECONDS)
        self._tasks.append(asyncio.create_task(agree.run(), name="clock"))
        self.started = True
        self.log.info("started", log=self.log_id)

    async def prepare(self) -> None:
        """Do what comes before the log: database, hooks. Raises as `start` does."""
        await self.store.ping()
        await self._set_clock()
        for hook in self._hooks:
            await hook()

    async def _set_clock(self) -> None:
        await self.clock.set_by(self.store.time)

    async def stop(self) -> None:
        """Stop in order: no new batch, the batch in hand, periodic work, producer, database."""
        self.started = False
        if self._reading is not None:
            self._reading.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A consumer that broke down before tells so once more when it is stopped, in a group.
        with suppress(TimeoutError, KafkaError, OSError, ExceptionGroup):
            async with asyncio.timeout(self.settings.grace_seconds * _BROKER_PART):
                await self.broker.stop()
                if self._shares is not None:
                    await self._shares.stop()
        for hook in self._last:
            try:
                await hook()
            except Exception as error:  # the next start can do without
                self.log.warning("stopping", error=describe(error))
        self.store.close()
        self.log.info("stopped")

    async def check_log(self) -> None:
        """End the process when the broker came back with another log: what is owned must be published again at start.

        And when it would not let us in or work any more: the clients themselves would at most lose their connection.
        And when it answers here and has confirmed nothing for long: the producer's own connection may be one of which
        the other end is gone, and the client asks for metadata on it for ever.

        Raises:
            BrokerUnavailableError: the broker is away.
        """
        silent = self.publisher.unconfirmed_seconds > self.settings.stuck_after_seconds
        if self.settings.log_id is not None and not silent:
            return
        try:
            log_id = await self._ask_log()
            if self.settings.log_id is None and log_id != self.log_id:
                self._end("the log is another one")
            elif silent:
                self._end("the broker answers, and confirms nothing")
        except RefusedError as error:
            self._end(str(error), REFUSED_STATUS)

    async def _ask_log(self) -> str:
        return await brokers.log_id(self.settings.connection, rights=self.rights)

    def waits(self, what: str, count: Callable[[], Awaitable[int]]) -> None:
        """Let `/readyz` tell how much of `what` waits in the store: a system is quiet when all of these are 0."""
        self._waiting[what] = count

    async def waiting(self) -> dict[str, int]:
        """How much waits, by what: records on the log, and what the service itself reported.

        Raises:
            StoreError: the database does not answer.
        """
        counts = {what: await count() for what, count in self._waiting.items()}
        if self._watchdog is not None and self.started:
            # While the broker is away the question takes its time; whoever works without it answers at once, by what
            # was last found out (`_watch`).
            if not self._beside:
                await self._watchdog.check()
            if self._watchdog.lag is not None:
                counts["records"] = self._watchdog.lag
        return counts

    def health(self) -> Health:
        """What the process can say of itself without asking anybody."""
        watchdog = self._watchdog
        problems: list[str] = []
        if not self.started:
            problems.append("starting: waits for its database or its broker")
        elif watchdog is not None and not self._beside:
            if not watchdog.reachable:
                problems.append("the broker does not answer")
            elif not watchdog.assigned:
                problems.append("no partition is assigned; `maillage topics` creates topics that are missing")
            if self._reading is not None and self._reading.waits_for is not None:
                problems.append(self._reading.waits_for)
        if self.started and not self.publisher.confirmed:
            problems.append("the broker did not confirm the last event")
        alive = not (self.publisher.broken or (watchdog is not None and watchdog.stuck) or self._left_out)
        return Health(alive=alive, problems=problems)

    @property
    def _left_out(self) -> bool:
        """Whether the client cannot get along with the group any more, though the broker answers."""
        shares, watchdog = self._shares, self._watchdog
        if not self.started or shares is None or watchdog is None or not watchdog.reachable:
            return False
        return monotonic() - shares.last_well > self.settings.stuck_after_seconds

    def run(self) -> None:
        """Serve until told to stop (SIGTERM, SIGINT) or stuck; ends the process with a status that says which."""
        tracing.begin(self.name)
        logs.configure(self.name, level=self.settings.log_level, style=self.settings.log_format)
        config = uvicorn.Config(
            self.app,
            host=self.settings.host,
            port=self.settings.port,
            log_config=None,
            access_log=False,
            http=bounded(self._bounds),
            ws="none",
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=max(1, int(self.settings.grace_seconds * _HTTP_PART)),
        )
        self._server = _Server(config, self._leaving)
        self._server.run()
        tracing.end()
        raise SystemExit(self._status)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        starting = asyncio.create_task(self._start_patiently(), name="start")
        try:
            yield
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self.stop()

    async def _start_patiently(self) -> None:
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(lambda error: isinstance(error, _AWAY) and self._refusal(error) is None),
                wait=wait_random_exponential(multiplier=0.2, max=10),
                before_sleep=self._say_waiting,
            ):
                with attempt:
                    await self.start()
        except Exception as error:  # a start that cannot succeed ends the process
            if refusal := self._refusal(error):
                self._end(refusal, REFUSED_STATUS)
            else:
                self._end(f"cannot start: {describe(error)}")

    def _refusal(self, error: BaseException) -> str | None:
        return str(error) if isinstance(error, RefusedError) else self.store.refusal(error)

    def _say_waiting(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error is not None and state.attempt_number in (1, 2, 5, 10, 20, 50):
            self.log.warning("waiting", attempt=state.attempt_number, reason=describe(error))

    def _settlement(
        self, topics: Sequence[Topic], *, sets_aside: Callable[[RawRecord], bool] = lambda _: True
    ) -> Settlement:
        dead_letters = DeadLetters(publisher=self.publisher, service=self.name)
        return Settlement(
            name=self.group, topics=topics, dead_letters=dead_letters, clock=self.clock, sets_aside=sets_aside
        )

    def _read(self, reading: Reading, *, spare: Callable[[], bool] = lambda: False) -> None:
        self._reading = reading
        self._watchdog = Watchdog(
            reading=reading, clock=self.clock, stuck_after_seconds=self.settings.stuck_after_seconds, spare=spare
        )

    async def _adopt_log(self, log_id: str) -> None:
        known = self.store.database["runtime"]
        before = await known.find_one({"_id": "log"})
        if before is not None and before["id"] == log_id:
            return
        if before is not None and self._republish is not None:
            began = monotonic()
            self.log.warning("new_log", before=before["id"], now=log_id)
            await self._republish()
            self.log.info("republished", seconds=round(monotonic() - began, 1))
        await known.replace_one({"_id": "log"}, {"id": log_id}, upsert=True)

    async def _watch(self) -> None:
        if topic := self.publisher.refused:
            self._end(str(self.settings.connection.refused(f"write {topic}")), REFUSED_STATUS)
            return
        if self._watchdog is not None:
            await self._watchdog.check()
        if self._shares is not None:
            await self._shares.look()
        if not self.health().alive:
            self._end("stuck")

    def _end(self, reason: str, status: int = STUCK_STATUS) -> None:
        self.log.error("ending", reason=reason)
        self._status = status
        if self._server is not None:
            self._server.should_exit = True
