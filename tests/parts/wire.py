"""What the hand-written logs of the tests share: events pass as bytes on the wire, or are refused as in earnest."""

from datetime import datetime

from schemas import cloudevents
from schemas.base import Event, Key
from schemas.cloudevents import Envelope
from schemas.topics import Topic
from services.runtime.errors import PermanentError


def carried(
    topic: Topic, key: Key, value: Event | None, *, rev: int, occurred_at: datetime, traceparent: str | None = None
) -> Envelope:
    """Return an event as a reader of the log gets it.

    Raises:
        PermanentError: the log would never take it.
    """
    try:
        record = cloudevents.write(
            topic, key, value, rev=rev, source="/maillage/test", occurred_at=occurred_at, traceparent=traceparent
        )
    except cloudevents.MalformedEventError as error:
        raise PermanentError(str(error)) from None
    headers = [(name, text.encode()) for name, text in record.headers.items()]
    return cloudevents.read(topic, record.key, record.body, headers)
