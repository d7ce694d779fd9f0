"""What members write, made fit to be read: cleaned where nothing is lost by it, refused where somebody must decide.

Cleaned, and said so: HTML loses its tags. Cleaned without a word: letters are composed (Unicode's NFC), so that what
looks the same is the same. Refused, with the place marked: how to reach somebody (whoever introduces two members gives
them their contacts, once both want that), and signs that turn the order of letters around.
"""

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, cast

from phonenumbers import NumberParseException, is_possible_number, parse
from pydantic import ValidationError

from schemas.members import MemberProfile
from services.ingest.entities import NeedBody, Note, Value
from services.ingest.problems import FieldError, field_errors

LETTERS_AT_LEAST: Final = 10
"""Of a need's title and text together: less is not enough for anybody to know what is meant."""

_AROUND: Final = 24
"""Characters shown on either side of a marked place."""

_PLACES: Final = 10
"""Marked in one text."""

_BLOCK: Final = (
    "address|article|aside|blockquote|br|dd|div|dl|dt|footer|h[1-6]|header|hr|li|main|nav|ol|option|pre|p|section|"
    "table|tbody|td|tfoot|thead|th|tr|ul"
)
_INLINE: Final = (
    "abbr|a|body|b|center|code|em|font|head|html|img|input|i|kbd|label|mark|meta|o:p|q|samp|select|small|span|strike|"
    "strong|sub|sup|s|title|tt|u|var"
)
_TAG: Final = re.compile(rf"</?(?:(?P<block>{_BLOCK})|{_INLINE})(?:\s[^<>]*)?/?>", re.IGNORECASE)
"""HTML's own words alone: `pH < 7 and > 5` is none, and neither is `<x>` in a formula."""

_UNSEEN: Final = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)

_ENTITY: Final = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{2,6}|#x[0-9a-fA-F]{2,6});")

_MANY_LINES: Final = re.compile(r"\n{3,}")

_EMAIL: Final = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_MESSENGER: Final = re.compile(r"\b(?:wa\.me|t\.me|api\.whatsapp\.com|chat\.whatsapp\.com|m\.me)/[\w+?=&%/-]+", re.I)
_LIKE_A_NUMBER: Final = re.compile(r"(?<![\w.,+/-])(?:\+(?=\d)|\(?[0\u0660])(?:[\s().\-/]{0,2}\d){7,14}(?![\w-])")
_IN_THE_COUNTRY: Final = re.compile(r"0[5-8]\d{8}")
"""Of Morocco, and so of most who leave the country code out."""

_OVERRIDES: Final = re.compile("[\u202d\u202e]")
_OPENED: Final = {"\u202a": "\u202c", "\u202b": "\u202c", "\u2066": "\u2069", "\u2067": "\u2069", "\u2068": "\u2069"}
_CLOSING: Final = frozenset(_OPENED.values())
_INVISIBLE: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_DIRECTIONS: Final = re.compile("[\u202a-\u202c\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Worded:
    """Content as it is to be published, with what is to be said of it. With `errors` it must not be."""

    value: Value
    errors: tuple[FieldError, ...]
    notes: tuple[Note, ...]


def need(body: NeedBody) -> Worded:
    """Return a need's content with its words made fit."""
    worded = _worded(body, [("title",), ("text",)])
    title, text = worded.value["title"], worded.value["text"]
    letters = sum(map(str.isalpha, title + text))
    if letters >= LETTERS_AT_LEAST or worded.errors:
        return worded
    too_short = FieldError(
        "text",
        text or title,
        f"title and text together have {letters} letters, too few to match anything",
        "Say in a sentence or two what you look for, and what it is for.",
    )
    return replace(worded, errors=(too_short,))


def member(profile: MemberProfile) -> Worded:
    """Return a member's content with its words made fit."""
    assets = [("assets", place, name) for place in range(len(profile.assets)) for name in ("title", "text")]
    return _worded(profile, [("name",), ("summary",), *assets])


def _worded(content: MemberProfile | NeedBody, paths: list[tuple[Any, ...]]) -> Worded:
    value: Value = content.model_dump(mode="json")
    changed, errors, notes = value, list[FieldError](), list[Note]()
    for path in paths:
        field, text = ".".join(map(str, path)), _at(value, path)
        if text.isascii() and _plain(text):
            continue
        composed = unicodedata.normalize("NFC", text)
        cleaned = _without_markup(composed)
        if cleaned != composed:
            notes.append(Note(field, "HTML was taken out of it; its words stayed", "Look at it, or send plain text."))
        if cleaned != text:
            changed = _with(changed, path, cleaned)
        errors += islice(_refused(field, cleaned), _PLACES)
    if changed is value:
        return Worded(value, tuple(errors), tuple(notes))
    try:  # nothing may be left of a title, and a few letters are longer when they are composed
        value = content.model_validate(changed).model_dump(mode="json")
    except ValidationError as error:
        errors += field_errors(cast("list[dict[str, Any]]", error.errors(include_url=False)))
    return Worded(value, tuple(errors), tuple(notes))


def _plain(text: str) -> bool:
    """Whether there is nothing to look at in a text: what most are."""
    return not any(sign in text for sign in "<&@") and not _LIKE_A_NUMBER.search(text) and not _MESSENGER.search(text)


def _refused(field: str, text: str) -> Iterator[FieldError]:
    for place, what in contacts_in(text):
        yield FieldError(
            field,
            _excerpt(text, *place),
            f"it says how to reach somebody ({what})",
            "Take it out. Who answers for the member is told in its contact, and shown once both sides have accepted.",
        )
    if turned := _turned(text):
        yield FieldError(
            field,
            _excerpt(text, *turned),
            "an invisible sign turns the order of letters around",
            "Type the words at the marked place anew.",
        )


def contacts_in(text: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Yield where a text says how to reach somebody (from, to), and by what."""
    if "@" in text:
        yield from ((found.span(), "an e-mail address") for found in _EMAIL.finditer(text))
    yield from ((found.span(), "a messenger's address") for found in _MESSENGER.finditer(text))
    numbers = (found for found in _LIKE_A_NUMBER.finditer(text) if _is_number(found[0]))
    yield from ((found.span(), "a telephone number") for found in numbers)


def _is_number(written: str) -> bool:
    """Whether a telephone number is meant, and not a row of figures."""
    groups = re.findall(r"\d+", written)
    digits = "".join(str(int(digit)) for group in groups for digit in group)
    if not written.startswith("+") and not digits.startswith("00"):
        return bool(_IN_THE_COUNTRY.fullmatch(digits)) and min(map(len, groups)) > 1
    try:
        return is_possible_number(parse("+" + digits.removeprefix("00")))
    except NumberParseException:
        return False


def _turned(text: str) -> tuple[int, int] | None:
    """Return where the order of letters is turned around, or turned and not turned back; none where it is not."""
    if override := _OVERRIDES.search(text):
        return override.span()
    opened: list[tuple[str, tuple[int, int]]] = []
    for sign in _DIRECTIONS.finditer(text):
        if sign[0] not in _CLOSING:
            opened.append((_OPENED[sign[0]], sign.span()))
        elif opened and opened[-1][0] == sign[0]:
            opened.pop()
    return opened[0][1] if opened else None


def _without_markup(text: str) -> str:
    """Return the words alone, without markup that was escaped either: what GET shows is to be taken by PUT as it is."""
    while _TAG.search(text) or _UNSEEN.search(text) or _ENTITY.search(text):
        before = text
        bare = _TAG.sub(lambda tag: "\n" if tag["block"] else "", _UNSEEN.sub(" ", text))
        lines = (" ".join(line.split()) for line in html.unescape(bare).splitlines())
        text = _MANY_LINES.sub("\n\n", "\n".join(lines)).strip()
        if text == before:
            break
    return text


def _excerpt(text: str, start: int, end: int) -> str:
    """Return the words around a place, which is marked."""
    before, after = text[max(0, start - _AROUND) : start], text[end : end + _AROUND]
    left, right = "…" if start > _AROUND else "", "…" if end + _AROUND < len(text) else ""
    marked = _INVISIBLE.sub(lambda sign: f"U+{ord(sign[0]):04X}", f"{left}{before}→{text[start:end]}←{after}{right}")
    return " ".join(marked.split())


def _at(value: Any, path: tuple[Any, ...]) -> str:
    for part in path:
        value = value[part]
    return str(value)


def _with(value: Any, path: tuple[Any, ...], text: str) -> Any:
    """Return a copy of `value` with another text at `path`."""
    if not path:
        return text
    changed = value.copy()
    changed[path[0]] = _with(value[path[0]], path[1:], text)
    return changed
