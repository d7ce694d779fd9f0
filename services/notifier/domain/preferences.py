"""What ambassadors have set themselves: it goes before what their cluster says of them."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.ambassadors import Absence, AmbassadorPublished, Hours, LocalTime, Rhythm, Weekday
from schemas.base import Contract


class Digits(StrEnum):
    """Digits of numbers in Arabic, by CLDR's names of numbering systems: 0123 as Morocco writes, or ٠١٢٣."""

    LATIN = "latn"
    ARABIC_INDIC = "arab"


class Preferences(Contract):
    """What one ambassador has set. What is none is as in the profile, also when that changes.

    Attributes:
        mail: whether they want e-mails that tell of suggestions; the inbox has them in any case.
        digits: of all numbers that they read.
        absence: when somebody else is told; it is added to the absences of the profile.
    """

    mail: bool = True
    rhythm: Rhythm | None = None
    at: LocalTime | None = None
    days: Annotated[tuple[Weekday, ...] | None, Field(min_length=1, max_length=7)] = None
    quiet: Hours | None = None
    most_per_day: Annotated[int | None, Field(ge=1, le=100)] = None
    plain: bool | None = None
    absence: Absence | None = None
    digits: Digits = Digits.LATIN


_OF_ALERTING = ("rhythm", "at", "days", "quiet", "most_per_day", "plain")


class Person(AmbassadorPublished):
    """An ambassador as the profile says, with what they have set themselves.

    Attributes:
        mail: as in `Preferences`, as `digits` is.
        epoch: how often they had their private address replaced.
    """

    mail: bool = True
    digits: Digits = Digits.LATIN
    epoch: int = 0


def person_of(profile: AmbassadorPublished, preferences: Preferences, *, epoch: int = 0) -> Person:
    """Return somebody as they are to be treated."""
    said = {name: getattr(preferences, name) for name in _OF_ALERTING}
    alerting = profile.alerting.model_copy(update={name: value for name, value in said.items() if value is not None})
    absences = (*profile.absences, *([preferences.absence] if preferences.absence else []))
    fields = {name: getattr(profile, name) for name in AmbassadorPublished.model_fields}
    own = {"mail": preferences.mail, "digits": preferences.digits, "alerting": alerting, "absences": absences}
    return Person.model_construct(**fields | own | {"epoch": epoch})
