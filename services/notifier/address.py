"""Private addresses: whoever has one reads the page, or answers on it, so each travels to one person alone.

`python -m services.notifier.address CLUSTER AMBASSADOR` prints that of an inbox, for an operator.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
from typing import Final, NamedTuple
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer

from schemas.ambassadors import AmbassadorKey
from schemas.contacts import ContactPublished
from schemas.feedback import Side
from services.notifier.settings import NotifierSettings
from services.notifier.store import NotifierStore
from services.runtime.settings import load
from services.runtime.store import Store, StoreError
from services.web.seal import mark, serializer, text

_EVERYWHERE: Final = "*"
"""What stands in a field that is good for all forms of its reader, where another names a suggestion."""

_UUID_BYTES: Final = 16

_MARK_BYTES: Final = 5
"""Of the digest of an address: enough to tell it from any other that somebody had."""

_SIGNATURE_BYTES: Final = 9
"""Of a signature that has room in the local part of an address: with id and mark, 48 characters without padding."""


def inbox_url(base: str, secret: str, key: AmbassadorKey, epoch: int = 0) -> str:
    """Return the address of an ambassador's inbox; the same each time, until the secret changes or they have a new one.

    Args:
        base: where ambassadors reach the notifier, as `https://maillage.example.org`.
        secret: the notifier's setting `secret`.
        key: the ambassador's.
        epoch: how often they had their address replaced.
    """
    return f"{base.rstrip('/')}/inbox/{Tokens(secret).inbox(key, epoch)}"


class Opened(NamedTuple):
    """Whose inbox a token opens, and of which epoch of theirs it is: another one than theirs opens nothing any more."""

    key: AmbassadorKey
    epoch: int


class Invited(NamedTuple):
    """Who may answer: for a side of the introduction made by the act `rev` on a suggestion, one person, nobody else."""

    suggestion_id: UUID
    rev: int
    side: Side
    person: str


class Returned(NamedTuple):
    """An e-mail that has come back. `to`: how the digest of the address begins that it was sent to."""

    notification_id: UUID
    to: str


class Tokens:
    """Signs and reads what only this service may have written: private addresses and the hidden field of a form."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._inbox = serializer(secret, "maillage.inbox.v1")
        self._form = serializer(secret, "maillage.form.v1")
        self._unsubscribe = serializer(secret, "maillage.unsubscribe.v1")
        self._side = serializer(secret, "maillage.introduction.v1")
        self._feed = serializer(secret, "maillage.feed.v1")
        self._sign_in = serializer(secret, "maillage.sign-in.v1")

    def inbox(self, key: AmbassadorKey, epoch: int = 0) -> str:
        """Return the token that names an ambassador, in an epoch of their private addresses."""
        return text(self._inbox.dumps(_said(key, epoch)))

    def opens(self, token: str) -> Opened | None:
        """Return whose inbox `token` opens, or once did; none unless it was signed here."""
        return _opened(self._inbox, token)

    def sign_in(self, link_id: UUID) -> str:
        """Return the token of a link that is mailed to somebody who wants to sign in."""
        return text(self._sign_in.dumps(str(link_id)))

    def signs_in(self, token: str) -> UUID | None:
        """Return which link `token` is; none unless it was signed here."""
        try:
            return UUID(str(self._sign_in.loads(token)))
        except (BadData, ValueError):
            return None

    def mark(self, kind: str, text: str) -> str:
        """Return what tells one address or client from the next; whoever lacks our secret learns nothing from it."""
        return mark(self._secret, kind, text)

    def own(self, key: AmbassadorKey, epoch: int) -> str:
        """Return the hidden field of forms that concern their reader alone, good until they have a new address."""
        return text(self._form.dumps([str(key), _EVERYWHERE, epoch]))

    def is_own(self, field: str, key: AmbassadorKey, epoch: int) -> bool:
        """Return whether a form's hidden field was made for this reader."""
        try:
            return bool(self._form.loads(field) == [str(key), _EVERYWHERE, epoch])
        except BadData:
            return False

    def unsubscribe(self, key: AmbassadorKey) -> str:
        """Return the token that ends an ambassador's e-mails and does nothing else: programs on the way see it."""
        return text(self._unsubscribe.dumps(str(key)))

    def unsubscribing(self, token: str) -> AmbassadorKey | None:
        """Return whose e-mails `token` ends; none unless it was signed here."""
        return _named(self._unsubscribe, token)

    def feed(self, key: AmbassadorKey, epoch: int = 0) -> str:
        """Return the token that reads an ambassador's feed and opens nothing else: other programs keep it."""
        return text(self._feed.dumps(_said(key, epoch)))

    def feeding(self, token: str) -> Opened | None:
        """Return whose feed `token` reads, or once did; none unless it was signed here."""
        return _opened(self._feed, token)

    def person(self, contact: ContactPublished) -> str:
        """Return what tells one contact of a member from the next; whoever lacks our secret learns nothing from it."""
        said = f"{contact.key}\n{contact.email.casefold()}".encode()
        return hmac.new(self._secret, b"maillage.person.v1\n" + said, hashlib.sha256).hexdigest()[:32]

    def digest(self, address: str) -> str:
        """Return what tells one address of an ambassador from another; it names none to whoever lacks our secret."""
        return hmac.new(self._secret, b"maillage.address.v1\n" + address.encode(), hashlib.sha256).hexdigest()[:32]

    def bouncing(self, notification_id: UUID, address: str) -> str:
        """Return the token in the address that an e-mail to `address` comes back to.

        Servers on the way may change its case.
        """
        said = notification_id.bytes + bytes.fromhex(self.digest(address))[:_MARK_BYTES]
        return base64.b32encode(said + self._bounce(said)).decode().lower()

    def bounced(self, token: str) -> Returned | None:
        """Return which e-mail has come back; none unless `token` was signed here."""
        try:
            said = base64.b32decode(token.upper())
        except ValueError:
            return None
        if len(said) != _UUID_BYTES + _MARK_BYTES + _SIGNATURE_BYTES:
            return None
        about, signature = said[:-_SIGNATURE_BYTES], said[-_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._bounce(about)):
            return None
        return Returned(UUID(bytes=about[:_UUID_BYTES]), about[_UUID_BYTES:].hex())

    def _bounce(self, said: bytes) -> bytes:
        return hmac.new(self._secret, b"maillage.bounce.v1\n" + said, hashlib.sha256).digest()[:_SIGNATURE_BYTES]

    def answering(self, invited: Invited) -> str:
        """Return the token with which a side answers an introduction."""
        return text(self._side.dumps([str(invited.suggestion_id), invited.rev, invited.side.value, invited.person]))

    def answers(self, token: str) -> Invited | None:
        """Return what `token` answers; none unless it was signed here."""
        try:
            suggestion, rev, side, person = self._side.loads(token)
            return Invited(UUID(suggestion), int(rev), Side(side), str(person))
        except (BadData, ValueError, TypeError):
            return None

    def form(self, key: AmbassadorKey, suggestion_id: UUID, revision: int) -> str:
        """Return the hidden field of the forms on one suggestion's page, good for this reader and revision only."""
        return text(self._form.dumps([str(key), str(suggestion_id), revision]))

    def revision(self, field: str, key: AmbassadorKey, suggestion_id: UUID) -> int | None:
        """Return the revision that the reader had before their eyes; none when the field is not theirs."""
        try:
            owner, suggestion, revision = self._form.loads(field)
        except (BadData, ValueError, TypeError):
            return None
        return int(revision) if (owner, suggestion) == (str(key), str(suggestion_id)) else None


def _said(key: AmbassadorKey, epoch: int) -> str | list[str | int]:
    return [str(key), epoch] if epoch else str(key)  # as addresses were before there were epochs


def _opened(signed: URLSafeSerializer, token: str) -> Opened | None:
    try:
        said = signed.loads(token)
        name, epoch = (said, 0) if isinstance(said, str) else said
        return Opened(AmbassadorKey.decode(str(name).encode()), int(epoch))
    except (BadData, ValueError, TypeError):
        return None


def _named(signed: URLSafeSerializer, token: str) -> AmbassadorKey | None:
    try:
        return AmbassadorKey.decode(str(signed.loads(token)).encode())
    except (BadData, ValueError):
        return None


async def _epoch(settings: NotifierSettings, key: AmbassadorKey) -> int:
    store = Store(
        url=settings.mongo.get_secret_value(),
        database=settings.database or "maillage_notifier",
        password=settings.mongo_password.get_secret_value() if settings.mongo_password else None,
        ca=settings.mongo_ca,
    )
    try:
        person = await NotifierStore(store.database, Tokens(settings.secret.get_secret_value()).digest).ambassadors.get(
            key
        )
    except StoreError:
        raise SystemExit("the database does not answer: it says which of an ambassador's addresses holds") from None
    finally:
        store.close()
    return person.epoch if person else 0


def main() -> None:
    """Prints the address of one inbox."""
    parser = argparse.ArgumentParser(description="Print the private address of an ambassador's inbox.")
    parser.add_argument("cluster")
    parser.add_argument("ambassador", help="its ambassador_id")
    options = parser.parse_args()
    settings = load(NotifierSettings)
    key = AmbassadorKey(cluster=options.cluster, ambassador_id=options.ambassador)
    print(inbox_url(settings.base, settings.secret.get_secret_value(), key, asyncio.run(_epoch(settings, key))))


if __name__ == "__main__":
    main()
