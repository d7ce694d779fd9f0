"""What only a service itself may have written: private addresses, and the hidden fields of forms."""

import hashlib
import hmac

from itsdangerous import URLSafeSerializer


def serializer(secret: str, salt: str) -> URLSafeSerializer:
    """Return what signs, and reads what was signed; `salt` keeps one use of a secret from another."""
    return URLSafeSerializer(secret, salt=salt, signer_kwargs={"digest_method": hashlib.sha256})


def text(token: str | bytes) -> str:
    """Return a token as text, which it is: the library's types leave it open."""
    return token if isinstance(token, str) else token.decode()


def mark(secret: bytes, kind: str, said: str) -> str:
    """Return what tells one address or client from the next; whoever lacks the secret learns nothing from it."""
    whole = f"{kind}\n{said.casefold()}".encode()
    return hmac.new(secret, b"maillage.mark.v1\n" + whole, hashlib.sha256).hexdigest()[:32]
