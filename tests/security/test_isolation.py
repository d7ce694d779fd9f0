"""No cluster reads or changes another's data, by any route there is: a route that is added is tried too."""

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from aiokafka import AIOKafkaConsumer
from fastapi import FastAPI
from itsdangerous import URLSafeSerializer
from pydantic import SecretStr
from pymongo import AsyncMongoClient

from schemas.ambassadors import AmbassadorKey
from schemas.topics import CONTACTS, TOPICS
from services.console.embedded.mail import read_mails
from services.ingest import app as ingest
from services.ingest.portal import door
from services.ingest.settings import IngestSettings
from services.matcher import app as matcher
from services.matcher.settings import MatcherSettings
from services.notifier import app as notifier
from services.notifier.address import Tokens
from services.notifier.pages.private import SCRIPT_PATH, SHEET_PATH
from services.notifier.settings import NotifierSettings
from services.runtime.microservice import Microservice
from tests.component.notifier.world import hidden_field
from tests.security.conftest import SECONDS, Deployed, Tenant

FOR_EVERYBODY = {
    "/livez", "/readyz", "/metrics", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json",
    "/sign-in", "/sign-in/sent", "/portal/sign-in", "/portal/sign-in/sent",
}  # fmt: skip
STATIC = {SHEET_PATH, SCRIPT_PATH, "/inbox-static/icon.svg", door.SHEET_PATH, door.SCRIPT_PATH, door.ICON_PATH}

REFUSED = {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND}

BODIES: dict[str, dict[str, Any]] = {
    "contact": {"name": "Mine now", "email": "mine@example.org"},
    "members": {"name": "Mine now", "kind": "company"},
    "needs": {"member_id": "firm", "title": "Mine from now on"},
    "ambassadors": {"name": "Mine now", "city": "cite"},
    "keys": {"cluster": "theirs", "member_id": "firm"},
}


def services() -> dict[str, Microservice]:
    """The services composed as deployed, not started: for their routes alone."""
    notifying: dict[str, Any] = {"public_url": "http://x", "mail_from": "m@example.org"}
    portal: dict[str, Any] = {"portal_url": "http://x", "mail_from": "m@example.org"}
    return {
        "api": ingest.build(IngestSettings(portal_secret=SecretStr("s" * 32), **portal)),
        "matcher": matcher.build(MatcherSettings()),
        "inbox": notifier.build(NotifierSettings(secret=SecretStr("s" * 32), **notifying)),
    }


BULK = "/v1/bulk"


def operations(routes: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each method of each path."""
    for route in routes:
        if (included := getattr(route, "original_router", None)) is not None:
            yield from operations(included.routes, prefix + route.include_context.prefix)
        else:
            # One that cannot be tried must not go unnoticed.
            assert getattr(route, "methods", None), f"{route} is of a kind unknown here"
            for method in sorted(route.methods):
                yield method, prefix + route.path


OPERATIONS = sorted(
    (name, *operation) for name, service in services().items() for operation in operations(service.app.routes)
)
GUARDED = [one for one in OPERATIONS if one[2] not in FOR_EVERYBODY | STATIC]


def path_of(template: str, whose: Tenant, *, token: str, suggestion: str) -> str:
    """Their entity's path; fail on a parameter that this test does not know."""
    known = {
        "cluster": whose.cluster, "member_id": "lab", "need_id": "n1", "ambassador_id": "amina",
        "key_id": whose.key_id, "asset_id": "a1", "token": token, "suggestion_id": suggestion,
        # Nobody here has a letter about several: that those of others stay closed, the notifier's own tests see.
        "letter_id": suggestion,
        "submission_id": "theirs",
    }  # fmt: skip
    path = re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: known[found[1]], template)
    return f"{path}?cluster={whose.cluster}" if template == BULK else path


def body_of(method: str, template: str, form: str) -> dict[str, Any]:
    if method not in ("POST", "PUT", "PATCH"):
        return {}
    if template == BULK:
        rows = [{"member_id": "firm", **BODIES["members"]}, {"need_id": "n1", **BODIES["needs"]}]
        lines = "\n".join(json.dumps(row) for row in rows)
        return {"content": lines, "headers": {"content-type": "application/x-ndjson"}}
    if "token" in template:
        return {"data": {"form": form, "act": "taken"}}
    collection = next((name for name in BODIES if f"/{name}" in template), None)
    return {"json": BODIES[collection] if collection else {}}


@pytest.fixture(scope="session")
async def their_suggestion(deployed: Deployed) -> str:
    return await suggestion_of(deployed, deployed.theirs)


async def suggestion_of(deployed: Deployed, whose: Tenant) -> str:
    async with httpx.AsyncClient() as client:
        page = (await client.get(whose.inbox)).text
    [found] = set(re.findall(r"/s/([0-9a-f-]{36})", page))
    return str(UUID(found))


async def state(deployed: Deployed) -> dict[str, str]:
    """All of their cluster that its operator sees, and their ambassador's page."""
    headers = {"Authorization": f"Bearer {deployed.system.operator_key}"}
    paths = ["members/firm", "members/lab", "members/lab/contact", "members/cite", "needs/n1", "ambassadors/amina"]
    async with httpx.AsyncClient(base_url=deployed.system.api, headers=headers) as api:
        seen = {path: (await api.get(f"/v1/clusters/theirs/{path}")).text for path in paths}
    async with httpx.AsyncClient() as client:
        page = (await client.get(deployed.theirs.inbox)).text
    return {**seen, "inbox": page, "acts": str(page.count("<article"))}


def test_there_are_routes_to_try() -> None:
    assert len(GUARDED) > 15
    assert {name for name, _, _ in GUARDED} == {"api", "inbox"}  # the matcher has nothing to say to anybody


@pytest.fixture(scope="session")
async def their_state(deployed: Deployed) -> dict[str, str]:
    """As it is before anything is tried."""
    return await state(deployed)


@pytest.mark.usefixtures("their_state")
@pytest.mark.parametrize(("name", "method", "template"), GUARDED)
async def test_no_route_leads_into_another_cluster(
    deployed: Deployed, their_suggestion: str, name: str, method: str, template: str
) -> None:
    ours, theirs = deployed.ours, deployed.theirs
    own_page = f"{ours.inbox}/s/{await suggestion_of(deployed, ours)}"
    async with httpx.AsyncClient(base_url=getattr(deployed.system, name), timeout=30) as client:
        form = hidden_field((await client.get(own_page)).text)
        for headers in ({}, ours.bearer()):
            token = ours.inbox.rpartition("/")[2]
            # An inbox of one's own opens: what is asked of it is the others' suggestion.
            if re.sub(r"/(preferences|address|test|desk|desk\.csv|live|export)?$", "", template) == "/inbox/{token}":
                token = theirs.inbox.rpartition("/")[2][:-4] + "AAAA"
            path = path_of(template, theirs, token=token, suggestion=their_suggestion)
            sent = body_of(method, template, form)
            answer = await client.request(method, path, **sent | {"headers": headers | sent.get("headers", {})})
            refused = [json.loads(line)["status"] for line in answer.text.splitlines()] if template == BULK else []
            # Who is not signed in is asked to.
            led = answer.headers.get("location", "").partition("?")[0]
            asked = answer.status_code == httpx.codes.SEE_OTHER and led in ("/sign-in", "/portal/sign-in")
            assert asked or answer.status_code in REFUSED or {*refused} <= REFUSED, (
                f"{method} {path}: {answer.status_code} {answer.text}"
            )
            assert theirs.word not in answer.text + str(answer.headers)


async def test_no_route_has_changed_anything_in_another_cluster(
    deployed: Deployed, their_state: dict[str, str]
) -> None:
    """After all of them: to look after each takes longer than to try it."""
    assert await state(deployed) == their_state


@pytest.mark.parametrize(
    ("name", "method", "path"), [one for one in OPERATIONS if one[2] in FOR_EVERYBODY | STATIC and one[1] != "POST"]
)
async def test_what_everybody_may_read_says_nothing_of_anybody(
    deployed: Deployed, name: str, method: str, path: str
) -> None:
    async with httpx.AsyncClient(base_url=getattr(deployed.system, name), timeout=30) as client:
        answer = await client.request(method, path)
    assert answer.is_success
    for whose in (deployed.ours, deployed.theirs):
        assert whose.word not in answer.text
        assert whose.key_id not in answer.text


def forged(deployed: Deployed) -> dict[str, str]:
    """Tokens that name their ambassador and were not made by the notifier for this."""
    key = AmbassadorKey(cluster="theirs", ambassador_id="amina")
    real = Tokens(deployed.system.inbox_secret).inbox(key)
    payload, _, signature = real.rpartition(".")
    ours = deployed.ours.inbox.rpartition("/")[2]
    return {
        "unsigned": payload,
        "with an empty signature": f"{payload}.",
        "with our signature": f"{payload}.{ours.rpartition('.')[2]}",
        "changed by a letter": f"{payload}.{'B' if signature[0] != 'B' else 'C'}{signature[1:]}",
        "by another secret": Tokens("another secret that is as long as it must be").inbox(key),
        "signed for a form": Tokens(deployed.system.inbox_secret).form(key, UUID(int=0), 1),
        "signed plainly": str(URLSafeSerializer(deployed.system.inbox_secret).dumps(str(key))),
    }


async def test_only_a_token_that_was_made_for_it_opens_an_inbox(deployed: Deployed, their_suggestion: str) -> None:
    async with httpx.AsyncClient(base_url=deployed.system.inbox, timeout=30) as client:
        for how, token in forged(deployed).items():
            for path in (f"/inbox/{token}", f"/inbox/{token}/s/{their_suggestion}"):
                answer = await client.get(path)
                assert answer.status_code == httpx.codes.FORBIDDEN, how
                assert deployed.theirs.word not in answer.text
        assert deployed.theirs.word in (await client.get(deployed.theirs.inbox)).text


async def test_nobody_is_told_of_another_cluster(deployed: Deployed) -> None:
    """Their laboratory answers our need as well as ours does; without a convention it is as if it were not there."""
    await deployed.quiet()
    mails = read_mails(Path(deployed.system.maildir))
    assert len(mails) == 2
    async with httpx.AsyncClient() as client:
        for mine, other in ((deployed.ours, deployed.theirs), (deployed.theirs, deployed.ours)):
            [mail] = [mail for mail in mails if mine.word in mail.recipients[0]]
            page = (await client.get(mine.inbox)).text
            whole = (await client.get(f"{mine.inbox}/s/{await suggestion_of(deployed, mine)}")).text
            for text in (mail.text, page, whole):
                assert mine.word in text
                assert other.word not in text


async def topics_with(deployed: Deployed, words: Sequence[str]) -> set[str]:
    """The topics on which one of some words is."""
    names = {name for topic in TOPICS for name in (topic.name, topic.dead_letters)}
    consumer = AIOKafkaConsumer(*names, bootstrap_servers=deployed.system.kafka, auto_offset_reset="earliest")
    await consumer.start()
    found: set[str] = set()
    try:
        async with asyncio.timeout(SECONDS):
            while {partition.topic for partition in consumer.assignment()} != names:
                await asyncio.sleep(0.02)
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(partition) < end for partition, end in ends.items()]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found |= {one.topic for one in batch if any(word.encode() in (one.value or b"") for word in words)}
    finally:
        await consumer.stop()
    return found


async def test_how_to_reach_a_person_is_on_a_topic_of_its_own_and_unknown_to_the_matcher(deployed: Deployed) -> None:
    await deployed.quiet()
    phones = [whose.phone for whose in (deployed.ours, deployed.theirs)]
    assert await topics_with(deployed, phones) == {CONTACTS.name}
    async with AsyncMongoClient[dict[str, Any]](deployed.system.mongo) as client:
        matching = client["maillage_matcher"]
        rows = [str(row) for name in await matching.list_collection_names() async for row in matching[name].find()]
    assert any(deployed.ours.word in row for row in rows)
    assert not any(phone in row for phone in phones for row in rows)


def test_the_notifier_shows_no_description_of_itself() -> None:
    """It has no API: what describes one would only load a page's worth of scripts from elsewhere."""
    app = services()["inbox"].app
    assert isinstance(app, FastAPI)
    assert (app.openapi_url, app.docs_url, app.redoc_url) == (None, None, None)
