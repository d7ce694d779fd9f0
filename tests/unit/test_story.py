"""The sample data is valid, coherent and balanced."""

import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from schemas.ambassadors import AmbassadorProfile
from schemas.base import Slug
from schemas.contacts import ContactProfile
from schemas.members import MemberProfile
from schemas.needs import NeedProfile
from services.console import story

SLUG: TypeAdapter[str] = TypeAdapter(Slug)
NOW = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
CLUSTER = story.cluster()["cluster"]
MEMBERS = {(row["cluster"], row["member_id"]): row for row in story.members()}
NEEDS = story.needs(NOW)
LIVE = [story.live("fr", now=NOW), story.live("ar", now=NOW)]
AMBASSADORS = story.ambassadors()
CONTACTS = {(row["cluster"], row["member_id"]): row for row in story.contacts()}
EXPECTED = story.expected()


def _by_need(needs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {need["need_id"]: need for need in needs}


def _validate(profile: type[BaseModel], row: dict[str, Any], *keys: str) -> None:
    """Validate as the API does, where the contract's models would silently ignore a misspelt field."""
    fields = {key: value for key, value in row.items() if key not in keys}
    accepted = profile.model_validate(fields).model_dump(mode="json", exclude_unset=True)
    assert _shape(accepted) == _shape(fields)
    for key in keys:
        SLUG.validate_python(row[key])


def _shape(value: object) -> object:
    """Keep the names of the fields, at every depth."""
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shape(inner) for inner in value]
    return None


def _codes() -> list[dict[str, Any]]:
    rows = [*MEMBERS.values(), *NEEDS, *LIVE]
    assets = [asset for row in MEMBERS.values() for asset in row["assets"]]
    return [code for row in [*rows, *assets] for code in row.get("activities", ())]


@pytest.mark.parametrize("row", MEMBERS.values(), ids=lambda row: row["member_id"])
def test_every_member_is_a_valid_profile(row: dict[str, Any]) -> None:
    _validate(MemberProfile, row, "cluster", "member_id")
    assert 1 <= len(row["assets"]) <= 6
    ids = [asset["asset_id"] for asset in row["assets"]]
    assert len(ids) == len(set(ids))
    for asset in row["assets"]:
        assert 20 <= len(asset["text"].split()) <= 70, asset["asset_id"]


@pytest.mark.parametrize("row", [*NEEDS, *LIVE], ids=lambda row: row["need_id"])
def test_every_need_is_a_valid_profile_of_a_member(row: dict[str, Any]) -> None:
    _validate(NeedProfile, row, "cluster", "need_id")
    assert MEMBERS[row["cluster"], row["member_id"]]["admission"] == "admitted"
    for excluded in row.get("excluded", ()):
        assert (excluded["cluster"], excluded["member_id"]) in MEMBERS


def test_ids_are_unique() -> None:
    assert len(MEMBERS) == len(story.members())
    ids = [(row["cluster"], row["need_id"]) for row in [*NEEDS, *LIVE]]
    assert len(ids) == len(set(ids))
    ids = [(row["cluster"], row["ambassador_id"]) for row in AMBASSADORS]
    assert len(ids) == len(set(ids))


def test_every_city_is_an_innovation_city_of_the_same_cluster() -> None:
    for (cluster, member_id), row in MEMBERS.items():
        if row["kind"] == "innovation_city":
            assert row["city"] == member_id
        if city := row.get("city"):
            assert MEMBERS[cluster, city]["kind"] == "innovation_city"


def test_the_convention_exists_both_ways() -> None:
    represented = {
        (cluster, row["represents"]) for (cluster, _), row in MEMBERS.items() if row["kind"] == "partner_cluster"
    }
    partners = [partner["cluster"] for partner in story.cluster()["partners"]]
    assert represented == {(CLUSTER, other) for other in partners} | {(other, CLUSTER) for other in partners}


def test_every_city_has_an_ambassador_and_every_cluster_a_desk() -> None:
    for row in AMBASSADORS:
        _validate(AmbassadorProfile, row, "cluster", "ambassador_id")
        assert row["email"].endswith("@example.org")
    cities = {key for key, row in MEMBERS.items() if row["kind"] == "innovation_city"}
    assert cities == {(row["cluster"], row["city"]) for row in AMBASSADORS if row["role"] == "ambassador"}
    assert {cluster for cluster, _ in MEMBERS} == {row["cluster"] for row in AMBASSADORS if row["role"] == "desk"}
    spoken = Counter(row["language"] for row in AMBASSADORS if row["role"] == "ambassador")
    assert spoken == {"fr": 2, "ar": 1, "en": 1}


def test_whoever_meets_before_the_reader_has_a_contact_and_others_have_none() -> None:
    assert len(CONTACTS) == len(story.contacts())
    for key, row in CONTACTS.items():
        _validate(ContactProfile, row, "cluster", "member_id")
        assert MEMBERS[key]["admission"] == "admitted"
        assert row["language"] in MEMBERS[key]["languages"]
        assert row["email"].endswith("@example.org")
    people = [row["email"] for row in [*CONTACTS.values(), *AMBASSADORS]]
    assert len(people) == len(set(people))
    for need in LIVE:
        assert {(CLUSTER, member_id) for member_id in [need["member_id"], *EXPECTED[need["need_id"]]]} <= set(CONTACTS)
    assert len(CONTACTS) < len(MEMBERS) / 2
    assert {row["language"] for row in CONTACTS.values()} == {"fr", "ar", "en"}


def test_there_is_as_much_as_a_demonstration_needs() -> None:
    kinds = Counter(row["kind"] for (cluster, _), row in MEMBERS.items() if cluster == CLUSTER)
    assert 55 <= kinds.total() <= 70
    assert kinds["innovation_city"] == 4
    assert set(kinds) == {
        "company", "startup", "laboratory", "university", "association", "innovation_city", "funder", "partner_cluster",
    }  # fmt: skip
    assert Counter(row["admission"] for row in MEMBERS.values()) == {
        "admitted": len(MEMBERS) - 2,
        "candidate": 1,
        "suspended": 1,
    }
    assert Counter(row["direction"] for row in NEEDS) == {"request": 34, "offer": 6}
    assert {asset["kind"] for row in MEMBERS.values() for asset in row["assets"]} == {
        "competence", "project", "product", "service", "equipment", "facility", "hosting", "fund",
    }  # fmt: skip


def test_languages_are_those_of_the_country() -> None:
    assets = [asset for row in MEMBERS.values() for asset in row["assets"]]
    for texts in (assets, NEEDS):
        share = {language: count / len(texts) for language, count in Counter(t["language"] for t in texts).items()}
        assert 0.52 <= share["fr"] <= 0.65
        assert 0.20 <= share["ar"] <= 0.30
        assert 0.10 <= share["en"] <= 0.20
    for text in [*assets, *NEEDS, *LIVE]:
        in_arabic = bool(re.search("[\u0600-\u06ff]", text["title"] + text["text"]))
        assert in_arabic == (text["language"] == "ar"), text["title"]


def test_typography_is_that_of_the_language() -> None:
    for text in [*NEEDS, *LIVE, *(asset for row in MEMBERS.values() for asset in row["assets"])]:
        words = text["title"] + " " + text["text"]
        assert "'" not in words
        assert '"' not in words
        assert "  " not in words
        if text["language"] == "fr":
            assert not re.search(r" [;:!?%]|\w[;!?]", words), text["title"]
        if text["language"] == "ar":
            assert not re.search("[,;?]", words), text["title"]


def test_codes_have_one_label_each_and_the_form_of_their_scheme() -> None:
    labels: dict[tuple[str, str], str] = {}
    form = {"nace-2.1": r"\d\d(\.\d{1,2})?", "cpv-2008": r"\d{8}"}
    for code in _codes():
        assert re.fullmatch(form[code["scheme"]], code["code"])
        assert code["label"]
        assert labels.setdefault((code["scheme"], code["code"]), code["label"]) == code["label"]
    assert len(set(labels.values())) == len(labels)


def test_deadlines_are_counted_from_now() -> None:
    need = _by_need(NEEDS)["renfort-flutter"]
    assert NeedProfile.model_validate(need).deadline == datetime(2026, 2, 14, 9, 0, tzinfo=UTC)
    assert not any("deadline_in_days" in row for row in [*NEEDS, *LIVE])
    assert NeedProfile.model_validate(story.live()).deadline is not None


def test_every_need_says_whom_it_should_meet() -> None:
    everything = _by_need([*NEEDS, *LIVE])
    assert set(EXPECTED) == set(everything)
    assert 3 <= sum(not partners for partners in EXPECTED.values()) <= 6
    for need_id, partners in EXPECTED.items():
        need = everything[need_id]
        for partner in partners:
            (row,) = [row for (_, member_id), row in MEMBERS.items() if member_id == partner]
            assert partner != need["member_id"]
            assert row["admission"] == "admitted"
            assert row["kind"] in need.get("kinds_sought", [row["kind"]])
            assert row["country"] in need.get("countries", [row["country"]])
            assert set(row["languages"]) & set(need.get("languages") or row["languages"])
            assert partner not in [excluded["member_id"] for excluded in need.get("excluded", ())]
            if row["cluster"] != CLUSTER:
                assert need.get("visibility", {"reach": "convention_partners"})["reach"] != "own_cluster"


@pytest.mark.parametrize("need", LIVE, ids=lambda need: need["language"])
def test_the_live_need_joins_two_cities(need: dict[str, Any]) -> None:
    owner = MEMBERS[CLUSTER, need["member_id"]]
    (partner,) = (MEMBERS[CLUSTER, member_id] for member_id in EXPECTED[need["need_id"]])
    assert (owner["kind"], partner["kind"]) == ("company", "laboratory")
    assert owner["city"] != partner["city"]
    assert need["language"] in {asset["language"] for asset in partner["assets"]}
