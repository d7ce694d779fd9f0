"""What letters are written about, in these tests, and what those that came tell."""

import re
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any
from uuid import UUID

from schemas.ambassadors import AmbassadorPublished
from schemas.suggestions import SuggestionMade
from tests.component.notifier.receivers import parts_of
from tests.component.notifier.world import World
from tests.unit.notifier.samples import made, person, sid

HOUSE = {"quiet_hours": "21:00-07:00", "letters_per_day": 3}

EVENING = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
"""Half past nine in Casablanca: quiet since half an hour."""

MORNING = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
"""When the quiet hours end."""


def paced(ambassador_id: str = "amina", **alerting: Any) -> AmbassadorPublished:
    return person(ambassador_id, alerting=alerting)


def some(names: str, **changes: Any) -> list[SuggestionMade]:
    """Suggestions called by each letter of `names`, the first the best."""
    return [made(name, score=1 - place / 100, **changes) for place, name in enumerate(names)]


def due_by(name: str, deadline: datetime) -> SuggestionMade:
    request = made().request.model_copy(update={"deadline": deadline})
    return made(name, request=request)


def names_of(mail: EmailMessage, *, again: bool = False) -> str:
    """The suggestions that a mail tells, or reminds of (`again`), in its order."""
    by_id = {sid(chr(letter)): chr(letter) for letter in range(ord("a"), ord("z") + 1)}
    before, *rest = re.split(r"/s/([0-9a-f-]{36})", parts_of(mail)[0])
    texts = [before, *rest[1::2]]
    reminds = ["Toujours en attente" in text for text in texts]
    return "".join(by_id[UUID(found)] for found, so in zip(rest[::2], reminds, strict=False) if so is again)


def told(world: World) -> list[str]:
    """What each mail tells that has not been told before."""
    return [names for _, mail in world.mail.mails if (names := names_of(mail))]
