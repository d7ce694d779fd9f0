"""What private pages have in common: headers, the cookie of a session, how to tell a form of ours from another's."""

from typing import Final

from fastapi import Request, Response
from starlette.datastructures import URL

from services.web.entrance import SESSION_LASTS

PRIVATE: Final = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",  # the address may be the key to the page: it must not travel on
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
    "cross-origin-opener-policy": "same-origin",
}

WITH_SCRIPT: Final = {
    **PRIVATE,
    "content-security-policy": f"{PRIVATE['content-security-policy']}; script-src 'self'; connect-src 'self'",
}

FOR_EVER: Final = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
"""Of what has another path when it changes."""


def by_a_person(request: Request) -> bool:
    """Return whether somebody followed a link to a page, as far as the browser says.

    Programs that look behind links say nothing of this; neither do browsers over plain HTTP, nor very old ones.
    """
    said = request.headers
    if said.get("sec-fetch-mode") != "navigate" or "sec-purpose" in said or "purpose" in said:  # fetched beforehand
        return False
    return said.get("sec-fetch-user") == "?1" or said.get("sec-fetch-site") == "same-origin"


def from_our_page(request: Request, origin: URL) -> bool:
    """Return whether a form was sent from our own page, as far as the browser says.

    With `Referrer-Policy: no-referrer` browsers send `Origin: null`, which says nothing; `Sec-Fetch-Site` tells
    where it is sent (not over plain HTTP). A signed field or address decides in any case.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    sent_from = request.headers.get("origin", "null")
    return sent_from == "null" or URL(sent_from).netloc in (origin.netloc, request.headers.get("host"))


class SessionCookie:
    """Keeps a session's secret in a browser, and nowhere else."""

    def __init__(self, base: str, name: str = "maillage") -> None:
        """`base`: where people reach the pages."""
        # A browser takes a name with this prefix over https alone, for this host alone, and lets no other host set it.
        self._secure = URL(base).scheme == "https"
        self._name = f"__Host-{name}" if self._secure else name

    def of(self, request: Request) -> str:
        """Return the secret that a request comes with; empty: none."""
        return request.cookies.get(self._name, "")

    def let_in(self, response: Response, secret: str) -> Response:
        """Have the browser keep a session, in the place of any other."""
        lasts = int(SESSION_LASTS.total_seconds())
        response.set_cookie(
            self._name, secret, max_age=lasts, path="/", secure=self._secure, httponly=True, samesite="lax"
        )
        return response

    def let_out(self, response: Response) -> Response:
        """Have the browser forget its session."""
        response.delete_cookie(self._name, path="/", secure=self._secure, httponly=True, samesite="lax")
        return response
