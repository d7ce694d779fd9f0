"""The production engine as the measurements of quality feed it and ask it."""

from typing import Any

import pytest

from bench._ablation import VARIANTS
from bench._data import DataError, Folder, member_of, need_of
from bench._quality_engine import Engine, Variant, check_variants, production_places, ranking, terms
from schemas.members import MemberKind
from services.matcher.index import Analyser


def test_members_are_ranked_under_the_ids_of_their_docs() -> None:
    engine, folder = _engine(["Membrane filtration.", "Solar panels."], ["Filtration by membrane"])
    found = ranking(engine, folder.needs)
    assert list(found) == ["query 0"]
    assert list(found["query 0"]) == ["doc 0"]
    assert engine.query_seconds > 0


def test_no_more_members_are_ranked_than_asked_for() -> None:
    engine, folder = _engine([f"Membrane filtration {letter * 4}." for letter in "abcdef"], ["Filtration by membrane"])
    assert len(engine.rank(folder.needs[0], 4)) == 4


def test_at_most_as_many_are_told_as_production_tells() -> None:
    right = [f"Membrane filtration {letter * 4}." for letter in "abcdefgh"]
    others = [f"Solar panels {number}." for number in range(40)]
    engine, folder = _engine(right + others, ["Membrane filtration"])
    told = engine.told(folder.needs[0])
    assert len(told) == production_places()
    assert [one.score for one in told] == sorted((one.score for one in told), reverse=True)
    assert {one.doc for one in told} < {member.doc for member in folder.members}


def test_one_shared_word_is_no_evidence() -> None:
    engine, folder = _engine(["Membrane keyboards.", "Solar panels."], ["Filtration by membrane"])
    assert engine.rank(folder.needs[0])
    assert engine.told(folder.needs[0]) == []


def test_past_projects_can_be_put_as_one_document() -> None:
    projects = [{"id": f"p{n}", "text": text, "docs": ["doc 0"]} for n, text in enumerate(["Membranes.", "Filters."])]
    folder = _folder(["Nothing."], ["Membranes and filters"], projects)
    apart, together = (Engine(folder, variant=Variant(label="x", one_document=one)) for one in (False, True))
    assert (apart.documents, together.documents) == (2, 1)
    assert together.rank(folder.needs[0])


def test_a_field_that_the_weighting_does_not_have_is_named() -> None:
    with pytest.raises(DataError, match="has no no_such_field; it has k1"):
        check_variants([Variant(label="x", weighting={"no_such_field": 1.0})])


def test_the_weighting_has_every_field_that_the_ablation_sets() -> None:
    check_variants(VARIANTS)


def test_terms_are_those_of_the_analyser_in_reading_order() -> None:
    assert terms(Analyser(), "Solar membranes, solar filters", "en") == ["solar", "membran", "solar", "filter"]


def _engine(docs: list[str], queries: list[str]) -> tuple[Engine, Folder]:
    folder = _folder(docs, queries, [])
    return Engine(folder), folder


def _folder(docs: list[str], queries: list[str], projects: list[dict[str, Any]]) -> Folder:
    rows = [{"id": f"doc {n}", "text": text, "extra": {"name": f"Organisation {n}"}} for n, text in enumerate(docs)]
    members = [member_of(row, [one for one in projects if row["id"] in one["docs"]]) for row in rows]
    needs = [
        need_of({"id": f"query {n}", "text": text, "lang": "en"}, [MemberKind.COMPANY])
        for n, text in enumerate(queries)
    ]
    return Folder(name="tiny", members=members, needs=needs, relevant={})
