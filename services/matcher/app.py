"""The matcher, composed."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from schemas.previews import PREVIEW_PATH
from schemas.topics import FEEDBACK, MAX_EVENT_BYTES, MEMBERS, NEEDS
from services.matcher.domain.pairing import Bar
from services.matcher.handlers import events_to
from services.matcher.index.compile import compile_missing
from services.matcher.index.text.language import read_model
from services.matcher.keeping import Keeper
from services.matcher.previewing import preview_routes
from services.matcher.relay import Relay
from services.matcher.service import Given, Matcher
from services.matcher.settings import MatcherSettings
from services.matcher.store import MatcherStore
from services.runtime.bounds import Bounds
from services.runtime.microservice import Microservice

# How often it is looked whether a snapshot is due: after an erasure there is none until then.
_KEEP_SECONDS = 60.0

# How late an expiry may be noticed, and a failed publication tried again.
_LOOK_SECONDS = 1.0


_BOUNDS = Bounds(paths={PREVIEW_PATH: Bounds(request_bytes=2 * MAX_EVENT_BYTES, whole_seconds=5.0)})


def build(settings: MatcherSettings) -> Microservice:
    """Return the matcher, ready to run."""
    frame = Microservice("matcher", settings, bounds=_BOUNDS)
    reading, shares = frame.broadcast((MEMBERS, NEEDS, FEEDBACK), shared_by=NEEDS)
    matcher = compose(frame, settings, given=shares, on_progress=reading.settlement.progress)
    reading.begin_at(matcher.places)
    reading.handle_with(events_to(matcher))
    shares.give_away_after(matcher.at_rest)
    frame.every(_LOOK_SECONDS, "shares", reading.look)
    if settings.preview_key is not None:
        preview_routes(frame.app, matcher, settings.preview_key)
    return frame


def compose(
    frame: Microservice, settings: MatcherSettings, *, given: Given, on_progress: Callable[[], None] = lambda: None
) -> Matcher:
    """Put the matcher into its frame; return it, for whoever gives it events."""
    store = MatcherStore(frame.store)
    bar = Bar(
        score=settings.bar,
        posted=settings.suggestions_per_request,
        standing=settings.suggestions_per_standing_request,
    )
    relay = Relay(store=store, publisher=frame.publisher, holding=lambda: matcher.holding)
    publishing = frame.every(_LOOK_SECONDS, "publishing", relay.publish_due)
    matcher = Matcher(
        store=store,
        clock=frame.clock,
        bar=bar,
        tellings_per_week=settings.tellings_per_week,
        given=given,
        log_id=lambda: frame.log_id,
        on_told=publishing.wake,
        on_progress=on_progress,
        keeper=Keeper(Path(settings.snapshot) if settings.snapshot else None),
    )
    # Compressed: a core of its own has it read before the first text asks for it.
    Thread(target=read_model, name="language model", daemon=True).start()
    frame.on_start(_compile)
    frame.on_start(matcher.restore)
    frame.on_new_log(relay.publish_all_again)
    frame.waits("suggestions", store.count_unpublished)
    frame.every(_LOOK_SECONDS, "expiry", matcher.expire)
    frame.every(_LOOK_SECONDS, "reading", matcher.read_ahead)
    frame.every(_KEEP_SECONDS, "snapshot", matcher.keep)
    frame.on_stop(matcher.keep_at_stop)
    return matcher


async def _compile() -> None:
    """Have the index compiled before anything waits for it: it may take a minute or two, once."""
    await asyncio.to_thread(compile_missing)
