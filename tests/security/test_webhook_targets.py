"""A webhook's address comes from outside: it leads the notifier to no private address, however it is spelt."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from schemas.notifications import NotificationFailed
from services.notifier.channels import RefusedError, UnreachableError
from services.notifier.channels.webhook import WebhookChannel, is_public
from tests.component.notifier.conftest import hook, mail, world
from tests.component.notifier.receivers import HookReceiver
from tests.component.notifier.test_channels import SECRET, message
from tests.component.notifier.world import World
from tests.unit.notifier.samples import made, person

__all__ = ["hook", "mail", "world"]

Answers = dict[str, list[list[str]]]


@pytest.fixture
async def other() -> AsyncIterator[HookReceiver]:
    """A second receiver, where nothing may arrive."""
    receiver = HookReceiver()
    await receiver.start()
    yield receiver
    await receiver.stop()


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What the DNS says of a name, answer after answer; what is not in it is looked up for real."""
    answers: Answers = {}
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def getaddrinfo(host: Any, port: Any, **how: Any) -> list[Any]:
        if host not in answers:
            return await real(host, port, **how)
        if not answers[host]:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers[host].pop(0)]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    return answers


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8443",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "①②⑦.⓪.⓪.①",
        "0",
        "localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:0:7f00:1]",
        "[64:ff9b::a00:1]",
        "[64:ff9b:1::a00:1]",
        "10.0.0.1",
        "172.31.255.254",
        "192.168.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "192.0.0.192",
        "[fe80::1]",
        "example.org@127.0.0.1",
        "127.0.0.1\\@example.org",
    ],
)
async def test_no_spelling_of_a_private_address_is_called(host: str) -> None:
    with pytest.raises(RefusedError, match="private network"):
        await WebhookChannel(allow_private=False).deliver(message(f"https://{host}/"))


@pytest.mark.parametrize(
    "address",
    [
        "192.0.0.8",
        "198.18.0.1",
        "203.0.113.1",
        "240.0.0.1",
        "255.255.255.255",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "100::1",
        "ff02::1",
        "2002:a00:1::",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",  # Teredo for 10.0.0.1
    ],
)
def test_addresses_that_nobody_on_the_internet_has_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101", "2400:cb00::1"])
def test_the_others_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("found", [["10.0.0.7"], ["127.0.0.1"], ["192.168.1.1", "169.254.169.254"]])
async def test_a_name_that_resolves_to_a_private_address_is_not_called(names: Answers, found: list[str]) -> None:
    names["hook.example"] = [found]
    with pytest.raises(RefusedError, match="private network"):
        await WebhookChannel(allow_private=False).deliver(message("https://hook.example/"))


async def test_a_name_that_changes_its_mind_is_called_where_it_was_checked(names: Answers, hook: HookReceiver) -> None:
    port = hook.address.split(":")[1]
    names["hook.example"] = [["127.0.0.1"], ["127.0.0.9"]]
    await WebhookChannel(allow_private=True).deliver(message(f"http://hook.example:{port}/hook"))
    assert [request.headers["host"] for request in hook.taken] == [f"hook.example:{port}"]
    assert names["hook.example"] == [["127.0.0.9"]]  # nobody asked again


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_receiver_leads_us_nowhere(hook: HookReceiver, other: HookReceiver, status: int) -> None:
    hook.answer = lambda _: (status, {"location": other.url, "refresh": f"0; url={other.url}"})
    with pytest.raises(RefusedError, match="leads elsewhere"):
        await WebhookChannel(allow_private=True).deliver(message(hook.url))
    assert len(hook.requests) == 1
    assert other.requests == []


async def test_no_proxy_of_the_machine_hears_of_it(
    hook: HookReceiver, other: HookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{other.address}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    await WebhookChannel(allow_private=True).deliver(message(hook.url))
    # Another test of this process may have left an exporter of traces, which obeys what the machine says of proxies.
    ours = [request for request in other.requests if "/v1/traces" not in request.line]
    assert (len(hook.taken), ours) == (1, [])


async def test_no_line_break_becomes_a_header(hook: HookReceiver) -> None:
    await WebhookChannel(allow_private=True).deliver(message(f"{hook.url}\r\nx-injected: 1\r\n\r\nGET /"))
    [taken] = hook.taken
    assert "x-injected" not in taken.headers
    assert taken.line.endswith(" HTTP/1.1")


async def test_what_was_not_called_is_told_and_the_mail_arrives_all_the_same(world: World, hook: HookReceiver) -> None:
    world.settings = world.settings.model_copy(update={"allow_private_webhooks": False})
    process = await world.start()
    webhook = {"url": f"https://{hook.address}/hook", "secret": SECRET}
    await process.take(person(webhook=webhook), made())
    await process.run()
    [failed] = world.log.of(NotificationFailed)
    assert failed.reason == "the webhook's address is in a private network"
    assert hook.requests == []
    assert len(world.mail.mails) == 1


async def test_a_public_name_without_an_answer_is_tried_again(names: Answers) -> None:
    names["hook.example"] = []
    with pytest.raises(UnreachableError, match="not known"):
        await WebhookChannel(allow_private=False).deliver(message("https://hook.example/"))
