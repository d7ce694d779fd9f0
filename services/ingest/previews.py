"""What would come of a need, asked of the matcher: nothing is stored, and nothing of its logic is here."""

from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import httpx
from pydantic import SecretStr, ValidationError
from pymongo import ReturnDocument

from schemas.members import MemberKey
from schemas.needs import NeedKey, NeedPublished
from schemas.previews import PREVIEW_PATH, NeedPreview
from services.ingest.entities import Value
from services.ingest.problems import Problem
from services.runtime import logs, tracing
from services.runtime.clock import Clock
from services.runtime.outcome import describe
from services.runtime.store import Database

PATIENCE: Final = httpx.Timeout(5.0, connect=1.0)
"""Somewhat more than the matcher lets a preview wait: whoever writes does not wait longer."""

AWAY_SECONDS: Final = 5
"""When to ask again if nobody answered."""

MINUTE: Final = 60

_FORGOTTEN_SECONDS: Final = 2 * MINUTE


class Previews:
    """Asks for previews, for each member no more often than is allowed, whichever replica is asked."""

    def __init__(self, *, database: Database, url: str, key: SecretStr | None, per_minute: int, clock: Clock) -> None:
        """Without a `key` there are none."""
        self._counts = database["previews"]
        self._per_minute = per_minute
        self._key = key
        self._clock = clock
        self._client = httpx.AsyncClient(base_url=url, timeout=PATIENCE, follow_redirects=False, trust_env=False)

    async def prepare(self) -> None:
        """Create what expiry needs; may be repeated."""
        await self._counts.create_index("at", expireAfterSeconds=_FORGOTTEN_SECONDS)

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def of_need(self, key: NeedKey, value: Value) -> NeedPreview:
        """Return what would come of a need if it were published now, with this content.

        Raises:
            Problem: there are no previews, not now, or not so many.
        """
        if self._key is None:
            raise Problem(404, "No previews", "Previews are not switched on here. Posting works.")
        now = self._clock()
        need = NeedPublished.model_validate({**value, **key.model_dump(), "rev": 1, "published_at": now})
        await self._count(need.owner, now)
        headers = {"Authorization": f"Bearer {self._key.get_secret_value()}", "Content-Type": "application/json"}
        if (here := tracing.here()) is not None:
            headers["traceparent"] = here
        try:
            answer = await self._client.post(PREVIEW_PATH, content=need.model_dump_json().encode(), headers=headers)
        except httpx.HTTPError as error:
            logs.get().warning("preview_away", error=describe(error))
            raise _away(AWAY_SECONDS) from None
        if answer.status_code != HTTPStatus.OK:
            after = answer.headers.get("retry-after", "")
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:  # another key, or another version
                logs.get().error("preview_refused", status=answer.status_code)
            raise _away(int(after) if after.isdecimal() else AWAY_SECONDS)
        try:
            return NeedPreview.model_validate_json(answer.content)
        except ValidationError as error:
            logs.get().error("preview_unreadable", error=describe(error))
            raise _away(AWAY_SECONDS) from None

    async def _count(self, member: MemberKey, now: datetime) -> None:
        minute, second = divmod(int(now.timestamp()), MINUTE)
        counted: Any = await self._counts.find_one_and_update(
            {"_id": f"{member} {minute}"},
            {"$inc": {"count": 1}, "$setOnInsert": {"at": now}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        if counted["count"] > self._per_minute:
            raise Problem(
                429,
                "Too many previews",
                f"A member may ask for {self._per_minute} previews a minute. Ask again in {MINUTE - second} s.",
                headers={"Retry-After": str(MINUTE - second)},
            )


def _away(seconds: int) -> Problem:
    return Problem(
        503,
        "The preview is away",
        "There is no preview at the moment, and posting works. Ask again later, or post the need.",
        headers={"Retry-After": str(seconds)},
    )
