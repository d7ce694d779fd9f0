"""How we reach Kafka: one value, made from settings, from which every client of ours is made."""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from faststream.kafka.security import parse_security
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from pydantic import SecretStr

from services.runtime.errors import BrokerUnavailableError, RefusedError, TransientError

# What a broker that is up needs to shake hands and answer, with room for a busy one.
_ANSWER_SECONDS: Final = 5.0


class Security(StrEnum):
    """How a connection to the broker is protected."""

    PLAINTEXT = "plaintext"
    TLS = "tls"
    SASL_TLS = "sasl_tls"


class Mechanism(StrEnum):
    """How a user proves who he is, always inside TLS."""

    SCRAM_512 = "SCRAM-SHA-512"
    SCRAM_256 = "SCRAM-SHA-256"
    PLAIN = "PLAIN"


NOT_ALLOWED: Final = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
"""What the clients raise when we lack a right."""

_NO_PASSWORD: Final = SecretStr("")

_PROTOCOLS: Final = {Security.PLAINTEXT: "PLAINTEXT", Security.TLS: "SSL", Security.SASL_TLS: "SASL_SSL"}
_LOGINS: Final = {
    Mechanism.SCRAM_512: SASLScram512,
    Mechanism.SCRAM_256: SASLScram256,
    Mechanism.PLAIN: SASLPlaintext,
}


def tls_context(ca: Path | None, certificate: Path | None = None) -> ssl.SSLContext:
    """Return a context that verifies certificates and host names.

    Args:
        ca: PEM file of the authorities that are trusted; none: those of the system.
        certificate: PEM file of our own certificate and its key, for a broker that asks for one.

    Raises:
        OSError: a file cannot be read, or is not what it should be.
    """
    context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        # A key behind a passphrase would have the process ask for it on its terminal.
        context.load_cert_chain(certificate, password=lambda: b"")
    return context


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the brokers are, how the way there is protected, and who we are.

    Attributes:
        servers: brokers to start from, `host:port`, comma separated.
        context: what TLS trusts; needed by every protection but none.
    """

    servers: str
    security: Security = Security.PLAINTEXT
    context: ssl.SSLContext | None = field(default=None, repr=False)
    mechanism: Mechanism = Mechanism.SCRAM_512
    user: str = ""
    password: SecretStr = _NO_PASSWORD

    def __post_init__(self) -> None:
        """A protection that FastStream or aiokafka would leave away, and say nothing, is no value of this type."""
        if (self.context is None) != (self.security is Security.PLAINTEXT):
            raise ValueError("TLS needs a context, and nothing else has one")
        if bool(self.user) != (self.security is Security.SASL_TLS):
            raise ValueError("a login goes by TLS, and by nothing else")

    @property
    def who(self) -> str:
        """As whom the broker sees us, for messages."""
        return f"user {self.user}" if self.user else "a client without a login"

    def client(self) -> dict[str, Any]:
        """Return the arguments by which any aiokafka client is connected."""
        return {"bootstrap_servers": self.servers.split(","), **self._protection()}

    def faststream(self) -> BaseSecurity:
        """Return the same protection in FastStream's words.

        Raises:
            RuntimeError: FastStream would not protect the connection as is asked for.
        """
        login = _LOGINS[self.mechanism]
        if self.security is Security.SASL_TLS:
            security: BaseSecurity = login(
                username=self.user,
                password=self.password.get_secret_value(),
                use_ssl=True,
                ssl_context=self.context,
            )
        else:
            security = BaseSecurity(ssl_context=self.context, use_ssl=self.security is Security.TLS)
        # A login without a context would silently travel in the clear.
        understood = {name: value for name, value in parse_security(security).items() if value is not None}
        if understood != self._protection():
            raise RuntimeError("FastStream understands the protection of the broker's connection otherwise")
        return security

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AIOKafkaConnection]:
        """Connect to the first broker that answers, logged in; disconnect at the end.

        Unlike the clients this tells what is wrong: they say only that they could not connect.

        Raises:
            RefusedError: certificate or login are refused, by either side.
            BrokerUnavailableError: none answers.
        """
        link = await self._reach()
        try:
            yield link
        except (KafkaConnectionError, OSError, TimeoutError) as error:
            raise self._explain(f"{link.host}:{link.port}", error) from None
        finally:
            await link.close()

    def refused(self, what: str) -> RefusedError:
        """Return the error of a right that we lack, `what` being as in `write members.v1`."""
        return RefusedError(
            f"broker {self.servers}: {self.who} may not {what}. "
            "Grant it by `maillage acl grant`, or correct MAILLAGE_KAFKA_USER"
        )

    def away(self, why: str, server: str | None = None) -> BrokerUnavailableError:
        """Return the error of a broker that does not answer as it should."""
        return BrokerUnavailableError(
            f"broker {server or self.servers}: {why}. Is it up, and is its address right? MAILLAGE_KAFKA names it"
        )

    async def _reach(self) -> AIOKafkaConnection:
        problem: TransientError = BrokerUnavailableError("no broker is named")
        for server in self.servers.split(","):
            host, _, port = server.rpartition(":")
            try:
                return await create_conn(
                    host.strip("[]"), int(port), request_timeout_ms=int(_ANSWER_SECONDS * 1000), **self._protection()
                )
            except (KafkaError, OSError, TimeoutError) as error:
                found = self._explain(server, error)
                if not isinstance(problem, RefusedError):
                    problem = found
        raise problem

    def _protection(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"security_protocol": _PROTOCOLS[self.security]}
        if self.context is not None:
            arguments["ssl_context"] = self.context
        if self.security is Security.SASL_TLS:
            arguments |= {
                "sasl_mechanism": self.mechanism.value,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password.get_secret_value(),
            }
        return arguments

    def _explain(self, server: str, error: Exception) -> TransientError:
        match error:
            case ssl.SSLCertVerificationError():
                return RefusedError(
                    f"broker {server}: we do not trust its certificate ({error.verify_message}). Name the authority "
                    "that signed it by MAILLAGE_KAFKA_CA, and the broker as its certificate does by MAILLAGE_KAFKA"
                )
            case ssl.SSLError(reason="WRONG_VERSION_NUMBER"):
                return RefusedError(f"broker {server}: no TLS on this port. Correct MAILLAGE_KAFKA")
            case SaslAuthenticationFailed():
                return RefusedError(
                    f"broker {server}: {self.who} is not known, or not by this password. "
                    "Correct MAILLAGE_KAFKA_USER and MAILLAGE_KAFKA_PASSWORD"
                )
            case UnsupportedSaslMechanismError() | IllegalSaslStateError():
                return RefusedError(
                    f"broker {server}: no login by {self.mechanism} on this port. "
                    "Correct MAILLAGE_KAFKA or MAILLAGE_KAFKA_MECHANISM"
                )
            case KafkaConnectionError() | ConnectionResetError() | ssl.SSLError():
                return BrokerUnavailableError(
                    f"broker {server}: it closed the connection before it answered. "
                    f"Does this port expect {self.security}, as MAILLAGE_KAFKA_SECURITY says?"
                )
            case _:
                return self.away(_words(error), server)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # bare: asyncio's own words name the address again
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
