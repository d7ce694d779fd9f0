"""The requests of the API: what is sent, and how its answer is read. Whoever sends them may wait or await."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx

from . import answers
from .answers import Content, IssuedKey, Published, Taken

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request.

    Attributes:
        repeatable: it may be sent again and again, and is never carried out twice.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, str] = field(default_factory=dict)
    content: Content | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True


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
        return Call("DELETE", f"/v1/keys/{quote(key_id, safe='')}", lambda _: None)

    def path(self, *parts: str) -> str:
        """Return the path of something in the cluster."""
        return "/".join(("/v1/clusters", *(quote(part, safe="") for part in (self.cluster, *parts))))
