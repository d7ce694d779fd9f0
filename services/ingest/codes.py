"""Whether a code exists is checked here, where data enters; the contract checks its shape alone."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

import langcodes
import pycountry

from schemas.members import MemberProfile
from schemas.needs import NeedProfile
from services.ingest.problems import FieldError, shorten

# Every tag in daily use fits; what strangers invent does not fill the memory.
_TAGS_REMEMBERED = 4_096


@lru_cache(maxsize=_TAGS_REMEMBERED)
def _is_country(code: str) -> bool:
    return pycountry.countries.get(alpha_2=code) is not None


@lru_cache(maxsize=_TAGS_REMEMBERED)
def _is_language(tag: str) -> bool:
    return langcodes.tag_is_valid(tag)


def check_member(profile: MemberProfile) -> Iterator[FieldError]:
    """Yield what the standard lists, and the identity of each asset, have against a profile."""
    yield from _countries([("country", profile.country)])
    yield from _languages((f"languages.{n}", tag) for n, tag in enumerate(profile.languages))
    yield from _languages((f"assets.{n}.language", asset.language) for n, asset in enumerate(profile.assets))
    seen: set[str] = set()
    for n, asset in enumerate(profile.assets):
        if asset.asset_id in seen:
            yield FieldError(
                f"assets.{n}.asset_id", asset.asset_id, "another asset has this id", "Give each asset an id of its own."
            )
        seen.add(asset.asset_id)


def check_need(profile: NeedProfile) -> Iterator[FieldError]:
    """Yield what the standard lists have against a need."""
    yield from _countries((f"countries.{n}", code) for n, code in enumerate(profile.countries))
    yield from _languages([("language", profile.language)])
    yield from _languages((f"languages.{n}", tag) for n, tag in enumerate(profile.languages))


def _countries(codes: Iterable[tuple[str, str]]) -> Iterator[FieldError]:
    for field, code in codes:
        if not _is_country(code):
            yield FieldError(
                field, shorten(code), "no country has this code", "Use an ISO 3166-1 alpha-2 code, as in MA."
            )


def _languages(tags: Iterable[tuple[str, str | None]]) -> Iterator[FieldError]:
    for field, tag in tags:
        if tag is not None and not _is_language(tag):
            yield FieldError(field, shorten(tag), "no language has this tag", "Use a BCP 47 tag, as in fr or ar-MA.")
