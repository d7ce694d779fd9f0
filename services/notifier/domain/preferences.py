"""What ambassadors have set themselves: it goes before what their cluster says of them."""

from schemas.ambassadors import Absence, Alerting, AmbassadorPublished
from schemas.base import Contract


class Preferences(Contract):
    """What one ambassador has set. What is none is as in the profile.

    Attributes:
        mail: whether they want e-mails that tell of suggestions; the inbox has them in any case.
        alerting: when e-mails may come, and how many.
        absence: when somebody else is told; it is added to the absences of the profile.
    """

    mail: bool = True
    alerting: Alerting | None = None
    absence: Absence | None = None


class Person(AmbassadorPublished):
    """An ambassador as the profile says, with what they have set themselves. `mail` as in `Preferences`."""

    mail: bool = True


def person_of(profile: AmbassadorPublished, preferences: Preferences) -> Person:
    """Return somebody as they are to be treated."""
    absences = (*profile.absences, *([preferences.absence] if preferences.absence else []))
    return Person.model_construct(
        **{name: getattr(profile, name) for name in AmbassadorPublished.model_fields}
        | {"mail": preferences.mail, "alerting": preferences.alerting or profile.alerting, "absences": absences}
    )
