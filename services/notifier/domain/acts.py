"""What people did with a suggestion, one act after another: all else that is said of it follows from these."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.feedback import Act, NotRelevantReason, Result, Side

ERASED: Final = "erased-ambassador"
"""The id that stands in acts for somebody who was erased."""


@dataclass(frozen=True, slots=True)
class Given:
    """One act on a suggestion: whose, on which revision, when. `rev` counts the acts on the suggestion, from 1.

    What a side answers is kept with the ambassador who introduced it. `silent` says that it declined by not answering,
    `person` who accepted, in a form that tells nobody who that is.
    """

    rev: int
    revision: int
    ambassador: str
    act: Act
    reason: NotRelevantReason | None
    at: datetime
    side: Side | None = None
    result: Result | None = None
    silent: bool = False
    person: str | None = None
