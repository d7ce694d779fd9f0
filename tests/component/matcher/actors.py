"""Members, needs and feedback that tests speak about, as envelopes on the log."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from schemas.cloudevents import Envelope
from schemas.feedback import Act, FeedbackGiven, FeedbackKey, NotRelevantReason
from schemas.members import Admission, MemberKey, MemberKind, MemberPublished, MemberRef
from schemas.needs import NeedKey, NeedPublished

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)

IRRIGATION = "Capteurs d’humidité du sol pour piloter l’irrigation goutte à goutte des agrumes"
ABOUT_IRRIGATION = (
    "Nous cherchons un laboratoire capable d’étalonner des tensiomètres et de modéliser le besoin en eau "
    "des agrumes, parcelle par parcelle."
)
SOIL_ASSET = {
    "asset_id": "sol",
    "title": "Étalonnage de tensiomètres et de capteurs d’humidité du sol",
    "text": "Banc d’étalonnage de tensiomètres, parcelles d’agrumes irriguées goutte à goutte, modèle du besoin.",
}
FABRIC_ASSET = {
    "asset_id": "tissu",
    "title": "Teinture sans eau de fibres textiles",
    "text": "Procédés de teinture au dioxyde de carbone supercritique pour le polyester et le coton.",
}
FISH_ASSET = {
    "asset_id": "peche",
    "title": "Chaîne du froid des produits de la pêche",
    "text": "Sondes de température sans fil pour les caisses de sardine, du quai à la conserverie.",
}


def member(
    member_id: str, kind: MemberKind = MemberKind.LABORATORY, *assets: dict[str, Any], rev: int = 1, **fields: Any
) -> Envelope:
    event = MemberPublished(
        **{
            "cluster": "atlas",
            "member_id": member_id,
            "name": f"Nom de {member_id}",
            "kind": kind,
            "admission": Admission.ADMITTED,
            "assets": assets,
            "rev": rev,
            "published_at": AT,
            **fields,
        }
    )
    return envelope(event)


def need(need_id: str, member_id: str, title: str, text: str = "", rev: int = 1, **fields: Any) -> Envelope:
    event = NeedPublished(
        **{
            "cluster": "atlas",
            "need_id": need_id,
            "member_id": member_id,
            "title": title,
            "text": text,
            "rev": rev,
            "published_at": AT,
            **fields,
        }
    )
    return envelope(event)


def envelope(event: MemberPublished | NeedPublished | FeedbackGiven) -> Envelope:
    return Envelope(event.key, event, event.rev, str(uuid4()), AT)


def erased_member(member_id: str, rev: int | None, cluster: str = "atlas") -> Envelope:
    return Envelope(MemberKey(cluster=cluster, member_id=member_id), None, rev, str(uuid4()), AT)


def erased_need(need_id: str, rev: int | None, cluster: str = "atlas") -> Envelope:
    return Envelope(NeedKey(cluster=cluster, need_id=need_id), None, rev, str(uuid4()), AT)


def feedback(
    suggestion: UUID,
    act: Act,
    requesting: str,
    offering: str,
    reason: NotRelevantReason | None = None,
    revision: int | None = None,
) -> Envelope:
    event = FeedbackGiven(
        feedback_id=uuid4(),
        suggestion_id=suggestion,
        cluster="atlas",
        ambassador_id="amina",
        act=act,
        reason=reason,
        revision=revision,
        requesting=MemberRef(cluster="atlas", member_id=requesting),
        offering=MemberRef(cluster="atlas", member_id=offering),
        given_at=AT,
        rev=1,
    )
    return Envelope(FeedbackKey(suggestion_id=suggestion), event, 1, str(uuid4()), AT)


def grower(rev: int = 1, **fields: Any) -> Envelope:
    """A company without interests or assets: it asks only what it posts."""
    return member("verger", MemberKind.COMPANY, rev=rev, **fields)


def soil_lab(rev: int = 1, member_id: str = "labo-sol", **fields: Any) -> Envelope:
    """The laboratory that answers the grower."""
    return member(member_id, MemberKind.LABORATORY, SOIL_ASSET, rev=rev, **fields)


def others() -> list[Envelope]:
    """Members that have nothing to do with it, so that words have weights."""
    return [
        member("labo-tissu", MemberKind.LABORATORY, FABRIC_ASSET),
        member("labo-peche", MemberKind.LABORATORY, FISH_ASSET),
    ]


def irrigation(rev: int = 1, need_id: str = "irrigation", **fields: Any) -> Envelope:
    """The grower's need."""
    member_id = fields.pop("member_id", "verger")
    title, text = fields.pop("title", IRRIGATION), fields.pop("text", ABOUT_IRRIGATION)
    return need(need_id, member_id, title, text, rev, **fields)
