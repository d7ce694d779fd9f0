"""What the API answers, as values; and what it refuses, as errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

import httpx

Content = Mapping[str, Any]
"""The fields of a profile, a contact or a need, as the API's description has them."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something to know of what was published all the same."""

    field: str
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What was sent is published: stored for good, and on the log.

    Attributes:
        rev: counts its states; 0: not known, for the answer that said it was lost.
    """

    id: str
    rev: int
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """What is published now. Send `rev` as `if_match` to replace just this."""

    rev: int
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key. `key` is what makes it one, and is told once: in the answer that issues it."""

    key_id: str
    scopes: tuple[str, ...]
    label: str
    key: str | None = None
    issued_at: str | None = None
    used_at: str | None = None
    ends_at: str | None = None


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that cannot be taken, and what to do about it."""

    field: str
    value: str
    detail: str
    remedy: str


class MaillageError(Exception):
    """Maillage did not do what it was asked for."""


class RefusedError(MaillageError):
    """It will not, however often it is asked: `detail` and `errors` say why (RFC 9457)."""

    def __init__(self, status: int, title: str, detail: str, errors: Sequence[FieldError] = ()) -> None:
        said = "".join(f"\n  {error.field}: {error.value!r} {error.detail}. {error.remedy}" for error in errors)
        super().__init__(f"{detail}{said}")
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)


class MisuseError(MaillageError):
    """It cannot be asked like this: an address, a key or a content that nobody can send."""


class AwayError(MaillageError):
    """It is away, and was for as long as we were patient; what was asked for may have been done all the same.

    To ask again is safe, but for three: `issue_key` and `rotate_key` may make a key more (`keys` shows it), and
    `post_need` without an `idempotency_key` a need more.

    Attributes:
        after: seconds after which it said to come back; 0 where it said nothing.
        done: the request was heard, and was or may be carried out.
    """

    def __init__(self, detail: str, after: float = 0.0, *, done: bool = False) -> None:
        super().__init__(detail)
        self.after = after
        self.done = done


_AWAY = (429, 500, 502, 503, 504)

# What the service calls it when it took a request and the log was slow to confirm it.
_UNCONFIRMED: Final = "Not confirmed yet"

T = TypeVar("T", FieldError, Note)


def checked(answer: httpx.Response) -> httpx.Response:
    """Return an answer that grants what was asked for.

    Raises:
        AwayError: it says to come back.
        RefusedError: it says no.
    """
    if answer.is_success:
        return answer
    try:
        said = answer.json()
    except ValueError:
        said = None
    problem: dict[str, Any] = said if isinstance(said, dict) else {}
    detail = problem.get("detail", f"The service answered {answer.status_code}.")
    if answer.status_code in _AWAY:
        after = answer.headers.get("retry-after", "")
        done = problem.get("title") == _UNCONFIRMED
        raise AwayError(detail, float(after) if after.isdecimal() else 0.0, done=done)
    errors = [_known(FieldError, error) for error in problem.get("errors", ())]
    raise RefusedError(answer.status_code, problem.get("title", "Refused"), detail, errors)


def taken(answer: httpx.Response) -> Taken:
    """Read what a write answers."""
    said = answer.json()
    return Taken(said["id"], said["rev"], tuple(_known(Note, note) for note in said.get("notes", ())))


def published(answer: httpx.Response) -> Published:
    """Read what is published."""
    return Published(int(answer.headers["etag"].strip('"')), answer.json())


def listed(answer: httpx.Response) -> tuple[list[dict[str, Any]], str | None]:
    """Read part of a list, and where the rest is."""
    following = answer.links.get("next", {}).get("url")
    return answer.json()["items"], following


def issued(answer: httpx.Response) -> IssuedKey:
    """Read a key that was just issued."""
    return _key(answer.json())


def keys(answer: httpx.Response) -> list[IssuedKey]:
    """Read the keys of a member."""
    return [_key(key) for key in answer.json()["keys"]]


def _known(kind: type[T], said: dict[str, Any]) -> T:
    """Read what we know of; a later version may say more."""
    return kind(**{field.name: str(said.get(field.name, "")) for field in fields(kind)})


def _key(said: dict[str, Any]) -> IssuedKey:
    known = {name: said[name] for name in ("key_id", "label", "key", "issued_at", "used_at", "ends_at") if name in said}
    return IssuedKey(scopes=tuple(said["scopes"]), **known)
