"""The portal's messages, and those that all pages share: each is translated, none is left over."""

import re
from enum import StrEnum
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from schemas.codes import Stage
from schemas.members import AssetKind, MemberKind
from schemas.previews import AdviceCode
from services.ingest.portal import messages
from services.ingest.portal.door import HERE, our_path
from services.web import reading, words

TRANSLATED = sorted(set(reading.LOCALES) - {"en"})


def blanks(text: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)s", text))


@pytest.mark.parametrize("folder", [HERE, reading.HERE], ids=["portal", "web"])
@pytest.mark.parametrize("language", TRANSLATED)
def test_catalogue_is_complete_and_holds_nothing_else(folder: Path, language: str) -> None:
    ways = [("**.py", "python"), ("templates/**", "jinja2")]
    found = extract_from_dir(folder, method_map=ways, options_map={"templates/**": {"silent": "false"}})
    with (folder / "locale" / f"{language}.po").open("rb") as file:
        catalogue = [message for message in read_po(file, locale=language) if message.id]
    assert {message.id for message in catalogue} == {entry[2] for entry in found}
    for message in catalogue:
        forms = [message.string] if isinstance(message.string, str) else list(message.string)
        singular = message.id if isinstance(message.id, str) else message.id[1]
        assert all(form and blanks(form) <= blanks(singular) for form in forms), message.id


@pytest.mark.parametrize("folder", [HERE, reading.HERE], ids=["portal", "web"])
def test_templates_say_nothing_outside_the_catalogue(folder: Path) -> None:
    for template in (folder / "templates").iterdir():
        said = template.read_text()
        text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<[^>]*>|[\w-]+=\"[^\"]*\"|&\w+;", " ", said, flags=re.DOTALL)
        assert set(re.findall(r"[^\W\d_]{2,}", text)) <= {"Maillage"}, template.name


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        (messages.ASSETS, AssetKind),
        (messages.ADVICE, AdviceCode),
        (words.KINDS, MemberKind),
        (words.STAGES, Stage),
    ],
)
def test_every_code_has_words(table: dict[StrEnum, str], codes: type[StrEnum]) -> None:
    assert set(table) == set(codes)


@pytest.mark.parametrize("path", ["/portal", "/portal/needs/n-1", "/portal/organisation/assets/new"])
def test_our_own_pages_are_where_one_may_be_led(path: str) -> None:
    assert our_path(path) == path


@pytest.mark.parametrize(
    "path",
    ["", "/", "//evil.example", "/\\evil.example", "/portal//evil", "/portal/../v1", "https://evil.example/portal",
     "/portal@evil.example", "/portal/%2e%2e", "/portalx", "/inbox/me"],
)  # fmt: skip
def test_nowhere_else(path: str) -> None:
    assert our_path(path) is None
