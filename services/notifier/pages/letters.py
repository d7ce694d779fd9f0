"""What a letter says: a text part that reads well by itself, and HTML that every client renders."""

from typing import Any, Final

from schemas.ambassadors import AmbassadorPublished
from schemas.feedback import Side
from services.notifier.channels import Invitation, Message, Notice, Outgoing, WayIn
from services.notifier.channels.email import Letter
from services.notifier.domain.introduction import Purpose
from services.notifier.domain.presentation import card
from services.notifier.domain.reaching import Way
from services.notifier.pages import messages
from services.notifier.pages.reader import Readers

_IN_CHAT: Final = 3
"""Suggestions that a chat message names: the best. It is read on a telephone, and leads to all."""


class Letters:
    """Writes letters in their readers' languages: one suggestion with both texts, several each in short."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def letter(self, message: Outgoing) -> Letter:
        """See `Writer.letter`."""
        match message:
            case Invitation():
                return self._invitation(message)
            case WayIn():
                return self._way_in(message)
            case Message():
                return self._suggestions(message)
            case Notice():
                return self._notice(message)

    def chat(self, message: Message | Notice) -> str:
        """See `chat.Writer.chat`."""
        if isinstance(message, Notice):
            reader = self._readers.to(message.to)
            return reader.plain("chat_notice.txt", **_of_notice(message, Way.CHAT)).strip()
        items = [(item, card(item.suggestion, now=message.now)) for item in message.items]
        reader = self._readers.of(message.to.language)
        return reader.plain("chat.txt", message=message, items=items, most=_IN_CHAT).strip()

    def _suggestions(self, message: Message) -> Letter:
        reader = self._readers.to(message.to)
        items = [(item, card(item.suggestion, now=message.now)) for item in message.items]
        item, best = items[0]
        template = "letter" if len(items) == 1 else "digest"
        values = {"message": message, "items": items, "item": item, "card": best}
        return Letter(
            language=reader.language,
            subject=reader.plain("subject.txt", **values),
            text=reader.plain(f"{template}.txt", **values),
            html=None if message.to.alerting.plain else reader.page(f"{template}.html", **values),
        )

    def _invitation(self, message: Invitation) -> Letter:
        reader, shown = self._readers.to(message.to), card(message.suggestion, now=message.now)
        values = {
            "message": message,
            "card": shown,
            "partner": shown.request if message.side is Side.OFFERING else shown.offer,
            "asks": message.purpose in (Purpose.ASK, Purpose.REMIND),
        }
        plain = isinstance(message.to, AmbassadorPublished) and message.to.alerting.plain
        return Letter(
            language=reader.language,
            subject=reader.plain("invitation_subject.txt", **values),
            text=reader.plain("invitation.txt", **values),
            html=None if plain else reader.page("invitation.html", **values),
        )

    def _way_in(self, message: WayIn) -> Letter:
        reader = self._readers.to(message.to)
        return Letter(
            language=reader.language,
            subject=reader.plain("way_in_subject.txt"),
            text=reader.plain("way_in.txt", message=message),
            html=reader.page("way_in.html", message=message),
        )

    def _notice(self, message: Notice) -> Letter:
        reader = self._readers.to(message.to)
        values = _of_notice(message, Way.EMAIL)
        return Letter(
            language=reader.language,
            subject=reader.plain("notice_subject.txt", **values),
            text=reader.plain("notice.txt", **values),
            html=None if message.to.alerting.plain else reader.page("notice.html", **values),
        )


def _of_notice(message: Notice, way: Way) -> dict[str, Any]:
    return {"message": message, "who": message.unreached, "reasons": messages.OFF, "way": way}
