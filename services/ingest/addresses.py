"""Where a text says how to reach somebody: by e-mail, by telephone, by a messenger.

Figures are what industry writes: dates, customs codes, amounts, coordinates, company numbers. So of a number without a
country code only the ways of writing it are taken that people use for telephones.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Final

from phonenumbers import NumberParseException, is_possible_number, parse

_CANDIDATES: Final = 50
"""Numbers with a country code that are looked at in one text."""

# Signs that look alike, each made one; a text stays as long as it was.
_ALIKE: Final = str.maketrans(
    {chr(zero + digit): str(digit) for zero in (0x0660, 0x06F0, 0xFF10) for digit in range(10)}
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u00a0\u2007\u2009\u202f\t", " ")
    | {"\uff20": "@", "\uff0e": ".", "\uff0b": "+"}
)
_UNSEEN: Final = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")

_EMAIL: Final = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,7}\.(?:xn--[\w-]{1,59}|[^\W\d_]{2,24})\b")
_MESSENGER: Final = re.compile(
    r"\b(?:wa\.me|t\.me|telegram\.me|m\.me|signal\.me|(?:api|chat|web)\.whatsapp\.com)/[\w+?=&%/#.-]+|"
    r"\b(?:whatsapp|tg|sms|tel)://?[\w+?=&%/-]+",
    re.IGNORECASE,
)

_NOT_AFTER: Final = r"(?<!\w)(?<!\d[.,/+-])"
_IN_THE_COUNTRY: Final = re.compile(
    _NOT_AFTER
    + r"""(?:
        0[5-8]\d{8}                                                         # 0612345678
      | 0[5-8](?P<pairs>[ .-])\d\d(?:(?P=pairs)\d\d){3}                    # 05 28 12 34 56
      | \(?0[5-8](?:1[5-9]|[2-9]\d)\)?[ .-]\d\d(?P<four>[ .-])\d\d(?P=four)\d\d  # 0528 12 34 56; not 0805.50.10.00
      | \(?0[5-8]\d\d\)?[ .-]\d{6}                                       # 0528-123456
      | \(0[5-8]\d\d\)\d{6}                                             # (0528)123456
      | 0[5-8]\d\d(?P<threes>[ .-])\d{3}(?P=threes)\d{3}                  # 0661 234 567
    )(?!\d)(?![.,]\d)""",
    re.VERBOSE,
)
"""As Morocco writes its own."""

_ABROAD: Final = re.compile(
    _NOT_AFTER + r"(?:\+(?=\d)|00 ?(?=[1-9]))\d{1,14}(?:(?:[ .-]| - | ?\(0?\)?|\) ?| ?\(0\) ?)\d{1,12}){0,7}(?!\d)"
)
_BOOK: Final = re.compile(r"isbn\W*$", re.IGNORECASE)
_DIGITS_AT_MOST: Final = 15
"""Of a number with its country code (E.164), and one fewer than a company number of Morocco behind its zeros."""


@dataclass(frozen=True, slots=True)
class Found:
    """A place that says how to reach somebody, and by what."""

    start: int
    end: int
    what: str


def addresses_in(text: str) -> Iterator[Found]:
    """Yield the places that say how to reach somebody."""
    plain = text.translate(_ALIKE)
    if not _UNSEEN.search(plain):
        yield from _addresses(plain)
        return
    seen = [place for place, sign in enumerate(plain) if not _UNSEEN.match(sign)]
    for found in _addresses("".join(plain[place] for place in seen)):
        yield Found(seen[found.start], seen[found.end - 1] + 1, found.what)


def _addresses(text: str) -> Iterator[Found]:
    if "@" in text:
        yield from (Found(*found.span(), "an e-mail address") for found in _EMAIL.finditer(text))
    yield from (Found(*found.span(), "a messenger's address") for found in _MESSENGER.finditer(text))
    for found in _IN_THE_COUNTRY.finditer(text):
        if not _BOOK.search(text, max(0, found.start() - 8), found.start()) and not _counts_on(found[0]):
            yield Found(*found.span(), "a telephone number")
    for found in islice(_ABROAD.finditer(text), _CANDIDATES):
        if _is_abroad(found[0]):
            yield Found(*found.span(), "a telephone number")


def _counts_on(written: str) -> bool:
    """Whether it is a row like 05-06-07-08-09."""
    groups = [int(group) for group in re.findall(r"\d+", written)]
    return len(groups) > 2 and all(later - sooner == 1 for sooner, later in pairwise(groups))


def _is_abroad(written: str) -> bool:
    groups = re.findall(r"\d+", written)
    digits = "".join(groups)
    if "000" in groups or (written.startswith("00") and len(digits) >= _DIGITS_AT_MOST):
        return False  # an amount, or a company number
    try:
        return is_possible_number(parse("+" + (digits.removeprefix("00") if written.startswith("00") else digits)))
    except NumberParseException:
        return False
