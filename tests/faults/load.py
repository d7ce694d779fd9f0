"""The clients: they do what the story says, and ask again until each request is acknowledged."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

import httpx

from tests.faults.stack import OPERATOR_KEY, Stack
from tests.faults.story import CLUSTER, Act

AT_ONCE = 16

# A client whose connection is lost learns it from its own clock. Longer than ingest takes to answer 503.
ANSWER_WITHIN = 15.0

# Longer than any fault and the recovery from it: what takes longer has stopped.
GIVE_UP_AFTER = 400.0

ASK_AGAIN_AFTER = 0.2


@dataclass
class Load:
    """The requests of one run.

    Attributes:
        acknowledged: the last rev that ingest acknowledged of each entity, by path, and what it was asked to be.
        refused: answers 503 and lost connections, each of which was followed by another try.
    """

    stack: Stack
    seed: int
    acknowledged: dict[str, tuple[int, Act]] = field(default_factory=dict)
    refused: int = 0
    _hurry: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._chance = random.Random(self.seed)

    async def all_at_once(self, acts: Sequence[Act], **params: str) -> None:
        """Do all acts; return once all are acknowledged."""
        async with self._client() as client:
            await asyncio.gather(*(self._do(client, act, params) for act in acts))

    async def spread(self, companies: Sequence[Sequence[Act]], seconds: float) -> None:
        """Do each company's acts in order, spread over `seconds` (less after `hurry`); until all are acknowledged."""
        began = monotonic()

        async def one(acts: Sequence[Act]) -> None:
            for act in acts:
                await self._until(began + act.at * seconds)
                await self._do(client, act, {})

        async with self._client() as client:
            await asyncio.gather(*(one(acts) for acts in companies))

    def hurry(self) -> None:
        """Wait for no moment any more."""
        self._hurry.set()

    async def _until(self, moment: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, moment - monotonic())):
                await self._hurry.wait()
        except TimeoutError:
            pass

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(headers={"Authorization": f"Bearer {OPERATOR_KEY}"}, timeout=ANSWER_WITHIN)

    async def _do(self, client: httpx.AsyncClient, act: Act, params: dict[str, str]) -> None:
        async with self._turn:
            deadline = monotonic() + GIVE_UP_AFTER
            while monotonic() < deadline:
                url = f"{self._chance.choice(self.stack.api())}/v1/clusters/{CLUSTER}/{act.path}"
                method = "DELETE" if act.body is None else "PUT"
                try:
                    answer = await client.request(method, url, json=act.body, params=params)
                except httpx.TransportError:
                    answer = httpx.Response(httpx.codes.SERVICE_UNAVAILABLE)
                if answer.status_code == httpx.codes.ACCEPTED:
                    self.acknowledged[act.path] = answer.json()["rev"], act
                    return
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    raise RuntimeError(f"{method} {act.path}: {answer.status_code} {answer.text}")
                self.refused += 1
                await asyncio.sleep(ASK_AGAIN_AFTER)
        raise TimeoutError(f"{act.path} was not acknowledged within {GIVE_UP_AFTER:g} s")
