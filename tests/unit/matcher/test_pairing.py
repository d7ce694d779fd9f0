"""What is offered and asked at the moment, and who is told."""

from datetime import timedelta

from schemas.base import Event
from schemas.cloudevents import Envelope
from schemas.members import MemberKind
from services.matcher.domain.arrivals import find_pairs, take_in
from services.matcher.domain.directory import Directory
from services.matcher.domain.holding import Holding
from services.matcher.domain.pairing import Bar, Eligibility, Pairing
from services.matcher.index import Analyser, OfferIndex
from tests.unit.matcher.actors import NOW, asset, member, need

EVERYBODY = Eligibility(lambda _ask, _traits: True, lambda _ask, _member: True)
SUBJECT = "Étalonnage de tensiomètres pour sols salins"


def pairing(bar: float = 0.3) -> Pairing:
    return Pairing(index=OfferIndex(Analyser()), bar=Bar(bar, 5, 5), holding=Holding(frozenset({0})))


def arrive(directory: Directory, matched: Pairing, *events: Event) -> set[str]:
    """Take events in, and return the members that are among the best of a request now."""
    batch = [Envelope(event.key, event, event.rev, str(event.key), NOW) for event in events]
    found = find_pairs(take_in(batch, directory), directory, matched, NOW + timedelta(minutes=1))
    return {pair.member for pair in found.values()}


def test_an_offer_that_passes_to_another_member_stays_to_be_found() -> None:
    directory, matched = Directory(), pairing()
    company = member("verger", MemberKind.COMPANY)
    arrive(directory, matched, member("zahra"), member("anis"), company)
    arrive(directory, matched, need("n", "zahra", SUBJECT, direction="offer"))
    arrive(directory, matched, need("n", "anis", SUBJECT, direction="offer", rev=2))
    assert "atlas/anis" in arrive(directory, matched, need("besoin", "verger", SUBJECT))


def test_one_word_that_brings_nearly_all_of_a_score_is_no_reason() -> None:
    directory, matched = Directory(), pairing()
    arrive(
        directory,
        matched,
        member("sobre", name="Laboratoire Sobre", assets=[asset("a", "Enceinte climatique")]),
        member("sols", assets=[asset("a", SUBJECT)]),
        member("verger", MemberKind.COMPANY),
    )
    told = arrive(directory, matched, need("n", "verger", f"Procédé sobre : {SUBJECT}, enceinte"))
    assert told == {"atlas/sols"}
