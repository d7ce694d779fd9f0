"""One suite for every channel, against a real receiver: delivers once, tells final from passing, names nobody."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace
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
from services.notifier.channels.chat import ChatChannel
from services.notifier.channels.email import EmailChannel, message_id
from services.notifier.channels.webhook import WebhookChannel, is_public
from services.notifier.composing import introducer
from services.notifier.domain.chat import PUBLIC
from services.notifier.domain.introduction import Purpose
from services.notifier.domain.preferences import Preferences, person_of
from services.notifier.pages.letters import Letters
from services.notifier.pages.reader import Readers
from services.runtime.smtp import TIMEOUT_SECONDS, SmtpServer
from tests.component.notifier.receivers import LOOPBACK, HookReceiver, MailServer, parts_of
from tests.unit.notifier.samples import EVIDENCE, NOW, SECRET, contact, made, person

LINK = "https://maillage.example.org/inbox/token/s/1"
NID = derived_id("test-notification")
NEW_SECRET, OTHER_SECRET = ("whsec_" + base64.b64encode(char * 32).decode() for char in (b"n", b"o"))
TOKEN = "chat-token-of-amina"
LETTERS = Letters(Readers(timezone="Africa/Casablanca"))


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


ANSWER_SECONDS = 0.3
"""How long these channels wait for an answer that does not come."""


def email(address: str) -> EmailChannel:
    host, _, port = address.rpartition(":")
    return EmailChannel(
        server=SmtpServer(host=host, port=int(port)), sender="maillage@example.org", writer=LETTERS,
        answer_seconds=ANSWER_SECONDS,
    )  # fmt: skip


def webhooks(*, allow_private: bool = True) -> WebhookChannel:
    return WebhookChannel(allow_private=allow_private, answer_seconds=ANSWER_SECONDS)


def chats(*, allow_private: bool = True, services: Collection[str] = PUBLIC) -> ChatChannel:
    return ChatChannel(
        services=services, allow_private=allow_private, writer=LETTERS, answer_seconds=ANSWER_SECONDS
    )  # fmt: skip


@dataclass
class Receiver:
    """A receiver's side of any kind, and what its channel says to it."""

    kind: str
    channel: Channel
    mail: MailServer
    hook: HookReceiver

    def told(self) -> Message:
        return message(self.hook.url, chat=(f"json://{self.hook.address}/{TOKEN}",))

    def took(self) -> list[str]:
        """What it took, by the id that came with it."""
        if self.kind == "email":
            return self.mail.ids()
        return [taken.headers.get("webhook-id", "") for taken in self.hook.taken]

    def answers(self, said: str) -> None:
        self.mail.answer_recipient = lambda address: f"{said} <{address}> Amina Tazi"
        self.mail.answer_message = lambda _: f"{said} Amina Tazi"
        if self.kind == "email" and said.startswith("in data: "):
            self.mail.answer_recipient = lambda _: "250 2.1.5 known"
            self.mail.answer_message = lambda _: f"{said.removeprefix('in data: ')} Amina Tazi"
        elif self.kind != "email":
            self.hook.answer = lambda _: (int(said), {"location": self.hook.url, "retry-after": "120"})

    async def is_in_trouble(self, trouble: str) -> None:
        if trouble == "away":
            await self.mail.stop()
            await self.hook.stop()
        elif trouble == "silent":
            self.mail.gate.clear()
            self.hook.gate.clear()
        else:
            self.mail.hangs_up = self.hook.hangs_up = True


def side(kind: str, mail: MailServer, hook: HookReceiver) -> Receiver:
    channels: dict[str, Channel] = {"email": email(mail.address), "webhook": webhooks(), "chat": chats()}
    return Receiver(kind, channels[kind], mail, hook)


@pytest.fixture(params=["email", "webhook", "chat"])
async def receiver(request: pytest.FixtureRequest, mail: MailServer, hook: HookReceiver) -> AsyncIterator[Receiver]:
    one = side(request.param, mail, hook)
    yield one
    await one.channel.close()


def names_nobody(error: Exception, hook: HookReceiver) -> bool:
    said = str(error).casefold()
    return not any(secret in said for secret in ("amina", "tazi", "@", LOOPBACK, hook.address, SECRET, TOKEN, "://"))


async def test_it_delivers_once_under_one_id(receiver: Receiver) -> None:
    await receiver.channel.deliver(receiver.told())
    assert len(receiver.took()) == 1
    await receiver.channel.deliver(receiver.told())
    assert len(receiver.took()) == 2
    assert len(set(receiver.took())) == 1
    if receiver.kind != "chat":  # there nothing carries an id
        assert str(NID) in receiver.took()[0]


@pytest.mark.parametrize("trouble", ["away", "silent", "hanging up"])
async def test_who_does_not_answer_may_come_back(receiver: Receiver, trouble: str) -> None:
    await receiver.is_in_trouble(trouble)
    with pytest.raises(UnreachableError) as raised:
        await receiver.channel.deliver(receiver.told())
    assert receiver.took() == []
    assert names_nobody(raised.value, receiver.hook)


@pytest.mark.parametrize(
    ("kind", "answer", "error", "said"),
    [
        ("email", "550 5.1.1", RefusedError, r"recipient \(550 5\.1\.1\)"),
        ("email", "450 4.2.0", UnreachableError, r"recipient for now \(450 4\.2\.0\)"),
        ("email", "552 5.2.2", UnreachableError, "552"),  # the mailbox is full
        ("email", "in data: 554 5.7.1", RefusedError, r"message \(554 5\.7\.1\)"),
        ("email", "in data: 451 4.3.0", UnreachableError, "451"),
        ("email", "in data: 421 4.3.2", UnreachableError, "421"),
        ("webhook", "302", RefusedError, "302"),
        ("webhook", "400", RefusedError, "400"),
        ("webhook", "401", UnreachableError, "401"),
        ("webhook", "410", RefusedError, "410"),
        ("webhook", "429", UnreachableError, "429"),
        ("webhook", "501", RefusedError, "501"),
        ("webhook", "503", UnreachableError, "503"),
        ("chat", "302", UnreachableError, "did not take"),
        ("chat", "403", UnreachableError, "did not take"),
    ],
)
async def test_final_is_told_from_passing(
    mail: MailServer, hook: HookReceiver, kind: str, answer: str, error: type[Exception], said: str
) -> None:
    receiver = side(kind, mail, hook)
    receiver.answers(answer)
    with pytest.raises(error, match=said) as raised:
        await receiver.channel.deliver(receiver.told())
    assert receiver.took() == []
    assert len(hook.requests) == (kind != "email")  # nobody is led elsewhere
    assert names_nobody(raised.value, hook)
    if answer == "429":
        assert raised.value.retry_after == timedelta(seconds=120)  # type: ignore[attr-defined]


async def test_a_contact_that_is_gone_is_final(receiver: Receiver) -> None:
    nobody = replace(receiver.told(), to=person(email=None))
    with pytest.raises(RefusedError):
        await receiver.channel.deliver(nobody)


# E-mail


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


@pytest.mark.parametrize("lost", ["said so", "hung up"])
async def test_a_kept_connection_that_ends_before_the_message_is_no_failed_try(mail: MailServer, lost: str) -> None:
    channel = email(mail.address)

    def ends(_: str) -> str:
        if len(mail.sessions) > 1:
            return "250 2.1.5 known"
        if lost == "hung up":
            mail.hang_up()
        return "421 4.3.2 closing"

    mail.answer_recipient = lambda _: "421 4.3.2 closing"
    with pytest.raises(UnreachableError):  # a new one that ends is a failed try
        await channel.deliver(message("http://x/"))
    mail.sessions.clear()
    mail.answer_recipient = lambda _: "250 2.1.5 known"
    await channel.deliver(message("http://x/"))
    mail.answer_recipient = ends
    await channel.deliver(message("http://x/"))
    assert (len(mail.sessions), len(mail.mails)) == (2, 2)
    mail.hangs_up = True  # in the message: it may have been taken
    with pytest.raises(UnreachableError):
        await channel.deliver(message("http://x/"))
    assert len(mail.sessions) == 2
    await channel.close()


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


# Chat


async def test_a_chat_message_is_short_and_says_why(hook: HookReceiver) -> None:
    address = f"json://{hook.address}/{TOKEN}"
    for language, words in (
        ("fr", "Mots communs : capteurs / capteur (31 %)"),
        ("en", "Shared words: capteurs / capteur (31%)"),
    ):
        hook.taken.clear()
        await chats().deliver(message("http://x/", language=language, chat=(address,)))
        [taken] = hook.taken
        said = json.loads(taken.body)["message"]
        assert words in said.replace("\u202f", " ").replace("\xa0", " ")
        assert LINK in said
        assert "Atlas Irrigation" in said
        assert len(said) < 500
        assert "Badr" not in said
        assert "Amina" not in said
        hook.taken.clear()


async def test_one_service_that_took_it_is_enough(hook: HookReceiver) -> None:
    gone = f"json://{LOOPBACK}:9/{TOKEN}"
    await chats().deliver(message("http://x/", chat=(gone, f"json://{hook.address}/{TOKEN}")))
    assert len(hook.taken) == 1


@pytest.mark.parametrize(
    ("address", "services", "private"),
    [
        ("json://127.0.0.1:9/", PUBLIC, False),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/", {"slack"}, True),
        ("syslog://local", PUBLIC, True),  # a program of the machine's
        ("file:///etc/passwd", PUBLIC, True),
    ],
)
async def test_only_services_that_the_operator_allows_are_asked(
    hook: HookReceiver, address: str, services: Collection[str], private: bool
) -> None:
    with pytest.raises(RefusedError, match="MAILLAGE_CHAT_SERVICES") as raised:
        await chats(allow_private=private, services=services).deliver(message("http://x/", chat=(address,)))
    assert names_nobody(raised.value, hook)


# Webhooks


async def test_a_webhook_can_be_verified(hook: HookReceiver) -> None:
    await webhooks().deliver(message(hook.url))
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


async def test_while_a_secret_is_replaced_either_verifies(hook: HookReceiver) -> None:
    replaced = {"url": hook.url, "secret": NEW_SECRET, "previous_secret": SECRET}
    whom = person_of(person(webhook=replaced), Preferences())
    await WebhookChannel(allow_private=True).deliver(replace(message(hook.url), to=whom))
    [taken] = hook.taken
    for secret in (NEW_SECRET, SECRET):
        Webhook(secret).verify(taken.body, taken.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER_SECRET).verify(taken.body, taken.headers)
    assert SECRET not in repr(whom)


async def test_a_webhook_costs_little(hook: HookReceiver) -> None:
    channel, count = webhooks(), 100
    spent = time.process_time()
    for _ in range(count):
        await channel.deliver(message(hook.url))
    # Processor time of sender, receiver and this test together, about 4 ms; 25 and more if each reads the certificates.
    assert (time.process_time() - spent) / count < 0.015


async def test_the_body_is_the_same_at_every_try(hook: HookReceiver) -> None:
    channel = webhooks()
    await channel.deliver(message(hook.url))
    await channel.deliver(replace(message(hook.url), now=NOW + timedelta(days=3)))
    assert hook.taken[0].body == hook.taken[1].body
    assert "@" not in json.dumps(json.loads(hook.taken[0].body))


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:9/", "https://localhost:9/", "https://[::1]:9/", "https://10.0.0.1/"]
)
async def test_private_networks_are_out_of_reach(hook: HookReceiver, url: str) -> None:
    with pytest.raises(RefusedError, match="private"):
        await webhooks(allow_private=False).deliver(message(url))


async def test_a_name_is_looked_up_as_it_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spelt out and back by the older IDNA of the standard library, it would be the name of somebody else's host."""
    asked: list[object] = []

    async def unknown(host: object, *_: object, **__: object) -> None:
        asked.append(host)
        raise OSError

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(UnreachableError, match="not known"):
        await webhooks(allow_private=False).deliver(message("https://xn--fa-hia.example/"))
    assert asked == ["xn--fa-hia.example"]


async def test_nothing_is_sent_in_the_clear(hook: HookReceiver) -> None:
    with pytest.raises(RefusedError, match="https"):
        await webhooks(allow_private=False).deliver(message(hook.url))
    assert hook.requests == []


def test_which_addresses_are_public() -> None:
    assert all(is_public(address) for address in ("93.184.216.34", "2606:2800:220:1::1"))
    private = """
        127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 ::1
        fe80::1%eth0 fc00::1 ::ffff:127.0.0.1 64:ff9b::a00:1 2002:7f00:1:: ::7f00:1 fec0::1
    """
    assert [address for address in private.split() if is_public(address)] == []


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
