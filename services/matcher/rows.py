"""The rows in which the matcher keeps members, needs and suggestions."""

from datetime import datetime
from typing import Final
from uuid import UUID

from schemas.feedback import NotRelevantReason
from schemas.members import MemberKind, MemberPublished
from schemas.needs import NeedPublished
from schemas.suggestions import LapseReason, SuggestionMade
from services.matcher.domain.decisions import Saying
from services.matcher.domain.holding import slot
from services.matcher.domain.known import KnownMember, KnownNeed, Later
from services.matcher.domain.suggestion import Told, cities
from services.runtime.store import Document

_STANDING: Final = "standing"
_LAPSED: Final = "lapsed"
_ERASED: Final = "erased"


def known_member(row: Document, read: Later[MemberPublished]) -> KnownMember:
    """Return the member of a row; `read` gives its event."""
    return KnownMember(row["rev"], MemberKind(row["kind"]), read, dict(row["since"]), row["mark"])


def known_need(row: Document, read: Later[NeedPublished]) -> KnownNeed:
    """Return the need of a row; `read` gives its event."""
    return KnownNeed(
        rev=row["rev"],
        owner=row["owner"],
        deadline=None if row["deadline"] is None else datetime.fromisoformat(row["deadline"]),
        seq=row["seq"],
        since=row["since"],
        lineage=row["lineage"],
        read=read,
        mark=row["mark"],
    )


def member_row(key: str, known: KnownMember) -> Document:
    """Return the row of a member."""
    return {
        "_id": key,
        "rev": known.rev,
        "slot": slot(key),
        "kind": known.kind.value,
        "since": [list(item) for item in known.since.items()],  # ids may hold dots, which make poor field names
        "mark": known.mark,
        "event": known.event.model_dump(mode="json"),
    }


def need_row(key: str, known: KnownNeed) -> Document:
    """Return the row of a need."""
    event = known.event.model_dump(mode="json")
    return {
        "_id": key,
        "rev": known.rev,
        "slot": slot(known.owner),
        "owner": known.owner,
        "deadline": event["deadline"],
        "seq": known.seq,
        "since": known.since,
        "lineage": known.lineage,
        "mark": known.mark,
        "event": event,
    }


def saying_row(saying: Saying) -> Document:
    """Return the row of a reason that weighs. Its moment is text: a date of the database has no microseconds."""
    return {
        "_id": saying.id,
        "suggestion": saying.suggestion,
        "reason": saying.reason.value,
        "cluster": saying.cluster,
        "asker": saying.asker,
        "member": saying.member,
        "at": saying.at.isoformat(),
        "said_of": saying.revision,
        "carriers": sorted(saying.carriers),
    }


def saying_of_row(row: Document) -> Saying:
    """Return the reason of a row."""
    return Saying(
        id=row["_id"],
        suggestion=row["suggestion"],
        reason=NotRelevantReason(row["reason"]),
        cluster=row["cluster"],
        asker=row["asker"],
        member=row["member"],
        at=datetime.fromisoformat(row["at"]),
        carriers=frozenset(row["carriers"]),
        revision=row.get("said_of"),
    )


def told_row(told: Told) -> Document:
    """Return the row of a suggestion, to be published."""
    row: Document = {
        "_id": str(told.id),
        "rev": told.rev,
        "revision": told.revision,
        "at": told.at,
        "state": _ERASED,
        "slot": told.slot,
        "unpublished": True,
    }
    if told.made is None:
        return row
    asker, member = told.made.request.party.key, told.made.offer.party.key
    row |= {
        "state": _STANDING if told.lapsed is None else _LAPSED,
        "lineage": told.lineage,
        "ask": told.ask,
        "known": None if told.known is None else [list(item) for item in told.known.items()],
        "asker": str(asker),
        "member": str(member),
        "made": told.made.model_dump(mode="json"),
    }
    if told.carriers:
        row["carriers"] = list(told.carriers)
    if named := cities(told.made):
        row["cities"] = sorted(named)
    if asker.cluster != member.cluster:
        row["across"] = [asker.cluster, member.cluster]
    if told.lapsed is not None:
        row["lapsed"] = told.lapsed.value
    if told.traceparent is not None:
        row["traceparent"] = told.traceparent
    return row


def told_of(row: Document) -> Told:
    """Return the suggestion of a row."""
    if row["state"] == _ERASED:
        return Told(id=UUID(row["_id"]), rev=row["rev"], revision=row["revision"], at=row["at"], slot=row["slot"])
    return Told(
        id=UUID(row["_id"]),
        rev=row["rev"],
        revision=row["revision"],
        at=row["at"],
        lineage=row["lineage"],
        ask=row["ask"],
        known=None if row.get("known") is None else dict(row["known"]),
        slot=row["slot"],
        made=SuggestionMade.model_validate(row["made"]),
        lapsed=LapseReason(row["lapsed"]) if "lapsed" in row else None,
        carriers=tuple(row.get("carriers", ())),
        traceparent=row.get("traceparent"),
    )
