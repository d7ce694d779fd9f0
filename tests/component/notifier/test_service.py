"""The whole service as it is deployed: events on a broker in, a letter and a page out."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaConsumer

from schemas.ambassadors import AmbassadorPublished
from schemas.suggestions import SuggestionMade
from schemas.topics import AMBASSADORS, NOTIFICATIONS, SUGGESTIONS
from services.notifier.address import inbox_url
from services.notifier.app import build
from services.notifier.settings import NotifierSettings
from services.runtime.broker import open_broker
from services.runtime.connection import Connection
from services.runtime.publishing import KafkaPublisher
from tests.component.notifier.receivers import MailServer
from tests.component.notifier.world import SENDER, SIGNING, eventually
from tests.unit.notifier.samples import made, person

PUBLIC = "https://maillage.example.org"


async def test_from_the_log_to_the_mailbox_and_the_page(own_kafka: str, mongo_url: str, mail: MailServer) -> None:
    whom = person(f"amina-{uuid4().hex[:8]}", city=f"agadir-{uuid4().hex[:8]}")
    suggestion = made(uuid4().hex)
    party = suggestion.offer.party.model_copy(update={"city": whom.city})
    suggestion = suggestion.model_copy(update={"offer": suggestion.offer.model_copy(update={"party": party})})
    await publish(own_kafka, whom, suggestion)

    settings = NotifierSettings(
        kafka=own_kafka,
        mongo=mongo_url,
        database=f"notifier-{uuid4().hex}",
        secret=SIGNING,
        public_url=PUBLIC,
        smtp=mail.address,
        mail_from=SENDER,
        quiet_hours="00:00-00:00",
    )  # type: ignore[arg-type]  # fmt: skip - pydantic reads text into what the fields are
    frame = build(settings)
    await frame.start()
    try:

        async def told() -> bool:
            return len(mail.mails) == 1

        await eventually(told, within=20)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=frame.app), base_url=PUBLIC) as client:
            page = await client.get(inbox_url(PUBLIC, SIGNING, whom.key))
            assert page.status_code == 200
            assert "Atlas Irrigation" in page.text

            async def quiet() -> bool:
                waiting = (await client.get("/readyz")).json()["waiting"]
                return waiting == dict.fromkeys(
                    ("deliveries", "letters", "steps", "judgements", "announcements", "records"), 0
                )

            await eventually(quiet, within=20)
            metrics = (await client.get("/metrics")).text
            assert 'maillage_deliveries_total{channel="email",outcome="delivered"}' in metrics
            assert 'maillage_suggestion_to_told_seconds_count{channel="email"}' in metrics
    finally:
        await asyncio.wait_for(frame.stop(), 15)
    assert len(await notifications(own_kafka, str(suggestion.suggestion_id))) == 2


async def publish(bootstrap: str, *events: AmbassadorPublished | SuggestionMade) -> None:
    broker = open_broker(Connection(bootstrap), client_id="test", grace_seconds=5)
    await broker.connect()
    publisher = KafkaPublisher(broker=broker, source="/test")
    for event in events:
        topic = AMBASSADORS if isinstance(event, AmbassadorPublished) else SUGGESTIONS
        await publisher.publish(topic, event.key, event, rev=event.rev, occurred_at=datetime.now(UTC))
    await broker.stop()


async def notifications(bootstrap: str, suggestion_id: str) -> list[bytes]:
    """The bodies about one suggestion."""
    consumer = AIOKafkaConsumer(NOTIFICATIONS.name, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    bodies: list[bytes] = []
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                bodies += [record.value for record in batch if suggestion_id.encode() in record.value]
        return bodies
    finally:
        await consumer.stop()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"secret": "short"}, "MAILLAGE_SECRET"),
        ({"smtp": "nowhere"}, "MAILLAGE_SMTP"),
        ({"timezone": "Africa/Atlantis"}, "MAILLAGE_TIMEZONE"),
        ({"mail_from": "nobody"}, "MAILLAGE_MAIL_FROM"),
        ({"bounces": "0.0.0.0:99999"}, "MAILLAGE_BOUNCES"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(
    changes: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from services.runtime.settings import load

    right = {"secret": SIGNING, "public_url": PUBLIC, "mail_from": SENDER}
    for name, value in (right | changes).items():
        monkeypatch.setenv(f"MAILLAGE_{name.upper()}", value)
    with pytest.raises(SystemExit):
        load(NotifierSettings)
    error = capsys.readouterr().err
    assert error.startswith(said)
    assert error.count("\n") == 1
