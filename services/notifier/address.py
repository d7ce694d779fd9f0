"""The private address of an ambassador's inbox: whoever has it reads the inbox, so it travels to its owner alone.

`python -m services.notifier.address CLUSTER AMBASSADOR` prints one, for an operator.
"""

import argparse
import hashlib
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer

from schemas.ambassadors import AmbassadorKey
from services.notifier.settings import NotifierSettings
from services.runtime.settings import load


def inbox_url(base: str, secret: str, key: AmbassadorKey) -> str:
    """Return the address of an ambassador's inbox; the same each time, until the secret changes.

    Args:
        base: where ambassadors reach the notifier, as `https://maillage.example.org`.
        secret: the notifier's setting `secret`.
    """
    return f"{base.rstrip('/')}/inbox/{Tokens(secret).inbox(key)}"


class Tokens:
    """Signs and reads what only this service may have written: inbox tokens and the hidden field of a form."""

    def __init__(self, secret: str) -> None:
        self._inbox = _serializer(secret, "maillage.inbox.v1")
        self._form = _serializer(secret, "maillage.form.v1")

    def inbox(self, key: AmbassadorKey) -> str:
        """Return the token that names an ambassador."""
        token = self._inbox.dumps(str(key))
        return token if isinstance(token, str) else token.decode()

    def ambassador(self, token: str) -> AmbassadorKey | None:
        """Return whom `token` names; none unless it was signed here."""
        try:
            return AmbassadorKey.decode(str(self._inbox.loads(token)).encode())
        except (BadData, ValueError):
            return None

    def form(self, key: AmbassadorKey, suggestion_id: UUID, revision: int) -> str:
        """Return the hidden field of the forms on one suggestion's page, good for this reader and revision only."""
        token = self._form.dumps([str(key), str(suggestion_id), revision])
        return token if isinstance(token, str) else token.decode()

    def revision(self, field: str, key: AmbassadorKey, suggestion_id: UUID) -> int | None:
        """Return the revision that the reader had before their eyes; none when the field is not theirs."""
        try:
            owner, suggestion, revision = self._form.loads(field)
        except (BadData, ValueError, TypeError):
            return None
        return int(revision) if (owner, suggestion) == (str(key), str(suggestion_id)) else None


def _serializer(secret: str, salt: str) -> URLSafeSerializer:
    return URLSafeSerializer(secret, salt=salt, signer_kwargs={"digest_method": hashlib.sha256})


def main() -> None:
    """Prints the address of one inbox."""
    parser = argparse.ArgumentParser(description="Print the private address of an ambassador's inbox.")
    parser.add_argument("cluster")
    parser.add_argument("ambassador", help="its ambassador_id")
    options = parser.parse_args()
    settings = load(NotifierSettings)
    key = AmbassadorKey(cluster=options.cluster, ambassador_id=options.ambassador)
    print(inbox_url(settings.base, settings.secret.get_secret_value(), key))


if __name__ == "__main__":
    main()
