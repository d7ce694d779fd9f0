"""Every message is translated, none is left over, and each translation fills the same blanks."""

import re
from enum import StrEnum
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from schemas.codes import IntellectualProperty
from schemas.feedback import NotRelevantReason
from schemas.suggestions import AdjustmentScope, LapseReason, RequestSource
from services.notifier.domain.desk import Step
from services.notifier.domain.reaching import Reason
from services.notifier.pages import messages
from services.notifier.pages.reader import CATALOGUES, HERE, LOCALES, Readers
from services.notifier.store import Way
from tests.unit.notifier.samples import NOW

TRANSLATED = sorted(set(LOCALES) - {"en"})
Message = str | tuple[str, str]


def wanted() -> set[Message]:
    """The messages of templates and modules."""
    found = extract_from_dir(
        HERE,
        method_map=[("**.py", "python"), ("templates/**", "jinja2")],
        options_map={"templates/**": {"silent": "false"}},
    )
    return {entry[2] for entry in found}  # type: ignore[misc]  # the library types a message as its longest form


def blanks(text: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)s", text))


@pytest.mark.parametrize("language", TRANSLATED)
def test_catalogue_is_complete_and_holds_nothing_else(language: str) -> None:
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        catalogue = [message for message in read_po(file, locale=language) if message.id]
    assert {message.id for message in catalogue} == wanted()
    for message in catalogue:
        assert not message.fuzzy, message.id
        singular = message.id if isinstance(message.id, str) else message.id[1]
        forms = [message.string] if isinstance(message.string, str) else list(message.string)
        for form in forms:
            assert form, f"{message.id} is not translated"
            assert blanks(form) <= blanks(singular), message.id
            assert isinstance(message.id, tuple) or blanks(form) == blanks(singular), message.id


def test_templates_say_nothing_outside_the_catalogue() -> None:
    letters = re.compile(r"[^\W\d_]{2,}")
    for template in (HERE / "templates").iterdir():
        text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<style.*?</style>|<[^>]*>|&\w+;", " ", template.read_text(), flags=re.S)
        assert set(letters.findall(text)) <= {"Maillage"}, template.name


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        (messages.RIGHTS, IntellectualProperty),
        (messages.REASONS, NotRelevantReason),
        (messages.CONSEQUENCES, NotRelevantReason),
        (messages.ONCE, AdjustmentScope),
        (messages.REPEATEDLY, AdjustmentScope),
        (messages.LAPSES, LapseReason),
        (messages.ASKS, RequestSource),
        (messages.STEPS, Step),
        (messages.WAYS, Way),
        (messages.OFF, Reason),
    ],
)
def test_every_code_has_words(table: dict[StrEnum, str], codes: type[StrEnum]) -> None:
    assert set(table) == set(codes)


@pytest.mark.parametrize(
    ("language", "day", "percent", "french", "direction"),
    [
        ("fr", "23 novembre 2026", "31\xa0%", "français", "ltr"),
        ("ar", "23 نونبر 2026", "31%", "الفرنسية", "rtl"),
        ("en", "November 23, 2026", "31%", "French", "ltr"),
    ],
)
def test_numbers_dates_and_names_are_the_readers(
    language: str, day: str, percent: str, french: str, direction: str
) -> None:
    reader = Readers(timezone="Africa/Casablanca").of(language)
    assert reader.day(NOW) == day
    assert reader.percent(31).strip("\u200e\u200f") == percent
    assert reader.language_name("fr") == french
    assert reader.direction == direction


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "اقتراح واحد بانتظارك"),
        (2, "اقتراحان بانتظارك"),
        (3, "%(num)s اقتراحات بانتظارك"),
        (11, "%(num)s اقتراحا بانتظارك"),
    ],
)
def test_arabic_counts_in_its_own_way(count: int, said: str) -> None:
    translations = Readers(timezone="UTC").of("ar").translations
    assert translations.ngettext("One pairing awaits you", "%(num)s pairings await you", count) == said


@pytest.mark.parametrize(
    ("header", "language"),
    [("", "fr"), ("en-GB,en;q=0.9", "en"), ("de, ar;q=0.8, fr;q=0.3", "ar"), ("de", "fr"), ("en;q=x,ar;q=0.1", "ar")],
)
def test_a_stranger_reads_the_language_of_the_browser(header: str, language: str) -> None:
    assert Readers(timezone="UTC").preferred(header).language == language


def test_catalogues_are_committed_as_text() -> None:
    assert {path.name for path in Path(CATALOGUES).iterdir()} == {f"{language}.po" for language in TRANSLATED}
