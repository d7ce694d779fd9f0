"""Suggestions and people to tell, as the contract has them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from schemas.ambassadors import AmbassadorPublished
from schemas.contacts import ContactPublished
from schemas.ids import derived_id
from schemas.suggestions import Evidence, LapseReason, Mark, Passage, SharedTerm, SuggestionLapsed, SuggestionMade

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
SECRET = "whsec_" + "bWFpbGxhZ2UtdGVzdC1zZWNyZXQtMDEyMzQ1Njc4OTA="

NEED = (
    "Nous cherchons un partenaire pour des capteurs d’humidité du sol à moins de 200 DH, reliés en LoRa, "
    "afin de piloter l’irrigation de 40 parcelles d’agrumes."
)
ANSWER = (
    "Conception d’un capteur autonome d’humidité du sol et passerelle LoRa ; essais d’irrigation déficitaire "
    "sur une parcelle pilote à Aït Melloul."
)


def passage(document_id: str, text: str, *words: str) -> Passage:
    """`text` with each first occurrence of `words` marked."""
    marks = tuple(Mark(start=text.index(word), end=text.index(word) + len(word)) for word in words)
    return Passage(document_id=document_id, text=text, marks=marks)


EVIDENCE = Evidence(
    terms=(
        SharedTerm(request_words=("capteurs",), offer_words=("capteur",), share=0.124),
        SharedTerm(request_words=("irrigation",), offer_words=("irrigation",), share=0.096),
        SharedTerm(request_words=("LoRa",), offer_words=("LoRa",), share=0.072),
        SharedTerm(request_words=("humidité",), offer_words=("humidité",), share=0.060),
        SharedTerm(request_words=("parcelles",), offer_words=("parcelle",), share=0.048),
    ),
    request_passages=(passage("soil", NEED, "capteurs", "humidité", "LoRa", "irrigation", "parcelles"),),
    offer_passages=(passage("sensors", ANSWER, "capteur", "humidité", "LoRa", "irrigation", "parcelle"),),
)


def sid(name: str) -> UUID:
    """The id of the suggestion called `name`."""
    return derived_id("test", name)


def made(name: str = "soil", **changes: Any) -> SuggestionMade:
    """A suggestion between a company of Taroudant and a laboratory in the innovation city of Agadir."""
    return SuggestionMade.model_validate(
        {
            "rev": 1,
            "suggestion_id": sid(name),
            "made_at": NOW,
            "request": {
                "party": {
                    "cluster": "souss",
                    "member_id": "atlas",
                    "name": "Atlas Irrigation",
                    "kind": "company",
                    "country": "MA",
                    "locality": "Taroudant",
                    "languages": ["fr", "ar"],
                },
                "source": "need",
                "request_id": "soil",
                "title": "Des capteurs d’humidité du sol bon marché pour piloter l’irrigation",
                "text": NEED,
                "language": "fr",
                "deadline": datetime(2026, 12, 12, 22, 59, tzinfo=UTC),
                "trl": 5,
                "stage": "prototype",
            },
            "offer": {
                "party": {
                    "cluster": "souss",
                    "member_id": "sensors-lab",
                    "name": "Laboratoire Capteurs et Énergie",
                    "kind": "laboratory",
                    "country": "MA",
                    "locality": "Agadir",
                    "languages": ["fr", "ar", "en"],
                    "city": "agadir",
                    "city_name": "Cité de l’innovation d’Agadir",
                },
                "documents": [
                    {
                        "document_id": "sensors",
                        "title": "Réseaux de capteurs agricoles basse consommation",
                        "text": ANSWER,
                        "language": "fr",
                        "cosine": 0.4,
                    }
                ],
            },
            "score": 0.4,
            "evidence": EVIDENCE,
            "engine": "test",
            "corpus_size": 100,
        }
        | changes
    )


def changed(suggestion: SuggestionMade, *, rev: int, **changes: Any) -> SuggestionMade:
    """The same suggestion in a later state."""
    return suggestion.model_copy(update={"rev": rev, **changes})


def lapsed(name: str = "soil", *, rev: int = 2, reason: LapseReason = LapseReason.WITHDRAWN) -> SuggestionLapsed:
    """The suggestion `name` does not stand any more."""
    return SuggestionLapsed(rev=rev, suggestion_id=sid(name), lapsed_at=NOW, reason=reason)


def person(ambassador_id: str = "amina", **changes: Any) -> AmbassadorPublished:
    """The ambassador of the cluster `souss` at Agadir; `city=None` makes a desk."""
    fields: dict[str, Any] = {
        "rev": 1,
        "cluster": "souss",
        "ambassador_id": ambassador_id,
        "name": ambassador_id.title() + " Tazi",
        "city": "agadir",
        "email": f"{ambassador_id}@example.org",
        "published_at": NOW,
    } | changes
    fields["role"] = "ambassador" if fields["city"] else "desk"
    return AmbassadorPublished.model_validate(fields)


def contact(member_id: str = "atlas", **changes: Any) -> ContactPublished:
    """Who answers for a member of the cluster `souss`."""
    names = {"atlas": "Nadia Amrani", "sensors-lab": "Youssef Idrissi"}
    fields: dict[str, Any] = {
        "rev": 1,
        "cluster": "souss",
        "member_id": member_id,
        "name": names.get(member_id, member_id.title()),
        "email": f"{member_id}@example.org",
        "published_at": NOW,
    } | changes
    return ContactPublished.model_validate(fields)
