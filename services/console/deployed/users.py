"""The database of a deployment: its replica set, and a user for each service with rights on its own database alone.

`python -m services.console.deployed.users MONGO SECRETS`, again at any time: passwords are set anew from the files.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from services.console.deployed.databases import SERVICES, database_of
from services.runtime.store import connecting

REPLICA_SET: Final = "maillage"

OPERATOR: Final = "maillage_operator"
"""User of backups: reads and writes the three databases, and nothing else."""

# A first start of a database on a slow and busy machine takes minutes.
_PATIENCE_SECONDS: Final = 600

_NOT_YET_INITIALISED: Final = 94
_USER_EXISTS: Final = 51003


def set_up(address: str, secrets: Path, *, ca: Path | None = None) -> None:
    """Make the replica set of one member, if there is none, and the users.

    Args:
        address: host:port, under which the services will reach it too.
        secrets: folder with `mongo_root`, `mongo_<service>` and `maillage_mongo_password`.
        ca: the server is reached by TLS, and one of these authorities signed its certificate.

    Raises:
        PyMongoError: the database is away, or refuses.
    """
    root = (secrets / "mongo_root").read_text(encoding="utf-8")
    given = connecting(password=root, ca=ca)
    with MongoClient[dict[str, Any]](
        address, directConnection=True, username="root", serverSelectionTimeoutMS=5_000, **given
    ) as client:
        for attempt in Retrying(
            retry=retry_if_exception_type((ConnectionFailure, _NotPrimaryError)),
            wait=wait_fixed(0.5),
            stop=stop_after_delay(_PATIENCE_SECONDS),
            reraise=True,
        ):
            with attempt:
                _become_primary(client, address)
        for user, password, roles in _users(secrets):
            _put_user(client, user, password, roles)


class _NotPrimaryError(PyMongoError):
    """The member has not become the primary yet."""


def _become_primary(client: MongoClient[dict[str, Any]], address: str) -> None:
    try:
        client.admin.command("replSetGetStatus")
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALISED:
            raise
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [{"_id": 0, "host": address}]})
    if not client.admin.command("hello")["isWritablePrimary"]:
        raise _NotPrimaryError("it does not become the primary")


def _users(secrets: Path) -> Iterator[tuple[str, str, list[dict[str, str]]]]:
    def on(service: str) -> dict[str, str]:
        return {"role": "readWrite", "db": database_of(service)}

    for service in SERVICES:
        yield database_of(service), (secrets / f"mongo_{service}").read_text(encoding="utf-8"), [on(service)]
    password = (secrets / "maillage_mongo_password").read_text(encoding="utf-8")
    yield OPERATOR, password, [on(service) for service in SERVICES]


def _put_user(client: MongoClient[dict[str, Any]], user: str, password: str, roles: list[dict[str, str]]) -> None:
    try:
        client.admin.command("createUser", user, pwd=password, roles=roles)
    except OperationFailure as error:
        if error.code != _USER_EXISTS:
            raise
        client.admin.command("updateUser", user, pwd=password, roles=roles)


def main() -> None:
    """Set up, and say what is there."""
    parser = argparse.ArgumentParser(description="Make the replica set and the users of a deployment.")
    parser.add_argument("mongo", help="host:port")
    parser.add_argument("secrets", type=Path, help="folder with the passwords")
    parser.add_argument("--ca", type=Path, help="file of the authorities that sign the server; default: no TLS to it")
    options = parser.parse_args()
    try:
        set_up(options.mongo, options.secrets, ca=options.ca)
    except (PyMongoError, RetryError, OSError) as error:
        sys.exit(f"{options.mongo}: {error}")
    print(f"Replica set {REPLICA_SET}; users {', '.join(map(database_of, SERVICES))}, {OPERATOR}.")


if __name__ == "__main__":
    main()
