"""What is known, and in which order it came to be known."""

from datetime import timedelta

import pytest

from schemas.members import Admission, MemberKind
from services.matcher.domain.directory import Directory
from tests.unit.matcher.actors import NOW, asset, member, need


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.mark.parametrize(("rev", "taken", "name"), [(1, False, "two"), (2, True, "two"), (3, True, "new")])
def test_a_state_counts_unless_a_newer_one_is_known(directory: Directory, rev: int, taken: bool, name: str) -> None:
    directory.publish_member(member(rev=2, name="two"))
    assert directory.publish_member(member(rev=rev, name="new")) is taken
    assert directory.members["atlas/labo"].event.name == name


@pytest.mark.parametrize(("rev", "gone"), [(1, False), (2, True), (3, True), (None, True)])
def test_an_erasure_counts_unless_a_newer_state_is_known(directory: Directory, rev: int | None, gone: bool) -> None:
    directory.publish_need(need(rev=2))
    assert directory.erase_need("atlas/besoin", rev) is gone
    assert ("atlas/besoin" not in directory.needs) is gone


@pytest.mark.parametrize(
    ("erased", "published", "taken"), [(None, 2, False), (None, 3, True), (5, 5, False), (5, 6, True)]
)
def test_only_a_newer_state_comes_back(directory: Directory, erased: int | None, published: int, taken: bool) -> None:
    directory.publish_member(member(rev=2))
    directory.erase_member("atlas/labo", erased)
    assert directory.publish_member(member(rev=published)) is taken


def test_a_repeated_need_has_the_lineage_of_the_first(directory: Directory) -> None:
    directory.publish_need(need("un", title="Capteurs de sol"))
    directory.publish_need(need("deux", title="Capteurs du sol !"))
    directory.publish_need(need("trois", title="Teinture sans eau"))
    directory.publish_need(need("quatre", member_id="autre", title="Capteurs de sol"))
    lineages = {key: known.lineage for key, known in directory.needs.items()}
    assert lineages == {
        "atlas/un": "atlas/un",
        "atlas/deux": "atlas/un",
        "atlas/trois": "atlas/trois",
        "atlas/quatre": "atlas/quatre",
    }


def test_assets_remember_when_they_became_what_they_are(directory: Directory) -> None:
    directory.publish_member(member(assets=[asset("a", "Capteurs de sol"), asset("b", "Eau")]))
    directory.publish_member(
        member(rev=2, assets=[asset("a", "Capteur de sol"), asset("b", "Vent"), asset("c", "Sel")])
    )
    since = {key: directory.since("atlas/labo", f"atlas/labo/{key}") for key in "abc"}
    assert since == {"a": 1, "b": 2, "c": 2}


def test_what_was_published_last_completes_a_pair_whatever_was_read_last(directory: Directory) -> None:
    directory.publish_member(member("verger", MemberKind.COMPANY, alerts=False))
    directory.publish_need(need(published_at=NOW + timedelta(hours=1)))
    directory.publish_member(member(alerts=False))
    [ask] = directory.requests("atlas/verger", NOW).values()
    assert directory.came(ask, "atlas/labo", NOW).alerts


def test_conventions_are_those_of_admitted_partner_clusters(directory: Directory) -> None:
    kind = MemberKind.PARTNER_CLUSTER
    directory.publish_member(member("chez-sahara", kind, represents="sahara"))
    directory.publish_member(member("chez-rif", kind, represents="rif", admission=Admission.CANDIDATE))
    directory.publish_member(member("labo", represents="souss"))
    directory.refresh_conventions()
    assert directory.conventions == {("atlas", "sahara")}
    directory.erase_member("atlas/chez-sahara", None)
    directory.refresh_conventions()
    assert directory.conventions == set()


def test_a_deadline_is_due_until_what_follows_is_done(directory: Directory) -> None:
    directory.publish_need(need(deadline=NOW + timedelta(hours=1)))
    assert directory.due(NOW) == set()
    later = NOW + timedelta(hours=1)
    assert directory.due(later) == directory.due(later) == {"atlas/besoin"}
    directory.pass_time(later, {"atlas/besoin"})
    assert directory.due(later) == set()


def test_deadlines_that_another_may_not_have_seen_pass_are_due_again(directory: Directory) -> None:
    directory.publish_need(need("tot", deadline=NOW + timedelta(hours=1)))
    directory.publish_need(need("tard", deadline=NOW + timedelta(hours=3)))
    later = NOW + timedelta(hours=4)
    directory.pass_time(later, directory.due(later))
    directory.turn_back(NOW + timedelta(hours=2))
    assert directory.due(later) == {"atlas/tard"}
    directory.turn_back(None)
    assert directory.due(later) == {"atlas/tot", "atlas/tard"}


def test_a_deadline_that_was_put_off_is_not_due(directory: Directory) -> None:
    directory.publish_need(need(deadline=NOW + timedelta(hours=1)))
    directory.publish_need(need(rev=2, deadline=NOW + timedelta(hours=3)))
    assert directory.due(NOW + timedelta(hours=2)) == set()
    assert directory.due(NOW + timedelta(hours=3)) == {"atlas/besoin"}
