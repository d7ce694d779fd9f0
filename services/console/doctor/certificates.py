"""Certificates of what we reach by TLS: whether they are trusted, and how long they last."""

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from services.console.doctor.findings import Finding, ok, problem, warning

_ANSWER_SECONDS: Final = 10.0

# Let's Encrypt's last 90 days, or fewer, and are renewed with a third left: what is shorter was not renewed.
_SOON: Final = timedelta(days=14)
_VERY_SOON: Final = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place reached by TLS. `name` is what its certificate must be for; `host` and `port` are where we go."""

    what: str
    host: str
    port: int
    name: str

    def __str__(self) -> str:
        """Return it as a person knows it."""
        place = f"{self.host}:{self.port}"
        return f"{self.what}, {self.name}" + ("" if place == f"{self.name}:443" else f" by {place}")


@dataclass(frozen=True, slots=True)
class Presented:
    """What an endpoint showed: until when its certificate holds; or why it was not trusted; or why there was none."""

    until: datetime | None = None
    distrusted: str | None = None
    away: str | None = None


async def ask(endpoint: Endpoint, context: ssl.SSLContext) -> Presented:
    """Shake hands with an endpoint, verifying its certificate by `context`."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            _, writer = await asyncio.open_connection(
                endpoint.host, endpoint.port, ssl=context, server_hostname=endpoint.name
            )
    except ssl.SSLCertVerificationError as error:
        return Presented(distrusted=error.verify_message)
    except ssl.SSLError as error:
        return Presented(away=f"no TLS there ({error.reason})")
    except (OSError, TimeoutError) as error:
        return Presented(away=error.strerror if isinstance(error, OSError) and error.strerror else "no answer")
    certificate = writer.get_extra_info("peercert")
    writer.close()
    return Presented(until=datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC))


def judge(endpoint: Endpoint, presented: Presented, now: datetime) -> Iterator[Finding]:
    """Yield what is to be said of a certificate."""
    subject = str(endpoint)
    renew = "Renew it, and see why it was not renewed by itself: the log of the proxy, or of what renews it."
    if presented.away is not None:
        yield problem("addresses", subject, presented.away, "Start what should answer there, or correct the address.")
    elif presented.distrusted is not None and "expired" in presented.distrusted:
        yield problem("certificates", subject, "the certificate has expired: nobody is let in", renew)
    elif presented.distrusted is not None and "." not in endpoint.name:
        # The proxy makes one of its own authority where there is no name that a public one would vouch for.
        yield ok("certificates", subject, "of an authority of its own, as a trial's are")
    elif presented.distrusted is not None:
        yield problem(
            "certificates",
            subject,
            f"not trusted: {presented.distrusted}",
            f"Give it a certificate for {endpoint.name} by an authority that clients know, or name yours: --ca.",
        )
    elif presented.until is not None:
        left = presented.until - now
        says = f"holds until {presented.until:%Y-%m-%d}, {left.days} days"
        if left < _VERY_SOON:
            yield problem("certificates", subject, says, renew)
        elif left < _SOON:
            yield warning("certificates", subject, says, renew)
        else:
            yield ok("certificates", subject, says)
