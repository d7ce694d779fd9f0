"""A reader of the notifier's pages and letters: what they say of cards and facts, in the reader's language."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from babel.dates import get_day_names

from schemas.ambassadors import AmbassadorPublished, Weekday
from schemas.contacts import ContactPublished
from services.notifier.domain.preferences import Digits, Person
from services.notifier.domain.presentation import Card, Facts, Term
from services.notifier.pages import messages
from services.web import reading, words
from services.web.reading import LOCALES, preferred

__all__ = ["CATALOGUES", "HERE", "LOCALES", "Reader", "Readers"]

HERE: Final = Path(__file__).parent
CATALOGUES: Final = HERE / "locale"

STRONGEST: Final = 3
"""Words that a short card shows."""


class Reader(reading.Reader):
    """What depends on the language of whoever reads, and on the digits that they like."""

    def __init__(self, language: str, *, zone: ZoneInfo, digits: Digits = Digits.LATIN) -> None:
        self.digits = digits
        super().__init__(language, zone=zone, folders=[HERE], digits=digits.value)

    def weekdays(self) -> dict[str, str]:
        """Return the names of the days by their codes, from the first of the reader's week."""
        names = get_day_names("wide", "stand-alone", self.locale)
        first = self.locale.first_week_day
        return {list(Weekday)[day % 7].value: names[day % 7] for day in range(first, first + 7)}

    def strongest(self, terms: Sequence[Term]) -> str:
        """Return the words that speak most for a pairing, on one line."""
        # Between isolates, or a Latin word would take the share that stands beside it to its other side.
        begin, end = ("\u2068", "\u2069") if self.direction == "rtl" else ("", "")
        said = (f"{begin}{term.words('/')}{end} ({self.percent(term.percent)})" for term in terms[:STRONGEST])
        return self.say(", ").join(said)

    def adjusted(self, card: Card) -> list[str]:
        """Return why a pairing counts for less than its texts, each reason a sentence."""
        return [
            self.say((messages.ONCE if said.count == 1 else messages.REPEATEDLY)[said.scope])
            % {
                "day": self.day(said.said_at),
                "end": self.day(said.until),
                "name": card.offer.party.name,
                "asker": card.request.party.name,
            }
            for said in card.adjustments
        ]

    def facts(self, facts: Facts) -> list[str]:
        """Return the facts besides the deadline, each a short phrase."""
        said: list[str] = []
        if facts.stage is not None:
            said.append(self.say(words.STAGES[facts.stage]))
        if facts.trl is not None:
            said.append(f"TRL {self.number(facts.trl)}")
        if facts.intellectual_property is not None:
            said.append(self.say(messages.RIGHTS[facts.intellectual_property]))
        if facts.languages:
            said.append(" · ".join(self.language_name(tag) for tag in facts.languages))
        return said

    def filters(self) -> dict[str, Any]:
        """See `reading.Reader.filters`."""
        return super().filters() | {
            "colleague": lambda who: f"{who.name} ({who.city_name})" if who.city_name else who.name,
            "asks": lambda source: self.say(messages.ASKS[source]),
            "mailto": lambda address: "mailto:" + quote(address, safe="@"),
            "phase": lambda phase: self.say(messages.PHASES[phase]),
            "kind": lambda kind: self.say(words.KINDS[kind]),
        }


class Readers:
    """A reader of each language."""

    def __init__(self, *, timezone: str) -> None:
        self._readers = {language: _reader(language, timezone) for language in LOCALES}
        self._indic = _reader("ar", timezone, Digits.ARABIC_INDIC)

    def of(self, language: str, digits: Digits = Digits.LATIN) -> Reader:
        """Return the reader of a language of an ambassador. Digits are a choice in Arabic alone."""
        chosen = language == self._indic.language and digits is self._indic.digits
        return self._indic if chosen else self._readers[language]

    def to(self, who: AmbassadorPublished | ContactPublished) -> Reader:
        """Return the reader for somebody who is written to."""
        return self.of(who.language, who.digits if isinstance(who, Person) else Digits.LATIN)

    def preferred(self, accept_language: str) -> Reader:
        """Return the reader for a browser whose user is not known; French when it names none of the languages."""
        return self._readers[preferred(accept_language)]


@cache
def _reader(language: str, timezone: str, digits: Digits = Digits.LATIN) -> Reader:
    """Return what is made once in a process: its templates are compiled when they are first used."""
    return Reader(language, zone=ZoneInfo(timezone), digits=digits)
