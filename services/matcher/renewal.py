"""Rows that an earlier version of the matcher wrote, brought to the present form."""

from collections.abc import Callable
from typing import Any, Final

from pymongo import ReplaceOne, UpdateOne

from schemas.members import MemberPublished
from schemas.needs import NeedPublished
from services.matcher.domain.decisions import FOR_GOOD
from services.matcher.domain.directory import assets_since
from services.matcher.domain.holding import slot
from services.matcher.domain.known import KnownMember, KnownNeed
from services.matcher.rows import member_row, need_row
from services.runtime.store import Collection, Document

_MANY: Final = 500
_OLD: Final[Document] = {"slot": {"$exists": False}}


async def renew_rows(members: Collection, needs: Collection, suggestions: Collection, pairs: Collection) -> None:
    """Give every row a slot, count by `rev` what was counted by the order of reading, settle for good what was."""
    old = {name: {"$exists": False} for name in ("in_touch", "reason", "revision")}
    await pairs.update_many(old, {"$set": {"revision": FOR_GOOD}})
    await _renew(members, _member)
    await _renew(needs, _need)
    while rows := await suggestions.find(_OLD, {"asker": 1}).limit(_MANY).to_list():
        slots = {row["_id"]: slot(str(row.get("asker") or row["_id"])) for row in rows}
        await suggestions.bulk_write([UpdateOne({"_id": key}, {"$set": {"slot": of}}) for key, of in slots.items()])


async def _renew(collection: Collection, renewed: Callable[[Document], Document]) -> None:
    while rows := await collection.find(_OLD).limit(_MANY).to_list():
        writes: list[Any] = [
            ReplaceOne({"_id": row["_id"], "rev": row["rev"], **_OLD}, renewed(row), upsert=False) for row in rows
        ]
        await collection.bulk_write(writes, ordered=False)


def _member(row: Document) -> Document:
    if "event" not in row:
        return row | {"slot": slot(row["_id"])}
    event = MemberPublished.model_validate(row["event"])
    return member_row(row["_id"], KnownMember.of(event, assets_since(event, None)))


def _need(row: Document) -> Document:
    if "event" not in row:
        return row | {"slot": slot(row["_id"])}
    event = NeedPublished.model_validate(row["event"])
    return need_row(row["_id"], KnownNeed.of(event, row["seq"], event.rev, row["lineage"]))
