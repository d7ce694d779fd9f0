"""Whether a deployed system does what it is for: a need is posted as anybody would, and its ambassador is told.

Under names of its own in a cluster of its own, which it erases again: it may be run on a system in use, at any time.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import httpx

from schemas.ambassadors import AmbassadorKey
from services.console.deployed.settings import ToolSettings
from services.notifier.address import inbox_url

CLUSTER: Final = "smoke-test"

# Far more than it takes, on a busy machine that has just started everything.
TOLD_SECONDS: Final = 120.0

_LOOK_SECONDS: Final = 0.2
_ANSWER_SECONDS: Final = 45.0

_NEED: Final = {
    "title": "Capteur d’humidité du sol",
    "text": "Nous cherchons un partenaire pour un capteur d’humidité du sol en LoRa, afin de piloter l’irrigation.",
    "language": "fr",
}
_ASSETS: Final = [
    {
        "asset_id": "capteurs",
        "title": "Capteurs d’humidité du sol",
        "text": "Conception d’un capteur autonome d’humidité du sol et d’une passerelle LoRa pour l’irrigation.",
        "language": "fr",
    }
]
# What else there is: in a system without any other text, words that everybody uses say nothing.
_OTHERS: Final = [
    {"asset_id": f"autre-{number}", "title": title, "text": text, "language": "fr"}
    for number, (title, text) in enumerate(
        [
            ("Teinture naturelle", "Bains de teinture végétale pour la laine et le coton."),
            ("Paiement mobile", "Portefeuille électronique pour les commerces de proximité."),
            ("Imagerie médicale", "Lecture automatique de radiographies du thorax."),
            ("Robot sous-marin", "Inspection de coques et de filets par robot."),
        ]
    )
]


class SmokeError(Exception):
    """The system does not do what it is for; the message says what did not happen."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where the system is entered.

    Attributes:
        public: the address that people use.
        proxy: host:port where the proxy is met instead, under the public name; none: at the public address.
    """

    public: str
    proxy: str | None

    def client(self) -> httpx.AsyncClient:
        """Return a client of the system; paths are relative."""
        public = httpx.URL(self.public)
        if self.proxy is None:
            return httpx.AsyncClient(base_url=public, timeout=_ANSWER_SECONDS)
        # A name without a dot has its certificate from the proxy's own authority, which nobody here knows: what is said
        # stays within the system's own network. A public name has to prove itself.
        return httpx.AsyncClient(
            base_url=f"https://{self.proxy}",
            headers={"Host": public.netloc.decode()},
            transport=_Named(public.host, verify="." in public.host),
            timeout=_ANSWER_SECONDS,
        )


class _Named(httpx.AsyncHTTPTransport):
    """Asks for `name`'s certificate, whatever the address is called."""

    def __init__(self, name: str, *, verify: bool) -> None:
        super().__init__(verify=verify)
        self._name = name

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": self._name}
        return await super().handle_async_request(request)


async def smoke(settings: ToolSettings, door: Door, *, caught_at: str | None, say: Callable[[str], None]) -> None:
    """Return when a need has been told, in the inbox and, where mails are caught, by mail; everything is erased again.

    Args:
        caught_at: address of a mail catcher's API (MailDev's); none: no mail is asked for.

    Raises:
        SmokeError: something was refused, or did not happen in time.
        httpx.HTTPError: the system cannot be reached.
    """
    run = secrets.token_hex(4)
    async with door.client() as client:
        client.headers["Authorization"] = f"Bearer {settings.operator_key.get_secret_value()}"
        trial = _Trial(client, run, mail=caught_at is not None)
        await trial.not_published("/metrics", "/livez", "/readyz")
        try:
            await trial.publish()
            say(f"A city, a company, a laboratory and an ambassador are published in the cluster {CLUSTER}.")
            began = monotonic()
            await trial.post()
            key = AmbassadorKey(cluster=CLUSTER, ambassador_id=trial.ambassador)
            inbox = inbox_url("", settings.secret.get_secret_value(), key)
            await _until(lambda: trial.in_inbox(inbox), "the need does not come to the inbox of its ambassador")
            say(f"The need is in the inbox of its ambassador {monotonic() - began:.1f} s after it was posted.")
            if caught_at is not None:
                await _until(lambda: trial.in_mail(caught_at), "no mail comes to the ambassador")
                say(f"The mail was sent, {monotonic() - began:.1f} s after it was posted.")
        except (SmokeError, httpx.HTTPError):
            with suppress(SmokeError, httpx.HTTPError):
                await trial.erase()
            raise
        await trial.erase()
        await _until(lambda: trial.erased(inbox), "the erased ambassador still has an inbox")
        say("All of it is erased again.")


class _Trial:
    """What one run publishes, under names of its own."""

    def __init__(self, client: httpx.AsyncClient, run: str, *, mail: bool) -> None:
        self._client = client
        self._mail = mail
        self.ambassador, self._city, self._company, self._laboratory, self._university = (
            f"{name}-{run}" for name in ("ambassador", "city", "company", "laboratory", "university")
        )
        self._need = f"need-{run}"

    @property
    def address(self) -> str:
        return f"{self.ambassador}@example.org"

    async def not_published(self, *paths: str) -> None:
        for path in paths:
            if (await self._client.get(path)).status_code != httpx.codes.NOT_FOUND:
                raise SmokeError(f"{path} is open to everybody")

    async def publish(self) -> None:
        common = {"admission": "admitted", "city": self._city, "languages": ["fr"]}
        await self._put("members", self._city, {**common, "name": "Cité d’essai", "kind": "innovation_city"})
        await self._put(
            "ambassadors",
            self.ambassador,
            {
                "name": "Essai",
                "city": self._city,
                "email": self.address if self._mail else None,
                "alerting": {"quiet": {"start": "00:00", "end": "00:00"}},  # it is tried at night, too
            },
        )
        others = {**common, "name": "Université d’essai", "kind": "university", "assets": _OTHERS}
        await self._put("members", self._university, others)
        await self._put("members", self._company, {**common, "name": "Société d’essai", "kind": "company"})
        laboratory = {**common, "name": "Laboratoire d’essai", "kind": "laboratory", "assets": _ASSETS}
        await self._put("members", self._laboratory, laboratory)

    async def post(self) -> None:
        await self._put("needs", self._need, {**_NEED, "member_id": self._company}, alerts=True)

    async def in_inbox(self, path: str) -> bool:
        answer = await self._client.get(path)
        return answer.is_success and _NEED["title"] in answer.text

    async def in_mail(self, catcher: str) -> bool:
        async with httpx.AsyncClient(timeout=_ANSWER_SECONDS) as client:
            mails: list[dict[str, Any]] = (await client.get(f"{catcher}/email")).raise_for_status().json()
        return any(self.address == to["address"] for mail in mails for to in mail["to"])

    async def erased(self, inbox: str) -> bool:
        return (await self._client.get(inbox)).status_code == httpx.codes.FORBIDDEN

    async def erase(self) -> None:
        for member in (self._company, self._laboratory, self._university, self._city):
            await self._delete("members", member)
        await self._delete("ambassadors", self.ambassador)

    async def _put(self, plural: str, entity: str, body: Mapping[str, Any], *, alerts: bool = False) -> None:
        params = {} if alerts or plural == "ambassadors" else {"alerts": "false"}
        await self._send("PUT", f"{plural}/{entity}", json=body, params=params)

    async def _delete(self, plural: str, entity: str) -> None:
        await self._send("DELETE", f"{plural}/{entity}")

    async def _send(self, method: str, path: str, **content: Any) -> None:
        """Send until it is taken: a client that is told to try again loses nothing."""
        deadline = monotonic() + TOLD_SECONDS
        while True:
            answer = await self._client.request(method, f"/v1/clusters/{CLUSTER}/{path}", **content)
            if answer.status_code == httpx.codes.ACCEPTED:
                return
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or monotonic() > deadline:
                raise SmokeError(f"{method} {path}: {answer.status_code} {answer.text}")
            await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))


async def _until(condition: Callable[[], Any], otherwise: str) -> None:
    deadline = monotonic() + TOLD_SECONDS
    while not await condition():
        if monotonic() > deadline:
            raise SmokeError(f"{otherwise} within {TOLD_SECONDS:g} s; the logs of the services say why")
        await asyncio.sleep(_LOOK_SECONDS)
