"""Secrets of a deployment, made at its first start and dealt out: `python -m services.console.deployed.secrets`.

Each reader has a folder with what it may know and nothing else. An operator's own secret, a file in the folder of the
given ones, wins over what was kept; what nobody gave is made and kept. May be run again at any time.
"""

import argparse
import base64
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAILLAGE_USER: Final = 10001
"""User id of our own image (`deploy/Dockerfile`)."""

MONGO_USER: Final = 999
"""User id of the MongoDB image, which has to own its key file."""

_KEYFILE_BYTES: Final = 512
"""Of random; as base64 they stay below the 1024 characters that MongoDB takes."""

KAFKA_USER: Final = 1000
"""User id of the Kafka image."""

OPERATOR: Final = "operator"
"""The folder of what the operator's own tools use."""


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret.

    Attributes:
        name: of the file in which it is kept, or given.
        readers: folder and file name of each copy.
        make: makes it; none: there is none unless the operator gives it.
        may_be_given: whether an operator's file is taken.
        least: characters that a given one must have.
    """

    name: str
    readers: Sequence[tuple[str, str]]
    make: Callable[[], str] | None
    may_be_given: bool = False
    least: int = 1


def _password() -> str:
    return secrets.token_urlsafe(32)


def _key_file() -> str:
    return base64.b64encode(secrets.token_bytes(_KEYFILE_BYTES)).decode()


SECRETS: Final = (
    Secret("mongo_keyfile", [("mongo", "keyfile")], _key_file),
    Secret("mongo_root", [("mongo", "root_password"), (OPERATOR, "mongo_root")], _password),
    *(
        Secret(f"mongo_{name}", [(name, "maillage_mongo_password"), (OPERATOR, f"mongo_{name}")], _password)
        for name in ("ingest", "matcher", "notifier")
    ),
    Secret("mongo_operator", [(OPERATOR, "maillage_mongo_password")], _password),
    Secret(
        "operator_key",
        [("ingest", "maillage_operator_key"), (OPERATOR, "maillage_operator_key")],
        lambda: f"mk_operator_{_password()}",
        may_be_given=True,
        least=16,
    ),
    Secret(
        "inbox_secret",
        [("notifier", "maillage_secret"), (OPERATOR, "maillage_secret")],
        _password,
        may_be_given=True,
        least=32,
    ),
    Secret(
        "preview_key",
        [("ingest", "maillage_preview_key"), ("matcher", "maillage_preview_key")],
        _password,
        may_be_given=True,
        least=32,
    ),
    Secret("portal_secret", [("ingest", "maillage_portal_secret")], _password, may_be_given=True, least=32),
    Secret(
        "smtp_password",
        [(reader, "maillage_smtp_password") for reader in ("ingest", "notifier", OPERATOR)],
        None,
        may_be_given=True,
    ),
)

LOGINS: Final = tuple(
    Secret(f"kafka_{name}", [(name, "maillage_kafka_password"), ("kafka", f"maillage-{name}")], _password)
    for name in ("ingest", "matcher", "notifier", OPERATOR)
)
"""Of a broker that asks who is there. One that does not must not be sent any: services refuse to start."""


class UnusableError(Exception):
    """A given secret cannot be used; the message says which and why."""


def deal_out(volume: Path, given: Path, *, owners: Callable[[str], int | None], logins: bool = False) -> list[str]:
    """Bring every folder of `volume` up to date; return the names of the secrets that were made or replaced.

    Args:
        given: folder of the operator's own secrets; it may be missing.
        owners: user id that is to own a folder and its files; none: whoever runs this.
        logins: whether the broker asks who is there; if not, logins at it are taken from who had them.

    Raises:
        UnusableError: before anything is changed.
    """
    own = {secret.name: _given(given, secret) for secret in SECRETS if secret.may_be_given}
    changed = []
    for secret in () if logins else LOGINS:
        for folder, file in secret.readers:
            (volume / folder / file).unlink(missing_ok=True)
    for secret in (*SECRETS, *LOGINS) if logins else SECRETS:
        kept = volume / "kept" / secret.name
        before = kept.read_text(encoding="utf-8") if kept.exists() else None
        value = own.get(secret.name) or before or (secret.make() if secret.make else None)
        if value is None:
            continue
        if value != before:
            _write(kept, value, owner=None)
            changed.append(secret.name)
        for folder, file in secret.readers:
            _write(volume / folder / file, value, owner=owners(folder))
    return changed


def _given(folder: Path, secret: Secret) -> str | None:
    path = folder / secret.name
    if not path.exists():
        return None
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableError(f"{secret.name}: cannot be read as text ({type(error).__name__})") from None
    if len(value) < secret.least:
        raise UnusableError(f"{secret.name}: expected at least {secret.least} characters, found {len(value)}")
    return value


def _write(path: Path, value: str, *, owner: int | None) -> None:
    """Write a file whole or not at all, readable by its owner alone."""
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    whole = folder / f".{path.name}.new"
    whole.unlink(missing_ok=True)
    with os.fdopen(os.open(whole, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o400), "w", encoding="utf-8") as file:
        file.write(value)
        file.flush()
        os.fsync(file.fileno())
    if owner is not None:
        os.chown(folder, owner, owner)
        os.chown(whole, owner, owner)
    whole.replace(path)


def main() -> None:
    """Deal out, and say what was made."""
    parser = argparse.ArgumentParser(description="Make the secrets that are missing and deal all of them out.")
    parser.add_argument("volume", type=Path)
    parser.add_argument("given", type=Path)
    parser.add_argument("--logins", action="store_true", help="the broker asks who is there")
    options = parser.parse_args()
    try:
        changed = deal_out(
            options.volume,
            options.given,
            owners=lambda folder: {"mongo": MONGO_USER, "kafka": KAFKA_USER}.get(folder, MAILLAGE_USER),
            logins=options.logins,
        )
    except UnusableError as error:
        sys.exit(f"{options.given}/{error}. Correct it and start again.")
    print(f"Made or replaced: {', '.join(changed)}." if changed else "All secrets were there.")


if __name__ == "__main__":
    main()
