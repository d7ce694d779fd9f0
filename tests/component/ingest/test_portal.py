"""The portal: an organisation describes itself, sees what would come of a need, and posts it."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.component.ingest.conftest import CONTACT
from tests.component.ingest.portal import CLUSTER, SENSORS, Portal, Session, filled_in, running

NEED = {
    "title": "Capteur d’humidité du sol",
    "text": "Nous cherchons un capteur d’humidité du sol en LoRa, afin de piloter l’irrigation d’agrumes.",
}
BY_DESK = {"name": "Par le bureau", "kind": "company", "admission": "admitted"}
TO_COME = (datetime.now(UTC) + timedelta(days=60)).date().isoformat()


@pytest.fixture(scope="module")
async def portal(mongo_url: str) -> AsyncIterator[Portal]:
    async with running(mongo_url) as portal:
        await portal.people()
        yield portal


async def needs_of(session: Session) -> list[str]:
    return re.findall(r'href="/portal/needs/([\w.-]+)"', (await session.page("/portal")).replace("needs/new", ""))


async def test_a_mailed_link_opens_the_pages_of_its_organisation_once(portal: Portal) -> None:
    email = await portal.member("entree", name="Entrée & fils")
    link = await portal.link(email.upper())
    written = portal.mail.mails[-1][1].get_content()
    assert "Entrée" not in written  # names are what somebody wrote, and this goes to where they said
    assert CONTACT["name"] not in written
    async with portal.browser() as client:
        led = await client.get("/portal/organisation")
        assert led.headers["location"] == "/portal/sign-in?to=/portal/organisation"
        for _ in range(2):  # programs look behind links
            assert "Ouvrir mon organisation" in (await client.get(link)).text
        entered = await client.post(link)
        [cookie] = entered.headers.get_list("set-cookie")
        assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
        page = await client.get("/portal")
        assert "Entrée &amp; fils" in page.text
        assert page.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "script-src" not in page.headers["content-security-policy"]
    async with portal.browser() as other:
        assert (await other.post(link)).status_code == httpx.codes.NOT_FOUND
        assert (await other.get("/portal")).headers["location"] == "/portal/sign-in"


async def test_a_stranger_is_answered_as_anybody_and_mailed_nothing(portal: Portal) -> None:
    email = await portal.member("connu")
    before = len(portal.mail.mails)
    async with portal.browser() as client:
        stranger = await client.post("/portal/sign-in", data={"email": "nobody@example.org"})
    await portal.link(email)
    assert len(portal.mail.mails) == before + 1
    assert (stranger.status_code, stranger.headers["location"]) == (303, "/portal/sign-in/sent")


async def test_who_answers_for_several_chooses_which(portal: Portal) -> None:
    email = await portal.member("premiere", name="Première")
    await portal.member("seconde", name="Seconde", email=email)
    await portal.member("tierce", name="Tierce")
    link = await portal.link(email)
    async with portal.browser() as client:
        await client.post(link)
        assert (await client.get("/portal")).headers["location"] == "/portal/sign-in/organisations"
        fields = filled_in((await client.get("/portal/sign-in/organisations")).text)
        stranger = await client.post("/portal/sign-in/organisations", data=fields | {"inbox": f"{CLUSTER}/tierce"})
        assert stranger.headers["location"] == "/portal/sign-in/organisations"
        await client.post("/portal/sign-in/organisations", data=fields | {"inbox": f"{CLUSTER}/seconde"})
        assert "<h1>Seconde</h1>" in (await client.get("/portal")).text


async def test_a_session_ends_with_the_contact_and_by_signing_out(portal: Portal) -> None:
    email = await portal.member("depart")
    async with portal.signed_in(email) as here, portal.signed_in(email) as there:
        left = await here.send("/portal/sign-out", where="here")
        assert left.headers["location"] == "/portal/sign-in"
        assert (await here.client.get("/portal")).status_code == httpx.codes.SEE_OTHER
        await there.page("/portal")
        await portal.member("depart", email="another@example.org")
        assert (await there.client.get("/portal")).headers["location"] == "/portal/sign-in"
    async with portal.signed_in("another@example.org"):
        await portal.api.delete(f"/v1/clusters/{CLUSTER}/members/depart")
        database = portal.services[0].store.database
        for collection in ("sessions", "sign_ins"):
            assert not [row async for row in database[collection].find({"member": f"{CLUSTER}/depart"})]


async def test_an_organisation_describes_itself_and_keeps_what_the_form_does_not_ask_for(portal: Portal) -> None:
    label, visibility = "Excellence", {"reach": "all", "clusters": []}
    email = await portal.member("atelier", label=label, visibility=visibility, assets=[SENSORS])
    async with portal.signed_in(email) as session:
        said = await session.send(
            "/portal/organisation", name="Atelier du Souss", city="agadir", languages="fr، ar", interests="Sols\n\nEau"
        )
        assert said.headers["location"] == "/portal?said=described#said"
        found = await portal.get("members/atelier")
        assert (found["name"], found["city"], found["languages"]) == ("Atelier du Souss", "agadir", ["fr", "ar"])
        assert found["interests"] == ["Sols", "Eau"]
        kept = (found["label"], found["admission"], found["visibility"], found["assets"][0]["title"])
        assert kept == (label, "admitted", visibility, SENSORS["title"])


async def test_assets_are_added_changed_and_removed_one_at_a_time(portal: Portal) -> None:
    email = await portal.member("biens", assets=[SENSORS | {"trl": 7}])
    async with portal.signed_in(email) as session:
        added = await session.send("/portal/organisation/assets/new", title="Presse à froid", kind="equipment")
        assert added.status_code == httpx.codes.SEE_OTHER
        changed = await session.send("/portal/organisation/assets/capteurs", text="Un autre texte")
        assert changed.status_code == httpx.codes.SEE_OTHER
        first, second = (await portal.get("members/biens"))["assets"]
        assert (first["text"], first["trl"], first["title"]) == ("Un autre texte", 7, SENSORS["title"])
        assert (second["title"], second["kind"]) == ("Presse à froid", "equipment")
        wrong = await session.send(f"/portal/organisation/assets/{second['asset_id']}", title="")
        assert wrong.status_code == httpx.codes.UNPROCESSABLE_ENTITY
        assert 'aria-describedby="title-wrong"' in wrong.text
        await session.send(f"/portal/organisation/assets/{second['asset_id']}", act="remove")
        assert [asset["asset_id"] for asset in (await portal.get("members/biens"))["assets"]] == ["capteurs"]


async def test_what_somebody_else_changed_meanwhile_is_not_overwritten_unseen(portal: Portal) -> None:
    email = await portal.member("deux-mains", assets=[SENSORS])
    async with portal.signed_in(email) as session:
        fields = filled_in(await session.page("/portal/organisation"))
        await portal.put("members/deux-mains", {**BY_DESK, "summary": "Le texte du bureau", "assets": [SENSORS]})
        late = await session.client.post("/portal/organisation", data=fields | {"name": "Par nous"})
        assert late.status_code == httpx.codes.PRECONDITION_FAILED
        assert "modifié entre-temps" in late.text
        assert (await portal.get("members/deux-mains"))["name"] == "Par le bureau"
        for theirs in ("Par le bureau", "Le texte du bureau"):  # beside what of ours would go over it
            assert f"<bdi>{theirs}</bdi>" in late.text
        await session.client.post("/portal/organisation", data=filled_in(late.text))
        assert (await portal.get("members/deux-mains"))["name"] == "Par nous"
        fields = filled_in(await session.page("/portal/organisation/assets/capteurs"))
        await portal.put("members/deux-mains", BY_DESK)
        for _ in range(2):
            late = await session.client.post("/portal/organisation/assets/capteurs", data=fields)
            assert late.status_code == httpx.codes.NOT_FOUND
        assert (await portal.get("members/deux-mains"))["assets"] == []


async def test_a_preview_tells_what_is_understood_and_posting_makes_one_need(portal: Portal) -> None:
    email = await portal.member("verger")
    async with portal.signed_in(email) as session:
        await portal.quiet()
        shown = await session.send("/portal/needs/new", **NEED, act="preview", kinds_sought=["laboratory", "company"])
        assert shown.status_code == httpx.codes.OK
        near = shown.text.partition('class="near"')[2].partition("</form>")[0]
        assert "Laboratoire Sols" in near
        assert "<bdi>humidité</bdi>" in near
        assert await needs_of(session) == []
        fields = filled_in(shown.text)  # nothing of what was written is lost
        assert (fields["title"], fields["text"]) == (NEED["title"], NEED["text"])
        part = await session.client.post("/portal/needs/preview", data=fields)
        assert part.text.strip().startswith('<div class="near">')
        assert "Laboratoire Sols" in part.text
        fields |= {"act": "post", "deadline": TO_COME, "kinds_sought": ["laboratory"]}
        for _ in range(2):  # pressed twice
            assert (await session.client.post("/portal/needs/new", data=fields)).status_code == httpx.codes.SEE_OTHER
        [need_id] = await needs_of(session)
        found = await portal.get(f"needs/{need_id}")
        assert (found["title"], found["member_id"], found["kinds_sought"]) == (NEED["title"], "verger", ["laboratory"])
        assert found["deadline"].startswith(TO_COME)


async def test_what_cannot_be_kept_is_said_at_its_field_in_the_readers_language(portal: Portal) -> None:
    for language, said in (("fr", "Veuillez écrire un titre"), ("ar", "يرجى كتابة عنوان"), ("en", "Please write a")):
        email = await portal.member(f"langue-{language}", language=language)
        async with portal.signed_in(email) as session:
            wrong = await session.send("/portal/needs/new", title=" ", text="Un texte", countries="xx", act="post")
            assert wrong.status_code == httpx.codes.UNPROCESSABLE_ENTITY
            complaint = re.search(r'id="title-wrong" role="alert">([^<]*)<', wrong.text)
            assert complaint is not None
            assert complaint[1].startswith(said)
            assert f'lang="{language}"' in wrong.text
            assert filled_in(wrong.text)["text"] == "Un texte"
            late = await session.send("/portal/needs/new", **NEED, deadline="2020-01-01", act="post")
            assert 'id="deadline-wrong"' in late.text
            assert await needs_of(session) == []


async def test_a_need_is_changed_withdrawn_and_renewed(portal: Portal) -> None:
    email = await portal.member("fil")
    excluded = [{"cluster": CLUSTER, "member_id": "lab"}]
    await portal.put("needs/n1", {"member_id": "fil", **NEED, "excluded": excluded, "trl": 4})
    async with portal.signed_in(email) as session:
        await session.send("/portal/needs/n1", title="Un autre titre", act="post")
        found = await portal.get("needs/n1")
        assert (found["title"], found["excluded"], found["trl"]) == ("Un autre titre", excluded, 4)
        await session.send("/portal/needs/n1", "/portal/needs/n1/withdrawal")
        assert (await portal.get("needs/n1"))["status"] == "withdrawn"
        assert "Retiré" in await session.page("/portal")
        await session.send("/portal/needs/n1", title="Un titre corrigé", act="post")
        found = await portal.get("needs/n1")
        assert (found["title"], found["status"]) == ("Un titre corrigé", "withdrawn"), "only renewing posts it again"
        over = await session.send("/portal/needs/n1", "/portal/needs/n1/deadline", until="2020-01-01")
        assert 'id="until-wrong"' in over.text
        assert 'id="deadline-wrong"' not in over.text
        # What is sent from the page that came for the refused renewal goes where needs are changed.
        action = re.search(r'<form method="post" action="([^"]*)"', over.text)
        assert action is not None
        await session.client.post(action[1], data=filled_in(over.text) | {"title": "Corrigé après coup", "act": "post"})
        assert (await portal.get("needs/n1"))["title"] == "Corrigé après coup"
        await session.send("/portal/needs/n1", "/portal/needs/n1/deadline", until=TO_COME)
        found = await portal.get("needs/n1")
        assert (found["status"], found["deadline"][:10]) == ("open", TO_COME)
        late = await session.send("/portal/needs/n1", "/portal/needs/n1/withdrawal", rev="1")
        assert late.status_code == httpx.codes.PRECONDITION_FAILED
        assert "modifié entre-temps" in late.text


@pytest.mark.parametrize("deadline", ["2031-05-05T10:00:00Z", "2026-01-05T10:00:00Z", "9999-12-31T23:59:59Z"])
async def test_what_nobody_touched_stays_as_it_is_published(portal: Portal, deadline: str) -> None:
    email = await portal.member("intact", city="pas-encore", assets=[SENSORS | {"language": "ber"}])
    text = "Nous cherchons un capteur.\nPour des agrumes."
    need = {"member_id": "intact", "title": "Capteur", "text": text, "deadline": deadline, "language": "es"}
    await portal.put("needs/i1", need)
    before = await portal.get("needs/i1")
    async with portal.signed_in(email) as session:
        fields = filled_in(await session.page("/portal/needs/i1"))
        fields |= {"text": fields["text"].replace("\n", "\r\n"), "act": "post"}  # as browsers send it
        assert (await session.client.post("/portal/needs/i1", data=fields)).status_code == httpx.codes.SEE_OTHER
        after = await portal.get("needs/i1")
        assert {**after, "rev": 0} == {**before, "rev": 0}
        await session.send("/portal/organisation", summary="Une autre description")
        await session.send("/portal/organisation/assets/capteurs", title="Un autre titre")
        found = await portal.get("members/intact")
        assert (found["summary"], found["city"]) == ("Une autre description", "pas-encore")
        assert (found["assets"][0]["title"], found["assets"][0]["language"]) == ("Un autre titre", "ber")


async def test_a_form_of_another_page_or_session_does_nothing(portal: Portal) -> None:
    email, other = await portal.member("cible"), await portal.member("voleur")
    await portal.put("needs/c1", {"member_id": "cible", **NEED})
    async with portal.signed_in(email) as session, portal.signed_in(other) as thief:
        theirs = filled_in(await thief.page("/portal/organisation"))["form"]
        fields = filled_in(await session.page("/portal/organisation")) | {"name": "Volé"}
        for data, headers in (
            ({**fields, "form": theirs}, {}),
            ({**fields, "form": ""}, {}),
            (fields, {"sec-fetch-site": "cross-site"}),
            (fields, {"origin": "https://evil.example"}),
        ):
            answer = await session.client.post("/portal/organisation", data=data, headers=headers)
            assert answer.status_code == httpx.codes.FORBIDDEN
        assert (await portal.get("members/cible"))["name"] == "cible"
        assert (await thief.client.get("/portal/needs/c1")).status_code == httpx.codes.FORBIDDEN
        taken = {"form": theirs, "need_id": "c1", **NEED, "direction": "request", "act": "post"}
        for path in ("/portal/needs/c1", "/portal/needs/new", "/portal/needs/c1/withdrawal"):
            assert (await thief.client.post(path, data=taken)).status_code == httpx.codes.FORBIDDEN
        found = await portal.get("needs/c1")
        assert (found["member_id"], found["status"]) == ("cible", "open")
