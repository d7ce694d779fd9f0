"""Reads the log beside the services: what was really said, and whether anything said was missed."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas import cloudevents
from schemas.members import MemberPublished
from schemas.needs import NeedPublished
from schemas.notifications import NotificationDelivered, NotificationFailed
from schemas.suggestions import RequestSource, SuggestionLapsed, SuggestionMade
from schemas.topics import MAX_EVENT_BYTES, MEMBERS, NEEDS, NOTIFICATIONS, SUGGESTIONS, TOPICS
from services.console.embedded.process import PartError

# A broker in memory makes a topic when one asks for it; a real one has them all.
TOPICS_SECONDS = 30.0
CATCH_UP_SECONDS = 30.0
LOOK_SECONDS = 0.05

_READ = {topic.name: topic for topic in (MEMBERS, NEEDS, SUGGESTIONS, NOTIFICATIONS)}
_DEAD = {topic.dead_letters for topic in TOPICS}


@dataclass(slots=True)
class Suggested:
    """What was said of one suggestion: the newest of each."""

    source: RequestSource
    request_id: str
    member_id: str
    score: float
    revision: int
    alerts: bool
    at: float
    lapsed: bool = False


@dataclass(slots=True)
class Notified:
    """How one notification ended, by the service's own word."""

    suggestion_id: str
    revision: int
    channel: str
    ambassador_id: str
    failed: str | None = None


@dataclass(slots=True)
class Seen:
    """Everything of one cluster that passed, since the watch began.

    Attributes:
        records: count by topic, whatever the cluster.
        last_at: when the last record of each topic came by, seconds since 1970.
        members, needs: ids.
        suggestions, notifications: by id.
        dead: reasons of dead letters, with the topic and the group.
        unreadable: records that are no events of their topic.
    """

    records: Counter[str] = field(default_factory=Counter)
    last_at: dict[str, float] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    needs: set[str] = field(default_factory=set)
    suggestions: dict[str, Suggested] = field(default_factory=dict)
    notifications: dict[str, Notified] = field(default_factory=dict)
    dead: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


class Watch:
    """One reader of all topics, without a group, from the moment it begins."""

    def __init__(self, *, bootstrap: str, cluster: str) -> None:
        self.seen = Seen()
        self._cluster = cluster
        self._counted: Counter[TopicPartition] = Counter()
        self._began: dict[TopicPartition, int] = {}
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap.split(","),
            auto_offset_reset="earliest",  # when overtaken by retention: miss as little as possible, and count it
            max_partition_fetch_bytes=4 * MAX_EVENT_BYTES,
        )

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read until left; everything published from now on is seen.

        Raises:
            PartError: the topics are not there.
        """
        await self._consumer.start()
        try:
            await self._begin()
            task = asyncio.create_task(self._read(), name="watch the log")
            try:
                yield
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        finally:
            await self._consumer.stop()

    async def catch_up(self) -> None:
        """Return when all that is on the log now was seen, or could not be in time; `missed` tells."""
        ends = await self._consumer.end_offsets(list(self._began))
        deadline = time.monotonic() + CATCH_UP_SECONDS
        for partition, end in ends.items():
            while await self._consumer.position(partition) < end and time.monotonic() < deadline:  # noqa: ASYNC110 - the reader has no event for it
                await asyncio.sleep(LOOK_SECONDS)

    async def missed(self) -> dict[str, int]:
        """Return how many records the log took that were not seen, by topic; topics with none are left out."""
        missed: Counter[str] = Counter()
        for partition, end in (await self._consumer.end_offsets(list(self._began))).items():
            missed[partition.topic] += end - self._began[partition] - self._counted[partition]
        return {topic: count for topic, count in missed.items() if count}

    async def _begin(self) -> None:
        names = {name for topic in TOPICS for name in (topic.name, topic.dead_letters)}
        self._consumer.subscribe(sorted(names))
        deadline = time.monotonic() + TOPICS_SECONDS
        while (missing := names - {partition.topic for partition in self._consumer.assignment()}) or not names:
            if time.monotonic() > deadline:
                raise PartError(f"the broker has no topic {', '.join(sorted(missing))}")
            await asyncio.sleep(0.05)
        partitions = sorted(self._consumer.assignment())
        await self._consumer.seek_to_end(*partitions)
        self._began = {partition: await self._consumer.position(partition) for partition in partitions}

    async def _read(self) -> None:
        while True:
            batches = await self._consumer.getmany(timeout_ms=200, max_records=500)
            for partition, records in batches.items():
                self._counted[partition] += len(records)
                for record in records:
                    self._take(record)
                # Validating a batch takes a while; whoever posts from this process must not wait for all of them.
                await asyncio.sleep(0)

    def _take(self, record: "ConsumerRecord[bytes | None, bytes | None]") -> None:
        seen, topic = self.seen, record.topic
        seen.records[topic] += 1
        seen.last_at[topic] = time.time()
        if topic in _DEAD:
            about = {name: value.decode(errors="replace") for name, value in record.headers}
            seen.dead.append(f"{topic} {about.get('dead_letter_group')}: {about.get('dead_letter_reason')}")
        elif topic in _READ:
            try:
                envelope = cloudevents.read(_READ[topic], record.key, record.value, record.headers)
            except cloudevents.MalformedEventError as error:
                seen.unreadable.append(f"{topic}: {error}")
            else:
                self._note(envelope)

    def _note(self, envelope: cloudevents.Envelope) -> None:
        seen = self.seen
        match envelope.value:
            case MemberPublished() as member if member.cluster == self._cluster:
                seen.members.add(member.member_id)
            case NeedPublished() as need if need.cluster == self._cluster:
                seen.needs.add(need.need_id)
            case SuggestionMade() as made if made.request.party.cluster == self._cluster:
                seen.suggestions[str(made.suggestion_id)] = Suggested(
                    source=made.request.source,
                    request_id=made.request.request_id,
                    member_id=made.offer.party.member_id,
                    score=made.score,
                    revision=made.revision,
                    alerts=made.alerts,
                    at=made.made_at.timestamp(),
                )
            case SuggestionLapsed() as lapsed:
                if (known := seen.suggestions.get(str(lapsed.suggestion_id))) is not None:
                    known.lapsed = True
            case NotificationDelivered() | NotificationFailed() as ended if ended.cluster == self._cluster:
                seen.notifications[str(ended.notification_id)] = Notified(
                    suggestion_id=str(ended.suggestion_id),
                    revision=ended.revision,
                    channel=ended.channel,
                    ambassador_id=ended.ambassador_id,
                    failed=ended.reason if isinstance(ended, NotificationFailed) else None,
                )
            case _:
                pass
