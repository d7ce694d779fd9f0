"""Typed settings from the environment and from files of secrets, checked before anything starts."""

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn, TypeVar

from pydantic import Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

PREFIX = "MAILLAGE_"

SECRETS: Final = Path("/run/secrets")
"""Where Docker and its kind put secrets: one file a setting, named as its variable in small letters."""

S = TypeVar("S", bound="RuntimeSettings")

HostPort = Annotated[str, StringConstraints(pattern=r"^[^\s:,]+:\d{1,5}(,[^\s:,]+:\d{1,5})*$")]


class RuntimeSettings(BaseSettings):
    """What every service needs to know. Each field is read from `MAILLAGE_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True)

    kafka: Annotated[HostPort, Field(description="Brokers to start from, host:port, comma separated")] = (
        "127.0.0.1:9092"
    )
    mongo: Annotated[SecretStr, Field(description="MongoDB connection string")] = SecretStr("mongodb://127.0.0.1:27017")
    mongo_password: Annotated[
        SecretStr | None,
        Field(description="Password of the user named in it; default: the one in it"),
    ] = None
    database: Annotated[str, Field(description="The service's own database; default: maillage_<service>")] = ""
    host: Annotated[str, Field(description="Address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on")] = 8000
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least severe log level kept")
    ] = "info"
    log_format: Annotated[Literal["json", "console"], Field(description="One JSON object a line, or for people")] = (
        "json"
    )
    grace_seconds: Annotated[
        float, Field(gt=0, description="Longest orderly stop, seconds; the supervisor must wait longer")
    ] = 20.0
    stuck_after_seconds: Annotated[
        float, Field(gt=0, description="Consumption without progress for so long, with work waiting, ends the process")
    ] = 120.0
    instance: Annotated[
        str | None,
        StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,80}$"),
        Field(description="Stable name of this replica, its own: started again, it takes its place at once"),
    ] = None
    session_seconds: Annotated[
        float, Field(ge=2, description="The broker takes a replica for dead after so long without a sign of life")
    ] = 10.0
    log_id: Annotated[
        str | None, Field(description="Identity of the event log; default: the cluster id that the broker tells")
    ] = None


def load(settings_class: type[S], *, secrets: Path = SECRETS) -> S:
    """Return the settings of a service, or end the process with one clear line on standard error (status 2).

    Args:
        secrets: folder of files such as `maillage_secret`; where it is missing, there are none. What the environment
            says wins over a file.
    """
    try:
        with warnings.catch_warnings():
            # Of a secret that is a folder, or a link that leads out, pydantic only warns and goes on without it.
            warnings.simplefilter("error", UserWarning)
            return settings_class(_secrets_dir=secrets) if secrets.is_dir() else settings_class()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = PREFIX + "_".join(str(part) for part in first["loc"]).upper() if first["loc"] else "Settings"
        problem = first["msg"].removeprefix("Value error, ")
        file = secrets / name.lower()
        where = str(file) if name not in os.environ and file.exists() else "the environment"
        _end(f"{name}: {problem}. Correct it in {where} and start again.")
    except SettingsError as error:
        cause = error.__cause__
        why = "one of them is not UTF-8" if isinstance(cause, UnicodeDecodeError) else str(cause or error)
        _end(f"A secret in {secrets} cannot be read: {why}. Correct it and start again.")


def _end(line: str) -> NoReturn:
    print(line, file=sys.stderr)
    raise SystemExit(2) from None
