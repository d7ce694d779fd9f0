"""The settings in the environment, as the services would read them; and whether secrets could be guessed."""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import SecretStr, ValidationError

from services.console.doctor.findings import Finding, ok, problem, warning
from services.ingest.settings import IngestSettings
from services.matcher.settings import MatcherSettings
from services.notifier.settings import NotifierSettings
from services.runtime.settings import PREFIX, SECRETS, RuntimeSettings

S = TypeVar("S", bound=RuntimeSettings)

SERVICES: Final[Mapping[str, type[RuntimeSettings]]] = {
    "ingest": IngestSettings,
    "matcher": MatcherSettings,
    "notifier": NotifierSettings,
}

OF_THE_COMMANDS: Final = frozenset({"SERVICES", "CA", "VIA", "PARTITIONS", "API", "KEY", "VERSION", "SITE"})
"""Variables with our prefix that commands and compose files read, and no service."""

# Guessing at 10^12 a second for a century reaches 2^72; a few more for what an estimate from the text may overstate.
_BITS: Final = 90

_THEN: Final = {f"{PREFIX}SECRET": " Inbox addresses that were sent before are then invalid."}

_HASHED: Final = "sha256:"


def read(settings: type[S], *, secrets: Path = SECRETS, **given: Any) -> S:
    """Return settings as a service reads them, from the environment and from files of secrets.

    Raises:
        ValidationError: one is wrong.
    """
    if secrets.is_dir():
        given["_secrets_dir"] = secrets
    return settings(**given)


def check(environ: Mapping[str, str] = os.environ, *, secrets: Path = SECRETS) -> Iterator[Finding]:
    """Yield what is to be said of the settings in an environment, and of the secrets in a folder."""
    ours = {name.removeprefix(PREFIX) for name in environ if name.startswith(PREFIX)}
    ours |= {name.upper().removeprefix(PREFIX) for name in _files(secrets) if name.startswith(PREFIX.lower())}
    known = {name.upper() for settings in SERVICES.values() for name in settings.model_fields}
    found = [*_unknown(ours - known - OF_THE_COMMANDS, known), *_invalid(ours, secrets), *_weak(environ, secrets)]
    yield from found or [ok("settings", "environment", f"{len(ours & known)} settings, all as they should be")]


def _files(secrets: Path) -> list[str]:
    return [file.name for file in secrets.iterdir()] if secrets.is_dir() else []


def _unknown(names: set[str], known: set[str]) -> Iterator[Finding]:
    for name in sorted(names):
        near = get_close_matches(name, known, 1)
        do = f"Misspelt? There is {PREFIX}{near[0]}." if near else "Remove it, or see docs/operating.md."
        yield warning("settings", PREFIX + name, "no service reads it", do)


def _invalid(ours: set[str], secrets: Path) -> Iterator[Finding]:
    seen: set[str] = set()
    for service, settings in SERVICES.items():
        own = {name.upper() for name in settings.model_fields} - {name.upper() for name in RuntimeSettings.model_fields}
        try:
            read(settings, secrets=secrets)
        except OSError as error:
            do = "Let this user read it."
            yield problem("settings", str(error.filename), error.strerror or "cannot be read", do)
        except ValidationError as error:
            for one in error.errors(include_input=False, include_url=False):
                name = PREFIX + "_".join(map(str, one["loc"])).upper()
                # Of a service of which nothing is set here nothing need be.
                if name in seen or (one["type"] == "missing" and not own & ours):
                    continue
                seen.add(name)
                yield problem(
                    "settings",
                    name if one["loc"] else f"settings of {service}",
                    one["msg"].removeprefix("Value error, "),
                    f"Correct it: the {service} ends at its start.",
                )


def _weak(environ: Mapping[str, str], secrets: Path) -> Iterator[Finding]:
    names = {
        name.upper()
        for settings in SERVICES.values()
        for name, field in settings.model_fields.items()
        if _is_secret(field.annotation) and name != "mongo"
    }
    for name in sorted(PREFIX + name for name in names):
        secret = environ.get(name) or _content(secrets / name.lower())
        if secret and not secret.startswith(_HASHED) and bits(secret) < _BITS:
            yield problem(
                "secrets",
                name,
                f"could be guessed: about {bits(secret):.0f} bits, and {_BITS} are out of reach",
                "Make another: `openssl rand -base64 32`." + _THEN.get(name, ""),
            )


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):  # said where settings are read
        return ""


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or SecretStr in getattr(annotation, "__args__", ())


def bits(secret: str) -> float:
    """Return about how many bits a guesser must find: no more than the variety of its characters allows."""
    counts = Counter(secret)
    of_each = -sum(count / len(secret) * math.log2(count / len(secret)) for count in counts.values())
    return of_each * len(secret)
