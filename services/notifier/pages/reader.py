"""A reader's language: catalogue, direction, numbers and dates. Catalogues are compiled from `.po` at start."""

import gettext
import io
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton, format_time, format_timedelta, get_day_names
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from schemas.ambassadors import AmbassadorPublished, Weekday
from schemas.contacts import ContactPublished
from services.notifier.domain.preferences import Digits, Person
from services.notifier.domain.presentation import Card, Facts, Term
from services.notifier.pages import messages

HERE: Final = Path(__file__).parent
CATALOGUES: Final = HERE / "locale"

LOCALES: Final = {"fr": "fr", "ar": "ar_MA", "en": "en"}
"""Languages that ambassadors read in, with the locale of their numbers and dates. Month names in Arabic are those of
Morocco."""


_ARABIC_INDIC: Final = str.maketrans("0123456789%", "٠١٢٣٤٥٦٧٨٩٪")

STRONGEST: Final = 3
"""Words that a short card shows."""


class Reader:
    """What depends on the language of whoever reads, and on the digits that they like."""

    def __init__(self, language: str, *, zone: ZoneInfo, digits: Digits = Digits.LATIN) -> None:
        self.language = language
        self.digits = digits
        self.locale = Locale.parse(LOCALES[language])
        self.direction = str(self.locale.text_direction)
        self._zone = zone
        self.translations = catalogue(language)
        self._pages = self._environment(autoescape=True)
        self._plain = self._environment(autoescape=False)
        self._percents: dict[int, str] = {}

    def page(self, template: str, **values: Any) -> str:
        """Return a page or the HTML of a letter; every value is escaped."""
        return self._pages.get_template(template).render(reader=self, **values)

    def plain(self, template: str, **values: Any) -> str:
        """Return a text for where nothing is escaped: a subject, the text part of a letter."""
        return self._plain.get_template(template).render(reader=self, **values)

    def say(self, message: str) -> str:
        """Return a marked message in the reader's language."""
        return self.translations.gettext(message)

    def number(self, number: int) -> str:
        """Return a number as the reader writes it."""
        return self._in_digits(format_decimal(number, locale=self.locale, numbering_system=self.digits.value))

    def percent(self, whole: int) -> str:
        """Return `whole` percent as the reader writes it."""
        if whole not in self._percents:  # asked for some ten times in each letter, and slow
            written = format_percent(whole / 100, locale=self.locale, numbering_system=self.digits.value)
            self._percents[whole] = self._in_digits(written)
        return self._percents[whole]

    def day(self, moment: datetime) -> str:
        """Return day, month and year, where the reader lives."""
        try:
            here = moment.astimezone(self._zone)
        except OverflowError:  # on the last day of the year 9999, which people write for "no deadline"
            here = moment
        return self._in_digits(format_date(here, "long", locale=self.locale))

    def time(self, moment: datetime) -> str:
        """Return the time of day, with seconds, where the reader lives."""
        return self._in_digits(format_time(moment.astimezone(self._zone), "medium", locale=self.locale))

    def month(self, day: date) -> str:
        """Return the month and year that a day is in."""
        return self._in_digits(format_skeleton("yMMMM", day, locale=self.locale))

    def span(self, time: timedelta) -> str:
        """Return how long something took, in the largest unit of which there are two: 36 hours are not a day."""
        return self._in_digits(format_timedelta(time, granularity="minute", threshold=2, locale=self.locale))

    def weekdays(self) -> dict[str, str]:
        """Return the names of the days by their codes, from the first of the reader's week."""
        names = get_day_names("wide", "stand-alone", self.locale)
        first = self.locale.first_week_day
        return {list(Weekday)[day % 7].value: names[day % 7] for day in range(first, first + 7)}

    def language_name(self, tag: str) -> str:
        """Return the name of a language; the tag itself where the name is not known."""
        try:
            return Locale.parse(tag, sep="-").get_display_name(self.locale) or tag
        except (UnknownLocaleError, ValueError):
            return tag

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
            said.append(self.say(messages.STAGES[facts.stage]))
        if facts.trl is not None:
            said.append(f"TRL {self.number(facts.trl)}")
        if facts.intellectual_property is not None:
            said.append(self.say(messages.RIGHTS[facts.intellectual_property]))
        if facts.languages:
            said.append(" · ".join(self.language_name(tag) for tag in facts.languages))
        return said

    def _in_digits(self, text: str) -> str:
        """Return a text with the reader's digits: Babel knows the signs of a numbering system, and not its digits.

        Nor, for Morocco, the sign of percentages that goes with these.
        """
        return text.translate(_ARABIC_INDIC) if self.digits is Digits.ARABIC_INDIC else text

    def _environment(self, *, autoescape: bool) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=autoescape,  # noqa: S701 - off for text alone
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        install = environment.install_gettext_translations  # type: ignore[attr-defined]  # added by the extension
        install(self.translations, newstyle=True)
        count: Any = environment.globals["ngettext"]

        @pass_context
        def counted(context: Context, one: str, several: str, number: int, **values: Any) -> str:
            return str(count(context, one, several, number, num=self.number(number), **values))

        environment.globals["ngettext"] = counted
        environment.filters["percent"] = self.percent
        environment.filters["day"] = self.day
        environment.filters["month"] = self.month
        environment.filters["time"] = self.time
        environment.filters["span"] = self.span
        environment.filters["say"] = self.say
        environment.filters["number"] = self.number
        environment.filters["colleague"] = lambda who: f"{who.name} ({who.city_name})" if who.city_name else who.name
        environment.filters["asks"] = lambda source: self.say(messages.ASKS[source])
        environment.filters["mailto"] = lambda address: "mailto:" + quote(address, safe="@")
        environment.filters["phase"] = lambda phase: self.say(messages.PHASES[phase])
        environment.filters["kind"] = lambda kind: self.say(messages.KINDS[kind])
        return environment


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
        ranked = sorted(_ranges(accept_language), key=lambda range_: -range_[1])
        tags = [tag.partition("-")[0].lower() for tag, _ in ranked]
        return self._readers[next((tag for tag in tags if tag in self._readers), "fr")]


@cache
def _reader(language: str, timezone: str, digits: Digits = Digits.LATIN) -> Reader:
    """Return what is made once in a process: its templates are compiled when they are first used."""
    return Reader(language, zone=ZoneInfo(timezone), digits=digits)


def catalogue(language: str) -> gettext.NullTranslations:
    """Return the catalogue of a language, compiled in memory. English is what the sources say."""
    if language == "en":
        return gettext.NullTranslations()
    with (CATALOGUES / f"{language}.po").open("rb") as source:
        messages_ = read_po(source, locale=language, abort_invalid=True)
    compiled = io.BytesIO()
    write_mo(compiled, messages_)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _ranges(accept_language: str) -> list[tuple[str, float]]:
    """Read `Accept-Language` (RFC 9110, 12.5.4); what is malformed counts least."""
    found: list[tuple[str, float]] = []
    for part in accept_language.split(",")[:20]:
        tag, _, weight = part.strip().partition(";q=")
        try:
            found.append((tag.strip(), float(weight) if weight else 1.0))
        except ValueError:
            found.append((tag.strip(), 0.0))
    return found
