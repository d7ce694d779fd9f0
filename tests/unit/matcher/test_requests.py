"""What members ask and bring."""

from datetime import timedelta

from schemas.members import Admission
from schemas.needs import Direction, NeedStatus
from schemas.suggestions import RequestSource
from services.matcher.domain.requests import offer_documents, open_requests, standing_request
from tests.unit.matcher.actors import NOW, asset, member, need


def test_each_asset_is_a_document() -> None:
    documents = offer_documents(member(assets=[asset("a", "Sol"), asset("b", "Eau", "Pompes")]), (), NOW)
    assert {key: (d.told_as, d.title, d.text) for key, d in documents.items()} == {
        "atlas/labo/a": ("a", "Sol", ""),
        "atlas/labo/b": ("b", "Eau", "Pompes"),
    }


def test_a_member_without_assets_is_known_by_its_profile() -> None:
    [document] = offer_documents(member(summary="Étude des sols"), (), NOW).values()
    assert (document.told_as, document.title, document.text) == ("labo", "labo", "Étude des sols")


def test_offers_count_while_they_stand() -> None:
    offers = [
        need("standing", direction=Direction.OFFER),
        need("asked"),
        need("withdrawn", direction=Direction.OFFER, status=NeedStatus.WITHDRAWN),
        need("over", direction=Direction.OFFER, deadline=NOW),
        need("in-time", direction=Direction.OFFER, deadline=NOW + timedelta(seconds=1)),
    ]
    found = offer_documents(member(assets=[asset("a", "Sol")]), offers, NOW)
    assert sorted(found) == ["atlas/labo/a", "need:atlas/in-time", "need:atlas/standing"]


def test_who_is_not_admitted_neither_asks_nor_brings() -> None:
    candidate = member(admission=Admission.CANDIDATE, interests=["Sol"], assets=[asset("a", "Sol")])
    assert offer_documents(candidate, [need(direction=Direction.OFFER)], NOW) == {}
    assert open_requests(candidate, [(need(), "atlas/besoin")], NOW) == {}


def test_interests_come_before_assets() -> None:
    both = standing_request(member(interests=["Eau", "Sol"], assets=[asset("a", "Vent")]))
    assert both is not None
    assert (both.source, both.title, both.text, both.request_id) == (RequestSource.INTERESTS, "Eau; Sol", "", "labo")
    assets = standing_request(member(assets=[asset("a", "Vent")]))
    assert assets is not None
    assert (assets.source, assets.title) == (RequestSource.ASSETS, "Vent")
    assert standing_request(member()) is None


def test_interests_that_do_not_fit_into_a_title_go_on_in_the_text() -> None:
    interests = [f"{'sujet ' * 20}{number}" for number in range(5)]
    standing = standing_request(member(interests=interests))
    assert standing is not None
    assert len(standing.title) <= 300
    assert [*standing.title.split("; "), *standing.text.split("\n")] == interests


def test_a_posted_request_silences_the_standing_one() -> None:
    grower = member("verger", interests=["Eau"])
    assert list(open_requests(grower, [], NOW)) == ["member:atlas/verger"]
    assert list(open_requests(grower, [(need(), "x")], NOW)) == ["need:atlas/besoin"]
    assert list(open_requests(grower, [(need(status=NeedStatus.WITHDRAWN), "x")], NOW)) == ["member:atlas/verger"]
    assert list(open_requests(grower, [(need(direction=Direction.OFFER), "x")], NOW)) == ["member:atlas/verger"]
    assert list(open_requests(grower, [(need(deadline=NOW), "x")], NOW)) == ["member:atlas/verger"]
