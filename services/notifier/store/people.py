"""Whom to write to, with how to reach them: the only collections that hold names and addresses of people."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from pymongo import UpdateOne

from schemas.ambassadors import AmbassadorKey, AmbassadorPublished
from schemas.base import Key
from schemas.contacts import ContactPublished
from schemas.ids import derived_id
from schemas.members import MemberKey
from services.notifier.domain.preferences import Person, Preferences, person_of
from services.notifier.domain.reaching import TESTED_EVERY, Off, Reach, Reason, Way, addresses
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
        words = {"cluster": "", "body": "", "preferences": "", "address": "", "reach": "", "tests": ""}
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
    """Who is told, as their profiles say and as they have set themselves, and which ways do not reach them.

    What is known of a way is known of an address: `reach` names it by a digest, and says nothing of the next one.
    """

    def __init__(self, database: Database, digest: Callable[[str], str]) -> None:
        super().__init__(database["ambassadors"], called=_AMBASSADOR)
        self._digest = digest

    @staticmethod
    def id_of(key: AmbassadorKey) -> UUID:
        """Return the id under which somebody is kept, also when they are erased."""
        return derived_id(_AMBASSADOR, str(key))

    async def ensure_indexes(self) -> None:
        """Create what queries need, and keep what they ask for of those whom an earlier version took in."""
        await super().ensure_indexes()
        await self._people.create_index("address", sparse=True)
        await self._people.create_index("reach", sparse=True)
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

    async def turn_off(self, key: AmbassadorKey, way: Way, address: str, off: Off, *, sent_at: datetime) -> bool:
        """Keep that a way does not reach somebody at an address, of which a message that was sent then tells.

        Returns:
            False when it is known already, or a test message has got through since: nothing is changed then.
        """
        kept = f"reach.{way.value}"
        still_off: Document = {f"{kept}.address": address, f"{kept}.works_since": None}
        works_again: Document = {f"{kept}.address": address, f"{kept}.works_since": {"$gte": sent_at}}
        change = {"address": address, "since": off.since, "reason": off.reason.value, "works_since": None}
        result = await self._people.update_one(
            {"_id": self._id(key), "$nor": [still_off, works_again]} | _KNOWN, {"$set": {kept: change}}
        )
        return result.modified_count == 1

    async def turn_on(self, key: AmbassadorKey, way: Way, address: str, *, at: datetime) -> None:
        """Keep that a test message got through to an address, if that was thought not to be reached."""
        kept = f"reach.{way.value}"
        off = {f"{kept}.address": address, f"{kept}.works_since": None, f"{kept}.since": {"$lte": at}}
        await self._people.update_one({"_id": self._id(key)} | off | _KNOWN, {"$set": {f"{kept}.works_since": at}})

    async def turn_off_again(self, key: AmbassadorKey, way: Way, address: str, *, tested_at: datetime) -> None:
        """Keep that the test message which turned a way on has come back: it has been off since it was before."""
        kept = f"reach.{way.value}"
        on = {f"{kept}.address": address, f"{kept}.works_since": tested_at}
        await self._people.update_one({"_id": self._id(key)} | on | _KNOWN, {"$set": {f"{kept}.works_since": None}})

    async def count_off(self) -> Counter[Way]:
        """Return how many people each way does not reach."""
        people = await self._read({"reach": {"$exists": True}} | _KNOWN)
        return Counter(way for person in people.values() for way in person.off)

    async def begin_test(self, key: AmbassadorKey, way: Way, *, now: datetime) -> datetime | None:
        """Keep that a test message was asked for, unless one was not long ago; return when the last one was.

        None: the person is unknown or erased.
        """
        kept = f"tests.{way.value}"
        this: Document = {"_id": self._id(key)} | _KNOWN
        not_long_ago = {"$nor": [{kept: {"$gt": now - TESTED_EVERY}}]}
        await self._people.update_one(this | not_long_ago, {"$set": {kept: now}})
        return (await self.tests(key)).get(way)

    async def tests(self, key: AmbassadorKey) -> Mapping[Way, datetime]:
        """Return when the last test message, each way, was asked for."""
        found = await self._people.find_one({"_id": self._id(key)} | _KNOWN, {"tests": 1})
        return {Way(way): at for way, at in (found or {}).get("tests", {}).items()}

    def _person(self, found: Mapping[str, Any]) -> Person:
        profile = AmbassadorPublished.model_validate_json(found["body"])
        reach = self._reach(profile, found.get("reach", {}))
        return person_of(profile, _preferences(found), epoch=found.get("epoch", 0), reach=reach)

    def _sought_by(self, event: AmbassadorPublished | ContactPublished) -> Document:
        return {"address": event.email.casefold() if event.email else None}

    def _reach(self, profile: AmbassadorPublished, kept: Mapping[str, Any]) -> Mapping[Way, Reach]:
        digests = {way: self._digest(address) for way, address in addresses(profile).items()}
        return {way: Reach(digest, _off(kept.get(way.value), digest)) for way, digest in digests.items()}


class Contacts(_People[MemberKey, ContactPublished]):
    """Who answers for a member when it is introduced."""

    def __init__(self, database: Database) -> None:
        super().__init__(database["contacts"], called="contact")

    def _person(self, found: Mapping[str, Any]) -> ContactPublished:
        return ContactPublished.model_validate_json(found["body"])


def _off(kept: Mapping[str, Any] | None, address: str) -> Off | None:
    if kept is None or kept["address"] != address or kept["works_since"] is not None:
        return None
    return Off(kept["since"], Reason(kept["reason"]))


def _preferences(found: Mapping[str, Any]) -> Preferences:
    kept = found.get("preferences")
    return Preferences.model_validate(kept, strict=False) if kept else Preferences()
