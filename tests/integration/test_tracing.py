"""One trace from the request to the delivery, over three processes; and nothing at all where no collector is named."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from schemas.cloudevents import Envelope
from schemas.members import MemberKey
from services.console.embedded.mail import read_mails
from services.console.embedded.process import free_port
from services.console.system import System, Wanted, running
from services.runtime import tracing
from services.runtime.requests import Observed, traceparent_of
from tests.parts.collector import Collector, Received, collecting

SECONDS = 60.0

ASSET = {"asset_id": "a", "title": "Capteurs d’humidité du sol", "text": "Sonde autonome et passerelle LoRa en verger."}
CITY = {"name": "Cité", "kind": "innovation_city", "admission": "admitted", "city": "cite"}
LAB = {"name": "Labo Zitouna", "kind": "laboratory", "admission": "admitted", "city": "cite", "assets": [ASSET]}
FIRM = {"name": "Ferme Zerhoun", "kind": "company", "admission": "admitted"}
PERSON = {"name": "Amina Berrada", "city": "cite", "email": "amina@example.org"}
NEED = {"member_id": "ferme", "title": "Sondes d’humidité du sol", "text": "Des sondes reliées en LoRa."}

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.05)


async def put(system: System, path: str, body: dict[str, Any], traceparent: str | None = None) -> None:
    headers = {"Authorization": f"Bearer {system.operator_key}"} | ({"traceparent": traceparent} if traceparent else {})
    async with httpx.AsyncClient(base_url=system.api, headers=headers, timeout=30) as api:
        answer = await api.put(f"/v1/clusters/c/{path}", json=body)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text


def names(spans: list[Received]) -> set[str]:
    return {f"{one.service}: {one.span.name}" for one in spans}


async def test_one_trace_leads_from_the_request_to_the_delivery(tmp_path: Path) -> None:
    expected = {
        "maillage-ingest: PUT /v1/clusters/{cluster}/needs/{need_id}",
        "maillage-ingest: publish needs.v1",
        "maillage-matcher: process need",
        "maillage-matcher: publish suggestions.v1",
        "maillage-notifier: process suggestion",
        "maillage-notifier: deliver inbox",
        "maillage-notifier: deliver email",
        "maillage-notifier: publish notifications.v1",
    }
    with collecting() as collector:
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        async with running(Wanted(data=tmp_path, port=0, extra=told), print) as (system, _):
            for path, body in {"members/cite": CITY, "members/labo": LAB, "members/ferme": FIRM}.items():
                await put(system, path, body)
            await put(system, "ambassadors/amina", PERSON)
            await put(system, "needs/n1", NEED, traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
            await until(lambda: expected <= names(collector.of(TRACE)))
            inbox = system.inbox_secret
            async with httpx.AsyncClient() as client:
                await client.get(f"{system.inbox}/inbox/a-secret-token", headers={"traceparent": "00-bad"})
            await until(lambda: any(one.span.name.startswith("GET ") for one in collector.spans))
        assert len(read_mails(Path(system.maildir))) == 1

    spans = {one.id: one for one in collector.of(TRACE)}

    def way(one: Received) -> list[str]:
        """The names from the request to a span."""
        return [*(way(spans[one.parent]) if one.parent in spans else [one.parent]), one.span.name]

    [mailed] = [one for one in spans.values() if one.span.name == "deliver email"]
    assert way(mailed) == [
        "b7ad6b7169203331",
        "PUT /v1/clusters/{cluster}/needs/{need_id}",
        "publish needs.v1",
        "process need",
        "publish suggestions.v1",
        "process suggestion",
        "deliver email",
    ]
    assert mailed.attributes["maillage.outcome"] == "delivered"
    assert names(collector.spans) > expected | {"maillage-matcher: find pairs"}
    nobody_knows(collector, system.operator_key, inbox, "a-secret-token")


def nobody_knows(collector: Collector, *secrets: str) -> None:
    """Neither names, addresses, texts nor secrets reach the collector, nor the paths that may hold them."""
    sent = b"".join(collector.raw)
    assert len(sent) > 1000
    for word in ("Zitouna", "Zerhoun", "Amina", "amina@example.org", "Sondes", "LoRa", "/v1/clusters/c/", *secrets):
        assert word.encode() not in sent, word


async def test_a_batch_is_linked_with_the_traces_of_its_events(monkeypatch: pytest.MonkeyPatch) -> None:
    def event(number: int, traceparent: str | None) -> Envelope:
        key = MemberKey(cluster="c", member_id=f"m{number}")
        return Envelope(key, None, 1, f"event-{number}", None, traceparent)

    traced, untraced = event(1, f"00-{TRACE}-b7ad6b7169203331-01"), event(2, None)
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        tracing.begin("test")
        try:
            with tracing.handling("group", [traced, untraced]) as batch:
                handled = batch.envelopes
                with tracing.within("inside"):
                    pass
                batch.fail("not today")
            with tracing.handling("group", [untraced]) as batch:
                assert batch.envelopes == [untraced]
            with tracing.part("nobody asked", parent=None) as span:
                assert span.traceparent is None
        finally:
            await asyncio.to_thread(tracing.end)
    spans = {one.span.name: one for one in collector.spans}
    assert spans.keys() == {"handle batch of group", "process member", "inside"}
    whole, process, inside = spans["handle batch of group"], spans["process member"], spans["inside"]
    assert (process.trace, process.parent) == (TRACE, "b7ad6b7169203331")
    assert [envelope.traceparent for envelope in handled] == [f"00-{TRACE}-{process.id}-01", None]
    assert [link.span_id.hex() for link in process.span.links] == [whole.id]
    assert [link.span_id.hex() for link in whole.span.links] == [process.id]
    assert inside.parent == whole.id
    assert {one.span.status.message for one in (whole, process)} == {"not today"}


async def test_a_collector_that_is_away_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    tracing.begin("test")
    with tracing.span("lost"):
        pass
    ending = asyncio.create_task(asyncio.to_thread(tracing.end))
    done, _ = await asyncio.wait({ending}, timeout=10)
    assert done == {ending}
    assert ending.exception() is None


async def test_without_a_collector_the_context_is_handed_on_as_it_came() -> None:
    async def tell(request: Request) -> JSONResponse:
        return JSONResponse({"traceparent": traceparent_of(request.scope)})

    app = Observed(Starlette(routes=[Route("/", tell)]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for given, passed in ((f"00-{TRACE}-b7ad6b7169203331-01",) * 2, ("<script>", None), ("", None)):
            answer = await client.get("/", headers={"traceparent": given})
            assert answer.json() == {"traceparent": passed}


@pytest.mark.parametrize(
    ("environment", "loaded"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True),
    ],
    ids=["off", "disabled", "on"],
)
def test_nothing_of_the_library_is_loaded_unless_a_collector_is_named(
    environment: dict[str, str], loaded: bool
) -> None:
    code = (
        "import sys; from services.runtime import tracing; import services.ingest.app, services.matcher.app, "
        "services.notifier.app; tracing.begin('x'); print(any(m.startswith('opentelemetry.sdk') for m in sys.modules))"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, env={"PYTHONPATH": ":".join(sys.path)} | environment, capture_output=True, text=True)
    assert done.stdout.strip() == str(loaded), done.stderr


def test_traces_that_cannot_be_recorded_are_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "services.runtime.otlp", None)
    with pytest.raises(SystemExit) as ended:
        tracing.begin("test", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "maillage[tracing]" in line
