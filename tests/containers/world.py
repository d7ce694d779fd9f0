"""What people do with the deployed system."""

from collections.abc import Mapping
from typing import Any, Final

import httpx

from tests.containers.stack import Stack, until

CLUSTER: Final = "souss"
AMBASSADOR: Final = "salma"
SENSORS: Final = [
    {
        "asset_id": "capteurs",
        "title": "Capteurs d’humidité du sol",
        "text": "Conception d’un capteur autonome d’humidité du sol et d’une passerelle LoRa pour l’irrigation.",
    },
    {"asset_id": "teinture", "title": "Teinture naturelle", "text": "Bains de teinture végétale pour la laine."},
    {"asset_id": "paiement", "title": "Paiement mobile", "text": "Portefeuille électronique des commerces."},
    {"asset_id": "imagerie", "title": "Imagerie médicale", "text": "Lecture automatique de radiographies."},
]
TEXT: Final = "Nous cherchons un partenaire pour un capteur d’humidité du sol en LoRa, afin de piloter l’irrigation."


def put(client: httpx.Client, path: str, body: Mapping[str, Any], **params: str) -> None:
    """Put one entity, again for as long as nobody answers, or answers that one should."""

    def taken() -> bool:
        try:
            answer = client.put(f"/v1/clusters/{CLUSTER}/{path}", json=body, params=params)
        except httpx.TransportError:
            return False
        assert answer.status_code in (202, 503), answer.text
        return answer.status_code == 202

    until(taken, f"{path} is taken")


def people(client: httpx.Client) -> None:
    """Publish a city with its ambassador, a company and a laboratory, without alerts."""
    common = {"admission": "admitted", "city": "agadir", "languages": ["fr"]}
    put(client, "members/agadir", {**common, "name": "Agadir", "kind": "innovation_city"}, alerts="false")
    at_night_too = {"quiet": {"start": "00:00", "end": "00:00"}, "most_per_day": 100}
    salma = {"name": "Salma", "city": "agadir", "email": "salma@example.org", "alerting": at_night_too}
    put(client, f"ambassadors/{AMBASSADOR}", salma)
    put(client, "members/company", {**common, "name": "Argania", "kind": "company"}, alerts="false")
    put(client, "members/lab", {**common, "name": "Labo", "kind": "laboratory", "assets": SENSORS}, alerts="false")


def need(client: httpx.Client, name: str) -> str:
    """Post a need of its own company's; return its title."""
    title = f"Capteur d’humidité du sol {name}"
    put(client, f"needs/{name}", {"member_id": "company", "title": title, "text": TEXT})
    return title


def pages(client: httpx.Client, stack: Stack) -> str:
    """Return all pages of the ambassador's inbox, one after the other."""
    address = stack.inbox(CLUSTER, AMBASSADOR)
    text, number = "", 0
    while f"page={number + 1}" in text or number == 0:
        number += 1
        answer = client.get(address, params={"page": number})
        assert answer.status_code == 200, answer.text
        text += answer.text
    return text
