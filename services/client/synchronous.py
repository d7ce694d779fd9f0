"""A client whose methods return when it is done. Written by `generate`."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from tenacity import Retrying

from .answers import AwayError, Content, IssuedKey, MisuseError, Published, Taken
from .calls import Call, Calls, access
from .patience import AWAY, Patience, once

T = TypeVar("T")

# Who did not even listen has heard nothing.
_UNHEARD = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class Maillage:
    """Publishes for one member, or with the operator's key for all of a cluster.

    Every method raises `RefusedError` when the API says no, `AwayError` when it was away for `patience_seconds`, and
    `MisuseError` where there is nothing that could be sent.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str,
        cluster: str,
        patience_seconds: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`transport`: another way to the service than the network, for tests.

        Raises:
            MisuseError: it is no address, no key, or no time.
        """
        self._calls = Calls(cluster)
        self._patience = Patience(patience_seconds)
        self._http = httpx.Client(base_url=url, headers=access(url, key), timeout=30.0, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections."""
        self._http.close()

    def put_member(self, member_id: str, profile: Content, *, if_match: int | None = None) -> Taken:
        """Publish a member's profile, whole. With `if_match` only if that is its revision now."""
        return self._do(self._calls.put(self._calls.path("members", member_id), profile, if_match))

    def get_member(self, member_id: str) -> Published:
        """Return a member's profile as it is published."""
        return self._do(self._calls.get(self._calls.path("members", member_id)))

    def erase_member(self, member_id: str) -> Taken:
        """Erase a member with its contact, its needs and its keys."""
        return self._do(self._calls.erase_member(member_id))

    def put_contact(self, member_id: str, contact: Content, *, if_match: int | None = None) -> Taken:
        """Tell who answers for a member when it is introduced."""
        return self._do(self._calls.put(self._calls.path("members", member_id, "contact"), contact, if_match))

    def get_contact(self, member_id: str) -> Published:
        """Return a member's contact."""
        return self._do(self._calls.get(self._calls.path("members", member_id, "contact")))

    def erase_contact(self, member_id: str) -> Taken:
        """Erase a member's contact."""
        return self._do(self._calls.delete(self._calls.path("members", member_id, "contact")))

    def post_need(self, need: Content, *, idempotency_key: str | None = None) -> Taken:
        """Publish a new need. The same `idempotency_key` with the same content makes one need, for 24 hours.

        Without one each call makes a need; what is sent again while the service is away makes none more.
        """
        return self._do(self._calls.post_need(need, idempotency_key))

    def put_need(self, need_id: str, need: Content, *, if_match: int | None = None) -> Taken:
        """Publish a need under an id of one's own, whole."""
        return self._do(self._calls.put(self._calls.path("needs", need_id), need, if_match))

    def get_need(self, need_id: str) -> Published:
        """Return a need as it is published."""
        return self._do(self._calls.get(self._calls.path("needs", need_id)))

    def withdraw_need(self, need_id: str) -> Taken:
        """Let a need stand no more; its text is kept."""
        return self._do(self._calls.withdraw(need_id))

    def erase_need(self, need_id: str) -> Taken:
        """Erase a need."""
        return self._do(self._calls.delete(self._calls.path("needs", need_id)))

    def needs(
        self, *, member_id: str | None = None, status: str | None = None, at_a_time: int = 100
    ) -> Iterator[dict[str, Any]]:
        """Yield the needs of a member, in the order of their ids; an answer brings `at_a_time`, 100 at most."""
        items, following = self._do(self._calls.needs(member_id, status, at_a_time))
        while True:
            for item in items:
                yield item
            if following is None:
                return
            items, following = self._do(self._calls.rest(following))

    def keys(self, member_id: str) -> list[IssuedKey]:
        """Return the keys of a member, the newest first, without what makes them keys."""
        return self._do(self._calls.keys(member_id))

    def issue_key(
        self,
        member_id: str,
        *,
        scopes: Sequence[str] | None = None,
        label: str = "",
        ends_at: datetime | None = None,
    ) -> IssuedKey:
        """Issue a key to a member. Not sent twice: where the answer is lost, revoke the key that nobody has."""
        return self._do(self._calls.issue_key(member_id, scopes, label, ends_at))

    def rotate_key(self, key_id: str, *, overlap_seconds: int = 86_400) -> IssuedKey:
        """Have a key give way to another, which is returned; the old one opens for the overlap yet."""
        return self._do(self._calls.rotate_key(key_id, overlap_seconds))

    def revoke_key(self, key_id: str) -> None:
        """Make a key worthless, at once."""
        self._do(self._calls.revoke_key(key_id))

    def _do(self, call: Call[T]) -> T:
        stop, heard = self._patience.ended if call.repeatable else once, False
        for attempt in Retrying(retry=AWAY, wait=self._patience.pause, stop=stop, reraise=True):
            with attempt:
                try:
                    return call.answered(self._send(call), heard=heard)
                except AwayError as away:
                    heard = heard or away.done
                    raise
        raise AssertionError("it is returned or raised")

    def _send(self, call: Call[Any]) -> httpx.Response:
        try:
            return self._http.request(
                call.method,
                call.path,
                params=call.params or None,
                content=call.body(),
                headers={**call.headers, **({} if call.content is None else {"Content-Type": "application/json"})},
            )
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL) as error:
            raise MisuseError(f"Nobody can be asked like this: {error}") from None
        except httpx.TransportError as error:
            # Who did not even listen has heard nothing.
            done = not isinstance(
                error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError
            )
            raise AwayError(f"{self._http.base_url} does not answer ({type(error).__name__})", done=done) from None
