"""What cannot be taken is refused with the field, the value and what to do about it; nothing of it is stored."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from schemas.topics import MAX_EVENT_BYTES
from tests.component.ingest.conftest import CONTACT, OPERATOR_KEY, Cluster, bearer

MEMBER = {"name": "M", "kind": "company"}
NEED = {"member_id": "m", "title": "Un four de laboratoire"}
AMBASSADOR = {"name": "A", "city": "cite"}
SLUG = "Use at most 80 letters without accents, digits, dots, underscores and hyphens; start with a letter or digit."
INSTANT = "Send a date and time with its offset, as in 2026-01-31T08:00:00Z."

FIELDS: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("members", {"kind": "company"}, "name", "", "Add this field."),
    ("members", MEMBER | {"name": ""}, "name", "", "Give it a text."),
    ("members", MEMBER | {"name": 7}, "name", "7", "Send a JSON string."),
    ("members", MEMBER | {"name": "n" * 301}, "name", "n" * 79 + "…", "Shorten it to 300 characters."),
    ("members", MEMBER | {"kind": "club"}, "kind", "club", "Use one of 'company', 'startup', 'laboratory',"),
    ("members", MEMBER | {"nmae": "x"}, "nmae", "x", "Remove it; the fields here are activities, admission, assets,"),
    (
        "members",
        MEMBER | {"country": "ma"},
        "country",
        "ma",
        "Send an ISO 3166-1 alpha-2 code in upper case, as in MA.",
    ),
    ("members", MEMBER | {"country": "XX"}, "country", "XX", "Use an ISO 3166-1 alpha-2 code, as in MA."),
    ("members", MEMBER | {"languages": ["fr", "xx"]}, "languages.1", "xx", "Use a BCP 47 tag, as in fr or ar-MA."),
    ("members", MEMBER | {"languages": ["Fr_fr"]}, "languages.0", "Fr_fr", "Send BCP 47 tags, as in fr or ar-MA."),
    ("members", MEMBER | {"languages": "fr"}, "languages", "fr", "Send a JSON array."),
    ("members", MEMBER | {"city": "é"}, "city", "é", SLUG),
    (
        "members",
        MEMBER | {"activities": [{"scheme": "nace-2.1", "code": "?"}]},
        "activities.0.code",
        "?",
        "Send the code",
    ),
    (
        "members",
        MEMBER | {"assets": [{"asset_id": "1", "title": "Un four de laboratoire", "trl": 10}]},
        "assets.0.trl",
        "10",
        "Send at most 9.",
    ),
    (
        "members",
        MEMBER | {"assets": [{"asset_id": "1", "title": "Un four de laboratoire", "titel": "x"}]},
        "assets.0.titel",
        "x",
        "Remove it, or correct its name.",
    ),
    (
        "members",
        MEMBER | {"assets": [{"asset_id": "1", "title": "Un four de laboratoire"}] * 2},
        "assets.1.asset_id",
        "1",
        "Give each asset an id of its own.",
    ),
    (
        "members",
        MEMBER | {"assets": [{"asset_id": "1", "title": "Un four de laboratoire", "language": "xx"}]},
        "assets.0.language",
        "xx",
        "Use a BCP 47 tag, as in fr or ar-MA.",
    ),
    ("needs", {"title": "Un four de laboratoire"}, "member_id", "", "Add this field."),
    (
        "needs",
        NEED | {"member_id": "who"},
        "member_id",
        "who",
        "Publish the member first",
    ),
    ("needs", NEED | {"deadline": "2031-01-31"}, "deadline", "2031-01-31", "Correct it as the detail says."),
    ("needs", NEED | {"deadline": "2031-01-31T08:00:00"}, "deadline", "2031-01-31T08:00:00", "Add the offset from UTC"),
    ("needs", NEED | {"deadline": "2031-13-31T08:00:00Z"}, "deadline", "2031-13-31T08:00:00Z", INSTANT),
    ("needs", NEED | {"countries": ["QQ"]}, "countries.0", "QQ", "Use an ISO 3166-1 alpha-2 code, as in MA."),
    ("needs", NEED | {"excluded": [{"cluster": "c"}]}, "excluded.0.member_id", "", "Add this field."),
    ("needs", NEED | {"status": "gone"}, "status", "gone", "Use one of 'open' or 'withdrawn'."),
    ("ambassadors", {"name": "A"}, "body", "", "Correct it as the detail says."),
    ("ambassadors", AMBASSADOR | {"email": "A <a@b>"}, "email", "A <a@b>", "Send one address without a name"),
    (
        "ambassadors",
        AMBASSADOR | {"webhook": {"url": "ftp://x", "secret": "whsec_" + "A" * 32}},
        "webhook.url",
        "ftp://x",
        "Send an address that starts with http:// or https://.",
    ),
    (
        "ambassadors",
        AMBASSADOR | {"webhook": {"url": "https://x.example", "secret": "hush"}},
        "webhook.secret",
        "",
        "Send whsec_ followed by 24 to 65 random bytes in padded base64.",
    ),
]


CONTACT_FIELDS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"email": "a@b.example"}, "name", "", "Add this field."),
    ({"name": "A"}, "email", "", "Add this field."),
    (CONTACT | {"email": "A <a@b>"}, "email", "A <a@b>", "Send one address without a name, as in someone@example.org."),
    (CONTACT | {"email": None}, "email", "null", "Send a JSON string."),
    (CONTACT | {"phone": "ext. 7"}, "phone", "ext. 7", "Send one number of digits, spaces, dots, hyphens and"),
    (CONTACT | {"language": "es"}, "language", "es", "Use one of 'fr', 'ar' or 'en'."),
    (CONTACT | {"mail": "a@b.example"}, "mail", "a@b.example", "Remove it; the fields here are email, language, name,"),
]


@pytest.mark.parametrize(("body", "field", "value", "remedy"), CONTACT_FIELDS)
async def test_a_contact_that_cannot_be_taken_is_told_how(
    cluster: Cluster, body: dict[str, Any], field: str, value: str, remedy: str
) -> None:
    await cluster.member("m")
    answer = await cluster.put("members", "m/contact", body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    [error] = answer.json()["errors"]
    assert (error["field"], error["value"]) == (field, value)
    assert error["remedy"].startswith(remedy)
    assert (await cluster.api.get(cluster.path("members", "m/contact"))).status_code == 404
    assert len(await cluster.told()) == 1


@pytest.mark.parametrize(("kind", "body", "field", "value", "remedy"), FIELDS)
async def test_a_field_that_cannot_be_taken_is_named_with_its_remedy(
    cluster: Cluster, kind: str, body: dict[str, Any], field: str, value: str, remedy: str
) -> None:
    await cluster.member("m")
    answer = await cluster.put(kind, "x", body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    problem = answer.json()
    assert (problem["status"], problem["title"]) == (422, "Invalid content")
    assert problem["detail"] == "One field cannot be taken. Nothing was stored."
    [error] = problem["errors"]
    assert (error["field"], error["value"]) == (field, value)
    assert error["remedy"].startswith(remedy)
    assert error["detail"]
    assert (await cluster.api.get(cluster.path(kind, "x"))).status_code == 404
    assert len(await cluster.told()) == 1


async def test_all_wrong_fields_are_named_at_once_up_to_a_limit(cluster: Cluster) -> None:
    answer = await cluster.put("members", "m", {"kind": "club", "assets": [{"asset_id": "é"}] * 100})
    problem = answer.json()
    assert "the first 50 are shown" in problem["detail"]
    assert len(problem["errors"]) == 50
    answer = await cluster.put("needs", "n", NEED | {"text": "À a@example.org ou à b@example.org"})
    problem = answer.json()
    assert (problem["detail"].partition(" ")[0], len(problem["errors"])) == ("One", 2), "two places of a field"


@pytest.mark.parametrize(
    ("content", "headers", "status", "title"),
    [
        (b"", {}, 400, "Malformed JSON"),
        (b'{"name": ', {}, 400, "Malformed JSON"),
        (b'{"name": "\xff"}', {}, 400, "Malformed JSON"),
        (b'{"name": "\\ud800", "kind": "company"}', {}, 400, "Malformed JSON"),
        (b"[" * 100_000, {}, 400, "Malformed JSON"),
        (b"[]", {}, 422, "Invalid content"),
        (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "Not JSON"),
        (b"{}", {"Content-Encoding": "gzip"}, 415, "Encoded"),
        (b"{}", {"Idempotency-Key": "é".encode("latin-1")}, 400, "Malformed Idempotency-Key"),
        (b"{}", {"Idempotency-Key": "k" * 256}, 400, "Malformed Idempotency-Key"),
    ],
)
async def test_a_request_that_is_none_is_refused(
    cluster: Cluster, content: bytes, headers: dict[str, Any], status: int, title: str
) -> None:
    answer = await cluster.api.put(cluster.path("members", "m"), content=content, headers=headers)
    assert (answer.status_code, answer.json()["title"]) == (status, title)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/v1/nothing", 404, "There is nothing at this path. Everything is below /v1/."),
        ("PATCH", "/v1/clusters/c/members/m", 405, "This path takes DELETE, GET, PUT."),
        ("PUT", "/v1/keys", 405, "This path takes GET, POST."),
        ("GET", "/v1/clusters/c/needs/n", 404, "There is no need c/n. Check the identifiers in the path."),
        (
            "DELETE",
            "/v1/clusters/c/members/nobody",
            404,
            "There is no member c/nobody. Check the identifiers in the path.",
        ),
        ("POST", "/v1/clusters/c/needs/n/withdrawal", 404, "There is no need c/n. Check the identifiers in the path."),
        ("GET", "/v1/clusters/c/members/%C3%A9", 422, "One field cannot be taken. Nothing was stored."),
        ("PUT", "/v1/clusters/c/members/m?alerts=no", 422, "One field cannot be taken. Nothing was stored."),
    ],
)
async def test_paths_and_methods_are_refused_as_problems(
    cluster: Cluster, method: str, path: str, status: int, detail: str
) -> None:
    answer = await cluster.api.request(method, path, json=MEMBER if method == "PUT" else None)
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_not_read_to_its_end(cluster: Cluster, chunked: bool) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 100_000
            yield b" " * 100_000

    headers = {"Content-Type": "application/json"} | ({} if chunked else {"Content-Length": "10000000"})
    answer = await cluster.api.put(cluster.path("members", "m"), content=endless(), headers=headers)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert answer.json()["detail"].startswith(f"A published state has at most {MAX_EVENT_BYTES:,} bytes.")
    assert sent <= MAX_EVENT_BYTES + 100_000


async def test_a_profile_that_is_too_large_as_an_event_leaves_nothing_behind(cluster: Cluster) -> None:
    # The event says each field that was left out: 2,000 short assets grow fivefold, up to the limit and past it.
    assets = [{"asset_id": f"a{n}", "title": "t", "text": "é" * 200} for n in range(2_000)]
    body = MEMBER | {"assets": assets, "summary": "x" * 10_000}
    answer = await cluster.put("members", "m", body)
    assert answer.status_code == 413, len(answer.request.content)
    assert len(answer.request.content) < MAX_EVENT_BYTES
    assert (await cluster.api.get(cluster.path("members", "m"))).status_code == 404
    assert (await cluster.member("m")).json()["rev"] == 1


async def test_a_large_profile_is_taken_whole(cluster: Cluster) -> None:
    assets = [{"asset_id": f"a{n}", "title": "t", "text": "é" * 300} for n in range(1_000)]
    assert (await cluster.put("members", "m", MEMBER | {"assets": assets})).status_code == 202
    shown = (await cluster.api.get(cluster.path("members", "m"))).json()
    assert [asset["asset_id"] for asset in shown["assets"]] == [asset["asset_id"] for asset in assets]


async def test_a_service_that_is_still_starting_says_try_again(cluster: Cluster) -> None:
    cluster.frame.started = False
    try:
        answer = await cluster.api.get(cluster.path("members", "m"))
    finally:
        cluster.frame.started = True
    assert (answer.status_code, answer.headers["retry-after"]) == (httpx.codes.SERVICE_UNAVAILABLE, "1")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_client_that_hangs_up_in_mid_request_is_no_failure_of_ours(cluster: Cluster) -> None:
    answered: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answered.append(message)

    path = cluster.path("members", "m")
    headers = [(name.lower().encode(), value.encode()) for name, value in bearer(OPERATOR_KEY).items()]
    scope = {"type": "http", "method": "PUT", "path": path, "raw_path": path.encode(), "query_string": b""}
    with capture_logs() as said:
        await cluster.frame.app({**scope, "headers": headers, "http_version": "1.1", "scheme": "http"}, receive, send)
    assert (said, answered) == ([], [])
