"""From a form to what the API takes, from what is published to a form, and from a refusal to its fields."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import Any, Final
from zoneinfo import ZoneInfo

from starlette.datastructures import FormData

from services.ingest.entities import Value
from services.ingest.problems import Problem
from services.ingest.service import OPERATORS_FIELDS

LAST_MINUTE: Final = time(23, 59)
"""Of the day that somebody names as the last one."""

NEED_FIELDS: Final = ("direction", "title", "text", "stage", "language")
PROFILE_FIELDS: Final = ("name", "kind", "summary", "country", "locality", "city")
ASSET_FIELDS: Final = ("kind", "title", "text", "stage", "language")

_EMPTY_IS_NONE: Final = ("stage", "language", "city", "trl")


class WrongDayError(ValueError):
    """It is no day, or one that is over."""


def need_of(form: FormData, before: Value | None, *, member_id: str, zone: ZoneInfo, now: datetime) -> Value:
    """Return the need that a form describes; what it does not ask for stays as it is published.

    Raises:
        WrongDayError: of the deadline.
    """
    value = dict(before or {})
    value |= _said(form, NEED_FIELDS) | {"member_id": member_id}
    value.setdefault("status", "open")  # whoever corrects a withdrawn need does not post it again
    value["kinds_sought"] = [kind for kind in _all(form, "kinds_sought") if kind]
    value["countries"] = [code.upper() for code in _listed(form, "countries")]
    value["languages"] = _listed(form, "languages")
    published, day = value.get("deadline"), _text(form, "deadline")
    if not (published and day == day_of(published, zone)):  # the hour of the day shown may be another than ours
        value["deadline"] = deadline_of(day, zone=zone, now=now)
    return value


def day_of(deadline: str, zone: ZoneInfo) -> str:
    """Return the day on which a deadline is, where the organisation lives."""
    end = datetime.fromisoformat(deadline)
    with suppress(OverflowError):  # beyond the year 9999, which people write for "no deadline"
        end = end.astimezone(zone)
    return end.date().isoformat()


def deadline_of(said: str, *, zone: ZoneInfo, now: datetime, needed: bool = False) -> str | None:
    """Return the end of a day, as the API takes it; none: no deadline.

    Raises:
        WrongDayError: it is no day, or over, or it is `needed` and not said.
    """
    if not said and not needed:
        return None
    try:
        end = datetime.combine(date.fromisoformat(said), LAST_MINUTE, zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise WrongDayError from None
    if end <= now:
        raise WrongDayError
    return end.isoformat()


def profile_of(form: FormData, before: Value) -> Value:
    """Return the profile that a form describes; what it does not ask for stays as it is published."""
    value = ours(before) | _said(form, PROFILE_FIELDS)
    value["languages"] = _listed(form, "languages")
    value["interests"] = [line.strip() for line in _text(form, "interests").splitlines() if line.strip()]
    return value


def with_asset(before: Value, asset_id: str, form: FormData) -> Value:
    """Return a profile in which one asset is as a form describes it: in its place, or the last one if it is new."""
    assets = [dict(asset) for asset in before["assets"]]
    said = _said(form, ASSET_FIELDS) | {"asset_id": asset_id}
    for number, asset in enumerate(assets):
        if asset["asset_id"] == asset_id:
            assets[number] = asset | said
            break
    else:
        assets.append(said)
    return ours(before) | {"assets": assets}


def without_asset(before: Value, asset_id: str) -> Value:
    """Return a profile without an asset."""
    return ours(before) | {"assets": [asset for asset in before["assets"] if asset["asset_id"] != asset_id]}


def ours(profile: Value) -> Value:
    """Return what an organisation says of itself."""
    return {name: value for name, value in profile.items() if name not in OPERATORS_FIELDS}


def filled(value: Mapping[str, Any], *, zone: ZoneInfo) -> dict[str, Any]:
    """Return what a form is filled in with for what is published."""
    shown = {name: "" if content is None else content for name, content in value.items()}
    for name in ("countries", "languages"):
        shown[name] = ", ".join(value.get(name) or ())
    if "interests" in value:
        shown["interests"] = "\n".join(value["interests"])
    if deadline := value.get("deadline"):
        shown["deadline"] = day_of(deadline, zone)
    return shown


def refilled(form: FormData) -> dict[str, Any]:
    """Return what somebody wrote into a form, to be shown to them again."""
    shown: dict[str, Any] = {name: _text(form, name) for name in form}
    shown["kinds_sought"] = _all(form, "kinds_sought")
    return shown


def differing(shown: Mapping[str, Any], published: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is published of each field of a form that says something else."""
    both = ((name, shown.get(name, ""), said) for name, said in published.items() if name in shown)
    return {name: said for name, ours, said in both if _comparable(ours) != _comparable(said)}


def _comparable(said: Any) -> Any:
    return sorted(said) if isinstance(said, list) else said


def wrong_fields(problem: Problem, *, inside: str = "") -> set[str]:
    """Return the names of the form's fields that a refusal is about.

    Args:
        inside: what their paths begin with, as `assets.3.`.
    """
    paths = (error.field.removeprefix(inside) for error in problem.errors)
    return {path.partition(".")[0] for path in paths}


def _said(form: FormData, names: Sequence[str]) -> Value:
    said = {name: _text(form, name) for name in names}
    return {name: None if name in _EMPTY_IS_NONE and not value else value for name, value in said.items()}


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    # Browsers end lines as mail does; a text that nobody touched is the one that is published.
    return value.replace("\r\n", "\n").strip() if isinstance(value, str) else ""


def _all(form: FormData, name: str) -> list[str]:
    return [value for value in form.getlist(name) if isinstance(value, str)]


def _listed(form: FormData, name: str) -> list[str]:
    """Return what is separated by commas, Arabic ones too, semicolons or spaces."""
    return _text(form, name).replace("،", " ").replace(",", " ").replace(";", " ").split()
