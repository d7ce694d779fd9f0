"""A replica set of three real mongods on loopback, for fault runs."""

import asyncio
import time
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from services.console.embedded.mongod import REPLICA_SET, Mongod
from services.console.embedded.process import PartError

PRIMARY_WITHIN = 60.0  # seconds; 11 on an idle machine
LOOK_EVERY = 0.1  # seconds


class ReplicaSet:
    """Three mongods, one of them the primary.

    Attributes:
        members: each may be killed and started by itself.
        uri: connection string that names all three.
    """

    def __init__(self, folder: Path) -> None:
        self.members = [Mongod(folder / f"mongod-{number}", alone=False) for number in (1, 2, 3)]
        self.uri = f"mongodb://{','.join(member.address for member in self.members)}/?replicaSet={REPLICA_SET}"

    async def start(self) -> str:
        """Starts all three, makes them a set, waits for a primary, and returns the connection string.

        Raises:
            PartError: one did not start, or there was no primary in time.
        """
        await asyncio.gather(*(member.start() for member in self.members))
        hosts = [{"_id": number, "host": member.address} for number, member in enumerate(self.members)]
        await self.command(self.members[0], {"replSetInitiate": {"_id": REPLICA_SET, "members": hosts}})
        await self.primary()
        return self.uri

    async def primary(self) -> Mongod:
        """The member that takes writes now, once there is one. Raises PartError when there is none in time."""
        deadline = time.monotonic() + PRIMARY_WITHIN
        while time.monotonic() < deadline:
            for member in self.members:
                try:
                    if (await self.command(member, {"hello": 1}))["isWritablePrimary"]:
                        return member
                except PyMongoError:  # it is away; another may lead
                    continue
            await asyncio.sleep(LOOK_EVERY)
        raise PartError(f"the replica set had no primary after {PRIMARY_WITHIN:g} s")

    async def command(self, member: Mongod, command: dict[str, Any]) -> dict[str, Any]:
        """Gives one member an administrator's command, and returns its answer."""
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            member.address, directConnection=True, serverSelectionTimeoutMS=2_000
        )
        async with client:
            return await client.admin.command(command)

    async def stop(self) -> None:
        """Ends all of them at once: stopped in turn, each would first look for another to lead."""
        await asyncio.gather(*(member.kill() for member in self.members))
