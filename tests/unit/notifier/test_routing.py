"""Whom to tell: a table of who sits where, who is known, and who is told."""

from dataclasses import replace
from time import process_time

import pytest

from schemas.ambassadors import Concerns
from schemas.codes import Code, Scheme
from schemas.members import MemberKind
from schemas.suggestions import Party
from services.notifier.domain.routing import Relay, Seat, Subject, recipients, seat_of
from tests.unit.notifier.samples import made

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


def test_thousands_of_codes_are_compared_with_all_themes_at_once() -> None:
    codes = frozenset(Code(scheme=Scheme.CPV, code=f"{number}-1") for number in range(30_000_000, 30_020_000))
    themes = tuple(Code(scheme=Scheme.CPV, code=f"{number}-1") for number in range(40_000_001, 40_000_101))
    relays = (replace(AMINA, concerns=Concerns(themes=themes)), DESK)
    began = process_time()
    recipients(AGADIR, AGADIR, relays, Subject(codes=codes))
    assert process_time() - began < 1


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


def nace(*codes: str) -> tuple[Code, ...]:
    return tuple(Code(scheme=Scheme.NACE, code=code) for code in codes)


def cpv(*codes: str) -> tuple[Code, ...]:
    return tuple(Code(scheme=Scheme.CPV, code=code) for code in codes)


def at_agadir(ambassador_id: str, *, city: str = "agadir", cluster: str = "souss", **concerns: object) -> Relay:
    return Relay(cluster, ambassador_id, city, concerns=Concerns.model_validate(concerns))


LABS = at_agadir("labs", kinds=["laboratory"])
STARTUPS = at_agadir("startups", kinds=["startup"])
FARMS = at_agadir("farms", themes=nace("01"))
LAB_FARMS = at_agadir("lab-farms", kinds=["laboratory"], themes=nace("01"))
ENERGY = at_agadir("energy", themes=(*nace("35.1"), *cpv("09300000-2", "30000000-9")))
REST = at_agadir("rest")
LAB_AWAY = Relay("souss", "labs", "agadir", away=True, concerns=LABS.concerns)


@pytest.mark.parametrize(
    ("codes", "relays", "told"),
    [
        pytest.param(nace(), (LABS, STARTUPS, REST, DESK), ["labs"], id="one fits"),
        pytest.param(nace(), (LABS, AMINA, at_agadir("firms", kinds=["company"])), ["firms", "labs"], id="either side"),
        pytest.param(nace(), (STARTUPS, FARMS, REST, DESK), ["rest"], id="none fits: who says nothing"),
        pytest.param(nace(), (STARTUPS, FARMS, DESK), ["farms", "startups"], id="all say else: all"),
        pytest.param(nace("01.13"), (FARMS, REST), ["farms"], id="a class below the division"),
        pytest.param(nace("10.13"), (FARMS, REST), ["rest"], id="another division"),
        pytest.param(nace("01.13"), (LAB_FARMS, REST), ["lab-farms"], id="kind and theme"),
        pytest.param(nace("62.10"), (LAB_FARMS, REST), ["rest"], id="kind without theme"),
        pytest.param(nace("35"), (ENERGY, REST), ["rest"], id="less exact than the theme"),
        pytest.param(cpv("09310000-5"), (ENERGY, REST), ["energy"], id="a group of purchases"),
        pytest.param(cpv("30120000-6"), (ENERGY, REST), ["energy"], id="a division of purchases"),
        pytest.param(cpv("31200000-8"), (ENERGY, REST), ["rest"], id="beside a division that ends in 0"),
        pytest.param(cpv("35111000-5"), (ENERGY, REST), ["rest"], id="the digits of another list"),
        pytest.param(nace(), (LAB_AWAY, STARTUPS, REST, DESK), ["rest"], id="who fits is away: who says nothing"),
        pytest.param(nace(), (LAB_AWAY, STARTUPS, DESK), ["startups"], id="nobody else: whoever is there"),
        pytest.param(
            nace(),
            (Relay("souss", "labs", "agadir", away=True, deputy="zineb", concerns=LABS.concerns), ZINEB, REST),
            ["zineb"],
            id="who fits is away: their deputy",
        ),
        pytest.param(
            nace(), (at_agadir("other", kinds=["startup"], city="tamansourt"), LABS), ["labs"], id="of another city"
        ),
    ],
)
def test_several_at_one_city_share_by_kind_and_theme(
    codes: tuple[Code, ...], relays: tuple[Relay, ...], told: list[str]
) -> None:
    about = Subject(frozenset({MemberKind.COMPANY, MemberKind.LABORATORY}), frozenset(codes))
    for order in (relays, tuple(reversed(relays))):
        whom = recipients(NOWHERE, AGADIR, order, about)
        assert [r.ambassador_id for r in whom] == told
        assert [r.leads for r in whom] == [place == 0 for place in range(len(told))]


def test_each_city_and_each_cluster_chooses_for_itself() -> None:
    theirs = Relay("tensift", "chama", "tamansourt", concerns=Concerns(kinds=(MemberKind.STARTUP,)))
    relays = (LABS, REST, BADR, theirs)
    whom = recipients(AGADIR, TENSIFT_TAMANSOURT, relays, Subject(frozenset({MemberKind.LABORATORY})))
    assert [r.ambassador_id for r in whom] == ["chama", "badr", "labs"]


def test_a_theme_may_be_the_need_s_the_asset_s_or_a_member_s() -> None:
    suggestion = made()
    request, offer = suggestion.request, suggestion.offer
    carrying = suggestion.model_copy(
        update={
            "request": request.model_copy(
                update={
                    "activities": nace("01.13"),
                    "party": request.party.model_copy(update={"activities": nace("01")}),
                }
            ),
            "offer": offer.model_copy(
                update={
                    "documents": tuple(d.model_copy(update={"activities": nace("26.51")}) for d in offer.documents),
                    "party": offer.party.model_copy(update={"activities": nace("72.10")}),
                }
            ),
        }
    )
    assert {code.code for code in Subject.of(carrying).codes} == {"01", "01.13", "26.51", "72.10"}
    assert Subject.of(carrying).kinds == {MemberKind.COMPANY, MemberKind.LABORATORY}
