"""The replay itself: a cluster with its cities and ambassadors, a muted census, live needs, and what came of them."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel
from pymongo import AsyncMongoClient
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench._account import account, scores_by_need
from bench._data import Folder, asker_of, load
from bench._publishing import Posts, Publishing
from bench._quality import quality, spread
from bench._receiving import Receiver, mailed
from bench._report import Phase, Result, Sent
from bench._watching import Watch
from schemas.ambassadors import AmbassadorProfile, AmbassadorRole
from schemas.members import Admission, MemberKind, MemberProfile
from schemas.notifications import Channel
from schemas.topics import TOPICS
from services.console.embedded.process import PartError
from services.console.embedded.supervisor import PartDied, PartEvent, PartGivenUp, Supervisor
from services.console.system import SERVICES, System, Wanted, running
from services.runtime.settings import PREFIX

LOOK_SECONDS: Final = 0.5
CALM_LOOKS: Final = 6
"""Looks in a row at which nothing waits and nothing has moved on the log: together longer than the services' slowest
regular look at what nobody woke them for."""

DOMAIN: Final = "example.org"

NOTHING: Final = Phase(seconds=0.0, events=0, cpu={})

CPU: Final = "process_cpu_seconds_total"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a person asked for on the command line.

    `folder` is for everything that a run writes; `settings` are of the services, by full variable name.
    """

    data: Path
    kafka: str | None
    mongo: str | None
    limit: int | None
    cities: int
    suggestions: int | None
    settings: Mapping[str, str]
    muted: bool
    rate: float | None
    timeout: float
    folder: Path
    keep: bool

    @property
    def city_ids(self) -> list[str]:
        """Ids of the innovation cities."""
        return [f"city-{number}" for number in range(1, self.cities + 1)]


@dataclass(kw_only=True)
class _Run:
    """A running system, all that watches it, and what is known so far."""

    plan: Plan
    cluster: str
    databases: str
    system: System
    publishing: Publishing
    watch: Watch
    receiver: Receiver
    progress: Progress
    deaths: list[str]
    members: Posts = field(default_factory=Posts)
    needs: Posts = field(default_factory=Posts)
    phases: dict[str, Phase] = field(default_factory=dict)
    timed_out: str | None = None


async def replay(plan: Plan, say: Console) -> Result:
    """Return what a replay found. Everything that was started is stopped again.

    Raises:
        DataError: the folder is not in the expected form.
        PartError: the system did not start, or a part of it stays down.
    """
    folder = load(plan.data, limit=plan.limit, cities=plan.city_ids, publishable=True)
    async with _started(plan, say) as (run, supervisor):
        playing = asyncio.create_task(_play(run, folder))
        given_up = asyncio.create_task(supervisor.given_up())
        await asyncio.wait([playing, given_up], return_when=asyncio.FIRST_COMPLETED)
        if not playing.done():
            playing.cancel()
            event = given_up.result()
            raise PartError(f"{event.part} stays down: it {event.why}")
        given_up.cancel()
        await playing
        return await _result(run, folder)


@asynccontextmanager
async def _started(plan: Plan, say: Console) -> AsyncIterator[tuple[_Run, Supervisor]]:
    cluster = f"replay-{uuid.uuid4().hex[:12]}"
    deaths: list[str] = []
    extra = {
        f"{PREFIX}ALLOW_PRIVATE_WEBHOOKS": "true",  # the receiver is on this machine
        f"{PREFIX}TELLINGS_PER_WEEK": "0",  # months are played in minutes
    } | dict(plan.settings)
    if plan.suggestions is not None:
        extra[f"{PREFIX}SUGGESTIONS_PER_REQUEST"] = str(plan.suggestions)
    databases = cluster.replace("-", "_")
    wanted = Wanted(data=plan.folder, port=0, kafka=plan.kafka, mongo=plan.mongo, databases=databases, extra=extra)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    receiver = Receiver()
    async with AsyncExitStack() as stack:
        stack.enter_context(receiver.listening())
        if plan.mongo is not None and not plan.keep:
            stack.push_async_callback(_drop_databases, plan.mongo, databases)
        with say.status("Starting broker, database, mail catcher and the three services..."):
            system, supervisor = await stack.enter_async_context(running(wanted, lambda event: _note(event, deaths)))
        watch = Watch(bootstrap=system.kafka, cluster=cluster)
        await stack.enter_async_context(watch.reading())
        publishing = Publishing(api=system.api, key=system.operator_key, cluster=cluster)
        stack.push_async_callback(publishing.close)
        run = _Run(
            plan=plan,
            cluster=cluster,
            databases=databases,
            system=system,
            publishing=publishing,
            watch=watch,
            receiver=receiver,
            progress=stack.enter_context(Progress(*columns, console=say)),
            deaths=deaths,
        )
        yield run, supervisor


def _note(event: PartEvent, deaths: list[str]) -> None:
    if isinstance(event, PartDied | PartGivenUp):
        deaths.append(f"{event.part} {event.why}")


async def _play(run: _Run, folder: Folder) -> None:
    cities = [(city, _city(city)) for city in run.plan.city_ids]
    askers = [(need.asker, asker_of(need)) for need in folder.needs]
    organisations = [(member.member_id, member.profile) for member in folder.members]
    needs = [(need.need_id, need.profile) for need in folder.needs]
    waiting: dict[str, int] = {}
    try:
        async with asyncio.timeout(run.plan.timeout):
            await _put(run, "members", cities, Posts(), alerts=False)
            await _put(run, "ambassadors", _relays(run), Posts())
            async with _phase(run, "census"):
                await _put(run, "members", [*organisations, *askers], run.members, alerts=False)
                await _until_quiet(run, waiting)
            async with _phase(run, "live"):
                muted, live = (needs[:-1], needs[-1:]) if run.plan.muted else ([], needs)
                await _put(run, "needs", muted, run.needs, alerts=False)
                await _until_quiet(run, waiting)
                await _put(run, "needs", live, run.needs, alerts=True, rate=run.plan.rate)
                await _until_quiet(run, waiting)
    except TimeoutError:
        run.timed_out = ", ".join(f"{what}: {count}" for what, count in waiting.items() if count) or "requests in hand"
    await run.watch.catch_up()


async def _put(
    run: _Run,
    plural: str,
    items: Sequence[tuple[str, BaseModel]],
    posts: Posts,
    *,
    alerts: bool | None = None,
    rate: float | None = None,
) -> None:
    task = run.progress.add_task(f"Publishing {plural}", total=len(items))
    await run.publishing.put(plural, items, posts, alerts=alerts, rate=rate, done=lambda: run.progress.advance(task))


def _city(city: str) -> MemberProfile:
    return MemberProfile(name=city, kind=MemberKind.INNOVATION_CITY, admission=Admission.ADMITTED)


def _relays(run: _Run) -> list[tuple[str, BaseModel]]:
    def relay(name: str, city: str | None) -> tuple[str, BaseModel]:
        return name, AmbassadorProfile.model_validate(
            {
                "name": name,
                "role": AmbassadorRole.DESK if city is None else AmbassadorRole.AMBASSADOR,
                "city": city,
                "email": _address(run, name, Channel.EMAIL),
                "webhook": {
                    "url": run.receiver.url(_address(run, name, Channel.WEBHOOK)),
                    "secret": run.receiver.secret,
                },
            }
        )

    return [relay("desk", None), *(relay(_ambassador(city), city) for city in run.plan.city_ids)]


def _ambassador(city: str) -> str:
    return f"ambassador-{city}"


def _address(run: _Run, name: str, channel: Channel) -> str:
    return f"{name}@{run.cluster}.{DOMAIN}" if channel is Channel.EMAIL else f"{run.cluster}/{name}"


async def _until_quiet(run: _Run, waiting: dict[str, int]) -> None:
    """Return when nothing waits and nothing moves any more; keep in `waiting` what did at the last look."""
    task = run.progress.add_task("Waiting until quiet", total=None)
    calm, moved = 0, -1
    async with httpx.AsyncClient(timeout=15, trust_env=False) as client:
        while calm < CALM_LOOKS:
            looks = [await _waiting(client, name, address) for name, address in _addresses(run)]
            waiting.clear()  # after the looks: being cut off in one of them must not lose the last answers
            waiting.update({what: count for look in looks for what, count in look.items()})
            records = run.watch.seen.records.total()
            calm = calm + 1 if not any(waiting.values()) and records == moved else 0
            moved = records
            told = ", ".join(f"{what} {count}" for what, count in waiting.items() if count) or "nothing"
            run.progress.update(task, description=f"Waiting: {escape(told)}; {records} records on the log")
            await asyncio.sleep(LOOK_SECONDS)
    run.progress.update(task, total=1, completed=1, description="Quiet")


async def _waiting(client: httpx.AsyncClient, name: str, address: str) -> dict[str, int]:
    """Return what waits in a service; one that does not answer has something to do."""
    try:
        counts: dict[str, int] = (await client.get(f"{address}/readyz")).json()["waiting"]
    except (httpx.HTTPError, ValueError):
        return {f"{name} answer": 1}
    return {f"{name} {what}": count for what, count in counts.items()}


def _events(run: _Run) -> int:
    return sum(run.watch.seen.records[topic.name] for topic in TOPICS)


@asynccontextmanager
async def _phase(run: _Run, name: str) -> AsyncIterator[None]:
    """Note what passes meanwhile, also when time is up before its end."""
    began, events, spent = time.time(), _events(run), await _gauges(run, CPU)
    try:
        yield
    finally:
        last = max((run.watch.seen.last_at.get(topic.name, 0.0) for topic in TOPICS), default=0.0)
        now = await _gauges(run, CPU)
        run.phases[name] = Phase(
            seconds=max(0.0, last - began),
            events=_events(run) - events,
            cpu={service: now[service] - spent[service] for service in SERVICES},
        )


async def _result(run: _Run, folder: Folder) -> Result:
    plan, seen, posted_at = run.plan, run.watch.seen, run.needs.at
    ours = {_address(run, name, Channel.EMAIL) for name in ("desk", *map(_ambassador, plan.city_ids))}
    arrivals = [*run.receiver.arrivals, *mailed(Path(run.system.maildir), ours.__contains__)]
    ambassadors = [_ambassador(city) for city in plan.city_ids]
    docs = {member.member_id: member.doc for member in folder.members}
    queries = {need.need_id: need.query for need in folder.needs}
    suggested = {
        queries[need]: {docs.get(member, member): score for member, score in scores.items()}
        for need, scores in scores_by_need(seen, posted_at).items()
    }
    return Result(
        data=folder.name,
        broker="broker in memory" if plan.kafka is None else f"broker {plan.kafka}",
        database="own MongoDB" if plan.mongo is None else "given MongoDB",
        cities=plan.cities,
        suggestions_per_request=plan.suggestions,
        settings=plan.settings,
        members=_sent(run.members, seen.members, await _known(run, "members"), len(folder.members) + len(queries)),
        needs=_sent(run.needs, seen.needs, await _known(run, "needs"), len(queries)),
        census=run.phases.get("census", NOTHING),
        live=run.phases.get("live", NOTHING),
        offers=int((await _gauges(run, "maillage_index_documents"))["matcher"]),
        account=account(
            seen=seen,
            arrivals=arrivals,
            posted_at=posted_at,
            recipients={
                channel: {_address(run, name, channel) for name in ambassadors}
                for channel in (Channel.EMAIL, Channel.WEBHOOK)
            },
        ),
        ranking=suggested,
        quality=quality(suggested, folder.relevant),
        missed=await run.watch.missed(),
        dead=seen.dead,
        unreadable=seen.unreadable,
        refused_webhooks=run.receiver.refused,
        deaths=run.deaths,
        timed_out=run.timed_out,
    )


def _sent(posts: Posts, on_log: set[str], known: set[str], total: int) -> Sent:
    acknowledged = posts.acknowledged.keys()
    return Sent(
        posted=total,
        acknowledged=len(acknowledged),
        refused=posts.refused,
        retried=posts.retried,
        lost=len(acknowledged - on_log),
        unknown=len(acknowledged - known),
        seconds=posts.seconds,
        latency=spread(list(posts.acknowledged.values())),
    )


async def _known(run: _Run, collection: str) -> set[str]:
    """Return the ids that the matcher holds, of our cluster: from its database, keyed `cluster/id`."""
    async with AsyncMongoClient[dict[str, Any]](run.system.mongo) as client:
        rows = client[f"{run.databases}_matcher"][collection].find({"event": {"$exists": True}}, {"_id": 1})
        keys = [str(row["_id"]).partition("/") async for row in rows]
    return {entity for cluster, _, entity in keys if cluster == run.cluster}


async def _gauges(run: _Run, name: str) -> dict[str, float]:
    """Return one unlabelled metric of each service, 0 of one that does not answer or have it."""
    found = dict.fromkeys(SERVICES, 0.0)
    async with httpx.AsyncClient(timeout=15, trust_env=False) as client:
        for service, address in _addresses(run):
            with suppress(httpx.HTTPError):
                text = (await client.get(f"{address}/metrics")).text
                for family in text_string_to_metric_families(text):
                    found[service] += sum(sample.value for sample in family.samples if sample.name == name)
    return found


def _addresses(run: _Run) -> list[tuple[str, str]]:
    return list(zip(SERVICES, (run.system.api, run.system.matcher, run.system.inbox), strict=True))


async def _drop_databases(mongo: str, prefix: str) -> None:
    async with AsyncMongoClient[dict[str, Any]](mongo) as client:
        for service in SERVICES:
            await client.drop_database(f"{prefix}_{service}")
