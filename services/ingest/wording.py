"""What members write, made fit to be read: cleaned where nothing is lost by it, refused where somebody must decide.

Cleaned, and said so: HTML loses its tags. Cleaned without a word: letters are composed (Unicode's NFC), so that what
looks the same is the same. Refused, with the place marked: how to reach somebody (whoever introduces two members gives
them their contacts, once both want that), and signs that turn the order of letters around.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, cast

from pydantic import ValidationError

from schemas.members import MemberProfile
from services.ingest.addresses import addresses_in
from services.ingest.entities import NeedBody, Note, Value
from services.ingest.markup import MarkupError, without_markup
from services.ingest.problems import FieldError, field_errors, shorten

LETTERS_AT_LEAST: Final = 10
"""Of a need's title and text together: less is not enough for anybody to know what is meant."""

_AROUND: Final = 24
"""Characters shown on either side of a marked place."""

_PLACES: Final = 10
"""Marked in one text."""

_OVERRIDES: Final = re.compile("[\u202d\u202e]")
_OPENED: Final = {"\u202a": "\u202c", "\u202b": "\u202c", "\u2066": "\u2069", "\u2067": "\u2069", "\u2068": "\u2069"}
_CLOSING: Final = frozenset(_OPENED.values())
_DIRECTIONS: Final = re.compile("[\u202a-\u202c\u2066-\u2069]")
_INVISIBLE: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")

_Path = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Worded:
    """Content as it is to be published, with what is to be said of it. With `errors` it must not be."""

    value: Value
    errors: tuple[FieldError, ...]
    notes: tuple[Note, ...]


def need(body: NeedBody) -> Worded:
    """Return a need's content with its words made fit."""
    worded = _worded(body, _need_paths(body.model_dump(mode="json")))
    title, text = worded.value["title"], worded.value["text"]
    letters = sum(map(str.isalpha, title + text))
    if letters >= LETTERS_AT_LEAST or worded.errors:
        return worded
    too_short = FieldError(
        "text",
        shorten(text or title),
        f"title and text together have {letters} letters, too few to match anything",
        "Say in a sentence or two what you look for, and what it is for.",
    )
    return replace(worded, errors=(too_short,))


def member(profile: MemberProfile) -> Worded:
    """Return a member's content with its words made fit."""
    return _worded(profile, _member_paths(profile.model_dump(mode="json")))


def same_words(one: Value, other: Value | None) -> bool:
    """Whether two states of one entity say the same, whatever else differs."""
    paths = _member_paths if "assets" in one else _need_paths
    return other is not None and _words(one, paths(one)) == _words(other, paths(other))


def _need_paths(value: Value) -> list[_Path]:
    return [("title",), ("text",), *_labels(value, ())]


def _member_paths(value: Value) -> list[_Path]:
    interests = [("interests", place) for place in range(len(value["interests"]))]
    paths: list[_Path] = [("name",), ("summary",), ("locality",), *interests, *_labels(value, ())]
    for place, asset in enumerate(value["assets"]):
        paths += [("assets", place, "title"), ("assets", place, "text"), *_labels(asset, ("assets", place))]
    return paths


def _labels(value: Value, at: _Path) -> list[_Path]:
    return [(*at, "activities", place, "label") for place in range(len(value["activities"]))]


def _words(value: Value, paths: Iterable[_Path]) -> list[str]:
    return [_at(value, path) for path in paths]


def _worded(content: MemberProfile | NeedBody, paths: Iterable[_Path]) -> Worded:
    value: Value = content.model_dump(mode="json")
    changed, errors, notes = value, list[FieldError](), list[Note]()
    for path in paths:
        field, text = ".".join(map(str, path)), _at(value, path)
        cleaned = unicodedata.normalize("NFC", text)
        try:
            words = without_markup(cleaned)
        except MarkupError:
            errors.append(
                FieldError(field, _excerpt(text, 0, 1), "there is HTML within escaped HTML in it", "Send plain text.")
            )
            continue
        if words != cleaned:
            notes.append(Note(field, "HTML was taken out of it; its words stayed", "Look at it, or send plain text."))
            cleaned = unicodedata.normalize("NFC", words)  # letters and their accents may have come together
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


def _refused(field: str, text: str) -> Iterator[FieldError]:
    for found in addresses_in(text):
        yield FieldError(
            field,
            _excerpt(text, found.start, found.end),
            f"it says how to reach somebody ({found.what})",
            "Take it out. Who answers for the member is told in its contact, and shown once both sides have accepted.",
        )
    if turned := _turned(text):
        yield FieldError(
            field,
            _excerpt(text, *turned),
            "an invisible sign turns the order of letters around",
            "Type the words at the marked place anew.",
        )


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


def _excerpt(text: str, start: int, end: int) -> str:
    """Return the words around a place, which is marked."""
    before, after = text[max(0, start - _AROUND) : start], text[end : end + _AROUND]
    left, right = "…" if start > _AROUND else "", "…" if end + _AROUND < len(text) else ""
    marked = _INVISIBLE.sub(lambda sign: f"U+{ord(sign[0]):04X}", f"{left}{before}→{text[start:end]}←{after}{right}")
    return " ".join(marked.split())


def _at(value: Any, path: _Path) -> str:
    for part in path:
        value = value[part]
    return str(value)


def _with(value: Any, path: _Path, text: str) -> Any:
    """Return a copy of `value` with another text at `path`."""
    if not path:
        return text
    changed = value.copy()
    changed[path[0]] = _with(value[path[0]], path[1:], text)
    return changed
