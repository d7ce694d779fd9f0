"""Whom to write to, with how to reach them: the only collections that hold names and addresses of people."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from pymongo import UpdateOne

from schemas.ambassadors import AmbassadorKey, AmbassadorPublished
from schemas.base import Key
from schemas.contacts import ContactPublished
from schemas.ids import derived_id
from schemas.members import MemberKey
from services.notifier.domain.preferences import Person, Preferences, person_of
from services.notifier.store.bulk import write
from services.runtime.store import Collection, Database, Document

K = TypeVar("K", bound=Key)
P = TypeVar("P", Person, ContactPublished)

_AMBASSADOR: Final = "ambassador"

_KNOWN: Final[Document] = {"body": {"$exists": True}}


class _People(ABC, Generic[K, P]):
    """People by key. An erased one leaves a derived id and counters, which say nothing of the person."""

    def __init__(self, collection: Collection, *, called: str) -> None:
        """`called` is what ids are derived from, with the key."""
        self._people = collection
        self._called = called

    @abstractmethod
    def _person(self, found: Mapping[str, Any]) -> P:
        """Return somebody as kept."""

    def _sought_by(self, _: AmbassadorPublished | ContactPublished) -> Document:
        """Return what is kept beside, to find somebody by."""
        return {}

    async def ensure_indexes(self) -> None:
        """Create what queries need."""
        await self._people.create_index("cluster", sparse=True)

    async def put(self, published: Sequence[AmbassadorPublished | ContactPublished]) -> None:
        """Keep each, unless a state as new is kept already."""
        await write(
            self._people,
            [
                UpdateOne(
                    {"_id": self._id(event.key), "rev": {"$lt": event.rev}},
                    {
                        "$set": {"rev": event.rev, "cluster": event.cluster, "body": event.model_dump_json()}
                        | self._sought_by(event)
                    },
                    upsert=True,
                )
                for event in published
            ],
        )

    async def erase(self, key: K, rev: int | None) -> bool:
        """Forget a person; return whether they are forgotten (a newer state than `rev` stays)."""
        words = {"cluster": "", "body": "", "preferences": "", "address": ""}
        _id = self._id(key)
        if rev is None:
            await self._people.update_one({"_id": _id}, {"$unset": words})
        else:
            change: Document = {"$set": {"rev": rev}, "$unset": words}
            await write(self._people, [UpdateOne({"_id": _id, "rev": {"$lt": rev}}, change, upsert=True)])
        return await self.get(key) is None

    async def get(self, key: K) -> P | None:
        """Return one; none when unknown or erased."""
        found = await self._people.find_one({"_id": self._id(key)} | _KNOWN)
        return self._person(found) if found else None

    async def known(self, keys: Iterable[K]) -> dict[str, P]:
        """Return those of `keys` who are known, by key as text."""
        ids = [self._id(key) for key in keys]
        return await self._read({"_id": {"$in": ids}} | _KNOWN) if ids else {}

    async def _read(self, query: Document) -> dict[str, P]:
        people = [self._person(found) async for found in self._people.find(query)]
        return {str(person.key): person for person in people}

    def _id(self, key: Key) -> UUID:
        return derived_id(self._called, str(key))


class Ambassadors(_People[AmbassadorKey, Person]):
    """Who is told, as their profiles say and as they have set themselves."""

    def __init__(self, database: Database) -> None:
        super().__init__(database["ambassadors"], called=_AMBASSADOR)

    @staticmethod
    def id_of(key: AmbassadorKey) -> UUID:
        """Return the id under which somebody is kept, also when they are erased."""
        return derived_id(_AMBASSADOR, str(key))

    async def ensure_indexes(self) -> None:
        """Create what queries need, and keep what they ask for of those whom an earlier version took in."""
        await super().ensure_indexes()
        await self._people.create_index("address", sparse=True)
        async for found in self._people.find(_KNOWN | {"address": {"$exists": False}}):
            change = {"$set": self._sought_by(self._person(found))}
            await self._people.update_one({"_id": found["_id"], "rev": found["rev"]} | _KNOWN, change)

    async def at(self, email: str) -> list[Person]:
        """Return who is reached at an e-mail address, by their keys' order."""
        address = email.casefold()
        found = await self._read({"address": address} | _KNOWN)
        return [found[key] for key in sorted(found) if (found[key].email or "").casefold() == address]

    async def renew_address(self, key: AmbassadorKey, epoch: int) -> bool:
        """End the private addresses of an epoch, and have the next begin; False: it has already."""
        of_epoch = {"epoch": epoch if epoch else {"$in": [0, None]}}
        result = await self._people.update_one(
            {"_id": self._id(key)} | _KNOWN | of_epoch, {"$set": {"epoch": epoch + 1}}
        )
        return result.matched_count == 1

    async def of_clusters(self, clusters: Iterable[str]) -> dict[str, Person]:
        """Return everybody of `clusters`, by key as text."""
        names = list(clusters)
        return await self._read({"cluster": {"$in": names}}) if names else {}

    async def profile(self, key: AmbassadorKey) -> AmbassadorPublished | None:
        """Return somebody as their cluster says, without what they have set; none when unknown or erased."""
        found = await self._people.find_one({"_id": self._id(key)} | _KNOWN)
        return AmbassadorPublished.model_validate_json(found["body"]) if found else None

    async def preferences(self, key: AmbassadorKey) -> Preferences:
        """Return what somebody has set themselves."""
        found = await self._people.find_one({"_id": self._id(key)}, {"preferences": 1})
        return _preferences(found or {})

    async def prefer(self, key: AmbassadorKey, preferences: Preferences, *, with_mail: bool) -> None:
        """Keep what somebody has set, whether they want e-mails too or not; nothing of who is unknown or erased."""
        said = preferences.model_dump(mode="json", exclude=set() if with_mail else {"mail"})
        set_by_them = {"$set": {f"preferences.{name}": value for name, value in said.items()}}
        await self._people.update_one({"_id": self._id(key)} | _KNOWN, set_by_them)

    async def want_mail(self, key: AmbassadorKey, *, wanted: bool) -> None:
        """Keep whether somebody wants e-mails, and all else that they have set."""
        await self._people.update_one({"_id": self._id(key)} | _KNOWN, {"$set": {"preferences.mail": wanted}})

    def _person(self, found: Mapping[str, Any]) -> Person:
        profile = AmbassadorPublished.model_validate_json(found["body"])
        return person_of(profile, _preferences(found), epoch=found.get("epoch", 0))

    def _sought_by(self, event: AmbassadorPublished | ContactPublished) -> Document:
        return {"address": event.email.casefold() if event.email else None}


class Contacts(_People[MemberKey, ContactPublished]):
    """Who answers for a member when it is introduced."""

    def __init__(self, database: Database) -> None:
        super().__init__(database["contacts"], called="contact")

    def _person(self, found: Mapping[str, Any]) -> ContactPublished:
        return ContactPublished.model_validate_json(found["body"])


def _preferences(found: Mapping[str, Any]) -> Preferences:
    kept = found.get("preferences")
    return Preferences.model_validate(kept, strict=False) if kept else Preferences()
