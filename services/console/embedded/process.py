"""One child process: started with a log file, awaited until ready, stopped in order."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from services.console.embedded import anchor

LOOPBACK = "127.0.0.1"

# Below the range from which Linux and macOS take ports for outgoing connections (32768 and 49152): a port that a part
# gives up for the second of its restart must not go to a client, and least of all to one that is trying to reach it.
PORTS = range(20_000, 32_000)

# How often a log is looked at for the ready line, in seconds: far below what a person notices.
LOOK_EVERY = 0.02

# A log beyond this size (bytes) is set aside when its process starts again, so that two files at most are kept.
LOG_KEEPS = 10_000_000

ReadyLine = Callable[[str], str | None]
"""Given one line of output: the address it announces, or None when it is not the ready line."""


class PartError(Exception):
    """A part could not start, or did not become ready.

    `status` is its exit status when it ended by itself (negative: the signal that ended it), otherwise None.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def ready_json(key: str) -> ReadyLine:
    """The ready line of our own parts: one JSON object that has `key`, such as {"bootstrap": "127.0.0.1:29092"}."""

    def read(line: str) -> str | None:
        try:
            announced = json.loads(line)
        except ValueError:
            return None
        value = announced.get(key) if isinstance(announced, dict) else None
        return value if isinstance(value, str) else None

    return read


def free_port() -> int:
    """A loopback port that nothing listens on now, and that no outgoing connection will be given.

    Raises:
        PartError: a hundred ports in a row are taken.
    """
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise PartError(f"no free port between {PORTS.start} and {PORTS.stop}")


def say_status(status: int) -> str:
    """How a process ended, for a person to read; `status` as in `subprocess`, negative for a signal."""
    if status >= 0:
        return f"ended with status {status}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"


class ChildProcess:
    """A command in a session of its own, so that Ctrl-C in the terminal reaches this process only, which then decides.

    Both its outputs go to the end of `log`. It dies when this process is killed outright (see `anchor`); for that,
    `start` must be called from a thread that lives as long as the process, such as the main one.

    Args:
        name: what to call it in messages.
        argv: the command; read at each start.
        log: file of its output; its folder is made when missing.
        env: variables set on top of this process's own.
        ready: recognises its ready line; None when it announces nothing, and then it is ready once started.
        ready_within: seconds it has to become ready.
        stop_within: seconds it has to end after SIGTERM, before SIGKILL.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        ready: ReadyLine | None = None,
        ready_within: float = 30.0,
        stop_within: float = 10.0,
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = log
        self._env = dict(env or {})
        self._ready = ready
        self._ready_within = ready_within
        self._stop_within = stop_within
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, also after it ended; None before the first start."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> str:
        """Starts it and waits until it is ready.

        Returns:
            The address that its ready line announces, or "" when it announces none.

        Raises:
            PartError: it is running already, ended before it was ready, or was not ready in time; it is then gone.
        """
        if self.running:
            raise PartError(f"{self.name} is running already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_KEEPS:
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        with self.log.open("ab") as output:
            start_of_run = output.tell()
            self._process = await asyncio.create_subprocess_exec(
                *[sys.executable, "-I", "-S", anchor.__file__, str(os.getpid()), *self.argv],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self._env},
                start_new_session=True,
            )
        if self._ready is None:
            return ""
        try:
            return await self._await_ready(self._process, self._ready, start_of_run)
        except BaseException:
            await self.kill()
            raise

    async def _await_ready(self, process: asyncio.subprocess.Process, ready: ReadyLine, offset: int) -> str:
        deadline = time.monotonic() + self._ready_within
        partial = ""
        with self.log.open("r", encoding="utf-8", errors="replace") as output:
            output.seek(offset)
            while True:
                ended = process.returncode is not None  # asked before reading, so that its last words are read
                *lines, partial = (partial + output.read()).split("\n")
                for line in lines:
                    if (address := ready(line)) is not None:
                        return address
                if ended:
                    status = process.returncode or 0
                    message = f"{self.name} {say_status(status)} before it was ready (log: {self.log})"
                    raise PartError(message, status)
                if time.monotonic() > deadline:
                    raise PartError(f"{self.name} was not ready after {self._ready_within:g} s (log: {self.log})")
                await asyncio.sleep(LOOK_EVERY)

    async def wait(self) -> int:
        """Waits until it ends, and returns its status (negative: the signal that ended it).

        Raises:
            PartError: it was never started.
        """
        if self._process is None:
            raise PartError(f"{self.name} was never started")
        return await self._process.wait()

    async def stop(self) -> None:
        """Asks it to end and waits; kills it, and all that it started in its session, after the deadline."""
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), self._stop_within)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Ends it, and all that it started in its session, at once."""
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
