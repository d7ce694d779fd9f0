"""How suggestions are found in the database: what is kept of each for it, and what is asked.

Words are kept folded and each is an entry of an index, so that what begins with some letters is found without reading
all; where many begin so, the newest of the reader's are looked at until a page is full.
"""

import re
from datetime import datetime
from typing import Final

from schemas.suggestions import SuggestionMade
from services.notifier.domain.finding import Sought, words_of
from services.notifier.domain.presentation import URGENT
from services.notifier.domain.routing import seat_of
from services.runtime.store import Document

SEEK_MS: Final = 3_000
"""Longest look. Nobody's search may hold up what the database has to do besides."""

NEWEST: Final = 100
"""Suggestions among which the cities are sought that can be chosen."""


def found_by(made: SuggestionMade) -> Document:
    """Return what is kept of a suggestion to find it by; it goes with its texts."""
    parties = (made.request.party, made.offer.party)
    return {
        "words": words_of(made),
        "sides": [
            {"kind": party.kind.value, "city": seat_of(party).city, "city_name": party.city_name or party.name}
            for party in parties
        ],
        "deadline": made.request.deadline,
    }


def fitting(sought: Sought, *, reader: str, city: str | None, now: datetime) -> Document:
    """Return how to ask for what somebody looks for.

    Args:
        sought: what it is; not everything.
        reader: key of whoever looks.
        city: where they are; none: nowhere, as the desk.
        now: the moment.
    """
    asked: list[Document] = [{"words": {"$regex": f"^{re.escape(word)}"}} for word in sought.words]
    if sought.kind is not None:
        asked.append(_of_kind(sought.kind.value, city))
    if sought.city is not None:
        asked.append({"sides.city": sought.city})
    if sought.leads:
        asked.append({"told": {"$elemMatch": {"ambassador": reader, "leads": True}}})
    if sought.soon:
        asked.append({"deadline": {"$gte": now, "$lt": now + URGENT}})
    return {"$and": asked}


def _of_kind(kind: str, city: str | None) -> Document:
    if city is None:
        return {"sides.kind": kind}
    elsewhere = {"sides": {"$elemMatch": {"kind": kind, "city": {"$ne": city}}}}
    both_here = {"sides.kind": kind, "sides.0.city": city, "sides.1.city": city}
    return {"$or": [elsewhere, both_here]}
