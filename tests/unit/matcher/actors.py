"""Members and needs in as few words as a table of cases allows."""

from datetime import UTC, datetime
from typing import Any

from schemas.members import Admission, MemberKind, MemberPublished
from schemas.needs import NeedPublished

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def member(member_id: str = "labo", kind: MemberKind = MemberKind.LABORATORY, **fields: Any) -> MemberPublished:
    given = {
        "cluster": "atlas",
        "member_id": member_id,
        "name": member_id,
        "kind": kind,
        "admission": Admission.ADMITTED,
        "rev": 1,
        "published_at": NOW,
    }
    return MemberPublished(**(given | fields))


def need(need_id: str = "besoin", member_id: str = "verger", title: str = "Besoin", **fields: Any) -> NeedPublished:
    given = {"cluster": "atlas", "need_id": need_id, "member_id": member_id, "title": title, "rev": 1}
    return NeedPublished(**(given | {"published_at": NOW} | fields))


def asset(asset_id: str, title: str, text: str = "") -> dict[str, str]:
    return {"asset_id": asset_id, "title": title, "text": text}
