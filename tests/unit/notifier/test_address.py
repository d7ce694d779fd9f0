"""The private address names one ambassador, and nobody can make one up."""

import pytest

from schemas.ambassadors import AmbassadorKey
from services.notifier.address import Tokens, inbox_url
from tests.unit.notifier.samples import sid

SECRET = "s" * 32
AMINA = AmbassadorKey(cluster="souss", ambassador_id="amina")
BADR = AmbassadorKey(cluster="souss", ambassador_id="badr")


def test_an_address_leads_back_to_its_ambassador() -> None:
    base, _, token = inbox_url("https://maillage.example.org/", SECRET, AMINA).rpartition("/")
    assert base == "https://maillage.example.org/inbox"
    assert Tokens(SECRET).opens(token) == (AMINA, 0)
    assert Tokens(SECRET).opens(Tokens(SECRET).inbox(AMINA, 2)) == (AMINA, 2)


@pytest.mark.parametrize(
    "token", ["", "x", "a.b", "é", Tokens("t" * 32).inbox(AMINA), Tokens(SECRET).inbox(AMINA)[:-1]]
)
def test_no_other_token_opens_anything(token: str) -> None:
    assert Tokens(SECRET).opens(token) is None


def test_a_form_is_not_an_address() -> None:
    assert Tokens(SECRET).opens(Tokens(SECRET).form(AMINA, sid("a"), 1)) is None


def test_a_form_is_good_for_its_reader_and_suggestion_alone() -> None:
    tokens = Tokens(SECRET)
    field = tokens.form(AMINA, sid("a"), 3)
    assert tokens.revision(field, AMINA, sid("a")) == 3
    assert tokens.revision(field, BADR, sid("a")) is None
    assert tokens.revision(field, AMINA, sid("b")) is None
    assert tokens.revision(tokens.inbox(AMINA), AMINA, sid("a")) is None
    assert tokens.revision("", AMINA, sid("a")) is None
    assert tokens.revision(tokens.own(AMINA, 0), AMINA, sid("a")) is None


def test_a_field_is_good_for_its_reader_until_they_have_a_new_address() -> None:
    tokens = Tokens(SECRET)
    field = tokens.own(AMINA, 1)
    assert tokens.is_own(field, AMINA, 1)
    assert not tokens.is_own(field, AMINA, 2)
    assert not tokens.is_own(field, BADR, 1)
    assert not tokens.is_own(tokens.form(AMINA, sid("a"), 1), AMINA, 1)
    assert not tokens.is_own("", AMINA, 1)
