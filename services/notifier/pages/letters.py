"""What a letter says: a text part that reads well by itself, and HTML that every client renders."""

from services.notifier.channels import Message
from services.notifier.channels.email import Letter
from services.notifier.domain.presentation import card
from services.notifier.pages.reader import Readers


class Letters:
    """Writes letters in their readers' languages: one suggestion with both texts, several each in short."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def letter(self, message: Message) -> Letter:
        """See `Writer.letter`."""
        reader = self._readers.of(message.to.language)
        items = [(item, card(item.suggestion, now=message.now)) for item in message.items]
        item, best = items[0]
        template = "letter" if len(items) == 1 else "digest"
        values = {"message": message, "items": items, "item": item, "card": best}
        return Letter(
            language=reader.language,
            subject=reader.plain("subject.txt", **values),
            text=reader.plain(f"{template}.txt", **values),
            html=reader.page(f"{template}.html", **values),
        )
