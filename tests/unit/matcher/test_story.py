"""The sample cluster, at the settings that we ship: what should be found is found, and little else is told."""

from datetime import UTC, datetime

import pytest

from schemas.base import Event
from schemas.cloudevents import Envelope
from schemas.members import MemberPublished
from schemas.needs import Direction, NeedPublished
from schemas.suggestions import RequestSource, SuggestionMade
from services.console import story
from services.matcher.domain.arrivals import find_pairs, take_in
from services.matcher.domain.directory import Directory
from services.matcher.domain.holding import Holding
from services.matcher.domain.pairing import Bar, Pairing
from services.matcher.domain.suggestion import Scribe
from services.matcher.index import Analyser, OfferIndex
from services.matcher.settings import MatcherSettings

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
EXPECTED = story.expected()


@pytest.fixture(scope="module")
def told() -> list[SuggestionMade]:
    at = {"rev": 1, "published_at": NOW}
    needs = [*story.needs(NOW), story.live("fr", now=NOW), story.live("ar", now=NOW)]
    events: list[Event] = [MemberPublished(**row, **at) for row in story.members()]
    events += [NeedPublished(**row, **at) for row in needs]
    settings = MatcherSettings()
    bar = Bar(settings.bar, settings.suggestions_per_request, settings.suggestions_per_standing_request)
    directory, pairing = Directory(), Pairing(index=OfferIndex(Analyser()), bar=bar, holding=Holding(frozenset({0})))
    touched = take_in([Envelope(event.key, event, event.rev, str(event.key), NOW) for event in events], directory)
    scribe = Scribe(directory, pairing, NOW)
    written = [scribe.write(pair) for pair in find_pairs(touched, directory, pairing, NOW).values()]
    return [state.made for state in written if state is not None and state.made is not None]


def answers(told: list[SuggestionMade]) -> set[tuple[str, str]]:
    """Return who is told for which posted request, and which offer is told to whom."""
    posted = {(made.request.request_id, made.offer.party.member_id) for made in told}
    offered = {
        (document.document_id, made.request.party.member_id) for made in told for document in made.offer.documents
    }
    return posted | offered


def test_nearly_every_expected_answer_is_told(told: list[SuggestionMade]) -> None:
    expected = {(need, member) for need, members in EXPECTED.items() for member in members}
    assert len(expected & answers(told)) >= 0.9 * len(expected)


def test_little_else_is_told_for_posted_requests(told: list[SuggestionMade]) -> None:
    requests = {row["need_id"] for row in story.needs(NOW) if row["direction"] == Direction.REQUEST.value}
    posted = [made for made in told if made.request.request_id in requests]
    asked_for = [made for made in posted if made.offer.party.member_id in EXPECTED.get(made.request.request_id, ())]
    assert len(asked_for) >= 0.9 * len(posted)


def test_members_without_a_posted_request_are_told_of_few(told: list[SuggestionMade]) -> None:
    standing = [made for made in told if made.request.source is not RequestSource.NEED]
    assert 0 < len(standing) <= len(story.members()) / 4
