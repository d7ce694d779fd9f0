"""Typed settings from the environment and from files of secrets, checked before anything starts."""

import os
import sys
import warnings
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn, Self, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    Field,
    FilePath,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from services.runtime.connection import Connection, Mechanism, Security, tls_context
from services.runtime.smtp import SmtpServer
from services.runtime.store import in_the_clear

PREFIX = "MAILLAGE_"

SECRETS: Final = Path("/run/secrets")
"""Where Docker and its kind put secrets: one file a setting, named as its variable in small letters."""

S = TypeVar("S", bound="KafkaSettings")

HostPort = Annotated[str, StringConstraints(pattern=r"^[^\s:,]+:\d{1,5}(,[^\s:,]+:\d{1,5})*$")]


class KafkaSettings(BaseSettings):
    """What whoever speaks to the broker needs to know. Each field is read from `MAILLAGE_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True)

    kafka: Annotated[HostPort, Field(description="Brokers to start from, host:port, comma separated")] = (
        "127.0.0.1:9092"
    )
    kafka_security: Annotated[
        Security,
        Field(description="Protection of the way to the broker: `plaintext`, `tls`, or `sasl_tls`, a login inside TLS"),
    ] = Security.PLAINTEXT
    kafka_ca: Annotated[
        FilePath | None, Field(description="PEM file of the authorities that sign brokers; default: the system's")
    ] = None
    kafka_certificate: Annotated[
        FilePath | None,
        Field(description="PEM file of our own certificate and its key, for brokers that ask for one; empty: none"),
    ] = None
    kafka_mechanism: Annotated[
        Mechanism, Field(description="How the login is proved: `SCRAM-SHA-512`, `SCRAM-SHA-256` or `PLAIN`")
    ] = Mechanism.SCRAM_512
    kafka_user: Annotated[
        str, Field(description="Login at the broker; with `sasl_tls`, and only with it", validate_default=True)
    ] = ""
    kafka_password: Annotated[SecretStr, Field(description="Password at the broker", validate_default=True)] = (
        SecretStr("")
    )

    @field_validator("kafka_ca", "kafka_certificate", mode="before")
    @classmethod
    def _no_tls_file_when_empty(cls, value: object) -> object:
        return value or None

    @field_validator("kafka_ca", "kafka_certificate")
    @classmethod
    def _tls_file_can_be_used(cls, file: FilePath | None, info: ValidationInfo) -> FilePath | None:
        if file is None:
            return None
        if info.data.get("kafka_security") is Security.PLAINTEXT:
            raise ValueError("without TLS it protects nothing; set MAILLAGE_KAFKA_SECURITY to tls or sasl_tls")
        return _pem(ca=file) if info.field_name == "kafka_ca" else _pem(certificate=file)

    @field_validator("kafka_user", "kafka_password")
    @classmethod
    def _login_goes_by_tls(cls, value: str | SecretStr, info: ValidationInfo) -> str | SecretStr:
        given = bool(value.get_secret_value() if isinstance(value, SecretStr) else value)
        wanted = info.data.get("kafka_security") is Security.SASL_TLS
        if given and not wanted:
            raise ValueError(
                "a login must not travel in the clear; set MAILLAGE_KAFKA_SECURITY=sasl_tls, or remove the login"
            )
        if wanted and not given:
            raise ValueError("missing, and MAILLAGE_KAFKA_SECURITY=sasl_tls is a login")
        return value

    @cached_property
    def connection(self) -> Connection:
        """Where the broker is, how the way there is protected, and who we are."""
        protected = self.kafka_security is not Security.PLAINTEXT
        return Connection(
            servers=self.kafka,
            security=self.kafka_security,
            context=tls_context(self.kafka_ca, self.kafka_certificate) if protected else None,
            mechanism=self.kafka_mechanism,
            user=self.kafka_user,
            password=self.kafka_password,
        )


class RuntimeSettings(KafkaSettings):
    """What every service needs to know beside the broker. Each field is read from `MAILLAGE_<FIELD>`."""

    mongo_ca: Annotated[
        FilePath | None,
        Field(description="PEM file of the authorities that sign MongoDB's servers, which are then reached by TLS"),
    ] = None
    trust_network: Annotated[
        bool,
        Field(
            description="Let a password go to MongoDB without TLS: only on a network where nobody else can listen, "
            "as that of containers on one machine"
        ),
    ] = False
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
        float, Field(gt=0, description="No progress in reading or publishing for so long, with work, ends the process")
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

    @field_validator("mongo_ca", mode="before")
    @classmethod
    def _no_mongo_ca_when_empty(cls, value: object) -> object:
        return value or None

    @field_validator("mongo_ca")
    @classmethod
    def _mongo_ca_can_be_used(cls, file: FilePath | None) -> FilePath | None:
        return None if file is None else _pem(ca=file)

    @field_validator("mongo")
    @classmethod
    def _password_is_protected(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        protected = info.data.get("mongo_ca") is not None or info.data.get("trust_network", False)
        if (host := in_the_clear(url.get_secret_value())) and not protected:
            raise ValueError(
                f"sends a login to {host} without TLS; add tls=true to its options, and MAILLAGE_MONGO_CA for an "
                "authority of your own"
            )
        return url


def _known_zone(timezone: str) -> str:
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError("expected a time zone, as Africa/Casablanca") from None
    return timezone


PREVIEW_KEY_CHARACTERS: Final = 32
"""Least length of a secret between two services: machines remember it."""


class PreviewSettings(RuntimeSettings):
    """Settings of those who ask for previews and of who answers."""

    preview_key: Annotated[
        SecretStr | None,
        Field(
            min_length=PREVIEW_KEY_CHARACTERS,
            description="Secret between ingest and matcher, by which previews are asked for; none: there are none",
        ),
    ] = None


class PagesSettings(RuntimeSettings):
    """Settings of those who have pages for people, and write to them."""

    smtp: Annotated[
        str,
        StringConstraints(pattern=r"^[^\s:,]+:\d{1,5}$"),
        Field(description="Mail server, host:port"),
    ] = "127.0.0.1:25"
    smtp_security: Annotated[
        Literal["none", "starttls", "tls"], Field(description="How the connection to the mail server is protected")
    ] = "none"
    smtp_user: Annotated[str, Field(description="Login at the mail server; empty: none")] = ""
    smtp_password: Annotated[SecretStr, Field(description="Password at the mail server")] = SecretStr("")
    timezone: Annotated[
        str, AfterValidator(_known_zone), Field(description="Time zone of the dates that people read")
    ] = "Africa/Casablanca"

    @model_validator(mode="after")
    def _mail_login_is_protected(self) -> Self:
        if self.smtp_user and self.smtp_security == "none":
            raise ValueError("smtp_user needs smtp_security starttls or tls: a password must not travel in the clear")
        return self

    @property
    def mail_server(self) -> SmtpServer:
        """Where messages are handed over."""
        host, _, port = self.smtp.rpartition(":")
        return SmtpServer(
            host=host,
            port=int(port),
            security=self.smtp_security,
            user=self.smtp_user,
            password=self.smtp_password.get_secret_value(),
        )


def _pem(*, ca: FilePath | None = None, certificate: FilePath | None = None) -> FilePath | None:
    try:
        tls_context(ca, certificate)
    except OSError as error:
        raise ValueError(f"not a PEM file that can be used ({error.strerror})") from None
    return ca or certificate


def load(settings_class: type[S], *, secrets: Path = SECRETS, **given: Any) -> S:
    """Return settings, or end the process with one clear line on standard error (status 2).

    Args:
        secrets: folder of files such as `maillage_secret`; where it is missing, there are none. What the environment
            says wins over a file.
        given: what was said on the command line; it wins over both.
    """
    try:
        with warnings.catch_warnings():
            # Of a secret that is a folder, or a link that leads out, pydantic only warns and goes on without it.
            warnings.simplefilter("error", UserWarning)
            if secrets.is_dir():
                given["_secrets_dir"] = secrets
            return settings_class(**given)
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
