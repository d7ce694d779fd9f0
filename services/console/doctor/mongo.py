"""What MongoDB says of itself and of our databases."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Any, Final

from services.console.doctor.findings import Finding, ok, problem, warning
from services.console.doctor.sizes import judge_space
from services.console.doctor.times import judge_clock
from services.runtime.clock import Clock
from services.runtime.store import Disk, Store, StoreError

_NEEDED: Final = frozenset({"find", "insert", "update", "remove", "createIndex"})
"""What a service does in its own database."""


@dataclass(frozen=True, slots=True)
class MongoFacts:
    """What was found.

    Attributes:
        version: of the server.
        set_name: of the replica set; none: a server by itself.
        primary: whether the server that answered takes writes.
        ahead: how far its clock is ahead of ours; the uncertainty is `within`.
        login: who we are; none: it asked for no login.
        lacking: what the login may not do that the service must, by database.
        disk: of the file system of its data; none: nothing is stored yet, or the login may not see it.
    """

    version: str
    set_name: str | None
    primary: bool
    ahead: timedelta
    within: timedelta
    login: str | None
    lacking: Mapping[str, Sequence[str]] = field(default_factory=dict)
    disk: Disk | None = None


Opens = Callable[[str], Store]
"""Opens a database by its name."""


async def ask(opens: Opens, databases: Sequence[str], clock: Clock) -> MongoFacts:
    """Ask a MongoDB for everything that can be judged.

    Args:
        databases: those in which the login should be able to do a service's work.

    Raises:
        StoreError: it is away, or does not let us in.
    """
    store = opens(databases[0])
    try:
        await store.ping()
        admin: Any = store.database.client.admin
        began = clock()
        hello = await admin.command("hello")
        ended = clock()
        status = (await admin.command({"connectionStatus": 1, "showPrivileges": True}))["authInfo"]
        users = [f"{user['user']}@{user['db']}" for user in status["authenticatedUsers"]]
        return MongoFacts(
            version=(await admin.command("buildInfo"))["version"],
            set_name=hello.get("setName"),
            primary=bool(hello["isWritablePrimary"]),
            ahead=hello["localTime"].replace(tzinfo=UTC) - (began + (ended - began) / 2),
            within=(ended - began) / 2,
            login=users[0] if users else None,
            lacking=_lacking(databases, status["authenticatedUserPrivileges"]) if users else {},
            disk=await _disk(opens, databases),
        )
    finally:
        store.close()


async def ask_places(opens: Opens, database: str) -> dict[str, int] | None:
    """Return how far the matcher is, by `topic/partition`, without what it has not begun. None: it is not known."""
    store = opens(database)
    try:
        places = [dict(row.get("places", ())) async for row in store.database["shares"].find({}, {"places": 1})]
    except StoreError:
        return None
    finally:
        store.close()
    common = set.intersection(*map(set, places)) if places else set()
    return {name: min(place[name] for place in places) for name in common}


async def _disk(opens: Opens, databases: Sequence[str]) -> Disk | None:
    """Ask by the first database that is there: of one that is not the server tells nothing."""
    for database in databases:
        store = opens(database)
        try:
            if disk := await store.disk():
                return disk
        except StoreError:  # no right to ask
            continue
        finally:
            store.close()
    return None


def _lacking(databases: Sequence[str], privileges: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    found = {}
    for database in databases:
        may = {
            action
            for privilege in privileges
            if privilege["resource"].get("db") in (database, "") and not privilege["resource"].get("collection")
            for action in privilege["actions"]
        }
        if lacking := sorted(_NEEDED - may):
            found[database] = lacking
    return found


def judge(facts: MongoFacts) -> Iterator[Finding]:
    """Yield what is to be said of a database that answered."""
    if facts.set_name is None:
        yield problem(
            "addresses",
            "MongoDB",
            "a server by itself: the matcher stores in transactions, which only a replica set takes",
            "Start it with --replSet and say `rs.initiate()`; a set of one is enough.",
        )
    elif facts.primary:
        yield ok("addresses", "MongoDB", f"answers, version {facts.version}; primary of {facts.set_name}")
    else:
        yield problem(
            "addresses",
            "MongoDB",
            f"the replica set {facts.set_name} has no primary that takes writes",
            "See that more than half of its members run and reach one another: `rs.status()`.",
        )
    yield judge_clock("MongoDB's machine", ahead=facts.ahead, within=facts.within)
    for database, lacking in facts.lacking.items():
        yield problem(
            "permissions",
            f"MongoDB: {database}",
            f"{facts.login} may not {', '.join(lacking)}",
            f"Grant it readWrite on {database}, or correct MAILLAGE_MONGO.",
        )
    if facts.login is None:
        yield warning(
            "permissions",
            "MongoDB",
            "it asked for no password: whoever reaches it reads everything",
            "Start it with --auth and a user for each service, unless nobody but this machine reaches it.",
        )
    elif not facts.lacking:
        yield ok("permissions", "MongoDB", f"{facts.login} may do what it must")
    if facts.disk is not None:
        yield judge_space("MongoDB", free=facts.disk.free_bytes, size=facts.disk.size_bytes)


def judge_away(url_of: str, error: Exception, refusal: str | None) -> Finding:
    """Return what is to be said of a database that did not let us in or did not answer."""
    if refusal is not None:
        what, _, do = refusal.removeprefix("MongoDB: ").partition(". ")
        return problem("addresses" if "certificate" in what else "permissions", "MongoDB", what, f"{do}.")
    return problem(
        "addresses",
        "MongoDB",
        f"no answer from {url_of} ({type(error).__name__})",
        "Start it, or correct MAILLAGE_MONGO: host, port, and whether it wants TLS.",
    )
