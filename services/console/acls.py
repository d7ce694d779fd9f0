"""Who may do what on a broker: its entries of rights, read, added and taken away."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import ClusterAuthorizationFailedError, for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

from services.runtime.connection import Connection
from services.runtime.errors import PermanentError, RefusedError
from services.runtime.rights import Right, Rights

# The protocol's numbers.
_ANY: Final = 1
_LITERAL: Final = 3
_ALLOW: Final = 3
_EVERY_HOST: Final = "*"
_SECURITY_DISABLED: Final = 54

_KINDS: Final = {2: "topic", 3: "group", 4: "cluster", 5: "transactional id", 6: "delegation token", 7: "user"}
_OPERATIONS: Final = {
    2: "all",
    3: "read",
    4: "write",
    5: "create",
    6: "delete",
    7: "alter",
    8: "describe",
    9: "cluster action",
    10: "describe configs",
    11: "alter configs",
    12: "idempotent write",
}


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One entry as the broker keeps it, in the protocol's numbers; those that we never make are kept as they are."""

    principal: str
    kind: int
    name: str
    operation: int
    pattern: int = _LITERAL
    host: str = _EVERY_HOST
    permission: int = _ALLOW

    def __str__(self) -> str:
        """Return it in words, as in `write topic members.v1`."""
        denied = "" if self.permission == _ALLOW else "not "
        prefixed = "" if self.pattern == _LITERAL else "*"
        host = "" if self.host == _EVERY_HOST else f" from {self.host}"
        operation = _OPERATIONS.get(self.operation, f"operation {self.operation}")
        return f"{denied}{operation} {_KINDS.get(self.kind, f'kind {self.kind}')} {self.name}{prefixed}{host}"

    def fields(self) -> tuple[int, str, int, str, str, int, int]:
        """Return it in the order of the protocol's requests."""
        return self.kind, self.name, self.pattern, self.principal, self.host, self.operation, self.permission


def principal_of(user: str) -> str:
    """Return a user as the broker's entries name it."""
    return f"User:{user}"


@dataclass(frozen=True, slots=True)
class Granted:
    """What became of a user's rights.

    Attributes:
        added: entries that were made.
        there: how many were there already.
        more: entries that the user has beyond what was asked for.
    """

    added: list[Entry]
    there: int
    more: list[Entry]


class Acls:
    """The entries of one broker, by whoever may change them: in Kafka, who may alter the cluster."""

    def __init__(self, link: AIOKafkaConnection, connection: Connection) -> None:
        self._link = link
        self._connection = connection

    async def entries(self, user: str | None = None) -> list[Entry]:
        """Return the entries of a user, or of all.

        Raises:
            PermanentError: the broker keeps none.
            RefusedError: we may not see them.
        """
        principal = principal_of(user) if user is not None else None
        answer = await self._link.send(DescribeAclsRequest(_ANY, None, _ANY, principal, None, _ANY, _ANY))
        self._raise(answer.error_code, answer.error_message)
        return sorted(
            Entry(principal, kind, name, operation, pattern, host, permission)
            for kind, name, pattern, acls in answer.resources
            for principal, host, operation, permission in acls
        )

    async def grant(self, user: str, rights: Rights) -> Granted:
        """Make the entries that are missing. Raises as `entries` does."""
        wanted = {_entry(user, right) for right in rights}
        found = set(await self.entries(user))
        added = sorted(wanted - found)
        for entry in added:
            answer = await self._link.send(CreateAclsRequest(*entry.fields()))
            for code, message in answer.creation_responses:
                self._raise(code, message)
        return Granted(added=added, there=len(wanted & found), more=sorted(found - wanted))

    async def take(self, entries: Iterable[Entry]) -> None:
        """Take entries away. Raises as `entries` does."""
        for entry in entries:
            answer = await self._link.send(DeleteAclsRequest(*entry.fields()))
            for code, message, *_ in answer.filter_responses:
                self._raise(code, message)

    def _raise(self, code: int, message: str | None) -> None:
        if code == _SECURITY_DISABLED:
            raise PermanentError(
                f"broker {self._connection.servers}: it keeps no rights; set authorizer.class.name in its settings"
            )
        if code == ClusterAuthorizationFailedError.errno:
            raise RefusedError(
                f"broker {self._connection.servers}: {self._connection.who} may not see or change rights. "
                "Name an administrator of the broker (super.users) by MAILLAGE_KAFKA_USER"
            )
        if code:
            error: Any = for_code(code)
            raise error(message)


def _entry(user: str, right: Right) -> Entry:
    return Entry(principal_of(user), right.kind, right.name, right.operation)
