"""The replay's arithmetic: what a ranking is worth, what a row becomes, and what counts as lost or told twice."""

import gzip
import json
import math
from pathlib import Path

import pytest
from confluent_kafka import Producer

from bench._account import Account, Delivered, account, scores_by_need
from bench._data import DataError, kind_of, load, member_of, name_of, need_of, slug_of, title_and_rest
from bench._quality import Quality, Spread, ndcg, percentile, quality, ranked, spread
from bench._receiving import Arrival
from bench._report import Phase, Result, Sent
from bench._watching import Notified, Seen, Suggested, Watch
from schemas.members import MemberKind
from schemas.notifications import Channel
from schemas.suggestions import RequestSource
from services.console.embedded.broker import MemoryBroker

# Quality


def test_ndcg_is_the_discounted_gain_over_the_best_possible() -> None:
    # Relevant: a and b. Ranked second and fourth: 1/log2(3) + 1/log2(5) over 1/log2(2) + 1/log2(3).
    expected = (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))
    assert ndcg(["x", "a", "y", "b"], {"a": 1, "b": 1}) == pytest.approx(expected)
    assert expected == pytest.approx(0.6509, abs=1e-4)


def test_ndcg_weighs_grades_linearly() -> None:
    # Grades 1 before 3: 1 + 3/log2(3) over 3 + 1/log2(3).
    assert ndcg(["low", "high"], {"high": 3, "low": 1}) == pytest.approx(2.8928 / 3.6309, abs=1e-4)


def test_only_ten_places_count() -> None:
    ranking = [f"x{n}" for n in range(10)] + ["a"]
    assert ndcg(ranking, {"a": 1}) == 0
    assert ndcg([f"a{n}" for n in range(12)], {f"a{n}": 1.0 for n in range(12)}) == pytest.approx(1)


def test_equal_scores_are_ordered_by_id() -> None:
    assert ranked({"b": 0.5, "a": 0.5, "c": 0.9}) == ["c", "a", "b"]


def test_a_need_without_an_answer_counts_zero_in_one_mean_and_not_in_the_other() -> None:
    found = quality({"q1": {"a": 1.0}, "unjudged": {"b": 1.0}}, {"q1": {"a": 1}, "q2": {"b": 1}})
    assert found == Quality(judged=2, answered=1, ndcg=0.5, ndcg_answered=1.0)
    assert quality({}, {}) == Quality(judged=0, answered=0, ndcg=0.0, ndcg_answered=0.0)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 5.0), (0.9, 9.0), (0.99, 10.0), (0.0, 1.0), (1.0, 10.0), (0.11, 2.0)]
)
def test_a_percentile_is_a_value_that_occurred(share: float, expected: float) -> None:
    assert percentile([float(n) for n in range(10, 0, -1)], share) == expected


def test_the_spread_of_nothing_is_zero() -> None:
    assert spread([]) == Spread(count=0, p50=0, p90=0, p99=0, longest=0)


# Rows


def test_past_projects_become_assets_and_the_text_is_not_told_twice() -> None:
    row = {"id": "O1", "text": "Acme. Paris. Long text.", "kind": "organisation", "extra": {"name": "Acme"}}
    project = {"id": "P 1", "text": "A robot that smells. It follows odours.", "docs": ["O1"]}
    profile = member_of(row, [project], city="city-1").profile
    assert (profile.name, profile.summary, profile.city) == ("Acme", "", "city-1")
    [asset] = profile.assets
    assert (asset.title, asset.text) == ("A robot that smells.", "It follows odours.")
    assert asset.asset_id == slug_of("P 1") != "P 1"


def test_without_past_projects_the_text_is_the_summary_less_the_name() -> None:
    row = {"id": "L1", "text": "Institut X. IX. Plasmas.", "lang": "fr", "extra": {"name": "Institut X"}}
    profile = member_of(row, []).profile
    assert (profile.name, profile.summary, profile.assets) == ("Institut X", "IX. Plasmas.", ())


def test_a_text_too_long_for_a_summary_becomes_as_many_assets_as_it_takes() -> None:
    words = " ".join(f"word{n}" for n in range(6_000))
    profile = member_of({"id": "F1", "text": words, "lang": "en", "extra": {"title": "Long"}}, []).profile
    assert profile.summary == ""
    assert [asset.title for asset in profile.assets] == ["Long (1/3)", "Long (2/3)", "Long (3/3)"]
    assert " ".join(asset.text for asset in profile.assets) == words


def test_a_member_keeps_only_a_country_that_exists() -> None:
    assert member_of({"id": "1", "text": "t", "extra": {"country": "AT"}}, []).profile.country == "AT"
    assert member_of({"id": "1", "text": "t", "extra": {"country": "UK"}}, []).profile.country == "MA"


@pytest.mark.parametrize(
    ("category", "name", "kind"),
    [
        ("Entreprises Privées", "Fondation Bruit", MemberKind.COMPANY),
        ("Universités, INSA et INP", "", MemberKind.UNIVERSITY),
        ("ENS et grands établissements", "", MemberKind.UNIVERSITY),
        ("Organismes de type EPST", "", MemberKind.LABORATORY),
        ("Organismes Médicaux (Hôpitaux)", "", MemberKind.LABORATORY),
        ("Associations", "", MemberKind.ASSOCIATION),
        ("", "MICROSYSTEMS LTD", MemberKind.COMPANY),
        ("", "Somebody", MemberKind.ASSOCIATION),
    ],
)
def test_a_kind_is_found_in_the_category_first(category: str, name: str, kind: MemberKind) -> None:
    assert kind_of(category, name, "organisation") is kind


def test_a_name_carries_its_acronym_once() -> None:
    row = {"id": "1", "text": "t", "extra": {"name": "Laboratoire d'énergie", "sigle": ["EM2C"]}}
    assert name_of(row) == "Laboratoire d'énergie (EM2C)"
    assert name_of({"id": "1", "text": "Nobody named this. It is so.", "extra": {"name": ""}}) == "Nobody named this."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two. Three.", ("One.", "Two. Three.")),
        ("No end at all", ("No end at all", "")),
        ("Version 2.1 of it. More", ("Version 2.1 of it.", "More")),
        ("", ("?", "")),
    ],
)
def test_the_first_sentence_is_the_title(text: str, expected: tuple[str, str]) -> None:
    assert title_and_rest(text) == expected


def test_a_title_without_an_end_is_cut_between_words() -> None:
    title, rest = title_and_rest("word " * 100)
    assert len(title) <= 300
    assert title.endswith("word")
    assert f"{title} {rest}" == " ".join(["word"] * 100)


def test_a_need_seeks_the_kinds_of_the_organisations() -> None:
    need = need_of({"id": "R 1", "text": "Une carte. Sûre.", "lang": "fr"}, [MemberKind.LABORATORY])
    assert need.need_id == slug_of("R 1")
    assert (need.profile.title, need.profile.text, need.profile.language) == ("Une carte.", "Sûre.", "fr")
    assert need.profile.kinds_sought == (MemberKind.LABORATORY,)
    assert need.asker == need.profile.member_id != need.need_id


def test_a_folder_is_read_plain_or_gzipped(tmp_path: Path) -> None:
    write(tmp_path / "docs.jsonl", [{"id": "a", "text": "A.", "extra": {"name": "A"}}, {"id": "b", "text": "B."}])
    write(tmp_path / "queries.jsonl", [{"id": "q1", "text": "One"}, {"id": "q2", "text": "Two"}])
    with gzip.open(tmp_path / "qrels.tsv.gz", "wt") as file:
        file.write("query\tdoc\tgrade\nq1\ta\t1\nq1\tb\t0\nq2\tb\t2\n")
    folder = load(tmp_path, limit=1, cities=["x", "y"])
    assert [member.profile.city for member in folder.members] == ["x", "y"]
    assert [need.query for need in folder.needs] == ["q1"]
    assert folder.relevant == {"q1": {"a": 1.0}}


def test_a_folder_that_lacks_a_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no docs\.jsonl"):
        load(tmp_path)


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


# The account

RECIPIENTS = {Channel.EMAIL: {"amb@x"}, Channel.WEBHOOK: {"amb"}}


def suggestion(*, alerts: bool = True, lapsed: bool = False, score: float = 0.5) -> Suggested:
    return Suggested(
        source=RequestSource.NEED,
        request_id="need",
        member_id="lab",
        score=score,
        revision=1,
        alerts=alerts,
        at=101.0,
        lapsed=lapsed,
    )


def seen_with(one: Suggested, *ids: str) -> Seen:
    seen = Seen()
    seen.suggestions["s"] = one
    for number, name in enumerate(ids, 1):
        seen.notifications[name] = Notified(
            suggestion_id="s", revision=number, channel=Channel.EMAIL, ambassador_id="amb"
        )
    return seen


def mail(name: str, at: float = 103.0, to: str = "amb@x") -> Arrival:
    return Arrival(Channel.EMAIL, name, to, at)


def by_email(seen: Seen, *arrivals: Arrival) -> Delivered:
    found = account(seen=seen, arrivals=arrivals, posted_at={"need": 100.0}, recipients=RECIPIENTS)
    return found.delivered[Channel.EMAIL]


def test_one_message_in_time_is_as_it_should_be() -> None:
    delivered = by_email(seen_with(suggestion(), "n"), mail("n"))
    assert delivered == Delivered(messages=1, twice=0, missing=0, unwanted=0, unannounced=0, latency=spread([3.0]))


def test_the_same_message_again_is_twice() -> None:
    delivered = by_email(seen_with(suggestion(), "n"), mail("n", 104.0), mail("n", 103.0))
    assert (delivered.messages, delivered.twice, delivered.latency.longest) == (1, 1, 3.0)


def test_another_message_about_the_same_suggestion_is_twice() -> None:
    delivered = by_email(seen_with(suggestion(), "n1", "n2"), mail("n1"), mail("n2"))
    assert (delivered.messages, delivered.twice) == (2, 1)


def test_an_alert_that_never_came_is_missing_unless_it_lapsed_or_was_muted() -> None:
    assert by_email(seen_with(suggestion())).missing == 1
    assert by_email(seen_with(suggestion(lapsed=True))).missing == 0
    assert by_email(seen_with(suggestion(alerts=False))).missing == 0


def test_what_was_muted_or_went_to_another_is_unwanted() -> None:
    assert by_email(seen_with(suggestion(alerts=False), "n"), mail("n")).unwanted == 1
    assert by_email(seen_with(suggestion(), "n"), mail("n", to="desk@x")).unwanted == 1


def test_a_message_of_which_the_log_says_nothing_is_unannounced() -> None:
    assert by_email(seen_with(suggestion()), mail("n")).unannounced == 1


def test_scores_are_those_of_posted_needs() -> None:
    assert scores_by_need(seen_with(suggestion(score=0.7)), {"need": 1.0}) == {"need": {"lab": 0.7}}
    assert scores_by_need(seen_with(suggestion(score=0.7)), {}) == {}


async def test_what_left_the_log_unread_is_told() -> None:
    broker, size, count = MemoryBroker(), 900_000, 20  # 18 MB on one partition, of which the newest 5 are kept
    watch = Watch(bootstrap=broker.bootstrap, cluster="c")
    async with watch.reading():
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        for _ in range(count):
            producer.produce("members.v1", bytes(size), key=b"c/m", partition=0)
            producer.flush()  # blocks the loop, and with it the reader
        await watch.catch_up()
        missed = await watch.missed()
    assert missed.keys() == {"members.v1"}
    assert missed["members.v1"] + watch.seen.records["members.v1"] == count
    assert len(watch.seen.unreadable) == watch.seen.records["members.v1"] > 0


def test_the_verdict_names_what_was_lost() -> None:
    clean = result(lost=0)
    assert clean.wrong() == []
    assert clean.as_json()["rates"]["needs_acknowledged_per_second"] == 5.0
    assert list(clean.run_lines()) == ["q\ta\t0.1\n"]
    assert result(lost=2).wrong() == ["2 acknowledged needs are not on the log"]


def result(*, lost: int) -> Result:
    def sent(lost: int) -> Sent:
        return Sent(
            posted=10, acknowledged=10, refused=[], retried=0, lost=lost, unknown=0, seconds=2.0, latency=spread([])
        )

    told = Account(
        suggested=0,
        answered=0,
        lapsed=0,
        revised=0,
        standing=0,
        suggestion_latency=spread([]),
        delivered={},
        failed=[],
    )
    return Result(
        data="d",
        broker="b",
        database="m",
        cities=1,
        suggestions_per_request=None,
        settings={},
        members=sent(0),
        needs=sent(lost),
        census=Phase(seconds=1.0, events=1, cpu={}),
        live=Phase(seconds=1.0, events=1, cpu={}),
        offers=0,
        account=told,
        ranking={"q": {"a": 0.1}},
        quality=quality({}, {}),
        missed={},
        dead=[],
        unreadable=[],
        refused_webhooks=[],
        deaths=[],
        timed_out=None,
    )
