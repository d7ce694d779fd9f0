"""Whom to tell: a table of who sits where, who is known, and who is told."""

import pytest

from schemas.suggestions import Party
from services.notifier.domain.routing import Relay, Seat, recipients, seat_of

AMINA = Relay("souss", "amina", "agadir")
BADR = Relay("souss", "badr", "tamansourt")
CHAMA = Relay("tensift", "chama", "tamansourt")
DESK = Relay("souss", "desk", None)
DESK_T = Relay("tensift", "desk", None)
ZINEB = Relay("souss", "zineb", "dakhla")
ALL = (AMINA, BADR, CHAMA, DESK, DESK_T)


def away(ambassador_id: str, deputy: str | None = None, city: str = "agadir") -> Relay:
    return Relay("souss", ambassador_id, city, away=True, deputy=deputy)


NOWHERE, AGADIR, TAMANSOURT = Seat("souss", None), Seat("souss", "agadir"), Seat("souss", "tamansourt")
TENSIFT, TENSIFT_TAMANSOURT = Seat("tensift", None), Seat("tensift", "tamansourt")


@pytest.mark.parametrize(
    ("requesting", "offering", "relays", "told"),
    [
        pytest.param(NOWHERE, AGADIR, ALL, ["souss/amina"], id="the offering side's city"),
        pytest.param(AGADIR, NOWHERE, ALL, ["souss/amina"], id="the requesting side's city"),
        pytest.param(AGADIR, AGADIR, ALL, ["souss/amina"], id="both in one city: told once"),
        pytest.param(
            AGADIR, TAMANSOURT, ALL, ["souss/badr", "souss/amina"], id="two cities: the offering side's leads"
        ),
        pytest.param(TAMANSOURT, AGADIR, ALL, ["souss/amina", "souss/badr"], id="two cities the other way"),
        pytest.param(AGADIR, TAMANSOURT, (AMINA, DESK), ["souss/amina"], id="nobody at the offering side's city"),
        pytest.param(NOWHERE, NOWHERE, ALL, ["souss/desk"], id="no city concerned: the desk"),
        pytest.param(AGADIR, AGADIR, (BADR, DESK), ["souss/desk"], id="no ambassador there: the desk"),
        pytest.param(AGADIR, AGADIR, (BADR,), [], id="not even a desk"),
        pytest.param(NOWHERE, NOWHERE, (), [], id="nobody known"),
        pytest.param(
            AGADIR,
            TENSIFT_TAMANSOURT,
            ALL,
            ["tensift/chama", "souss/badr", "souss/amina"],
            id="both clusters, both cities",
        ),
        pytest.param(NOWHERE, TENSIFT, ALL, ["tensift/desk", "souss/desk"], id="two clusters, no city: both desks"),
        pytest.param(NOWHERE, TENSIFT, (DESK, AMINA), ["souss/desk"], id="only one of two desks is known"),
        pytest.param(AGADIR, NOWHERE, (Relay("tensift", "x", "agadir"), DESK), ["souss/desk"], id="another cluster's"),
        pytest.param(AGADIR, NOWHERE, (away("amina", "zineb"), ZINEB, DESK), ["souss/zineb"], id="away: the deputy"),
        pytest.param(AGADIR, NOWHERE, (away("amina"), DESK), ["souss/desk"], id="away without a deputy: the desk"),
        pytest.param(AGADIR, NOWHERE, (away("amina"),), ["souss/amina"], id="away, and no desk: who is away"),
        pytest.param(AGADIR, NOWHERE, (away("amina", "gone"), DESK), ["souss/desk"], id="a deputy whom nobody knows"),
        pytest.param(
            AGADIR,
            NOWHERE,
            (away("amina", "zineb"), away("zineb", "badr"), BADR),
            ["souss/badr"],
            id="the deputy is away, too: theirs",
        ),
        pytest.param(
            AGADIR, NOWHERE, (away("amina", "zineb"), away("zineb", "amina"), DESK), ["souss/desk"], id="in a circle"
        ),
        pytest.param(
            AGADIR, TAMANSOURT, (AMINA, away("badr", "amina", "tamansourt")), ["souss/amina"], id="for two: told once"
        ),
        pytest.param(
            AGADIR,
            TAMANSOURT,
            (AMINA, away("badr", "zineb", "tamansourt"), ZINEB),
            ["souss/zineb", "souss/amina"],
            id="the deputy of who leads, leads",
        ),
        pytest.param(
            AGADIR, NOWHERE, (away("amina", "chama"), CHAMA, DESK), ["souss/desk"], id="no deputy of another cluster"
        ),
        pytest.param(
            NOWHERE, NOWHERE, (Relay("souss", "desk", None, away=True),), ["souss/desk"], id="a desk is never away"
        ),
        pytest.param(
            AGADIR,
            TAMANSOURT,
            (AMINA, away("badr", None, "tamansourt"), DESK),
            ["souss/amina"],
            id="one is there",
        ),
        pytest.param(AGADIR, NOWHERE, (AMINA, AMINA), ["souss/amina"], id="known twice, told once"),
        pytest.param(
            AGADIR,
            AGADIR,
            (Relay("souss", "zineb", "agadir"), AMINA),
            ["souss/amina", "souss/zineb"],
            id="two at a city",
        ),
    ],
)
def test_whom_to_tell(requesting: Seat, offering: Seat, relays: tuple[Relay, ...], told: list[str]) -> None:
    whom = recipients(requesting, offering, relays)
    assert [f"{r.cluster}/{r.ambassador_id}" for r in whom] == told
    assert [r.leads for r in whom] == [place == 0 for place in range(len(told))]
    assert recipients(requesting, offering, tuple(reversed(relays))) == whom


@pytest.mark.parametrize(
    ("kind", "city", "sits_in"),
    [
        ("company", None, None),
        ("company", "agadir", "agadir"),
        ("innovation_city", None, "me"),
        ("innovation_city", "x", "me"),
    ],
)
def test_an_innovation_city_sits_in_itself(kind: str, city: str | None, sits_in: str | None) -> None:
    party = Party.model_validate(
        {"cluster": "souss", "member_id": "me", "name": "Me", "kind": kind, "country": "MA", "city": city}
    )
    assert seat_of(party) == Seat("souss", sits_in)
