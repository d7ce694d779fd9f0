"""What was said, what arrived, and where the two differ."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench._quality import Spread, spread
from bench._receiving import Arrival
from bench._watching import Seen, Suggested
from schemas.notifications import Channel
from schemas.suggestions import RequestSource

CHANNELS = (Channel.EMAIL, Channel.WEBHOOK)
"""Those with a receiver outside the system; what is in the inbox is delivered by being stored."""


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What one channel brought.

    Attributes:
        messages: distinct messages at the receiver.
        twice: messages beyond the first about one suggestion to one receiver, by whatever id.
        missing: suggestions that were to be told and of which nothing arrived.
        unwanted: messages about what was muted, or to others than the ambassadors of the cities.
        unannounced: messages of which the log does not say that they were delivered.
        latency: from the first sending of the need to the first message about it and a member, seconds.
    """

    messages: int
    twice: int
    missing: int
    unwanted: int
    unannounced: int
    latency: Spread


@dataclass(frozen=True, kw_only=True)
class Account:
    """Everything that can be said of what was suggested and told.

    Attributes:
        suggested: suggestions for the posted needs; `answered`: needs with at least one.
        lapsed, revised: how many of them lapsed, or were told in a second revision.
        standing: suggestions for standing requests, which the muted census brings.
        failed: deliveries that the service gave up, with its reasons.
    """

    suggested: int
    answered: int
    lapsed: int
    revised: int
    standing: int
    suggestion_latency: Spread
    delivered: Mapping[str, Delivered]
    failed: Sequence[str]


def suggested_for(seen: Seen, needs: Mapping[str, float]) -> dict[str, Suggested]:
    """Return the suggestions for posted needs, by id."""
    return {
        suggestion_id: one
        for suggestion_id, one in seen.suggestions.items()
        if one.source is RequestSource.NEED and one.request_id in needs
    }


def scores_by_need(seen: Seen, needs: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return need → suggested member → score."""
    scores: dict[str, dict[str, float]] = {}
    for one in suggested_for(seen, needs).values():
        scores.setdefault(one.request_id, {})[one.member_id] = one.score
    return scores


def account(
    *, seen: Seen, arrivals: Sequence[Arrival], posted_at: Mapping[str, float], recipients: Mapping[Channel, set[str]]
) -> Account:
    """Compare what was suggested with what arrived.

    Args:
        posted_at: need → when it was first sent, seconds since 1970.
        recipients: for each channel the addresses that should be reached: those of the cities' ambassadors.
    """
    suggested = suggested_for(seen, posted_at)
    return Account(
        suggested=len(suggested),
        answered=len({one.request_id for one in suggested.values()}),
        lapsed=sum(one.lapsed for one in suggested.values()),
        revised=sum(one.revision > 1 for one in suggested.values()),
        standing=sum(one.source is not RequestSource.NEED for one in seen.suggestions.values()),
        suggestion_latency=spread([one.at - posted_at[one.request_id] for one in suggested.values()]),
        delivered={
            channel: _delivered(
                seen, suggested, [one for one in arrivals if one.channel is channel], posted_at, recipients[channel]
            )
            for channel in CHANNELS
        },
        failed=[
            f"{one.channel} to {one.ambassador_id}: {one.failed}"
            for one in seen.notifications.values()
            if one.failed is not None
        ],
    )


@dataclass(slots=True)
class _Tally:
    first: dict[tuple[str, str], float] = field(default_factory=dict)
    count: Counter[tuple[str, str]] = field(default_factory=Counter)
    unwanted: int = 0
    unannounced: int = 0


def _delivered(
    seen: Seen,
    suggested: Mapping[str, Suggested],
    arrivals: Sequence[Arrival],
    posted_at: Mapping[str, float],
    recipients: set[str],
) -> Delivered:
    tally = _Tally()
    for arrival in sorted(arrivals, key=lambda one: one.at):
        notified = seen.notifications.get(arrival.notification)
        tally.unannounced += notified is None
        # Unannounced, it counts under its own id: a second copy of it is still a second copy.
        about = (arrival.notification if notified is None else notified.suggestion_id, arrival.recipient)
        tally.count[about] += 1
        tally.first.setdefault(about, arrival.at)
        known = seen.suggestions.get(about[0])
        tally.unwanted += arrival.recipient not in recipients or (known is not None and not known.alerts)
    told = {suggestion_id for suggestion_id, _ in tally.first}
    return Delivered(
        messages=len({arrival.notification for arrival in arrivals}),
        twice=tally.count.total() - len(tally.count),
        missing=sum(one.alerts and not one.lapsed and key not in told for key, one in suggested.items()),
        unwanted=tally.unwanted,
        unannounced=tally.unannounced,
        latency=spread(
            [at - posted_at[suggested[key].request_id] for (key, _), at in tally.first.items() if key in suggested]
        ),
    )
