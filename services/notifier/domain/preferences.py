"""What ambassadors have set themselves: it goes before what their cluster says of them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.ambassadors import Absence, AmbassadorPublished, Hours, LocalTime, Rhythm, Weekday
from schemas.base import Contract
from services.notifier.domain.reaching import Off, Reach, Way


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
    """An ambassador as the profile says, with what they have set themselves, and what reaches them.

    Attributes:
        mail: as in `Preferences`, as `digits` is.
        epoch: how often they had their private address replaced.
        reach: the ways to them, apart from the inbox, and whether these work.
    """

    mail: bool = True
    digits: Digits = Digits.LATIN
    epoch: int = 0
    reach: Mapping[Way, Reach] = {}

    @property
    def whom(self) -> str:
        """Their key, as text."""
        return str(self.key)

    @property
    def off(self) -> Mapping[Way, Off]:
        """The ways that are turned off."""
        return {way: reach.off for way, reach in self.reach.items() if reach.off is not None}

    @property
    def works(self) -> frozenset[Way]:
        """The ways by which they are told: neither turned off, nor ended by themselves."""
        return frozenset(
            way for way, reach in self.reach.items() if reach.off is None and (way is not Way.EMAIL or self.mail)
        )

    @property
    def inbox_alone(self) -> bool:
        """Whether something is turned off, and nothing but the inbox is left."""
        return bool(self.off) and not self.works


def person_of(
    profile: AmbassadorPublished,
    preferences: Preferences,
    *,
    epoch: int = 0,
    reach: Mapping[Way, Reach] | None = None,
) -> Person:
    """Return somebody as they are to be treated."""
    said = {name: getattr(preferences, name) for name in _OF_ALERTING}
    alerting = profile.alerting.model_copy(update={name: value for name, value in said.items() if value is not None})
    absences = (*profile.absences, *([preferences.absence] if preferences.absence else []))
    fields = {name: getattr(profile, name) for name in AmbassadorPublished.model_fields}
    own = {"mail": preferences.mail, "digits": preferences.digits, "alerting": alerting, "absences": absences}
    return Person.model_construct(**fields | own | {"epoch": epoch, "reach": reach or {}})
