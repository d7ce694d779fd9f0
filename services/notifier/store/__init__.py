"""The notifier's own database: people, suggestions with what was made of them, deliveries, letters to come."""

from collections.abc import Callable
from datetime import datetime

from services.notifier.domain.reaching import Way
from services.notifier.store.changes import Changes
from services.notifier.store.deliveries import Deliveries
from services.notifier.store.figures import Figures
from services.notifier.store.kept import Kept, Told
from services.notifier.store.letters import Letters
from services.notifier.store.people import Ambassadors, Contacts
from services.notifier.store.rows import Row, Sent
from services.notifier.store.suggestions import Brief, Suggestions, View
from services.runtime.store import Database
from services.web.sessions import Sessions

__all__ = [
    "Ambassadors",
    "Brief",
    "Changes",
    "Contacts",
    "Deliveries",
    "Figures",
    "Kept",
    "Letters",
    "NotifierStore",
    "Row",
    "Sent",
    "Sessions",
    "Suggestions",
    "Told",
    "View",
    "Way",
]


class NotifierStore:
    """All that the notifier keeps."""

    def __init__(self, database: Database, digest: Callable[[str], str]) -> None:
        """`digest` is what is kept of an address beside the address itself."""
        self.ambassadors = Ambassadors(database, digest)
        self.contacts = Contacts(database)
        self.suggestions = Suggestions(database)
        self.deliveries = Deliveries(database)
        self.letters = Letters(database)
        self.figures = Figures(database)
        self.changes = Changes(database)
        self.sessions = Sessions(database, whom="ambassador")

    async def ensure_indexes(self) -> None:
        """Create what queries need; may be repeated."""
        await self.ambassadors.ensure_indexes()
        await self.contacts.ensure_indexes()
        await self.suggestions.ensure_indexes()
        await self.deliveries.ensure_indexes()
        await self.letters.ensure_indexes()
        await self.figures.ensure_indexes()
        await self.sessions.ensure_indexes()

    async def count_unannounced(self, *, now: datetime) -> int:
        """Return how many suggestions and deliveries have something to say by now that is not on the log yet."""
        return await self.suggestions.count_unannounced(now=now) + await self.deliveries.count_unannounced()
