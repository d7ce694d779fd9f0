"""A reader's language: catalogue, direction, numbers and dates. Catalogues are compiled from `.po` at start."""

import gettext
import io
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton, format_time, format_timedelta
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

HERE: Final = Path(__file__).parent

LOCALES: Final = {"fr": "fr", "ar": "ar_MA", "en": "en"}
"""Languages that people read in, with the locale of their numbers and dates. Month names in Arabic are those of
Morocco."""

LATIN: Final = "latn"
ARABIC_INDIC: Final = "arab"

_ARABIC_INDIC_DIGITS: Final = str.maketrans("0123456789%", "٠١٢٣٤٥٦٧٨٩٪")


class Reader:
    """What depends on the language of whoever reads, and on the digits that they like."""

    def __init__(self, language: str, *, zone: ZoneInfo, folders: Sequence[Path], digits: str = LATIN) -> None:
        """`folders` are the services' own pages, each with `templates` and `locale`; those here come after them."""
        self.language = language
        self.locale = Locale.parse(LOCALES[language])
        self.direction = str(self.locale.text_direction)
        self._digits = digits
        self._zone = zone
        self._folders = [*folders, HERE]
        self.translations = catalogue(language, self._folders)
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
        return self._in_digits(format_decimal(number, locale=self.locale, numbering_system=self._digits))

    def percent(self, whole: int) -> str:
        """Return `whole` percent as the reader writes it."""
        if whole not in self._percents:  # asked for some ten times in each letter, and slow
            written = format_percent(whole / 100, locale=self.locale, numbering_system=self._digits)
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

    def language_name(self, tag: str) -> str:
        """Return the name of a language; the tag itself where the name is not known."""
        try:
            return Locale.parse(tag, sep="-").get_display_name(self.locale) or tag
        except (UnknownLocaleError, ValueError):
            return tag

    def filters(self) -> dict[str, Any]:
        """Return what templates may apply to a value, by name."""
        return {
            "percent": self.percent,
            "day": self.day,
            "month": self.month,
            "time": self.time,
            "span": self.span,
            "say": self.say,
            "number": self.number,
        }

    def _in_digits(self, text: str) -> str:
        """Return a text with the reader's digits: Babel knows the signs of a numbering system, and not its digits.

        Nor, for Morocco, the sign of percentages that goes with these.
        """
        return text.translate(_ARABIC_INDIC_DIGITS) if self._digits == ARABIC_INDIC else text

    def _environment(self, *, autoescape: bool) -> Environment:
        environment = Environment(
            loader=FileSystemLoader([folder / "templates" for folder in self._folders]),
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
        environment.filters |= self.filters()
        return environment


def preferred(accept_language: str) -> str:
    """Return the language of a browser whose user is not known; French when it names none of ours."""
    ranked = sorted(_ranges(accept_language), key=lambda range_: -range_[1])
    tags = [tag.partition("-")[0].lower() for tag, _ in ranked]
    return next((tag for tag in tags if tag in LOCALES), "fr")


def catalogue(language: str, folders: Sequence[Path]) -> gettext.NullTranslations:
    """Return the catalogue of a language, compiled in memory. English is what the sources say.

    What the first folder does not translate, the next one may.
    """
    if language == "en":
        return gettext.NullTranslations()
    first, *others = [_compiled(folder / "locale" / f"{language}.po", language) for folder in folders]
    for other in others:
        first.add_fallback(other)
    return first


def _compiled(path: Path, language: str) -> gettext.GNUTranslations:
    with path.open("rb") as source:
        messages = read_po(source, locale=language, abort_invalid=True)
    compiled = io.BytesIO()
    write_mo(compiled, messages)
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
