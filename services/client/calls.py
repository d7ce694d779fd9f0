"""The requests of the API: what is sent, and how its answer is read. Whoever sends them may wait or await."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx

from . import answers
from .answers import Content, IssuedKey, MisuseError, Published, Taken, checked

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request.

    Attributes:
        repeatable: it may be sent again and again, and is never carried out twice.
        gone: statuses that say, to what was heard before, that it was carried out: there is nothing left to refuse.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, str] = field(default_factory=dict)
    content: Content | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    gone: Collection[int] = ()

    def body(self) -> bytes | None:
        """Return what is sent: the same for the same fields, in whatever order they come.

        Raises:
            MisuseError: it is nothing that JSON can spell.
        """
        if self.content is None:
            return None
        try:
            return json.dumps(self.content, ensure_ascii=False, sort_keys=True, allow_nan=False).encode()
        except (ValueError, TypeError, RecursionError) as error:
            raise MisuseError(f"The content is no JSON in UTF-8: {error}") from None

    def answered(self, answer: httpx.Response, *, heard: bool) -> T:
        """Return what an answer says; `heard`: the same was sent before, and may have been carried out.

        Raises:
            AwayError: it says to come back.
            RefusedError: it says no.
        """
        if not (heard and answer.status_code in self.gone):
            checked(answer)
        return self.read(answer)


@dataclass(frozen=True, slots=True)
class Calls:
    """The requests about one cluster."""

    cluster: str

    def put(self, path: str, content: Content, if_match: int | None = None) -> Call[Taken]:
        """Replace what is at a path, whole; only revision `if_match` of it, if that is given."""
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        return Call("PUT", path, answers.taken, content=content, headers=headers)

    def get(self, path: str) -> Call[Published]:
        """Read what is at a path."""
        return Call("GET", path, answers.published)

    def delete(self, path: str) -> Call[Taken]:
        """Erase what is at a path."""
        return Call("DELETE", path, answers.taken)

    def erase_member(self, member_id: str) -> Call[Taken]:
        """Erase a member; with it goes its key, perhaps the one that asks."""

        def erased(answer: httpx.Response) -> Taken:
            return answers.taken(answer) if answer.is_success else Taken(member_id, 0)

        return Call("DELETE", self.path("members", member_id), erased, gone=(401,))

    def post_need(self, content: Content, key: str | None) -> Call[Taken]:
        """Publish a new need."""
        # Made here, once: however often the request is sent, it is one need.
        headers = {"Idempotency-Key": key or str(uuid4())}
        return Call("POST", self.path("needs"), answers.taken, content=content, headers=headers)

    def withdraw(self, need_id: str) -> Call[Taken]:
        """Let a need stand no more."""
        return Call("POST", f"{self.path('needs', need_id)}/withdrawal", answers.taken)

    def needs(
        self, member_id: str | None, status: str | None, at_a_time: int
    ) -> Call[tuple[list[dict[str, Any]], str | None]]:
        """List needs, the first part."""
        wanted = {"member_id": member_id, "status": status, "limit": str(at_a_time)}
        params = {name: value for name, value in wanted.items() if value is not None}
        return Call("GET", self.path("needs"), answers.listed, params=params)

    def rest(self, url: str) -> Call[tuple[list[dict[str, Any]], str | None]]:
        """List the part that an answer leads to."""
        return Call("GET", url, answers.listed)

    def keys(self, member_id: str) -> Call[list[IssuedKey]]:
        """List the keys of a member."""
        params = {"cluster": self.cluster, "member_id": member_id}
        return Call("GET", "/v1/keys", answers.keys, params=params)

    def issue_key(
        self, member_id: str, scopes: Sequence[str] | None, label: str, ends_at: datetime | None
    ) -> Call[IssuedKey]:
        """Issue a key to a member."""
        content: dict[str, Any] = {"cluster": self.cluster, "member_id": member_id, "label": label}
        if scopes is not None:
            content["scopes"] = list(scopes)
        if ends_at is not None:
            content["ends_at"] = ends_at.isoformat()
        return Call("POST", "/v1/keys", answers.issued, content=content, repeatable=False)

    def rotate_key(self, key_id: str, overlap_seconds: int) -> Call[IssuedKey]:
        """Have a key give way to another."""
        content = {"overlap_seconds": overlap_seconds}
        return Call(
            "POST", f"/v1/keys/{quote(key_id, safe='')}/rotation", answers.issued, content=content, repeatable=False
        )

    def revoke_key(self, key_id: str) -> Call[None]:
        """Revoke a key."""
        # Of a key that is not there 404 is said to the operator, 403 to others, 401 to whoever asks with it.
        return Call("DELETE", f"/v1/keys/{quote(key_id, safe='')}", lambda _: None, gone=(401, 403, 404))

    def path(self, *parts: str) -> str:
        """Return the path of something in the cluster."""
        return "/".join(("/v1/clusters", *(quote(part, safe="") for part in (self.cluster, *parts))))


def access(url: str, key: str) -> dict[str, str]:
    """Return the headers by which a key is shown.

    Raises:
        MisuseError: it is no address, or no key.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise MisuseError(f"{url!r} is no address: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise MisuseError(f"{url!r} is no address: it begins with http:// or https://")
    if not (key.isascii() and key.isprintable() and key.strip()):
        raise MisuseError("The key has signs that no key has, or none: copy it again.")
    return {"Authorization": f"Bearer {key.strip()}"}
