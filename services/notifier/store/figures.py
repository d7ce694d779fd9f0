"""What a cluster's desk counts, read from suggestions and deliveries without their texts."""

from collections.abc import AsyncIterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING

from services.notifier.domain.desk import Seen
from services.notifier.domain.reaching import Way
from services.notifier.store.kept import read_act
from services.notifier.store.rows import State, way_of
from services.runtime.store import Collection, Database, Document

_WITHOUT_TEXTS: Final[Document] = {
    "told": "$told.ambassador",
    "told_at": {"$ifNull": ["$first_told_at", "$made_at"]},  # earlier versions did not say
    **dict.fromkeys(("posted_at", "revision", "lapsed", "acts", "opened"), 1),
}

_AT_ONCE: Final = 1000
"""Documents that are taken from a cursor in one go: one after another, most of the time goes into waiting."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that did not arrive. `to_member`: it was in the ambassador's name, to a side of an introduction."""

    ambassador: str
    way: Way
    to_member: bool
    reason: str | None


class Figures:
    """Reads what concerns some ambassadors: those of one cluster."""

    def __init__(self, database: Database) -> None:
        self._suggestions: Collection = database["suggestions"]
        self._rows: Collection = database["notifications"]

    async def ensure_indexes(self) -> None:
        """Create what queries need."""
        await self._rows.create_index(
            [("ambassador", ASCENDING), ("ended_at", ASCENDING)],
            partialFilterExpression={"state": State.FAILED.value},
        )

    async def seen(self, by: AbstractSet[str]) -> AsyncIterator[Seen]:
        """Yield what at least one of `by` is told of, as far as it concerns them."""
        found = self._suggestions.find({"told.ambassador": {"$in": list(by)}}, _WITHOUT_TEXTS)
        while some := await found.to_list(_AT_ONCE):
            for one in some:
                yield _seen(one, by)

    async def failures(self, of: AbstractSet[str], *, since: datetime) -> list[Failure]:
        """Return what did not arrive since then, the newest first. A letter about several suggestions is one."""
        query: Document = {
            "ambassador": {"$in": list(of)},
            "state": State.FAILED.value,
            "ended_at": {"$gte": since},
            "letter": {"$exists": False},
        }
        fields = {"ambassador": 1, "channel": 1, "by_chat": 1, "side": 1, "reason": 1}
        return [
            Failure(one["ambassador"], way_of(one), one.get("side") is not None, one["reason"])
            async for one in self._rows.find(query, fields).sort("ended_at", -1)
        ]


def _seen(found: Mapping[str, Any], by: AbstractSet[str]) -> Seen:
    return Seen(
        suggestion_id=found["_id"],
        revision=found["revision"],
        # Who leads is the first of those told.
        told=tuple([told for told in found["told"] if told in by]),
        told_at=found["told_at"],
        posted_at=found.get("posted_at"),
        lapsed=found.get("lapsed") is not None,
        acts=tuple([read_act(act) for act in found.get("acts", ())]),
        opened={one["ambassador"]: one["at"] for one in found.get("opened", ()) if one["ambassador"] in by},
    )
