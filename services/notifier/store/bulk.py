"""Writes that lose to what is already there, many in one round trip."""

from collections.abc import Sequence

from pymongo import DeleteMany, InsertOne, UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError

from services.runtime.store import DUPLICATE_KEY, Collection, Document


async def write(
    collection: Collection, writes: "Sequence[UpdateOne | InsertOne[Document] | UpdateMany | DeleteMany]"
) -> set[int]:
    """Do all `writes`; one that meets a document that is there already, or a newer one, changes nothing.

    Returns:
        The places of those.

    A compare-and-set is an upsert whose filter asks for an older `rev`: where the document is not older, the upsert
    turns into an insert, which the unique `_id` refuses.

    Raises:
        StoreError: anything else went wrong.
    """
    if not writes:
        return set()
    try:
        await collection.bulk_write(writes, ordered=False)
    except BulkWriteError as error:
        details = error.details or {}
        other = [entry for entry in details.get("writeErrors", ()) if entry["code"] != DUPLICATE_KEY]
        if other or details.get("writeConcernErrors"):
            raise
        return {entry["index"] for entry in details.get("writeErrors", ())}
    return set()
