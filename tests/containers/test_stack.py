"""What an operator relies on, on the containers that are deployed. In order: each test goes on where the last ended."""

import http.client
import json
import socket
import ssl
import threading
from pathlib import Path
from time import monotonic

import pytest

from tests.containers import world
from tests.containers.stack import Stack, until

pytestmark = pytest.mark.containers


def test_a_need_posted_through_the_proxy_is_told_and_again(stack: Stack) -> None:
    for _ in range(2):
        stack.run("./smoke")


def test_only_the_proxy_is_reached_from_outside(stack: Stack) -> None:
    parts = [json.loads(line) for line in stack.compose("ps", "--format", "json").splitlines()]
    assert {part["Service"] for part in parts} >= {"proxy", "ingest", "matcher", "notifier", "kafka", "mongo"}
    published = {part["Service"]: [port for port in part["Publishers"] if port["PublishedPort"]] for part in parts}
    assert [service for service, ports in published.items() if ports] == ["proxy"]


def test_the_proxy_publishes_what_it_lists(stack: Stack) -> None:
    with stack.client() as client:
        assert client.get("/docs").status_code == 200
        assert client.get("/openapi.json").json()["paths"]
        assert client.get("/v1/clusters/souss/members/x").status_code == 401
        assert client.get("/inbox/nobody").status_code == 403
        answer = client.get("/v1/clusters/souss/members/x")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        assert client.get(f"http://localhost:{stack.plain_port}/docs").headers["location"].startswith("https://")


@pytest.mark.parametrize(
    "path", ["/metrics", "/livez", "/readyz", "/nothing", "/v1/../metrics", "//metrics", "/v1/%2e%2e/readyz"]
)
def test_what_it_does_not_list_is_not_there(stack: Stack, path: str) -> None:
    connection = http.client.HTTPSConnection("localhost", stack.port, timeout=30, context=_anybody())
    connection.request("GET", path)  # as it stands, which other clients do not do
    assert connection.getresponse().status in (401, 404)
    connection.close()


def test_the_proxy_takes_no_more_than_it_must(stack: Stack) -> None:
    with stack.operator() as client:
        assert client.put("/v1/clusters/souss/members/x", content=b"x" * 3_000_000).status_code == 413
        assert client.post("/inbox/nobody/s/x", content=b"x" * 100_000).status_code == 413
        assert client.get("/docs", headers={"X-Large": "x" * 60_000}).status_code == 431


def test_a_client_that_sends_slowly_is_let_go(stack: Stack) -> None:
    began = monotonic()
    with (
        socket.create_connection(("localhost", stack.port), timeout=60) as plain,
        _anybody().wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET /docs HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        assert connection.recv(1) == b""  # closed by the other side; the time-out of 60 s would raise
    assert monotonic() - began > 5


def test_a_service_reads_no_database_but_its_own(stack: Stack) -> None:
    code = """
import os, pathlib, pymongo
password = pathlib.Path("/run/secrets/maillage_mongo_password").read_text()
client = pymongo.MongoClient(os.environ["MAILLAGE_MONGO"], password=password)
print(client.maillage_notifier.ambassadors.count_documents({}) >= 0)
for name in ("maillage_ingest", "maillage_matcher", "admin"):
    try:
        client[name].list_collection_names()
    except pymongo.errors.OperationFailure as error:
        print(error.details["codeName"])
"""
    assert stack.compose("exec", "-T", "notifier", "python", "-c", code).split() == ["True", *["Unauthorized"] * 3]
    nobody = "import pymongo; print(pymongo.MongoClient('mongodb://mongo:27017').maillage_ingest.members.find_one())"
    said = stack.compose("exec", "-T", "notifier", "python", "-c", nobody, check=False)
    assert "requires authentication" in said


def test_all_state_is_there_after_down_and_up(stack: Stack) -> None:
    with stack.operator() as client:
        world.people(client)
        title = world.need(client, "n1")
        until(lambda: title in world.pages(client, stack), "the need is told")
        before = client.get("/v1/clusters/souss/members/lab").json()
    stack.compose("down")
    stack.up()
    with stack.operator() as client:
        assert client.get("/v1/clusters/souss/members/lab").json() == before
        assert title in world.pages(client, stack)
        again = world.need(client, "n2")
        until(lambda: again in world.pages(client, stack), "a need after the start is told")
    assert _told_mails(stack) == 1  # the catcher forgets; nobody was told twice


def test_a_backup_restored_into_an_empty_system_equals_the_original(stack: Stack, tmp_path: Path) -> None:
    _write_by_own_client(stack)
    until(lambda: "needs.v1/" in stack.compose("exec", "-T", "ingest", "maillage", "dlq", "list"), "the dead letter")
    with stack.operator() as client:
        until(lambda: "Oasis" in world.pages(client, stack), "what a member's own client wrote is told")
        inbox, profile = world.pages(client, stack), client.get("/v1/clusters/souss/members/lab").json()
        key = client.headers["Authorization"]
    stack.run("./backup", str(tmp_path))

    stack.forget()
    stack.run("./restore", str(tmp_path))

    with stack.operator() as client:
        assert client.headers["Authorization"] == key
        assert client.get("/v1/clusters/souss/members/lab").json() == profile
        until(lambda: _quiet(stack), "everything owned is published again")
        assert world.pages(client, stack) == inbox
        assert "needs.v1/" in stack.compose("exec", "-T", "ingest", "maillage", "dlq", "list")
        assert _told_mails(stack) == 0  # nobody is told again
        title = world.need(client, "n3")
        until(lambda: title in world.pages(client, stack), "a need after the restore is told")
    refused = stack.run("./restore", str(tmp_path), check=False)
    assert "into an empty system" in refused


def test_an_upgrade_loses_no_need_in_flight(stack: Stack) -> None:
    taken: list[str] = []
    enough = threading.Event()

    def post() -> None:
        with stack.operator() as client:
            world.people(client)
            while not enough.is_set():
                taken.append(world.need(client, f"u{len(taken)}"))

    poster = threading.Thread(target=post)
    poster.start()
    try:
        until(lambda: len(taken) >= 5, "needs flow")
        stack.up(MAILLAGE_VERSION="next")
        after = len(taken)
        images = stack.compose("ps", "--format", "{{.Image}}", "ingest", "matcher", "notifier", "proxy")
        assert set(images.split()) == {"maillage:next", "maillage-proxy:next"}
        until(lambda: len(taken) >= after + 5, "needs flow again")
    finally:
        enough.set()
        poster.join()
    with stack.operator() as client:
        until(lambda: _quiet(stack), "all is handled")
        told = world.pages(client, stack)
    assert [title for title in taken if title not in told] == []


def _anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _quiet(stack: Stack) -> bool:
    ask = "import httpx; print(sum(httpx.get('http://127.0.0.1:8000/readyz').json()['waiting'].values()))"
    return all(
        stack.compose("exec", "-T", service, "python", "-c", ask).strip() == "0" for service in ("matcher", "notifier")
    )


def _told_mails(stack: Stack) -> int:
    return sum(to["address"] == "salma@example.org" for mail in stack.mails() for to in mail["to"])


def _write_by_own_client(stack: Stack) -> None:
    """Write as a member organisation with a Kafka client of its own does: a need, and something that cannot be read."""
    event = {
        "rev": 1, "cluster": "souss", "need_id": "oasis", "member_id": "company", "title": "Oasis : capteur du sol",
        "text": world.TEXT, "published_at": "2026-01-31T08:00:00Z",
    }  # fmt: skip
    headers = "ce_specversion:1.0,ce_type:maillage.need.published.v1,ce_source://sis.example,ce_id:oasis-1,ce_rev:1"
    headers += ",content-type:application/json"
    lines = f"{headers}\tsouss/oasis\t{json.dumps(event)}\n{headers}\tsouss/other\tunknown\n"
    stack.compose(
        "exec", "-T", "kafka", "/opt/kafka/bin/kafka-console-producer.sh", "--bootstrap-server", "kafka:9092",
        "--topic", "needs.v1", "--property", "parse.key=true", "--property", "parse.headers=true",
        given=lines.encode(),
        KAFKA_HEAP_OPTS="",
    )  # fmt: skip
