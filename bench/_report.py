"""What a replay found: as a table for people, as JSON, and as a verdict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from bench._account import Account
from bench._quality import Quality, Spread


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What was sent of one kind.

    Attributes:
        lost: acknowledged and not on the log; `unknown`: acknowledged and not known to the matcher in the end.
        seconds: from the first sending to the last answer.
    """

    posted: int
    acknowledged: int
    refused: Sequence[str]
    retried: int
    lost: int
    unknown: int
    seconds: float
    latency: Spread

    @property
    def rate(self) -> float:
        """Acknowledged per second."""
        return self.acknowledged / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, kw_only=True)
class Phase:
    """From the first sending of something until the system was quiet again.

    Attributes:
        seconds: until the last event of it was on the log.
        events: that went onto the log, of all topics.
        cpu: processor time that each service took, seconds. Where others share the machine it says more than the clock.
    """

    seconds: float
    events: int
    cpu: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything that a replay found.

    Attributes:
        suggestions_per_request: as set; none: as the matcher has it by itself.
        settings: others that were set, by full variable name.
        census, live: the phases in which organisations and needs came.
        offers: documents that the matcher held in the end.
        ranking: what was suggested: query → doc → score.
        missed: records, by topic, that left the log before this bench had read them.
        dead: reasons of dead letters; `unreadable`: records that are no events; `refused_webhooks`: wrongly signed.
        deaths: services and parts that died on the way.
        timed_out: what still waited when time was up.
    """

    data: str
    broker: str
    database: str
    cities: int
    suggestions_per_request: int | None
    settings: Mapping[str, str]
    members: Sent
    needs: Sent
    census: Phase
    live: Phase
    offers: int
    account: Account
    ranking: Mapping[str, Mapping[str, float]]
    quality: Quality
    missed: Mapping[str, int]
    dead: Sequence[str]
    unreadable: Sequence[str]
    refused_webhooks: Sequence[str]
    deaths: Sequence[str]
    timed_out: str | None

    def as_json(self) -> dict[str, Any]:
        """Return all of it, rates and verdict included, as what JSON can hold."""
        rates = {
            "members_acknowledged_per_second": self.members.rate,
            "needs_acknowledged_per_second": self.needs.rate,
            "census_events_per_second": self.census.rate,
            "live_events_per_second": self.live.rate,
        }
        return asdict(self) | {"rates": rates, "wrong": self.wrong()}

    def run_lines(self) -> Iterator[str]:
        """Yield query, doc and score of each suggestion, as programs that score rankings read them."""
        for query, scores in self.ranking.items():
            yield from (f"{query}\t{doc}\t{score!r}\n" for doc, score in scores.items())

    def wrong(self) -> list[str]:
        """Return what must not be, in words; empty when nothing was lost, doubled or set aside."""
        found: list[str] = []
        for name, sent in (("members", self.members), ("needs", self.needs)):
            _add(found, sent.posted - sent.acknowledged, f"{name} were not acknowledged", sent.refused)
            _add(found, sent.lost, f"acknowledged {name} are not on the log")
            _add(found, sent.unknown, f"acknowledged {name} are not known to the matcher")
        for channel, delivered in self.account.delivered.items():
            _add(found, delivered.twice, f"messages by {channel} came twice")
            _add(found, delivered.missing, f"suggestions were not delivered by {channel}")
            _add(found, delivered.unwanted, f"messages by {channel} were for nobody or for another")
            _add(found, delivered.unannounced, f"messages by {channel} are not on notifications.v1")
        _add(found, len(self.account.failed), "deliveries were given up", self.account.failed)
        _add(found, len(self.dead), "dead letters", self.dead)
        _add(found, len(self.unreadable), "unreadable records", self.unreadable)
        _add(found, len(self.refused_webhooks), "webhooks were not signed as agreed", self.refused_webhooks)
        for topic, count in self.missed.items():
            _add(found, count, f"records of {topic} left the log unread by this bench: nothing can be said of them")
        if self.timed_out is not None:
            found.append(f"time was up before the system was quiet: {self.timed_out}")
        return found

    def table(self) -> Table:
        """Return what a person wants to know, a line each."""
        table = Table(
            title=f"{self.data} · {self.broker}, {self.database} · {self.cities} ambassador(s)", title_justify="left"
        )
        table.add_column("", no_wrap=True)
        for name in ("members", "needs"):
            table.add_column(name, justify="right", no_wrap=True)
        pair = (self.members, self.needs)
        table.add_row("posted", *(f"{sent.posted:,}" for sent in pair))
        table.add_row("acknowledged", *(f"{sent.acknowledged:,}" for sent in pair))
        table.add_row("sent again", *(f"{sent.retried:,}" for sent in pair))
        table.add_row("acknowledged, not on the log", *(f"{sent.lost:,}" for sent in pair))
        table.add_row("acknowledged, unknown to the matcher", *(f"{sent.unknown:,}" for sent in pair))
        table.add_row("acknowledged/s", *(f"{sent.rate:,.0f}" for sent in pair))
        table.add_row("acknowledgement p50 / p99, ms", *(_ms(sent.latency) for sent in pair))
        table.add_row("until quiet, s", f"{self.census.seconds:,.1f}", f"{self.live.seconds:,.1f}")
        table.add_row("events/s until quiet", f"{self.census.rate:,.0f}", f"{self.live.rate:,.0f}")
        for service in self.census.cpu:
            each = (
                f"{1000 * phase.cpu.get(service, 0) / max(1, sent.acknowledged):,.0f}"
                for phase, sent in ((self.census, self.members), (self.live, self.needs))
            )
            table.add_row(f"{service}: processor time each, ms", *each)
        table.add_section()
        self._told_rows(table)
        table.add_row("dead letters", "", str(len(self.dead)))
        table.add_row("parts that died", "", str(len(self.deaths)))
        return table

    def _told_rows(self, table: Table) -> None:
        told, quality = self.account, self.quality
        for name, value in self.settings.items():
            table.add_row(name, "", value)
        limit = "default" if self.suggestions_per_request is None else str(self.suggestions_per_request)
        table.add_row("offers in the index", "", f"{self.offers:,}")
        table.add_row(f"suggestions (at most per need: {limit})", "", f"{told.suggested:,}")
        table.add_row("of these lapsed / revised", "", f"{told.lapsed:,} / {told.revised:,}")
        table.add_row("suggestions of the muted census", "", f"{told.standing:,}")
        table.add_row("needs answered", "", f"{told.answered:,} of {self.needs.acknowledged:,}")
        table.add_row("made, after posting: p50 / p90 / p99 / max, s", "", _s(told.suggestion_latency))
        for channel, delivered in told.delivered.items():
            table.add_row(f"{channel}: delivered", "", f"{delivered.messages:,}")
            table.add_row(
                f"{channel}: twice / missing / unwanted / unannounced",
                "",
                f"{delivered.twice} / {delivered.missing} / {delivered.unwanted} / {delivered.unannounced}",
            )
            table.add_row(f"{channel}, after posting: p50 / p90 / p99 / max, s", "", _s(delivered.latency))
        table.add_section()
        table.add_row("nDCG@10, needs without an answer count 0", "", f"{quality.ndcg:.4f}")
        table.add_row("nDCG@10 of those answered", "", f"{quality.ndcg_answered:.4f}")
        share = quality.answered / quality.judged if quality.judged else 0.0
        table.add_row("share answered", "", f"{share:.1%} of {quality.judged:,}", end_section=True)


def _add(found: list[str], count: int, what: str, examples: Sequence[str] = ()) -> None:
    if count:
        found.append(f"{count} {what}" + (f"; the first: {examples[0]}" if examples else ""))


def _ms(latency: Spread) -> str:
    return f"{latency.p50 * 1000:,.0f} / {latency.p99 * 1000:,.0f}"


def _s(latency: Spread) -> str:
    return " / ".join(
        f"{value:.1f}" if value >= 10 else f"{value:.2f}"
        for value in (latency.p50, latency.p90, latency.p99, latency.longest)
    )
