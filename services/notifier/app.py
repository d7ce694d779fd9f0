"""The notifier, composed."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from fastapi import FastAPI

from schemas.topics import AMBASSADORS, CONTACTS, SUGGESTIONS
from services.notifier.address import Tokens
from services.notifier.announcing import Announcing
from services.notifier.bouncing import Bouncing, returning
from services.notifier.channels import Channel
from services.notifier.channels.chat import ChatChannel
from services.notifier.channels.email import EmailChannel
from services.notifier.channels.webhook import WebhookChannel
from services.notifier.chasing import Chasing
from services.notifier.composing import Composing
from services.notifier.delivering import Delivering
from services.notifier.desk import Desk
from services.notifier.domain.chat import services_in
from services.notifier.exporting import Exporting
from services.notifier.finding import Finding
from services.notifier.handlers import Handlers
from services.notifier.inbox import Inbox
from services.notifier.introducing import Introducing
from services.notifier.live import Live
from services.notifier.pacing import Pacing
from services.notifier.pages.answering import answering_routes
from services.notifier.pages.desk import desk_routes
from services.notifier.pages.export import export_routes
from services.notifier.pages.feed import feed_routes
from services.notifier.pages.letters import Letters
from services.notifier.pages.live import live_routes
from services.notifier.pages.preferences import preferences_routes
from services.notifier.pages.private import Doorkeeper
from services.notifier.pages.reader import Readers
from services.notifier.pages.routes import inbox_routes
from services.notifier.pages.signing_in import signing_in_routes
from services.notifier.preferring import Preferring
from services.notifier.reaching import Reaching
from services.notifier.service import Notifying
from services.notifier.settings import NotifierSettings
from services.notifier.signing_in import SigningIn
from services.notifier.stepping import Stepping
from services.notifier.store import NotifierStore, Way
from services.notifier.watching import Watching
from services.runtime.clock import Clock
from services.runtime.microservice import Microservice
from services.runtime.periodic import Periodic
from services.runtime.publishing import Publisher

# The loops are woken when there is work; these are for what nobody woke them for.
_ANNOUNCE_SECONDS = 2.0
_LETTERS_SECONDS = 5.0
_STEPS_SECONDS = 5.0
_JUDGE_SECONDS = 5.0
_RESTART_SECONDS = 2.0
_COUNT_SECONDS = 15.0
_FINDING_SECONDS = 600.0  # a replica of an earlier version may be at work until then


Every = Callable[[float, str, Callable[[], Awaitable[None]]], Periodic]


@dataclass(frozen=True, slots=True)
class Parts:
    """The notifier without its frame: takes events, delivers, announces, writes letters, makes steps, tells pages,
    lets in.
    """

    handlers: Handlers
    delivering: Delivering
    announcing: Announcing
    pacing: Pacing
    stepping: Stepping
    live: Live
    signing_in: SigningIn
    bouncing: Bouncing | None


def build(settings: NotifierSettings) -> Microservice:
    """Return the notifier, ready to run."""
    # Pages for people, no API: nothing to describe, and descriptions load scripts from elsewhere. The framework's
    # redirects would lead, with the private address, to whatever host a request says that it is for.
    app = FastAPI(title="Maillage notifier", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    frame = Microservice("notifier", settings, consumes=(SUGGESTIONS, AMBASSADORS, CONTACTS), app=app)
    store = NotifierStore(frame.store.database, Tokens(settings.secret.get_secret_value()).digest)
    parts = compose(settings, store, app=app, publisher=frame.publisher, clock=frame.clock, every=frame.every)
    frame.consumption.handle_with(parts.handlers.take)
    frame.on_start(store.ensure_indexes)
    frame.on_start(parts.pacing.free)
    if parts.bouncing is not None:
        frame.on_start(parts.bouncing.listen)
    frame.on_leaving(parts.live.close)
    frame.on_new_log(parts.announcing.announce_again)
    frame.waits("deliveries", store.deliveries.count_waiting)
    frame.waits("letters", parts.pacing.count_due)
    frame.waits("steps", parts.stepping.count_due)
    frame.waits("judgements", store.deliveries.count_unjudged)
    frame.waits("announcements", parts.announcing.count_due)
    return frame


def compose(
    settings: NotifierSettings,
    store: NotifierStore,
    *,
    app: FastAPI,
    publisher: Publisher,
    clock: Clock,
    every: Every,
) -> Parts:
    """Put the parts together on a store, a web application, a log and a clock."""
    tokens = Tokens(settings.secret.get_secret_value())
    readers = Readers(timezone=settings.timezone)
    composing = Composing(store=store, tokens=tokens, base=settings.base, clock=clock)
    announcing = Announcing(store=store, publisher=publisher, clock=clock)
    announce = every(_ANNOUNCE_SECONDS, "announce", announcing.announce)
    pacing = Pacing(store=store, house=settings.house, clock=clock, written=lambda: delivering.wake())
    delivering = Delivering(
        deliveries=store.deliveries,
        composing=composing,
        channels=_channels(settings, Letters(readers), tokens),
        clock=clock,
        chance=random.Random(),  # noqa: S311 - jitter, not a secret
        ended=announce.wake,
        tested=lambda: judge.wake(),
        opens=pacing.opens,
        instance=settings.instance,
    )
    every(_RESTART_SECONDS, "deliver", delivering.run)
    reaching = Reaching(store=store, clock=clock, queued=delivering.wake)
    judge = every(_JUDGE_SECONDS, "judge", reaching.judge)

    def came_back() -> None:
        announce.wake()
        judge.wake()

    every(_COUNT_SECONDS, "count", Watching(store=store, clock=clock).count)
    every(_LETTERS_SECONDS, "letters", pacing.write_letters)
    every(_FINDING_SECONDS, "find", Finding(store=store).catch_up)
    bouncing = None
    if settings.bounces:
        bouncing = Bouncing(
            listen=settings.bounces, deliveries=store.deliveries, tokens=tokens, clock=clock, came_back=came_back
        )
        every(_RESTART_SECONDS, "bounces", bouncing.run)
    service = Notifying(store=store, pacing=pacing, clock=clock, queued=[delivering.wake, announce.wake])

    def acted() -> None:
        announce.wake()
        step.wake()

    introducing = Introducing(store=store, composing=composing, clock=clock, queued=delivering.wake, acted=acted)
    chasing = Chasing(store=store, notifying=service, pacing=pacing, clock=clock)
    stepping = Stepping(store=store, introducing=introducing, chasing=chasing, clock=clock)
    step = every(_STEPS_SECONDS, "steps", stepping.take_steps)
    undo = timedelta(seconds=settings.undo_seconds)
    inbox = Inbox(store=store, composing=composing, clock=clock, acted=acted, undo=undo)
    signing_in = SigningIn(store=store, tokens=tokens, clock=clock, queued=delivering.wake)
    door = Doorkeeper(inbox=inbox, signing_in=signing_in, tokens=tokens, readers=readers, base=settings.base)
    live = Live(changes=store.changes)
    every(_RESTART_SECONDS, "live", live.follow)
    signing_in_routes(app, signing_in=signing_in, door=door)
    live_routes(app, live=live, door=door)
    inbox_routes(app, inbox=inbox, live=live, tokens=tokens, door=door)
    answering_routes(app, introducing=introducing, tokens=tokens, readers=readers, base=settings.base, clock=clock)
    feed_routes(app, store=store, tokens=tokens, door=door, base=settings.base, clock=clock)
    desk = Desk(store=store, clock=clock, timezone=settings.timezone)
    desk_routes(app, desk=desk, door=door)
    exporting = Exporting(store=store, composing=composing, clock=clock)
    export_routes(app, exporting=exporting, door=door)
    preferring = Preferring(store=store, pacing=pacing)
    preferences_routes(
        app,
        preferring=preferring,
        reaching=reaching,
        signing_in=signing_in,
        tokens=tokens,
        door=door,
        base=settings.base,
    )
    return Parts(Handlers(service=service), delivering, announcing, pacing, stepping, live, signing_in, bouncing)


def _channels(settings: NotifierSettings, letters: Letters, tokens: Tokens) -> dict[Way, Channel]:
    return {
        Way.EMAIL: EmailChannel(
            server=settings.mail_server,
            sender=settings.mail_from,
            writer=letters,
            returns_to=returning(tokens, settings.mail_from) if settings.bounces else None,
        ),
        Way.WEBHOOK: WebhookChannel(allow_private=settings.allow_private_webhooks),
        Way.CHAT: ChatChannel(
            services=services_in(settings.chat_services),
            allow_private=settings.allow_private_webhooks,
            writer=letters,
        ),
    }
