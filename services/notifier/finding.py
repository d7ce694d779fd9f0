"""What earlier versions kept without the words to find it by gets them, a little at a time."""

from typing import Final

from services.notifier.store import NotifierStore

_AT_ONCE: Final = 200
"""Suggestions read in one go: their texts are some megabytes."""


class Finding:
    """Has all that is kept be found."""

    def __init__(self, *, store: NotifierStore) -> None:
        self._suggestions = store.suggestions

    async def catch_up(self) -> None:
        """Keep the words of what is kept without. There is nothing to do but after an upgrade."""
        while kept := await self._suggestions.without_words(_AT_ONCE):
            await self._suggestions.put_words(kept)
