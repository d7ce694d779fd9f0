"""What only the portal may have written: the links that it mails, and the hidden fields of its forms."""

from typing import Any
from uuid import UUID

from itsdangerous import BadData

from services.web.seal import mark, serializer, text
from services.web.signing_in import Visitor


class PortalSeal:
    """Signs and reads."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._sign_in = serializer(secret, "maillage.portal.sign-in.v1")
        self._form = serializer(secret, "maillage.portal.form.v1")

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

    def field(self, visitor: Visitor[Any]) -> str:
        """Return the hidden field of the forms of one session, for the organisation that it acts for."""
        return text(self._form.dumps([visitor.session, visitor.person.whom]))

    def is_field(self, field: str, visitor: Visitor[Any]) -> bool:
        """Return whether a form's hidden field was made for this session."""
        try:
            return bool(self._form.loads(field) == [visitor.session, visitor.person.whom])
        except BadData:
            return False
