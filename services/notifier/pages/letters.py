"""The card of a suggestion as a letter: a text part that reads well by itself, and HTML that every client renders."""

from services.notifier.channels import Message
from services.notifier.channels.email import Letter
from services.notifier.domain.presentation import card
from services.notifier.pages.reader import Readers


class Letters:
    """Writes letters in their readers' languages."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def letter(self, message: Message) -> Letter:
        """See `Writer.letter`."""
        reader = self._readers.of(message.to.language)
        values = {"message": message, "card": card(message.suggestion, now=message.now)}
        return Letter(
            language=reader.language,
            subject=reader.plain("subject.txt", **values),
            text=reader.plain("letter.txt", **values),
            html=reader.page("letter.html", **values),
        )
