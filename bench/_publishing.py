"""Puts profiles through the API as a client should: again with the same key while the service says so."""

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx
from pydantic import BaseModel

CONCURRENT = 16
"""Requests at a time, unless asked for otherwise: a census by one client, not an attack."""

REQUEST_SECONDS = 30.0

# Between two tries when the answer does not say, or there was none.
RETRY_SECONDS = 1.0

REASON_CHARACTERS = 300


@dataclass(slots=True)
class Posts:
    """What became of a set of requests.

    Attributes:
        at: when each was first sent, seconds since 1970, by id.
        acknowledged: those that the service took, with the time from first sending to acknowledgement, seconds.
        refused: why others were not taken.
        retried: requests sent again.
        seconds: from the first sending to the last answer, without what lay between two lots of them.
    """

    at: dict[str, float] = field(default_factory=dict)
    acknowledged: dict[str, float] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    retried: int = 0
    seconds: float = 0.0


class Publishing:
    """The write side of one cluster."""

    def __init__(self, *, api: str, key: str, cluster: str) -> None:
        self._cluster = cluster
        self._http = httpx.AsyncClient(
            base_url=api,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            timeout=REQUEST_SECONDS,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=CONCURRENT),
            trust_env=False,
        )

    async def close(self) -> None:
        """Release the connections."""
        await self._http.aclose()

    async def put(
        self,
        plural: str,
        items: Sequence[tuple[str, BaseModel]],
        posts: Posts,
        *,
        alerts: bool | None = None,
        rate: float | None = None,
        done: Callable[[], None],
    ) -> None:
        """Publish profiles, each under its id; return once each is answered for good.

        Args:
            plural: `members`, `needs` or `ambassadors`.
            posts: filled on the way.
            alerts: whether anybody is alerted; none where there is no such choice.
            rate: how many are begun per second; none: the next as soon as one is answered.
            done: called after each.
        """
        began = time.monotonic()
        turns = iter(enumerate(items))

        async def take() -> None:
            for number, (entity_id, profile) in turns:
                if rate is not None:
                    await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                await self._put(f"/v1/clusters/{self._cluster}/{plural}/{entity_id}", entity_id, profile, alerts, posts)
                done()

        try:
            await asyncio.gather(*(take() for _ in range(CONCURRENT)))
        finally:
            posts.seconds += time.monotonic() - began

    async def _put(self, path: str, entity_id: str, profile: BaseModel, alerts: bool | None, posts: Posts) -> None:
        content = profile.model_dump_json(exclude_defaults=True).encode()
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        params = {} if alerts is None else {"alerts": str(alerts).lower()}
        began = posts.at[entity_id] = time.time()
        while True:
            try:
                answer = await self._http.put(path, content=content, headers=headers, params=params)
            except httpx.TransportError:
                wait = RETRY_SECONDS
            else:
                if answer.status_code == 202:
                    posts.acknowledged[entity_id] = time.time() - began
                    return
                if answer.status_code != 503:
                    posts.refused.append(f"{path}: {answer.status_code} {answer.text[:REASON_CHARACTERS]}")
                    return
                wait = _retry_after(answer)
            posts.retried += 1
            await asyncio.sleep(wait * random.uniform(1, 1.5))  # they failed together, and should not return together


def _retry_after(answer: httpx.Response) -> float:
    said = answer.headers.get("retry-after", "")
    return float(said) if said.isdigit() else RETRY_SECONDS
