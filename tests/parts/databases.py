"""Databases for tests, used one after another: making one with its indexes takes longer than most tests."""

from collections import defaultdict, deque
from typing import Final
from uuid import uuid4

from services.runtime.store import Database

_AT_REST: Final = 4
"""So many others are used before one is used again: what a test left under way has ended by then."""

_used: defaultdict[tuple[str, str], deque[str]] = defaultdict(deque)


class Found:
    """A database of a service at `url` that no other test uses; its name is new, or was given back."""

    def __init__(self, url: str, service: str) -> None:
        self._used = _used[url, service]
        self._begun = False
        self.name = self._used.popleft() if len(self._used) > _AT_REST else f"{service}-{uuid4().hex}"

    async def begin(self, database: Database) -> None:
        """Remove all documents of the test before, the first time; indexes stay."""
        if not self._begun:
            self._begun = True
            for name in await database.list_collection_names():
                await database[name].delete_many({})

    def give_back(self) -> None:
        """Let another test have it."""
        self._used.append(self.name)
