"""A person's newest suggestions for a feed reader (Atom, RFC 4287), at an address that opens nothing else.

Feed readers keep their addresses, some on machines of others, and no program that reads a feed can sign in. So the
address has a token of its own, and links lead to where whoever follows one has to be signed in.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from io import BytesIO
from typing import Any, Final
from uuid import UUID

from fastapi import FastAPI, Request, Response
from feedgenerator import Atom1Feed

from schemas.ids import derived_id
from services.notifier.address import Tokens
from services.notifier.composing import told_to
from services.notifier.domain.preferences import Person
from services.notifier.domain.presentation import card
from services.notifier.pages.private import Doorkeeper, private_page
from services.notifier.pages.reader import Reader
from services.notifier.store import Brief, Kept, NotifierStore
from services.runtime.clock import Clock
from services.web.private import PRIVATE

ENTRIES: Final = 50
"""What a feed holds: more than anybody is told in a day, so a reader that asks once a day misses nothing."""

_FORM: Final = "2"
"""Part of each `ETag`: another one when entries are written otherwise, so that readers ask for them anew."""


def feed_routes(
    app: FastAPI, *, store: NotifierStore, tokens: Tokens, door: Doorkeeper, base: str, clock: Clock
) -> None:
    """Add the feed to `app`."""
    feeds = _Feeds(store=store, tokens=tokens, door=door, base=base, clock=clock)

    @app.api_route("/feed/{token}.atom", methods=["GET", "HEAD"], include_in_schema=False)
    async def feed(request: Request, token: str) -> Response:
        """What somebody was told last and still stands; 304 to a reader that has it."""
        return await feeds.feed(request, token)


def feed_url(base: str, tokens: Tokens, person: Person) -> str:
    """Return the private address of somebody's feed."""
    return f"{base}/feed/{tokens.feed(person.key, person.epoch)}.atom"


class _Feeds:
    def __init__(self, *, store: NotifierStore, tokens: Tokens, door: Doorkeeper, base: str, clock: Clock) -> None:
        self._suggestions = store.suggestions
        self._tokens = tokens
        self._door = door
        self._base = base
        self._clock = clock

    async def feed(self, request: Request, token: str) -> Response:
        opened = self._tokens.feeding(token)

        async def show(person: Person, reader: Reader) -> Response:
            if opened is None or opened.epoch != person.epoch:  # it ended with their private address
                return private_page(reader, "denied.html", 403)
            newest = await self._suggestions.newest_open(str(person.key), ENTRIES)
            # To the second, as the header has it. Who was told of nothing yet has a feed as old as their profile.
            changed = (
                max([person.published_at, *(one.told_at for one in newest)]).astimezone(UTC).replace(microsecond=0)
            )
            tag = _tag(newest, person, reader)
            headers = {
                **PRIVATE,
                "cache-control": "private, no-cache",  # kept, and asked for again: what lapsed is not shown
                "etag": tag,
                "last-modified": format_datetime(changed.astimezone(UTC), usegmt=True),
            }
            if _has_it(request, tag, changed):
                return Response(status_code=304, headers=headers)
            kept = {
                one.suggestion_id: one for one in await self._suggestions.load([one.suggestion_id for one in newest])
            }
            shown = [(one, kept[one.suggestion_id]) for one in newest if one.suggestion_id in kept]
            return Response(
                self._written(person, reader, shown, changed),
                media_type="application/atom+xml; charset=utf-8",
                headers=headers,
            )

        return await self._door.open_for(request, opened.key if opened else None, show)

    def _written(self, person: Person, reader: Reader, shown: Sequence[tuple[Brief, Kept]], changed: datetime) -> bytes:
        feed = _Atom(
            title=reader.plain("feed_title.txt", person=person).strip(),
            link=f"{self._base}/inbox/me",
            description=None,
            language=reader.language,
            author_name="Maillage",
            feed_url=feed_url(self._base, self._tokens, person),
            feed_guid=derived_id("feed", str(person.key)).urn,
            changed=changed,
        )
        for brief, kept in shown:
            # Erased or taken from them since: it is not told any more.
            if kept.made is None or kept.lapsed is not None or told_to(kept, str(person.key)) is None:
                continue
            seen = card(kept.made, now=self._clock())
            feed.add_item(
                title=reader.plain("feed_entry_title.txt", card=seen).strip(),
                link=f"{self._base}/inbox/me/s/{kept.suggestion_id}",
                description=reader.plain("feed_entry.txt", card=seen).strip(),
                unique_id=entry_id(kept.suggestion_id, kept.revision).urn,
                pubdate=kept.made.made_at,
                updateddate=brief.told_at,
            )
        written = BytesIO()
        feed.write(written, "utf-8")
        return written.getvalue()


def entry_id(suggestion_id: UUID, revision: int) -> UUID:
    """Return the id of an entry: a new revision is to be read anew, and a reader shows by its id what is new."""
    return derived_id("feed entry", str(suggestion_id), str(revision))


class _Atom(Atom1Feed):  # type: ignore[misc]  # untyped
    """As the library writes it, but summaries are texts, and the feed says itself when it changed."""

    def latest_post_date(self) -> datetime:
        changed: datetime = self.feed["changed"]
        return changed

    def add_item_elements(self, handler: Any, item: dict[str, Any]) -> None:
        summary, text = item["description"], {**item, "description": None}
        super().add_item_elements(handler, text)
        handler.addQuickElement("summary", summary, {"type": "text"})


def _tag(newest: Sequence[Brief], person: Person, reader: Reader) -> str:
    states = (f"{one.suggestion_id} {one.rev} {one.told_at.timestamp()}" for one in newest)
    # The feed names its reader: `rev` stands for what their profile says.
    said = " ".join([_FORM, str(person.rev), reader.language, reader.digits, *states])
    return f'"{hashlib.sha256(said.encode()).hexdigest()[:32]}"'


def _has_it(request: Request, tag: str, changed: datetime) -> bool:
    """Return whether the reader has what we would answer (RFC 9110, 13.2.2: a tag goes before a date)."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        return tags.strip() == "*" or tag in (one.strip().removeprefix("W/") for one in tags.split(","))
    with suppress(KeyError, ValueError, TypeError, OverflowError):  # none, or no date
        return changed <= parsedate_to_datetime(request.headers["if-modified-since"])
    return False
