"""Rows of a file or of a bulk request: an entity's content as the API takes it, with its id in it."""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from schemas.ids import derived_id
from services.ingest.entities import AMBASSADOR, CONTACT, MEMBER, NEED, Kind

ID_FIELD: Final[Mapping[Kind, str]] = {
    MEMBER: "member_id",
    NEED: "need_id",
    AMBASSADOR: "ambassador_id",
    CONTACT: "member_id",
}


def kind_of(names: Collection[str]) -> Kind | None:
    """Return what a row with fields of these names tells of; none when it does not say."""
    if "ambassador_id" in names:
        return AMBASSADOR
    # Before members: a need names its member too, and so does a contact. A member says its kind.
    if "need_id" in names or "title" in names:
        return NEED
    if "member_id" not in names:
        return None
    return CONTACT if "email" in names and "kind" not in names else MEMBER


def content_of(fields: Mapping[str, Any]) -> bytes:
    """Return the content as it is sent: the same for the same fields, in whatever order they come."""
    try:
        return json.dumps(fields, ensure_ascii=False, sort_keys=True).encode()
    except UnicodeEncodeError:  # half a character, which JSON can spell and UTF-8 cannot: it is said where
        return json.dumps(fields, sort_keys=True).encode()


def need_claim(cluster: str, content: bytes) -> str:
    """Return the `Idempotency-Key` of a need without an id: its id follows from this, so the same row is one need."""
    return str(derived_id("import", cluster, content.decode()))
