"""One suite for every channel, against a real receiver: delivers once, tells final from passing, names nobody."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from schemas.feedback import Side
from schemas.ids import derived_id
from schemas.suggestions import Evidence, SharedTerm, SuggestionMade
from services.notifier.channels import (
    Channel,
    Colleague,
    Introducer,
    Invitation,
    Item,
    Message,
    RefusedError,
    UnreachableError,
)
from services.notifier.channels.email import EmailChannel, message_id
from services.notifier.channels.smtp import TIMEOUT_SECONDS, SmtpServer
from services.notifier.channels.webhook import WebhookChannel, is_public
from services.notifier.composing import introducer
from services.notifier.domain.introduction import Purpose
from services.notifier.domain.preferences import Preferences, person_of
from services.notifier.pages.letters import Letters
from services.notifier.pages.reader import Readers
from tests.component.notifier.receivers import LOOPBACK, HookReceiver, MailServer, parts_of
from tests.unit.notifier.samples import EVIDENCE, NOW, SECRET, contact, made, person

LINK = "https://maillage.example.org/inbox/token/s/1"
NID = derived_id("test-notification")


def item(suggestion: SuggestionMade | None = None) -> Item:
    badr = Colleague("souss/badr", "Badr Alaoui", "Tamansourt", leads=False)
    return Item(row=NID, suggestion=suggestion or made(), leads=True, colleagues=(badr,), link=LINK)


def message(hook_url: str, **changes: object) -> Message:
    whom = person(webhook={"url": hook_url, "secret": SECRET}, **changes)
    return Message(
        notification_id=NID,
        to=whom,
        items=(item(),),
        link=LINK,
        unsubscribe="https://maillage.example.org/unsubscribe/" + "t" * 90,
        preferences="https://maillage.example.org/inbox/t/preferences",
        now=datetime.now(UTC),
    )


class Receiver:
    """A receiver's side of either kind: what it took, and how to make it answer."""

    def __init__(self, channel: Channel, url: str, ids: Callable[[], list[str]], answer: Callable[[int], None]) -> None:
        self.channel = channel
        self.url = url
        self.ids = ids
        self.answer = answer


@pytest.fixture(params=["email", "webhook"])
def receiver(request: pytest.FixtureRequest, mail: MailServer, hook: HookReceiver) -> Receiver:
    if request.param == "webhook":

        def hook_answers(status: int) -> None:
            hook.answer = lambda _: ({550: 410, 451: 503}[status], {})

        return Receiver(
            WebhookChannel(allow_private=True),
            hook.url,
            lambda: [taken.headers["webhook-id"] for taken in hook.taken],
            hook_answers,
        )

    def mail_answers(status: int) -> None:
        mail.answer_recipient = lambda address: f"{status} {status // 100}.1.1 <{address}> Amina Tazi unknown"

    return Receiver(email(mail.address), hook.url, mail.ids, mail_answers)


def email(address: str) -> EmailChannel:
    host, _, port = address.rpartition(":")
    return EmailChannel(
        server=SmtpServer(host=host, port=int(port)),
        sender="maillage@example.org",
        writer=Letters(Readers(timezone="Africa/Casablanca")),
    )


async def test_it_delivers_once_under_one_id(receiver: Receiver) -> None:
    await receiver.channel.deliver(message(receiver.url))
    assert len(receiver.ids()) == 1
    await receiver.channel.deliver(message(receiver.url))
    assert len(set(receiver.ids())) == 1
    assert str(NID) in receiver.ids()[0]


async def test_it_tells_final_from_passing(receiver: Receiver) -> None:
    receiver.answer(550)
    with pytest.raises(RefusedError):
        await receiver.channel.deliver(message(receiver.url))
    receiver.answer(451)
    with pytest.raises(UnreachableError):
        await receiver.channel.deliver(message(receiver.url))
    assert receiver.ids() == []


async def test_what_is_not_there_may_come_back(receiver: Receiver, mail: MailServer, hook: HookReceiver) -> None:
    await mail.stop()
    await hook.stop()
    with pytest.raises(UnreachableError):
        await receiver.channel.deliver(message(receiver.url))


@pytest.mark.parametrize("status", [550, 451])
async def test_no_error_names_anybody(receiver: Receiver, status: int) -> None:
    receiver.answer(status)
    told = message(receiver.url)
    with pytest.raises((RefusedError, UnreachableError)) as raised:
        await receiver.channel.deliver(told)
    for secret in ("amina", "tazi", "@", LOOPBACK, receiver.url, SECRET, "inbox/token"):
        assert secret not in str(raised.value).casefold()


async def test_a_contact_that_is_gone_is_final(receiver: Receiver) -> None:
    nobody = replace(message(receiver.url), to=person(email=None))
    with pytest.raises(RefusedError):
        await receiver.channel.deliver(nobody)


# E-mail


@pytest.mark.parametrize(
    ("where", "answer", "error"),
    [
        ("recipient", "550 5.1.1 no such user", RefusedError),
        ("recipient", "553 5.1.3 bad address", RefusedError),
        ("recipient", "450 4.2.0 greylisted", UnreachableError),
        ("recipient", "552 5.2.2 mailbox full", UnreachableError),
        ("message", "554 5.7.1 looks like spam", RefusedError),
        ("message", "552 5.3.4 too large", UnreachableError),
        ("message", "451 4.3.0 try again", UnreachableError),
        ("message", "421 4.3.2 closing", UnreachableError),
    ],
)
async def test_what_a_mail_server_says(mail: MailServer, where: str, answer: str, error: type[Exception]) -> None:
    setattr(mail, f"answer_{where}", lambda _: answer)
    with pytest.raises(error, match=answer[:9].replace(".", r"\.")):
        await email(mail.address).deliver(message("http://x/"))


async def test_what_a_server_took_is_delivered_though_it_never_says_goodbye() -> None:
    """Waiting for that would use up the time of the try, and the message would be sent again."""

    taken: list[bytes] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        in_data = False
        while line := await reader.readline():
            if in_data and line != b".\r\n":
                continue
            if in_data:
                taken.append(line)
            in_data = line.upper() == b"DATA\r\n"
            if line.upper() != b"QUIT\r\n":
                writer.write(b"354 go on\r\n" if in_data else b"250 taken\r\n")
        writer.close()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as server, asyncio.timeout(TIMEOUT_SECONDS / 2):
        port = server.sockets[0].getsockname()[1]
        await email(f"127.0.0.1:{port}").deliver(message("http://x/"))
    assert len(taken) == 1


async def test_messages_share_connections_that_are_well(mail: MailServer) -> None:
    channel = email(mail.address)
    for _ in range(2):
        await channel.deliver(message("http://x/"))
    assert len(mail.sessions) == 1
    mail.hang_up()
    await channel.deliver(message("http://x/"))  # lost while nobody used it: nobody's failed try
    assert len(mail.sessions) == 2
    mail.answer_recipient = lambda _: "550 5.1.1 no such user"
    with pytest.raises(RefusedError):
        await channel.deliver(message("http://x/"))
    mail.answer_recipient = lambda _: "250 2.1.5 known"
    await asyncio.gather(*(channel.deliver(message("http://x/")) for _ in range(2)))  # neither waits, nor shares
    assert len(mail.sessions) == 4
    assert len(mail.mails) == 5
    await channel.close()
    async with asyncio.timeout(10):
        while any(session.transport is not None for session in mail.sessions[2:]):
            await asyncio.sleep(0.01)


async def test_words_are_parted_by_the_readers_comma(mail: MailServer) -> None:
    terms = (SharedTerm(request_words=("زيت", "زيوت"), offer_words=("الزيت",), share=0.3), EVIDENCE.terms[1])
    told = replace(message("http://x/", language="ar"), items=(item(made(evidence=Evidence(terms=terms))),))
    await email(mail.address).deliver(told)
    [(_, letter)] = mail.mails
    for part in parts_of(letter):
        assert "زيت، زيوت / الزيت" in part


async def test_a_letter_is_in_the_readers_language_and_complete(mail: MailServer) -> None:
    for language, why in (("fr", "Pourquoi ce rapprochement"), ("ar", "سبب هذا الاقتراح"), ("en", "Why this pairing")):
        mail.mails.clear()
        await email(mail.address).deliver(message("http://x/", language=language))
        [(recipient, letter)] = mail.mails
        text, html = parts_of(letter)
        assert recipient == "amina@example.org"
        assert letter["Message-ID"] == message_id(NID, "maillage@example.org") == f"<{NID}@example.org>"
        assert letter["Content-Language"] == language
        assert letter["Date"] is not None
        assert "Atlas Irrigation" in str(letter["Subject"])
        for part in (text, html):
            for wanted in (why, "31", "capteurs / capteur", "TRL 5", "Badr Alaoui", "reliés en", "Aït Melloul", LINK):
                assert wanted in part, wanted
        assert f'dir="{"rtl" if language == "ar" else "ltr"}"' in html
        assert "<" not in text


async def test_no_text_of_a_member_becomes_markup_or_a_header(mail: MailServer) -> None:
    evil = '<script>alert(1)</script>"\r\nBcc: all@example.org\r\n\r\n<b>'
    suggestion = made()
    request = suggestion.request.model_copy(
        update={"title": evil, "party": suggestion.request.party.model_copy(update={"name": evil})}
    )
    told = replace(message("http://x/"), items=(item(suggestion.model_copy(update={"request": request})),))
    await email(mail.address).deliver(replace(told, to=told.to.model_copy(update={"name": evil})))
    [(_, letter)] = mail.mails
    assert letter["Bcc"] is None
    assert len(mail.mails) == 1
    assert "<script" not in parts_of(letter)[1]


async def test_an_address_beyond_ascii_is_reached(mail: MailServer) -> None:
    await email(mail.address).deliver(message("http://x/", email="أمينة@example.org"))
    assert [recipient for recipient, _ in mail.mails] == ["أمينة@example.org"]


# Webhooks


async def test_a_webhook_can_be_verified(hook: HookReceiver) -> None:
    await WebhookChannel(allow_private=True).deliver(message(hook.url))
    [taken] = hook.taken
    body = Webhook(SECRET).verify(taken.body, taken.headers)
    assert body["data"]["notification_id"] == taken.headers["webhook-id"] == str(NID)
    assert body["data"]["url"] == LINK
    assert sum(t["percent"] for t in body["data"]["why"]["terms"]) + body["data"]["why"]["other_terms_percent"] == 100
    assert body["data"]["request"]["passages"][0]["shared_words"] == [
        "capteurs",
        "humidité",
        "LoRa",
        "irrigation",
        "parcelles",
    ]
    assert taken.line == "POST /hook HTTP/1.1"
    assert taken.headers["host"] == hook.address
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(taken.body.replace(b"Atlas", b"Antar"), taken.headers)


async def test_a_webhook_costs_little(hook: HookReceiver) -> None:
    channel, count = WebhookChannel(allow_private=True), 100
    spent = time.process_time()
    for _ in range(count):
        await channel.deliver(message(hook.url))
    # Processor time of sender, receiver and this test together, about 4 ms; 25 and more if each reads the certificates.
    assert (time.process_time() - spent) / count < 0.015


async def test_the_body_is_the_same_at_every_try(hook: HookReceiver) -> None:
    channel = WebhookChannel(allow_private=True)
    await channel.deliver(message(hook.url))
    await channel.deliver(replace(message(hook.url), now=NOW + timedelta(days=3)))
    assert hook.taken[0].body == hook.taken[1].body
    assert "@" not in json.dumps(json.loads(hook.taken[0].body))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, RefusedError),
        (302, RefusedError),
        (400, RefusedError),
        (401, UnreachableError),
        (404, UnreachableError),
        (410, RefusedError),
        (413, RefusedError),
        (422, RefusedError),
        (429, UnreachableError),
        (500, UnreachableError),
        (501, RefusedError),
        (503, UnreachableError),
    ],
)
async def test_what_a_webhook_says(hook: HookReceiver, status: int, error: type[Exception]) -> None:
    hook.answer = lambda _: (status, {"location": hook.url})
    with pytest.raises(error, match=str(status)):
        await WebhookChannel(allow_private=True).deliver(message(hook.url))
    assert len(hook.requests) == 1


async def test_a_webhook_may_ask_for_time(hook: HookReceiver) -> None:
    hook.answer = lambda _: (429, {"retry-after": "120"})
    with pytest.raises(UnreachableError) as raised:
        await WebhookChannel(allow_private=True).deliver(message(hook.url))
    assert raised.value.retry_after == timedelta(seconds=120)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:9/", "https://localhost:9/", "https://[::1]:9/", "https://10.0.0.1/"]
)
async def test_private_networks_are_out_of_reach(hook: HookReceiver, url: str) -> None:
    with pytest.raises(RefusedError, match="private"):
        await WebhookChannel(allow_private=False).deliver(message(url))


async def test_a_name_is_looked_up_as_it_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spelt out and back by the older IDNA of the standard library, it would be the name of somebody else's host."""
    asked: list[object] = []

    async def unknown(host: object, *_: object, **__: object) -> None:
        asked.append(host)
        raise OSError

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(UnreachableError, match="not known"):
        await WebhookChannel(allow_private=False).deliver(message("https://xn--fa-hia.example/"))
    assert asked == ["xn--fa-hia.example"]


async def test_nothing_is_sent_in_the_clear(hook: HookReceiver) -> None:
    with pytest.raises(RefusedError, match="https"):
        await WebhookChannel(allow_private=False).deliver(message(hook.url))
    assert hook.requests == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - not bound to
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False),
        ("::7f00:1", False),
        ("fec0::1", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    "word",
    [
        "=?utf-8?q?Hi=0D=0AReply-To:_evil=40evil.example=0D=0A=0D=0APay?=",
        "=?utf-8?b?SGkNClJlcGx5LVRvOiBldmlsQGV2aWwuZXhhbXBsZQ0K?=",
    ],
)
async def test_no_name_breaks_out_of_its_header(mail: MailServer, word: str) -> None:
    """Encoded words in what is assigned are decoded by the library, line breaks and all."""
    base = item().suggestion
    party = base.request.party.model_copy(update={"name": word})
    named = base.model_copy(update={"request": base.request.model_copy(update={"party": party})})
    invitation = Invitation(
        notification_id=NID, to=contact("sensors-lab", language="en"), purpose=Purpose.ASK, side=Side.OFFERING,
        suggestion=named, introducer=Introducer(word, "", "amina@example.org"), introduced_at=NOW, contact=None,
        link=LINK, now=datetime.now(UTC),
    )  # fmt: skip
    await email(mail.address).deliver(invitation)
    [(_, received)] = mail.mails
    assert received.get_all("Reply-To") == ["amina@example.org"]
    assert "evil" not in str(received["Reply-To"])
    assert parts_of(received)[0].startswith("Hello Youssef Idrissi,")


def test_an_answer_goes_to_no_address_that_would_be_encoded() -> None:
    assert introducer(made(), person_of(person(email="amína@example.org"), Preferences())).email is None
    assert introducer(made(), person_of(person(email="amina@exämple.org"), Preferences())).email == "amina@exämple.org"
