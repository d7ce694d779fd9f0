"""Events onto the log: confirmed by all in-sync replicas, or an error that says so."""

import asyncio
from datetime import datetime
from time import monotonic
from typing import Protocol, cast
from uuid import UUID

from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    TopicAuthorizationFailedError,
)
from faststream.exceptions import IncorrectState
from faststream.kafka import KafkaBroker

from schemas import cloudevents
from schemas.base import Event, Key
from schemas.topics import Topic
from services.runtime import metrics, tracing
from services.runtime.errors import BrokerUnavailableError, PermanentError

# Longer than the broker takes to elect a leader on a good day, shorter than a client waits for its answer.
CONFIRM_SECONDS = 5.0


class Publisher(Protocol):
    """Where services put events."""

    async def publish(
        self,
        topic: Topic,
        key: Key,
        value: Event | None,
        *,
        rev: int,
        occurred_at: datetime,
        traceparent: str | None = None,
    ) -> None:
        """Return once the broker has confirmed the event; without a value, the erasure of `key`.

        Raises:
            BrokerUnavailableError: no confirmation in time; the event may be in the log all the same.
            PermanentError: the event is larger than the log takes.
        """


class KafkaPublisher:
    """Publishes CloudEvents through a FastStream broker."""

    def __init__(self, *, broker: KafkaBroker, source: str) -> None:
        self._broker = broker
        self._source = source
        self.broken = False
        """True once the producer cannot be used any more; the process must be restarted."""
        self.refused: str | None = None
        """The topic that we may not write, once the broker has said so."""
        self._unconfirmed_since: float | None = None

    @property
    def confirmed(self) -> bool:
        """Whether the broker confirmed the last event. What it did not confirm is sent again until it does."""
        return self._unconfirmed_since is None

    @property
    def unconfirmed_seconds(self) -> float:
        """For how long the broker has confirmed nothing of what was sent; 0 if it confirmed the last event."""
        return 0.0 if self._unconfirmed_since is None else monotonic() - self._unconfirmed_since

    async def publish(
        self,
        topic: Topic,
        key: Key,
        value: Event | None,
        *,
        rev: int,
        occurred_at: datetime,
        traceparent: str | None = None,
        identity: UUID | None = None,
    ) -> None:
        """See `Publisher.publish`; and `cloudevents.write` for `identity`."""
        attributes = {"messaging.system": "kafka", "messaging.destination.name": topic.name}
        with tracing.part(f"publish {topic.name}", kind="producer", parent=traceparent, attributes=attributes) as span:
            try:
                record = cloudevents.write(
                    topic,
                    key,
                    value,
                    rev=rev,
                    source=self._source,
                    occurred_at=occurred_at,
                    traceparent=span.traceparent,
                    identity=identity,
                )
            except cloudevents.MalformedEventError as error:
                raise PermanentError(str(error)) from None
            await self.send(topic.name, record.key, record.body, dict(record.headers))

    async def send(self, topic: str, key: bytes, body: bytes | None, headers: dict[str, str]) -> None:
        """Put one raw record on `topic`. Raises as `publish` does."""
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await self._send(topic, key, body, headers)
        except MessageSizeTooLargeError:
            raise PermanentError(f"the broker takes no record as large as this one on {topic}") from None
        except TopicAuthorizationFailedError:
            self.refused = topic
            raise BrokerUnavailableError(f"the broker does not let us write {topic}") from None
        except OutOfOrderSequenceNumber:
            self.broken = True  # the producer's numbering is lost for this partition, and for good
            raise BrokerUnavailableError(f"the producer lost its place on {topic}") from None
        except (TimeoutError, KafkaError, IncorrectState, OSError) as error:
            if self._unconfirmed_since is None:
                self._unconfirmed_since = monotonic()
            metrics.UNCONFIRMED.labels(topic).inc()
            raise BrokerUnavailableError(
                f"the broker did not confirm an event on {topic} within {CONFIRM_SECONDS:g} s ({type(error).__name__})"
            ) from None
        self._unconfirmed_since = None
        metrics.PUBLISHED.labels(topic).inc()

    async def _send(self, topic: str, key: bytes, body: bytes | None, headers: dict[str, str]) -> None:
        # `no_confirm` hands over the future: giving up on the wait must not cancel what the producer still holds.
        # Correlated by its own id: a made-up one would cost a system call, and make a repetition look different.
        sent = await self._broker.publish(
            body, topic, key=key, headers=headers, correlation_id=headers.get("ce_id"), no_confirm=True
        )
        if sent is not None:
            await asyncio.shield(cast("asyncio.Future[object]", sent))
