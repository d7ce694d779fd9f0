"""Who may do what: an organisation's key reaches its own member and its own needs, and nothing else."""

from typing import Any

import httpx
import pytest

from schemas.members import MemberKey
from services.ingest.keymaking import MOST, KeyMaking
from services.ingest.keys import Issued, KeyAsked, Keyring, OperatorKey, Scope
from services.ingest.problems import Problem
from services.ingest.settings import IngestSettings
from tests.component.ingest.conftest import CONTACT, OPERATOR_KEY, Cluster, bearer
from tests.component.ingest.log import revs


async def as_org(cluster: Cluster, key: dict[str, str], method: str, path: str, body: Any = None) -> httpx.Response:
    return await cluster.api.request(method, path, json=body, headers=key)


async def test_an_organisation_publishes_itself_as_a_candidate(cluster: Cluster) -> None:
    key = await cluster.key_of("m")
    path = cluster.path("members", "m")
    answer = await as_org(cluster, key, "PUT", path, {"name": "M", "kind": "company"})
    assert answer.status_code == 202, answer.text
    assert (await as_org(cluster, key, "GET", path)).json()["admission"] == "candidate"


@pytest.mark.parametrize(
    ("field", "value"), [("admission", "admitted"), ("label", "Gold"), ("represents", "other-cluster")]
)
async def test_an_organisation_keeps_what_the_cluster_says_of_it(cluster: Cluster, field: str, value: str) -> None:
    key = await cluster.key_of("m")
    path = cluster.path("members", "m")
    body = {"name": "M", "kind": "company"}
    refused = await as_org(cluster, key, "PUT", path, body | {field: value})
    assert refused.status_code == 403
    assert field in refused.json()["detail"]
    assert refused.json()["errors"][0]["field"] == field
    assert (await cluster.api.get(path)).status_code == 404

    assert (await cluster.put("members", "m", body | {field: value})).status_code == 202
    changed = await as_org(cluster, key, "PUT", path, body | {"summary": "more"})
    assert changed.status_code == 202
    shown = (await as_org(cluster, key, "GET", path)).json()
    assert (shown[field], shown["summary"]) == (value, "more")
    assert (await as_org(cluster, key, "PUT", path, shown)).status_code == 202, (
        "sending back what is shown is no change"
    )


FOREIGN = [
    ("PUT", "members/other", {"name": "Mine now", "kind": "company"}),
    ("GET", "members/other", None),
    ("DELETE", "members/other", None),
    ("PUT", "members/new", {"name": "Mine too", "kind": "company"}),
    ("PUT", "members/other/contact", CONTACT | {"email": "me@example.org"}),
    ("GET", "members/other/contact", None),
    ("DELETE", "members/other/contact", None),
    ("PUT", "members/nobody/contact", CONTACT),
    ("POST", "needs", {"member_id": "other", "title": "In your name"}),
    ("PUT", "needs/new", {"member_id": "other", "title": "In your name"}),
    ("PUT", "needs/theirs", {"member_id": "m", "title": "Taken over now"}),
    ("PUT", "needs/mine", {"member_id": "other", "title": "Given away now"}),
    ("POST", "needs", {"need_id": "theirs", "member_id": "m", "title": "Taken over now"}),
    ("GET", "needs/theirs", None),
    ("GET", "needs?member_id=other", None),
    ("DELETE", "needs/theirs", None),
    ("POST", "needs/theirs/withdrawal", None),
    ("PUT", "ambassadors/a", {"name": "A", "city": "x"}),
    ("GET", "ambassadors/a", None),
    ("DELETE", "ambassadors/a", None),
]


@pytest.mark.parametrize(("method", "path", "body"), FOREIGN)
async def test_an_organisation_reaches_nothing_of_another(cluster: Cluster, method: str, path: str, body: Any) -> None:
    await cluster.member("m")
    await cluster.member("other")
    await cluster.contact("other")
    await cluster.need("theirs", "other")
    await cluster.need("mine", "m")
    key = await cluster.key_of("m")
    before = len(await cluster.told())
    answer = await as_org(cluster, key, method, cluster.path(path), body)
    assert answer.status_code == 403, answer.text
    assert f"of the member {cluster.name}/m: it may read its profile, contact and needs" in answer.json()["detail"]
    assert CONTACT["email"] not in answer.text
    assert len(await cluster.told()) == before
    assert (await cluster.api.get(cluster.path("needs", "theirs"))).json()["title"] == "Capteurs pour theirs"
    assert (await cluster.api.get(cluster.path("needs", "mine"))).json()["member_id"] == "m"


async def test_a_key_is_told_what_its_scopes_allow(cluster: Cluster) -> None:
    key = bearer((await issue(cluster, scopes=["needs"]))["key"])
    detail = (await as_org(cluster, key, "GET", cluster.path("members", "other"))).json()["detail"]
    assert "it may read its profile and needs, and change its needs, nothing else" in detail


async def test_a_key_of_another_cluster_opens_nothing_here(cluster: Cluster) -> None:
    await cluster.member("m")
    await cluster.contact("m")
    await cluster.need("n", "m")
    issued = await cluster.api.post("/v1/keys", json={"cluster": f"{cluster.name}x", "member_id": "m"})
    key = bearer(issued.json()["key"])
    for path in ("members/m", "members/m/contact", "needs/n"):
        for method in ("GET", "DELETE"):
            assert (await as_org(cluster, key, method, cluster.path(path))).status_code == 403


async def issue(cluster: Cluster, member: str = "m", **more: Any) -> dict[str, Any]:
    answer = await cluster.api.post("/v1/keys", json={"cluster": cluster.name, "member_id": member, **more})
    assert answer.status_code == 201, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


async def keys(cluster: Cluster, key: dict[str, str] | None = None) -> list[dict[str, Any]]:
    answer = await cluster.api.get("/v1/keys", params={"cluster": cluster.name, "member_id": "m"}, headers=key)
    assert answer.status_code == 200, answer.text
    listed: list[dict[str, Any]] = answer.json()["keys"]
    return listed


DEALT_WITH = [
    ("POST", ""),
    ("GET", "?cluster={cluster}&member_id={member}"),
    ("DELETE", "/{key}"),
    ("POST", "/{key}/rotation"),
]


@pytest.mark.parametrize(("method", "path"), DEALT_WITH)
@pytest.mark.parametrize("scopes", [["profile", "contact", "needs"], ["keys"]])
async def test_no_key_deals_with_keys_of_others_nor_without_the_scope(
    cluster: Cluster, method: str, path: str, scopes: list[str]
) -> None:
    member = "other" if scopes == ["keys"] else "m"
    mine, dealt_with = await issue(cluster, scopes=scopes), await issue(cluster, member)
    url = f"/v1/keys{path}".format(cluster=cluster.name, member=member, key=dealt_with["key_id"])
    body = {"": {"cluster": cluster.name, "member_id": member}, "/{key}/rotation": {}}.get(path)
    answer = await as_org(cluster, bearer(mine["key"]), method, url, body if method == "POST" else None)
    assert answer.status_code == 403
    assert "operator" in answer.json()["detail"]
    opens = await as_org(cluster, bearer(dealt_with["key"]), "GET", cluster.path("members", member))
    assert opens.status_code == 404, "the key is still somebody's; its member is not published"
    unknown = await as_org(cluster, bearer(mine["key"]), "DELETE", "/v1/keys/0000000000000000")
    assert (unknown.status_code, unknown.json()) == (403, answer.json()), "nobody learns which ids there are"


WRITES: list[tuple[str, str, str, Any]] = [
    ("profile", "PUT", "members/m", {"name": "M", "kind": "company"}),
    ("contact", "PUT", "members/m/contact", CONTACT),
    ("contact", "GET", "members/m/contact", None),
    ("contact", "DELETE", "members/m/contact", None),
    ("needs", "POST", "needs", {"member_id": "m", "title": "Un four de laboratoire"}),
    ("needs", "PUT", "needs/n", {"member_id": "m", "title": "Un four de laboratoire"}),
    ("needs", "POST", "needs/n/withdrawal", None),
    ("needs", "DELETE", "needs/n", None),
    ("needs", "DELETE", "members/m", None),
]


@pytest.mark.parametrize(("scope", "method", "path", "body"), WRITES)
async def test_a_key_changes_what_its_scopes_say(
    cluster: Cluster, scope: str, method: str, path: str, body: Any
) -> None:
    await cluster.member("m")
    await cluster.contact("m")
    await cluster.need("n", "m")
    others = [other for other in ("profile", "contact", "needs", "keys") if other != scope]
    without = bearer((await issue(cluster, scopes=others))["key"])
    refused = await as_org(cluster, without, method, cluster.path(path), body)
    assert refused.status_code == 403
    assert scope in refused.json()["detail"]
    assert (await as_org(cluster, without, "GET", cluster.path("needs", "n"))).status_code == 200
    needed = ["profile", "contact", "needs"] if path == "members/m" and method == "DELETE" else [scope]
    alone = bearer((await issue(cluster, scopes=needed))["key"])
    assert (await as_org(cluster, alone, method, cluster.path(path), body)).status_code in (200, 202)


async def test_who_signs_in_is_named_by_a_key_that_changes_everything_alone(cluster: Cluster) -> None:
    await cluster.member("m")
    await cluster.contact("m")
    path, mine = cluster.path("members", "m/contact"), CONTACT | {"email": "mine@example.org"}
    narrow = bearer((await issue(cluster, scopes=["contact", "needs", "keys"]))["key"])
    refused = await as_org(cluster, narrow, "PUT", path, mine)
    assert refused.status_code == 403
    assert refused.json()["errors"][0]["field"] == "email"
    assert "lacks profile" in refused.json()["detail"]
    renamed = await as_org(cluster, narrow, "PUT", path, CONTACT | {"name": "Amal Z."})
    assert renamed.status_code == 202, "the rest of a contact is still the key's to change"
    assert (await as_org(cluster, narrow, "DELETE", path)).status_code in (200, 202)
    assert (await as_org(cluster, narrow, "PUT", path, mine)).status_code == 403, "not by erasing it first either"
    whole = bearer((await issue(cluster, scopes=["profile", "contact", "needs"]))["key"])
    assert (await as_org(cluster, whole, "PUT", path, mine)).status_code == 202


async def test_a_member_deals_with_its_own_keys(cluster: Cluster) -> None:
    await cluster.member("m")
    first = await issue(cluster, scopes=["needs", "keys"], label="ERP")
    key = bearer(first["key"])
    more = {"cluster": cluster.name, "member_id": "m", "scopes": ["needs", "profile"]}
    refused = await as_org(cluster, key, "POST", "/v1/keys", more)
    assert (refused.status_code, refused.json()["errors"][0]["value"]) == (403, "profile")
    second = await as_org(cluster, key, "POST", "/v1/keys", more | {"scopes": ["needs"]})
    assert second.status_code == 201, second.text
    newest, oldest = await keys(cluster, key)
    assert (oldest["label"], oldest["scopes"], newest["scopes"]) == ("ERP", ["needs", "keys"], ["needs"])
    assert "used_at" in oldest
    assert "used_at" not in newest
    assert not {"key", "digest"} & (set(newest) | set(oldest))
    gone = await as_org(cluster, key, "DELETE", f"/v1/keys/{newest['key_id']}")
    assert gone.status_code == 204
    assert [each["key_id"] for each in await keys(cluster)] == [first["key_id"]]


async def test_a_key_gives_way_to_another_with_an_overlap(cluster: Cluster) -> None:
    await cluster.member("m")
    old = await issue(cluster, scopes=["needs"], label="ERP")
    path = f"/v1/keys/{old['key_id']}/rotation"
    rotated = await cluster.api.post(path)
    assert rotated.headers["cache-control"] == "no-store"
    new = rotated.json()
    assert (new["scopes"], new["label"], new.get("ends_at")) == (["needs"], "ERP", None)
    shown = cluster.path("members", "m")
    for each in (old, new):
        assert (await as_org(cluster, bearer(each["key"]), "GET", shown)).status_code == 200
    again = (await cluster.api.post(path, json={"overlap_seconds": 0})).json()
    assert again.get("ends_at") is None, "the first answer may have been lost"
    assert (await as_org(cluster, bearer(old["key"]), "GET", shown)).status_code == 401
    assert (await as_org(cluster, bearer(again["key"]), "GET", shown)).status_code == 200


async def test_a_key_ends_when_it_was_said_to(cluster: Cluster) -> None:
    await cluster.member("m")
    ended = await issue(cluster, ends_at="2020-01-31T08:00:00Z")
    assert (await as_org(cluster, bearer(ended["key"]), "GET", cluster.path("members", "m"))).status_code == 401
    lasting = await issue(cluster, ends_at="2050-01-31T08:00:00Z")
    rotated = (await cluster.api.post(f"/v1/keys/{lasting['key_id']}/rotation")).json()
    assert rotated["ends_at"] == "2050-01-31T08:00:00Z"


async def rotated(cluster: Cluster, key: dict[str, Any], which: dict[str, Any]) -> httpx.Response:
    return await as_org(cluster, bearer(key["key"]), "POST", f"/v1/keys/{which['key_id']}/rotation")


async def test_a_key_gets_no_scope_by_rotating_a_mightier_one(cluster: Cluster) -> None:
    mighty, small = await issue(cluster, scopes=["profile", "contact", "needs"]), await issue(cluster, scopes=["keys"])
    refused = await rotated(cluster, small, mighty)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (403, "scopes")
    assert len(await keys(cluster)) == 2
    assert (await rotated(cluster, small, small)).status_code == 201, "what it has itself"


async def test_a_key_makes_none_that_outlasts_it_and_none_once_it_gave_way(cluster: Cluster) -> None:
    ending = await issue(cluster, scopes=["keys", "needs"], ends_at="2050-01-31T08:00:00Z")
    asked = {"cluster": cluster.name, "member_id": "m", "scopes": ["needs"]}
    for more, end in (
        ({}, "2050"),
        ({"ends_at": "2051-01-31T08:00:00Z"}, "2050"),
        ({"ends_at": "2049-01-31T08:00Z"}, "2049"),
    ):
        made = await as_org(cluster, bearer(ending["key"]), "POST", "/v1/keys", asked | more)
        assert made.json()["ends_at"].startswith(end)
    small = await issue(cluster, scopes=["needs"])
    assert (await rotated(cluster, ending, small)).json()["ends_at"].startswith("2050")
    successor = (await rotated(cluster, ending, ending)).json()
    for refused in (
        await as_org(cluster, bearer(ending["key"]), "POST", "/v1/keys", asked),
        await rotated(cluster, ending, ending),
    ):
        assert (refused.status_code, "took the place" in refused.text) == (403, True)
    assert (await rotated(cluster, successor, successor)).status_code == 201
    ended = await issue(cluster, ends_at="2020-01-31T08:00:00Z")
    answer = await cluster.api.post(f"/v1/keys/{ended['key_id']}/rotation")
    assert (answer.status_code, answer.json()["title"]) == (409, "Ended")


class ErasedMeanwhile(Keyring):
    """Keys of which those of the member are revoked the moment before one is issued."""

    async def issue(self, asked: KeyAsked) -> tuple[Issued, str]:
        await self.revoke_all(MemberKey(cluster=asked.cluster, member_id=asked.member_id))
        return await super().issue(asked)


async def test_no_key_is_left_that_one_made_while_its_member_was_erased(cluster: Cluster) -> None:
    frame = cluster.frame
    keyring = ErasedMeanwhile(database=frame.store.database, operator=OperatorKey(IngestSettings()), clock=frame.clock)
    caller = await keyring.caller((await issue(cluster, scopes=["keys"]))["key"])
    assert caller is not None
    with pytest.raises(Problem, match="valid key"):
        await KeyMaking(keyring=keyring, clock=frame.clock).issue(
            caller, KeyAsked(cluster=cluster.name, member_id="m", scopes=(Scope.KEYS,))
        )
    assert await keys(cluster) == []


async def test_a_member_has_so_many_keys_and_no_more(cluster: Cluster) -> None:
    issued = [await issue(cluster) for _ in range(MOST)]
    answer = await cluster.api.post(f"/v1/keys/{issued[0]['key_id']}/rotation")
    assert (answer.status_code, answer.json()["title"]) == (409, "Too many keys")


async def test_only_the_operator_publishes_without_alerts(cluster: Cluster) -> None:
    key = await cluster.key_of("m")
    answer = await cluster.api.put(
        cluster.path("members", "m"), params={"alerts": "false"}, json={"name": "M", "kind": "company"}, headers=key
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (403, "alerts")
    assert await cluster.told() == []


async def test_a_revoked_key_is_nobodys(cluster: Cluster) -> None:
    issued = await cluster.api.post("/v1/keys", json={"cluster": cluster.name, "member_id": "m"})
    assert issued.headers["cache-control"] == "no-store"
    path = f"/v1/keys/{issued.json()['key_id']}"
    assert [(await cluster.api.delete(path)).status_code for _ in range(2)] == [204, 404]
    answer = await as_org(cluster, bearer(issued.json()["key"]), "GET", cluster.path("members", "m"))
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Basic {OPERATOR_KEY}",
        f"Bearer {OPERATOR_KEY}x",
        "Bearer mk_0_0",
        "Bearer é",
        OPERATOR_KEY,
    ],
)
async def test_without_a_valid_key_nothing_is_said(cluster: Cluster, header: str) -> None:
    answer = await cluster.api.get(cluster.path("members", "m"), headers={b"Authorization": header.encode("latin-1")})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert (
        answer.json()["detail"]
        == "Send a valid key, as in: Authorization: Bearer mk_... The cluster's operator issues it."
    )


async def test_a_good_id_with_another_secret_is_nobodys(cluster: Cluster) -> None:
    key = (await cluster.key_of("m"))["Authorization"]
    forged = key[:-1] + ("A" if key[-1] != "A" else "B")
    answer = await as_org(cluster, {"Authorization": forged}, "GET", cluster.path("members", "m"))
    assert answer.status_code == 401


async def test_no_secret_is_in_the_database(cluster: Cluster) -> None:
    secret = (await cluster.key_of("m"))["Authorization"].split("_", 2)[2]  # which may hold a "_" itself
    kept = [repr(row) async for row in cluster.frame.store.database["keys"].find()]
    assert kept
    assert not any(secret in row or OPERATOR_KEY in row for row in kept)


async def test_an_organisation_says_who_answers_for_it(cluster: Cluster) -> None:
    key, path = await cluster.key_of("m"), cluster.path("members", "m/contact")
    assert (await as_org(cluster, key, "PUT", path, CONTACT)).status_code == 404, "it is not published yet"
    await cluster.member("m")
    assert (await as_org(cluster, key, "PUT", path, CONTACT)).status_code == 202
    assert (await as_org(cluster, key, "GET", path)).json()["email"] == CONTACT["email"]
    assert (await cluster.api.get(path)).json()["email"] == CONTACT["email"]
    assert (await as_org(cluster, key, "DELETE", path)).status_code == 202
    assert revs(await cluster.told(), "m/contact") == [1, 2]


async def test_an_organisation_erases_itself_and_its_keys_with_it(cluster: Cluster) -> None:
    await cluster.member("m")
    await cluster.contact("m")
    await cluster.need("n", "m")
    key = await cluster.key_of("m")
    answer = await as_org(cluster, key, "DELETE", cluster.path("members", "m"))
    assert answer.status_code == 202
    assert (await as_org(cluster, key, "GET", cluster.path("members", "m"))).status_code == 401
    events = await cluster.told()
    assert [revs(events, entity) for entity in ("m", "m/contact", "n")] == [[1, 2]] * 3
