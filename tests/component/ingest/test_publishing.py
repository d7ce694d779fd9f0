"""What is accepted is on the log, once, and is shown."""

import asyncio
from typing import Any

import httpx
import pytest

from schemas.contacts import ContactPublished
from schemas.members import MemberKey, MemberPublished
from schemas.needs import NeedPublished
from tests.component.ingest.conftest import CONTACT, Cluster
from tests.component.ingest.log import newest, revs

PROFILE = {
    "name": "Laboratoire des matériaux",
    "kind": "laboratory",
    "summary": "Céramiques et composites",
    "languages": ["fr", "ar"],
    "country": "MA",
    "assets": [{"asset_id": "four", "kind": "equipment", "title": "Four à 1700 °C", "trl": 9}],
}


async def test_an_accepted_profile_is_on_the_log_and_shown_as_it_was_sent(cluster: Cluster) -> None:
    answer = await cluster.put("members", "lab", PROFILE)
    assert (answer.status_code, answer.json(), answer.headers["etag"]) == (202, {"id": "lab", "rev": 1}, '"1"')
    [event] = await cluster.told()
    assert isinstance(event.value, MemberPublished)
    assert event.value.model_dump(mode="json", include=set(PROFILE))["summary"] == PROFILE["summary"]
    assert event.value.assets[0].title == "Four à 1700 °C"
    assert (event.rev, event.value.alerts, event.occurred_at) == (1, True, event.value.published_at)
    shown = await cluster.api.get(cluster.path("members", "lab"))
    assert (shown.status_code, shown.headers["etag"]) == (200, '"1"')
    again = await cluster.put("members", "lab", shown.json())
    assert again.json()["rev"] == 1, "what is shown can be sent back, and changes nothing"


async def test_equal_content_makes_no_event_and_other_content_the_next_rev(cluster: Cluster) -> None:
    assert [(await cluster.member("m", locality=town)).json()["rev"] for town in ("Fès", "Fès", "Oujda")] == [1, 1, 2]
    assert [event.rev for event in await cluster.told()] == [1, 2]


async def test_without_alerts_is_said_in_the_event(cluster: Cluster) -> None:
    answer = await cluster.api.put(
        cluster.path("members", "m"), params={"alerts": "false"}, json={"name": "M", "kind": "company"}
    )
    assert answer.status_code == 202
    [event] = await cluster.told()
    assert isinstance(event.value, MemberPublished)
    assert not event.value.alerts


async def test_a_need_lives_from_posting_to_withdrawal(cluster: Cluster) -> None:
    await cluster.member("m")
    posted = await cluster.api.post(
        cluster.path("needs"),
        json={"member_id": "m", "title": "Un four de laboratoire", "deadline": "2031-01-31T08:00:00+01:00"},
    )
    need = posted.json()["id"]
    withdrawn = await cluster.api.post(f"{cluster.path('needs', need)}/withdrawal")
    assert (withdrawn.status_code, withdrawn.json()) == (202, {"id": need, "rev": 2})
    again = await cluster.api.post(f"{cluster.path('needs', need)}/withdrawal")
    assert again.json()["rev"] == 2
    shown = (await cluster.api.get(cluster.path("needs", need))).json()
    assert (shown["status"], shown["title"], shown["deadline"]) == (
        "withdrawn",
        "Un four de laboratoire",
        "2031-01-31T07:00:00Z",
    )
    last = newest(await cluster.told())[f"{cluster.name}/{need}"].value
    assert isinstance(last, NeedPublished)
    assert (last.status, last.title) == ("withdrawn", "Un four de laboratoire")


async def test_a_need_posted_under_a_taken_id_is_refused_unless_it_is_the_same(cluster: Cluster) -> None:
    await cluster.member("m")
    need = {"need_id": "n", "member_id": "m", "title": "Un four de laboratoire"}
    answers = [await cluster.api.post(cluster.path("needs"), json=body) for body in (need, need, need | {"text": "!"})]
    assert [answer.status_code for answer in answers] == [202, 202, 409]
    assert "PUT" in answers[2].json()["detail"]


async def test_an_ambassador_is_published_and_erased(cluster: Cluster) -> None:
    body = {"name": "Salma", "city": "cite", "email": "salma@example.org"}
    assert (await cluster.put("ambassadors", "salma", body)).status_code == 202
    assert (await cluster.api.get(cluster.path("ambassadors", "salma"))).json()["email"] == "salma@example.org"
    assert (await cluster.api.delete(cluster.path("ambassadors", "salma"))).json() == {"id": "salma", "rev": 2}
    assert (await cluster.api.get(cluster.path("ambassadors", "salma"))).status_code == 404
    assert newest(await cluster.told())[f"{cluster.name}/salma"].value is None


async def test_a_contact_is_published_replaced_and_erased(cluster: Cluster) -> None:
    await cluster.member("m")
    answer = await cluster.contact("m")
    assert (answer.json(), answer.headers["etag"]) == ({"id": "m", "rev": 1}, '"1"')
    shown = await cluster.api.get(cluster.path("members", "m/contact"))
    assert (shown.json(), shown.headers["etag"]) == (CONTACT | {"language": "fr"}, '"1"')
    assert (await cluster.contact("m")).json()["rev"] == 1, "the same content tells nobody"
    assert (await cluster.contact("m", language="ar", phone=None)).json()["rev"] == 2
    assert (await cluster.api.delete(cluster.path("members", "m/contact"))).json() == {"id": "m", "rev": 3}
    assert (await cluster.api.get(cluster.path("members", "m/contact"))).status_code == 404
    assert (await cluster.api.get(cluster.path("members", "m"))).status_code == 200
    events = await cluster.told()
    assert (revs(events, "m"), revs(events, "m/contact")) == ([1], [1, 2, 3])
    assert newest(events)[f"{cluster.name}/m/contact"].value is None
    first, second = (event.value for event in events if isinstance(event.value, ContactPublished))
    assert first.key == MemberKey(cluster=cluster.name, member_id="m")
    assert first.model_dump(include=set(CONTACT)) == CONTACT
    assert (second.language, second.phone) == ("ar", None)


async def test_a_contact_is_of_a_member_that_is_there(cluster: Cluster) -> None:
    path = cluster.path("members", "m/contact")
    for method, what in (("PUT", "member"), ("GET", "contact of member"), ("DELETE", "contact of member")):
        answer = await cluster.api.request(method, path, json=CONTACT if method == "PUT" else None)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert answer.json()["detail"] == f"There is no {what} {cluster.name}/m. Check the identifiers in the path."
    assert await cluster.told() == []
    await cluster.member("m")
    await cluster.contact("m")
    await cluster.api.delete(cluster.path("members", "m"))
    assert (await cluster.put("members", "m/contact", CONTACT)).status_code == 404
    assert revs(await cluster.told(), "m/contact") == [1, 2], "it was erased with its member"
    await cluster.member("m")
    assert (await cluster.api.get(path)).status_code == 404, "whoever comes back says anew who answers"
    assert (await cluster.contact("m")).json()["rev"] == 3


async def test_an_erased_member_that_comes_back_goes_on_counting(cluster: Cluster) -> None:
    await cluster.member("m")
    assert (await cluster.api.delete(cluster.path("members", "m"))).json()["rev"] == 2
    assert (await cluster.api.delete(cluster.path("members", "m"))).json()["rev"] == 2
    assert (await cluster.member("m")).json()["rev"] == 3
    assert [(e.rev, e.value is None) for e in await cluster.told()] == [(1, False), (2, True), (3, False)]


@pytest.mark.parametrize("kind", ["company", "laboratory"])
async def test_a_city_that_is_none_is_refused_once_it_is_known(cluster: Cluster, kind: str) -> None:
    assert (await cluster.member("early", city="later")).status_code == 202, "files come in any order"
    await cluster.member("later", kind=kind)
    answer = await cluster.put("members", "late", {"name": "Late", "kind": "company", "city": "later"})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["city"]
    await cluster.member("later", kind="innovation_city", city="later")
    assert (await cluster.member("late", city="later")).status_code == 202


async def test_of_concurrent_writers_with_one_etag_one_wins(cluster: Cluster) -> None:
    await cluster.member("m")
    answers = await asyncio.gather(
        *(cluster.put("members", "m", {"name": f"M{n}", "kind": "company"}, If_Match='"1"') for n in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [202] + [412] * 9
    winner = next(n for n, answer in enumerate(answers) if answer.status_code == 202)
    assert (await cluster.api.get(cluster.path("members", "m"))).json()["name"] == f"M{winner}"
    assert revs(await cluster.told(), "m") == [1, 2]


async def test_concurrent_writers_without_conditions_each_make_a_rev(cluster: Cluster) -> None:
    answers = await asyncio.gather(
        *(cluster.put("members", "m", {"name": f"M{n}", "kind": "company"}) for n in range(10))
    )
    assert sorted(answer.json()["rev"] for answer in answers) == list(range(1, 11))
    assert revs(await cluster.told(), "m") == list(range(1, 11))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-Match": '"1"'}, 202),
        ({"If-Match": '"7", "1"'}, 202),
        ({"If-Match": "*"}, 202),
        ({"If-Match": '"2"'}, 412),
        ({"If-Match": 'W/"1"'}, 412),
        ({"If-Match": f'"{"1" * 5_000}"'}, 412),
        ({"If-Match": "1"}, 400),
        ({"If-None-Match": "*"}, 412),
        ({"If-None-Match": '"1"'}, 400),
    ],
)
async def test_conditions_on_a_member_at_rev_1(cluster: Cluster, headers: dict[str, str], status: int) -> None:
    await cluster.member("m")
    body = {"name": "Other", "kind": "company"}
    answer = await cluster.api.put(cluster.path("members", "m"), json=body, headers=headers)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("headers", "status"), [({"If-Match": '"1"'}, 412), ({"If-Match": "*"}, 412), ({"If-None-Match": "*"}, 202)]
)
async def test_conditions_on_a_member_that_is_not_there(cluster: Cluster, headers: dict[str, str], status: int) -> None:
    answer = await cluster.api.put(cluster.path("members", "m"), json={"name": "M", "kind": "company"}, headers=headers)
    assert answer.status_code == status, answer.text


async def test_a_stale_etag_with_the_content_that_is_there_is_a_repetition(cluster: Cluster) -> None:
    await cluster.member("m")
    body = {"name": "Other", "kind": "company"}
    answers = [await cluster.put("members", "m", body, If_Match='"1"') for _ in range(2)]
    assert [(answer.status_code, answer.json()["rev"]) for answer in answers] == [(202, 2)] * 2


async def test_an_idempotent_post_makes_one_need_however_often_it_comes(cluster: Cluster) -> None:
    await cluster.member("m")

    async def post(title: str, key: str = "k1") -> httpx.Response:
        body = {"member_id": "m", "title": title}
        return await cluster.api.post(
            cluster.path("needs"), json=body, headers={"Idempotency-Key": f"{cluster.name}-{key}"}
        )

    first, *same = await asyncio.gather(*(post("Un four de laboratoire") for _ in range(5)))
    assert {answer.text for answer in same} == {first.text}
    other = await post("Un autre four")
    assert (other.status_code, other.json()["title"]) == (422, "Idempotency-Key already used")
    assert (await post("Un autre four", "k2")).json()["id"] != first.json()["id"]
    assert (
        len([event for event in newest(await cluster.told()).values() if isinstance(event.value, NeedPublished)]) == 2
    )


async def test_an_idempotent_put_answers_as_before_even_after_a_later_write(cluster: Cluster) -> None:
    async def put(name: str, **headers: str) -> Any:
        return (await cluster.put("members", "m", {"name": name, "kind": "company"}, **headers)).json()

    assert (await put("One", Idempotency_Key=cluster.name))["rev"] == 1
    assert (await put("Two"))["rev"] == 2
    assert (await put("One", Idempotency_Key=cluster.name))["rev"] == 1, "it is the same request, not a new wish"
    assert (await cluster.api.get(cluster.path("members", "m"))).json()["name"] == "Two"


async def test_one_callers_idempotency_key_is_not_anothers(cluster: Cluster) -> None:
    await cluster.member("m")
    org = await cluster.key_of("m")
    body = {"member_id": "m", "title": "Un four de laboratoire"}
    answers = [
        await cluster.api.post(cluster.path("needs"), json=body, headers={"Idempotency-Key": cluster.name, **caller})
        for caller in ({}, org)
    ]
    assert [answer.status_code for answer in answers] == [202, 202], [answer.text for answer in answers]
    assert answers[0].json()["id"] != answers[1].json()["id"]


async def test_erasure_leaves_no_word_in_any_collection(cluster: Cluster) -> None:
    async def words_left() -> list[str]:
        database = cluster.frame.store.database
        names = await database.list_collection_names()
        rows = [repr(row) for name in names async for row in database[name].find()]
        return [row for row in rows if "zitoun" in row]

    secret = {"summary": "zitoun", "locality": "zitoun", "assets": [{"asset_id": "a", "title": "zitoun"}]}
    assert (
        await cluster.put("members", "m", {"name": "zitoun", "kind": "company", **secret}, Idempotency_Key=cluster.name)
    ).status_code == 202
    await cluster.member("m", summary="zitoun again")
    need = {"member_id": "m", "title": "zitoun", "text": "zitoun"}
    for n in range(3):
        headers = {"Idempotency-Key": f"{cluster.name}-{n}"}
        assert (await cluster.api.post(cluster.path("needs"), json=need, headers=headers)).status_code == 202
    await cluster.contact("m", name="zitoun", email="zitoun@example.org")
    email = {"name": "zitoun", "role": "desk", "email": "zitoun@example.org"}
    assert (await cluster.put("ambassadors", "a", email)).status_code == 202
    assert len(await words_left()) == 6
    for path in (cluster.path("members", "m"), cluster.path("ambassadors", "a")):
        assert (await cluster.api.delete(path)).status_code == 202
    assert await words_left() == []
    assert [event.value for event in newest(await cluster.told()).values()] == [None] * 6


async def test_html_is_taken_out_and_the_answer_says_so(cluster: Cluster) -> None:
    await cluster.member("firm")
    answer = await cluster.need("n1", "firm", text="<p>Un capteur <b>autonome</b></p>")
    assert [note["field"] for note in answer.json()["notes"]] == ["text"]
    shown = (await cluster.api.get(cluster.path("needs", "n1"))).json()
    assert shown["text"] == "Un capteur autonome"
    again = await cluster.put("needs", "n1", shown)
    assert again.json() == {"id": "n1", "rev": 1}


async def test_a_need_that_says_what_another_of_the_member_says_is_taken_and_that_is_said(cluster: Cluster) -> None:
    await cluster.member("firm")
    await cluster.member("other")
    said = {"title": "Capteurs d’humidité", "text": "Pour une serre."}
    assert "notes" not in (await cluster.need("n1", "firm", **said)).json()
    assert "notes" not in (await cluster.need("theirs", "other", **said)).json()
    (note,) = (await cluster.need("n2", "firm", **said | {"text": "Pour une  serre !"})).json()["notes"]
    assert f"{cluster.name}/n1" in note["detail"]
    await cluster.need("n1", "firm", **said, deadline="2020-01-31T18:00:00Z")
    assert "notes" not in (await cluster.need("n2", "firm", **said)).json(), "the other one is over"
    await cluster.need("n1", "firm", **said, deadline="2099-01-31T18:00:00Z")
    assert "notes" in (await cluster.need("n2", "firm", **said | {"text": "Pour une serre"})).json()
    withdrawn = await cluster.api.post(cluster.path("needs", "n1") + "/withdrawal")
    assert withdrawn.status_code == httpx.codes.ACCEPTED
    assert "notes" not in (await cluster.need("n2", "firm", **said | {"text": "Pour une serre…"})).json()
    assert (
        "notes"
        not in (await cluster.need("n1", "firm", **said | {"status": "withdrawn", "text": "Pour une serre !"})).json()
    )


async def test_needs_are_listed_some_at_a_time(cluster: Cluster) -> None:
    for member in ("firm", "other"):
        await cluster.member(member)
    for number in range(5):
        await cluster.need(f"n{number}", "firm")
    await cluster.need("theirs", "other")
    await cluster.need("gone", "firm")
    assert (await cluster.api.delete(cluster.path("needs", "gone"))).status_code == 202
    assert (await cluster.api.post(cluster.path("needs", "n1") + "/withdrawal")).status_code == 202

    async def walk(key: dict[str, str] | None = None, **wanted: str) -> list[list[str]]:
        answer = await cluster.api.get(cluster.path("needs"), params={"limit": "2", **wanted}, headers=key)
        pages = []
        while True:
            assert answer.status_code == 200, answer.text
            pages.append([item["id"] for item in answer.json()["items"]])
            if "next" not in answer.links:
                return pages
            answer = await cluster.api.get(answer.links["next"]["url"], headers=key)

    assert await walk() == [["n0", "n1"], ["n2", "n3"], ["n4", "theirs"]]
    assert await walk(await cluster.key_of("firm")) == [["n0", "n1"], ["n2", "n3"], ["n4"]]
    assert await walk(member_id="other") == [["theirs"]]
    assert await walk(member_id="firm", status="open") == [["n0", "n2"], ["n3", "n4"]]
    [shown] = (await cluster.api.get(cluster.path("needs"), params={"after": "n4"})).json()["items"]
    assert (shown["member_id"], shown["rev"], shown["title"]) == ("other", 1, "Capteurs pour theirs")

    many = [{"cluster": cluster.name, "member_id": f"{'x' * 70}{number}"} for number in range(7_000)]
    for number in range(3):
        await cluster.need(f"z{number}", "other", excluded=many)
    assert await walk(member_id="other", limit="50") == [["theirs", "z0", "z1"], ["z2"]], "so many as are not too long"
    members = (await cluster.api.get(cluster.path("members"))).json()["items"]
    assert [member["id"] for member in members] == ["firm", "other"]


@pytest.mark.parametrize(
    ("wanted", "field"), [({"limit": "0"}, "limit"), ({"after": "é"}, "after"), ({"status": "old"}, "status")]
)
async def test_a_list_that_cannot_be_shown_is_refused_with_the_reason(
    cluster: Cluster, wanted: dict[str, str], field: str
) -> None:
    answer = await cluster.api.get(cluster.path("needs"), params=wanted)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


async def test_a_dry_run_says_what_would_be_and_does_nothing(cluster: Cluster) -> None:
    await cluster.member("firm")
    await cluster.need("n1", "firm")
    before = len(await cluster.told())
    need = {"member_id": "firm", "title": "Capteurs pour une serre", "text": "<p>Autonomes.</p>"}

    async def dry(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await cluster.api.request(
            method, cluster.path("needs", path), json=body, headers=sent, params={"dry_run": "true"}
        )
        return answer.status_code, answer.json()

    status, said = await dry("PUT", "n1", need, idempotency_key=f"{cluster.name}-dry")
    assert (status, said["rev"], said["dry_run"], said["notes"][0]["field"]) == (200, 2, True, "text")
    assert (await dry("PUT", "n2", need))[1]["rev"] == 1
    assert (await dry("DELETE", "n1"))[1]["rev"] == 2
    assert (await dry("POST", "n1/withdrawal"))[1]["rev"] == 2
    assert (await dry("PUT", "n1", need, if_match='"7"'))[0] == 412
    assert (await dry("PUT", "n2", need | {"direction": "sideways"}))[0] == 422
    assert (await dry("DELETE", "n2"))[0] == 404
    status, said = await dry("PUT", "n3", need | {"member_id": "nobody"})
    assert (status, [note["field"] for note in said["notes"]]) == (200, ["text", "member_id"])
    assert len(await cluster.told()) == before
    # What was only tried has used up no key.
    taken = await cluster.put("needs", "n1", need, idempotency_key=f"{cluster.name}-dry")
    assert (taken.status_code, taken.json()["rev"]) == (202, 2)


async def test_words_that_were_published_under_older_rules_may_stay(cluster: Cluster) -> None:
    await cluster.member("firm")
    await cluster.need("n1", "firm")
    old = {"member_id": "firm", "title": "Capteurs pour une serre", "text": "Appelez le 06 12 34 56 78"}
    assert (await cluster.put("needs", "n1", old)).status_code == 422
    needs = cluster.frame.store.database["needs"]
    await needs.update_one(
        {"_id": f"{cluster.name}/n1"}, {"$set": {"value.title": old["title"], "value.text": old["text"]}}
    )
    assert (await cluster.put("needs", "n1", old | {"deadline": "2031-01-31T08:00:00Z"})).status_code == 202
    assert (await cluster.put("needs", "n1", old | {"title": "Capteurs pour deux serres"})).status_code == 422
