"""Problem details (RFC 9457): what went wrong, in which field, and what to do about it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import ValidationError

MEDIA_TYPE: Final = "application/problem+json"

# Enough to recognise one's own value in, too short to fill somebody's terminal or log.
VALUE_CHARACTERS: Final = 80

# More than a person mends in one go; a body of a megabyte can hold a hundred thousand.
ERRORS_SHOWN: Final = 50

# Beyond these nobody is told which: a body of a megabyte can hold a million, and to say what is wrong takes longer than
# to find it.
ERRORS_READ: Final = 1_000

RETRY_SECONDS: Final = 1
"""What `Retry-After` says while the log or the store is away: the relay looks again as often."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that cannot be taken. `value` is shortened, and empty where there is none or it is a secret."""

    field: str
    value: str
    detail: str
    remedy: str


class Problem(Exception):  # noqa: N818 - RFC 9457's own word for it
    """A request that is refused. Rendered as `application/problem+json`; `detail` says what to do about it."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """Return the problem as JSON."""
        return json.dumps(self.members(), ensure_ascii=False).encode()

    def members(self) -> dict[str, Any]:
        """Return what the problem says."""
        members: dict[str, Any] = {"type": "about:blank", "title": self.title, "status": self.status}
        members["detail"] = self.detail
        if self.errors:
            members["errors"] = [
                {"field": e.field, "value": e.value, "detail": e.detail, "remedy": e.remedy}
                for e in self.errors[:ERRORS_SHOWN]
            ]
        return members


def not_found(what: str) -> Problem:
    """There is no such thing, or it is not published yet, or was erased."""
    return Problem(404, "Not found", f"There is no {what}. Check the identifiers in the path.")


def unknown_key() -> Problem:
    """The key is nobody's, or not any more."""
    return Problem(
        401,
        "Who are you?",
        "Send a valid key, as in: Authorization: Bearer mk_... The cluster's operator issues it.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def forbidden(detail: str, *errors: FieldError) -> Problem:
    """The key is good, and does not allow this."""
    return Problem(403, "Not allowed", detail, errors=errors)


def invalid(*errors: FieldError) -> Problem:
    """One or more fields cannot be taken."""
    names = len({error.field for error in errors})
    count = "One field" if names == 1 else f"{names} fields"
    more = f"; the first {ERRORS_SHOWN} are shown" if len(errors) > ERRORS_SHOWN else ""
    return Problem(422, "Invalid content", f"{count} cannot be taken{more}. Nothing was stored.", errors=errors)


def no_such_member(member_id: str, cluster: str) -> Problem:
    """A need must belong to somebody."""
    return invalid(
        FieldError(
            "member_id",
            shorten(member_id),
            f"cluster {cluster} has no such member",
            "Publish the member first, or name one that is published.",
        )
    )


def stale(detail: str) -> Problem:
    """A precondition does not hold."""
    return Problem(412, "Precondition failed", detail)


def too_large(limit: int) -> Problem:
    """The body, or the event it would make, is larger than the log takes."""
    return Problem(
        413,
        "Too large",
        f"A published state has at most {limit:,} bytes. Shorten texts, or publish fewer assets.",
        headers={"Connection": "close"},
    )


def away(what: str) -> Problem:
    """Something behind this service does not confirm; the same request will succeed later."""
    return Problem(
        503,
        "Try again",
        f"{what} Send the same request again; it is never applied twice.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


def unconfirmed(what: str) -> Problem:
    """As `away`, of what was heard and allowed: it may be carried out yet. Clients know it by its title."""
    problem = away(what)
    problem.title = "Not confirmed yet"
    return problem


def malformed_or_invalid(error: ValidationError, known: Iterable[str]) -> Problem:
    """Return the problem for what pydantic refused: 400 when it is no JSON, else 422.

    Args:
        known: fields of the outermost object, for the remedy of an unknown one.
    """
    if error.error_count() > ERRORS_READ:
        many = FieldError(
            "", "", f"{error.error_count():,} fields cannot be taken", "Correct the first few, then look again."
        )
        return invalid(many)
    details = error.errors(include_url=False)
    if details[0]["type"] == "json_invalid":
        reason = str(details[0].get("ctx", {}).get("error", ""))
        return Problem(400, "Malformed JSON", f"The body is not JSON in UTF-8: {reason}. Correct it there.")
    return invalid(*field_errors(cast("list[dict[str, Any]]", details), known))


def field_errors(details: Iterable[Mapping[str, Any]], known: Iterable[str] = ()) -> list[FieldError]:
    """Return what pydantic refused, field by field; `known` as above."""
    fields = ", ".join(sorted(known))
    return [_field_error(detail, fields) for detail in details]


def shorten(value: object) -> str:
    """Return `value` as a short line of JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= VALUE_CHARACTERS else f"{text[: VALUE_CHARACTERS - 1]}…"


def _field_error(detail: Mapping[str, Any], known: str) -> FieldError:
    path = detail["loc"]
    field = ".".join(str(part) for part in path)
    missing = detail["type"] == "missing"
    hidden = missing or "secret" in path or not path
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return FieldError(
        field=field or "body",
        value="" if hidden else shorten(detail["input"]),
        detail=message,
        remedy=_remedy(detail, known if len(path) == 1 else ""),
    )


# Every type that the contract's fields can raise and that says of itself what would be right.
_PLAIN: Final = {
    "missing": "Add this field.",
    "model_type": "Send a JSON object.",
    "model_attributes_type": "Send a JSON object.",
    "dict_type": "Send a JSON object.",
    "tuple_type": "Send a JSON array.",
    "list_type": "Send a JSON array.",
    "string_type": "Send a JSON string.",
    "int_type": "Send a whole number.",
    "int_parsing": "Send a whole number.",
    "int_from_float": "Send a whole number.",
    "bool_type": "Send true or false.",
    "bool_parsing": "Send true or false.",
    "timezone_aware": "Add the offset from UTC, as in 2026-01-31T08:00:00Z.",
    "datetime_type": "Send a date and time with its offset, as in 2026-01-31T08:00:00Z.",
    "datetime_parsing": "Send a date and time with its offset, as in 2026-01-31T08:00:00Z.",
    "datetime_from_date_parsing": "Send a date and time with its offset, as in 2026-01-31T08:00:00Z.",
    "datetime_object_invalid": "Send a date and time with its offset, as in 2026-01-31T08:00:00Z.",
    "url_type": "Send an address that starts with http:// or https://.",
    "url_parsing": "Send an address that starts with http:// or https://.",
    "url_scheme": "Send an address that starts with http:// or https://.",
}

# Patterns of the contract, in words. By field name: a pattern itself helps few people.
_PATTERNS: Final = {
    "country": "Send an ISO 3166-1 alpha-2 code in upper case, as in MA.",
    "countries": "Send ISO 3166-1 alpha-2 codes in upper case, as in MA.",
    "language": "Send a BCP 47 tag, as in fr or ar-MA.",
    "languages": "Send BCP 47 tags, as in fr or ar-MA.",
    "email": "Send one address without a name, as in someone@example.org.",
    "phone": "Send one number of digits, spaces, dots, hyphens and parentheses, as in +212 528 12 34 56.",
    "secret": "Send whsec_ followed by 24 to 65 random bytes in padded base64.",
    "code": "Send the code as its list prints it, as in 62.10 (NACE) or 72000000-5 (CPV).",
}
_SLUG: Final = (
    "Use at most 80 letters without accents, digits, dots, underscores and hyphens; start with a letter or digit."
)
_SLUGS: Final = ("city", "represents", "cluster", "clusters")


def _remedy(detail: Mapping[str, Any], known: str) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    names = [part for part in detail["loc"] if isinstance(part, str)]
    name = names[-1] if names else ""
    match kind:
        case "extra_forbidden":
            return f"Remove it; the fields here are {known}." if known else "Remove it, or correct its name."
        case "enum" | "literal_error":
            return f"Use one of {context['expected']}."
        case "string_too_long":
            return f"Shorten it to {context['max_length']:,} characters."
        case "too_long":
            return f"Send at most {context['max_length']:,}."
        case "string_too_short" | "too_short":
            return "Give it a text." if kind == "string_too_short" else f"Send at least {context['min_length']}."
        case "greater_than_equal":
            return f"Send at least {context['ge']}."
        case "less_than_equal":
            return f"Send at most {context['le']}."
        case "string_pattern_mismatch" | "value_error":
            if name in _PATTERNS:
                return _PATTERNS[name]
            if name.endswith("_id") or name in _SLUGS:
                return _SLUG
            return "Give it a text." if kind == "string_pattern_mismatch" else "Correct it as the detail says."
        case _:
            return _PLAIN.get(kind, "Correct it as the detail says.")
