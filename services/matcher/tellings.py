"""When each member was told of: counted in the store, so that all replicas together keep to one number.

One row for each cluster that asks and member that it is told of, changed in the transaction that stores the tellings.
"""

from collections import Counter
from collections.abc import Collection as Many
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pymongo import UpdateOne

from services.matcher.domain.sparing import WINDOW, Place
from services.runtime.errors import TransientError
from services.runtime.store import Collection, Database, Document, Session


@dataclass(frozen=True, slots=True)
class Tellings:
    """What one batch adds.

    Attributes:
        told: how often each member is told of.
        held_back: those who were as often as they may be.
        most: how often a member may be told of in the window.
    """

    told: Mapping[Place, int] = field(default_factory=Counter)
    held_back: Many[Place] = ()
    most: int = 0
    now: datetime = datetime.min


NO_TELLINGS: Final = Tellings()


class TellingStore:
    """The rows of the members told of."""

    def __init__(self, database: Database) -> None:
        self._tellings: Collection = database["tellings"]

    async def prepare(self) -> None:
        """Create the index that is missing."""
        await self._tellings.create_index("times")

    async def room(self, places: Many[Place], *, most: int, now: datetime) -> dict[Place, int]:
        """Return how often members may be told of yet, of `most` times in the window that ends now."""
        found = self._tellings.find({"_id": {"$in": sorted(map(_id, places))}}, {"times": 1})
        used = {row["_id"]: sum(at > now - WINDOW for at in row.get("times", ())) async for row in found}
        return {place: most - used.get(_id(place), 0) for place in places}

    async def freed(self, after: datetime | None, now: datetime) -> set[Place]:
        """Return who was held back and may be told of again, by a telling that left the window since a moment."""
        left: Document = {"$lte": now - WINDOW} | ({} if after is None else {"$gt": after - WINDOW})
        found = self._tellings.find({"times": {"$elemMatch": left}, "held_at": {"$ne": None}})
        return {
            (row["cluster"], row["member"])
            async for row in found
            if any(
                at <= now - WINDOW and (after is None or at > after - WINDOW) and row["held_at"] >= at
                for at in row["times"]
            )
        }

    async def count(self, tellings: Tellings, session: Session) -> None:
        """Count what is told; what has long left the window is forgotten.

        Raises:
            TransientError: a neighbour has told of one of them meanwhile, and there is no room any more.
        """
        writes: list[Any] = [
            UpdateOne(
                {"_id": _id(place)},
                {"$setOnInsert": {"cluster": place[0], "member": place[1], "times": []}},
                upsert=True,
            )
            for place in sorted(tellings.told.keys() | set(tellings.held_back))
        ]
        writes += [
            UpdateOne({"_id": _id(place)}, {"$max": {"held_at": tellings.now}}) for place in sorted(tellings.held_back)
        ]
        if writes:
            await self._tellings.bulk_write(writes, session=session)
        told = [_tell(place, times, tellings) for place, times in sorted(tellings.told.items())]
        if told:
            done = await self._tellings.bulk_write(told, ordered=False, session=session)
            if done.matched_count < len(told):
                raise TransientError("a member has been told of elsewhere as often as it may be")


def _tell(place: Place, times: int, tellings: Tellings) -> Any:
    def since(moment: datetime) -> Document:
        return {"$filter": {"input": "$times", "cond": {"$gt": ["$$this", moment]}}}

    in_window = {"$size": since(tellings.now - WINDOW)}
    with_room = {"_id": _id(place), "$expr": {"$lte": [{"$add": [in_window, times]}, tellings.most]}}
    # Those that left the window within the last one are looked at by whoever was away meanwhile.
    kept = {"$concatArrays": [since(tellings.now - 2 * WINDOW), [tellings.now] * times]}
    return UpdateOne(with_room, [{"$set": {"times": kept}}])


def _id(place: Place) -> str:
    return "|".join(place)
