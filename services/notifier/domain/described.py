"""A suggestion for programs: what a webhook is told of it, and what an export holds. `docs/notifying.md` shows it."""

from datetime import datetime
from typing import Any

from services.notifier.domain.presentation import Card, Excerpt, Side


def described(shown: Card) -> dict[str, Any]:
    """Return both sides, the reason and the facts, as what JSON has."""
    return {
        "request": _side(shown.request),
        "offer": _side(shown.offer),
        "why": _why(shown),
        "facts": {
            "deadline": moment(shown.facts.deadline),
            "trl": shown.facts.trl,
            "stage": shown.facts.stage,
            "intellectual_property": shown.facts.intellectual_property,
            "languages": list(shown.facts.languages),
        },
    }


def moment(at: datetime | None) -> str | None:
    """Return a moment in UTC, as RFC 3339 has it."""
    return at.isoformat().replace("+00:00", "Z") if at else None


def _side(side: Side) -> dict[str, Any]:
    party = side.party
    return {
        "cluster": party.cluster,
        "member_id": party.member_id,
        "name": party.name,
        "kind": party.kind,
        "locality": party.locality,
        "city": party.city_name,
        "title": side.title,
        "passages": [_passage(excerpt) for excerpt in side.excerpts],
    }


def _passage(excerpt: Excerpt) -> dict[str, Any]:
    return {
        "language": excerpt.language,
        "text": "".join(segment.text for segment in excerpt.segments),
        "shared_words": [segment.text for segment in excerpt.segments if segment.marked],
    }


def _why(shown: Card) -> dict[str, Any]:
    terms = [
        {"request_words": list(t.request_words), "offer_words": list(t.offer_words), "percent": t.percent}
        for t in shown.terms
    ]
    adjustments = [adjustment.model_dump(mode="json") for adjustment in shown.adjustments]
    return {"terms": terms, "other_terms_percent": shown.rest_percent, "adjustments": adjustments}
