"""Who can be told, with how to reach them: the only collection that holds names and addresses of people."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from pymongo import UpdateOne

from schemas.ambassadors import AmbassadorKey, AmbassadorPublished
from schemas.ids import derived_id
from services.notifier.store.bulk import write
from services.runtime.store import Collection, Database


class Ambassadors:
    """Ambassadors by key. An erased one leaves a derived id and a `rev`, which say nothing of the person."""

    def __init__(self, database: Database) -> None:
        self._people: Collection = database["ambassadors"]

    async def ensure_indexes(self) -> None:
        """Create what queries need."""
        await self._people.create_index("cluster", sparse=True)

    async def put(self, published: Sequence[AmbassadorPublished]) -> None:
        """Keep each, unless a state as new is kept already."""
        await write(
            self._people,
            [
                UpdateOne(
                    {"_id": _id(event.key), "rev": {"$lt": event.rev}},
                    {"$set": {"rev": event.rev, "cluster": event.cluster, "body": event.model_dump_json()}},
                    upsert=True,
                )
                for event in published
            ],
        )

    async def erase(self, key: AmbassadorKey, rev: int | None) -> bool:
        """Forget a person; return whether they are forgotten (a newer state than `rev` stays)."""
        words = {"cluster": "", "body": ""}
        if rev is None:
            await self._people.update_one({"_id": _id(key)}, {"$unset": words})
        else:
            await write(
                self._people,
                [
                    UpdateOne(
                        {"_id": _id(key), "rev": {"$lt": rev}}, {"$set": {"rev": rev}, "$unset": words}, upsert=True
                    )
                ],
            )
        return await self.get(key) is None

    async def get(self, key: AmbassadorKey) -> AmbassadorPublished | None:
        """Return one; none when unknown or erased."""
        found = await self._people.find_one({"_id": _id(key), "body": {"$exists": True}})
        return AmbassadorPublished.model_validate_json(found["body"]) if found else None

    async def known(self, keys: Iterable[AmbassadorKey]) -> dict[str, AmbassadorPublished]:
        """Return those of `keys` who are known, by key as text."""
        ids = [_id(key) for key in keys]
        return await self._read({"_id": {"$in": ids}, "body": {"$exists": True}})

    async def of_clusters(self, clusters: Iterable[str]) -> dict[str, AmbassadorPublished]:
        """Return everybody of `clusters`, by key as text."""
        names = list(clusters)
        return await self._read({"cluster": {"$in": names}}) if names else {}

    async def _read(self, query: dict[str, object]) -> dict[str, AmbassadorPublished]:
        people = [AmbassadorPublished.model_validate_json(found["body"]) async for found in self._people.find(query)]
        return {str(person.key): person for person in people}


def _id(key: AmbassadorKey) -> UUID:
    return derived_id("ambassador", str(key))
