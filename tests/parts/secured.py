"""What makes a broker or a database ask who is there: certificates of an authority made for the test, and logins."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import trustme
from cryptography.hazmat.primitives import serialization
from pydantic import SecretStr
from pymongo import AsyncMongoClient

from services.console.embedded.mongod import REPLICA_SET, Mongod, until_it_leads
from services.runtime.connection import Connection, Security, tls_context

ADMIN = "admin"
PASSWORD = "a-password-that-must-stay-in-its-place"


class Authority:
    """Signs certificates; its files are in `folder`, made for the test."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def certificate(self, name: str, *hosts: str, until: datetime | None = None) -> Path:
        """Return a file of a certificate for `hosts`, and its key; its common name is `name`."""
        made = self._authority.issue_cert(
            *(hosts or ("127.0.0.1", "localhost")),
            common_name=name,
            not_after=until,
            key_type=trustme.KeyType.ECDSA,
        )
        key = serialization.load_pem_private_key(made.private_key_pem.bytes(), None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,  # the only one that Kafka reads
            serialization.NoEncryption(),
        )
        file = self._folder / f"{name}.pem"
        file.write_bytes(key + b"".join(part.bytes() for part in made.cert_chain_pems))
        return file


@dataclass(frozen=True)
class Secured:
    """How a Kafka for tests knows its clients.

    Attributes:
        authority: signs it, and its own way to itself.
        users: passwords by name; `ADMIN` may do anything, others what they are granted.
        certificate: its own; default: for loopback.
    """

    authority: Authority
    users: Mapping[str, str] = field(default_factory=dict)
    certificate: Path | None = None

    def settings(self) -> dict[str, str]:
        """Return the broker's settings."""
        return {
            "listener.security.protocol.map": "CLIENTS:SASL_SSL,INTERNAL:SSL,CONTROLLER:SSL",
            "inter.broker.listener.name": "INTERNAL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.clients.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certificate or self.authority.certificate("broker")),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.file),
            "listener.name.internal.ssl.client.auth": "required",
            "listener.name.controller.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{ADMIN};User:broker",
        }

    def logins(self) -> list[str]:
        """Return the options that make the logins when the broker's folder is prepared."""
        return [
            option
            for name, password in {ADMIN: PASSWORD, **self.users}.items()
            for option in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")
        ]

    def connection(self, bootstrap: str, user: str = ADMIN) -> Connection:
        """Return how `user` connects."""
        return Connection(
            servers=bootstrap,
            security=Security.SASL_TLS,
            context=tls_context(self.authority.file),
            user=user,
            password=SecretStr({ADMIN: PASSWORD, **self.users}[user]),
        )


class SecuredMongod:
    """A mongod that takes TLS alone and asks for a login."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.authority = authority
        certificate = authority.certificate("mongod")
        key = folder / "members.key"  # with logins, members of a set must know one another: one member, too
        key.parent.mkdir(parents=True, exist_ok=True)
        key.touch(mode=0o600)
        key.write_text(token_hex())
        self._mongod = Mongod(
            folder,
            alone=False,
            options=[
                *("--keyFile", str(key)),
                *("--auth", "--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(certificate)),
                *("--tlsCAFile", str(authority.file), "--tlsAllowConnectionsWithoutCertificates"),
            ],
            query=f"?tls=true&tlsCAFile={authority.file}",
        )

    async def start(self, databases: Mapping[str, str]) -> None:
        """Start it, with a login of `PASSWORD` for each database, by name of the login."""
        await self._mongod.start()
        async with AsyncMongoClient[dict[str, Any]](self._mongod.uri, directConnection=True) as client:
            # Before there is a login, whoever is on this machine may set it up and make the first one.
            members = [{"_id": 0, "host": self._mongod.address}]
            await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
            await until_it_leads(client)
            await client.admin.command("createUser", ADMIN, pwd=PASSWORD, roles=["userAdminAnyDatabase"])
        async with AsyncMongoClient[dict[str, Any]](self.url(ADMIN) + f"&tlsCAFile={self.authority.file}") as client:
            for login, database in databases.items():
                role = {"role": "readWrite", "db": database}
                await client.admin.command("createUser", login, pwd=PASSWORD, roles=[role])

    async def stop(self) -> None:
        """Stop it."""
        await self._mongod.stop()

    def url(self, login: str, password: str = PASSWORD) -> str:
        """Return the connection string of a login; the authority is not in it."""
        return f"mongodb://{login}:{password}@{self._mongod.address}/?tls=true"
