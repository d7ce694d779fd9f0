"""The deployed system, brought up from a fresh copy of the working tree as an operator would."""

import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import httpx

from services.console.embedded.process import free_port

ROOT: Final = Path(__file__).parents[2]

PROJECT: Final = "maillage-test"
"""A name of its own beside a system in use; also of the images."""

ENGINE: Final = f"{PROJECT}_engine"
"""Machine code outlives the tests: to compile it takes longer than all of them, and it is known by its source."""

BASES: Final = (
    "python:3.13-slim",
    "debian:trixie-slim",
    "ghcr.io/astral-sh/uv:latest",
    "apache/kafka:4.1.0",
    "mongo:7",
    "maildev/maildev:2.2.1",
)

# A first start compiles the engine, on a machine that does other things too.
_COMMAND_SECONDS: Final = 1_800.0
_SECONDS: Final = 180.0


def missing() -> str | None:
    """Return why a stack cannot be brought up here; none if it can."""
    if shutil.which("docker") is None or _quiet("docker", "info").returncode != 0:
        return "no Docker engine answers"
    if _quiet("docker", "compose", "version").returncode != 0:
        return "docker has no compose plugin"
    for image in BASES:
        if _quiet("docker", "image", "inspect", image).returncode and _quiet("docker", "pull", image).returncode:
            return f"the image {image} is not here and cannot be pulled"
    return None


def _quiet(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS)


class Stack:
    """One system on this machine's Docker engine."""

    def __init__(self, checkout: Path) -> None:
        self.folder = checkout / "deploy"
        self.port, self.plain_port = free_port(), free_port()
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MAILLAGE_", "COMPOSE_"))},
            "COMPOSE_PROJECT_NAME": PROJECT,
            "HTTPS_PORT": str(self.port),
            "HTTP_PORT": str(self.plain_port),
            "MAILLAGE_VERSION": "test",
        }

    def run(self, *command: str, given: bytes | None = None, check: bool = True, **env: str) -> str:
        """Return what a command in the folder of the deployment prints; fail with all that it said if it fails."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._env | env,
            input=given,
            capture_output=True,
            check=False,
            timeout=_COMMAND_SECONDS,
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert not check or done.returncode == 0, f"{command} ended with {done.returncode}:\n{said}"
        return done.stdout.decode() if check else said

    def compose(self, *command: str, **options: Any) -> str:
        """Return what `docker compose ...` prints."""
        return self.run("docker", "compose", *command, **options)

    def up(self, **env: str) -> None:
        """Bring everything up; return when all of it is healthy."""
        self.compose("up", "--detach", "--wait", "--build", "--quiet-pull", **env)

    def forget(self) -> None:
        """Remove containers and volumes, but for the machine code."""
        self.compose("--profile", "*", "down", "--remove-orphans")
        names = _quiet("docker", "volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}")
        for name in names.stdout.split():
            if name != ENGINE:
                _quiet("docker", "volume", "rm", name)

    @contextmanager
    def client(self, **headers: str) -> Iterator[httpx.Client]:
        """A client outside, that trusts nobody but the proxy's authority."""
        authority = self.compose("exec", "-T", "proxy", "cat", "/data/caddy/pki/authorities/local/root.crt")
        context = ssl.create_default_context(cadata=authority)
        with httpx.Client(base_url=self.url, verify=context, headers=headers, timeout=60) as client:
            yield client

    @contextmanager
    def operator(self) -> Iterator[httpx.Client]:
        """A client with the operator's key."""
        key = self.compose("exec", "-T", "ingest", "cat", "/run/secrets/maillage_operator_key")
        with self.client(Authorization=f"Bearer {key}") as client:
            yield client

    @property
    def url(self) -> str:
        """Where people reach the system."""
        return f"https://localhost:{self.port}"

    def inbox(self, cluster: str, ambassador: str) -> str:
        """Return the address of an inbox, as an operator asks for it."""
        command = ("python", "-m", "services.notifier.address", cluster, ambassador)
        return self.compose("exec", "-T", "notifier", *command).strip()

    def mails(self) -> list[dict[str, Any]]:
        """Return the mails that were caught since the catcher was started."""
        code = "import httpx; print(httpx.get('http://mail:1080/email').text)"
        found = self.compose("exec", "-T", "notifier", "python", "-c", code)
        mails: list[dict[str, Any]] = httpx.Response(200, text=found).json()
        return mails


def checkout(to: Path) -> Path:
    """Copy what git would: the working tree, without what it ignores; with settings as the example has them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    shutil.copy(to / "deploy" / ".env.example", to / "deploy" / ".env")
    return to


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return what `condition` returns once that is something."""
    deadline = monotonic() + _SECONDS
    while not (found := condition()):
        assert monotonic() < deadline, f"not within {_SECONDS:g} s: {what}"
        sleep(0.2)
    return found
