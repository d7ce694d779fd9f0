"""The inbox: who may read it, what its forms do, and that each act counts once."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from schemas.ambassadors import AmbassadorKey
from schemas.feedback import Act, FeedbackGiven, NotRelevantReason
from schemas.suggestions import SuggestionKey
from services.notifier.inbox import PAGE
from tests.component.notifier.world import BASE, Process, World, erased, hidden_field, inbox
from tests.unit.notifier.samples import NOW, changed, lapsed, made, person, sid

ITEM = f"/s/{sid('soil')}"
TAKE = {"act": "taken"}
DISMISS = {"act": "not_relevant", "reason": "already_in_touch"}


@pytest.fixture
async def process(world: World) -> Process:
    """Two ambassadors at one city are told; amina leads."""
    process = await world.start()
    await process.take(person(), person("badr"), made())
    await process.run()
    return process


async def act(
    process: Process, data: dict[str, str], *, ambassador: str = "souss/amina", form: str | None = None, **headers: str
) -> httpx.Response:
    """Fill in the form that the page shows and send it."""
    path = inbox(ambassador) + ITEM
    async with process.browser(**headers) as client:
        field = form if form is not None else hidden_field((await client.get(path)).text)
        return await client.post(path, data={"form": field, **data})


async def feedback(process: Process) -> list[Any]:
    await process.run()
    return process.world.log.of(FeedbackGiven)


async def test_taking_is_stored_published_and_told(process: Process) -> None:
    answer = await act(process, TAKE)
    assert (answer.status_code, answer.headers["location"]) == (303, inbox().removeprefix(BASE) + ITEM + "#said")
    [given] = await feedback(process)
    assert (given.act, given.ambassador_id, given.rev, given.reason) == (Act.TAKEN, "amina", 1, None)
    assert (given.requesting.member_id, given.offering.member_id) == ("atlas", "sensors-lab")
    mine = (await process.see(inbox() + ITEM)).text
    assert "Vous vous en occupez depuis le 23 novembre 2026" in mine
    theirs = (await process.see(inbox("souss/badr") + ITEM)).text
    assert re.search(r"Amina Tazi</bdi> \(<bdi>.*Agadir</bdi>\) s’en occupe depuis le 23 novembre 2026", theirs)
    assert 'value="taken"' not in mine + theirs
    for ambassador in ("souss/amina", "souss/badr"):
        assert "Rien ne vous attend" in (await process.see(inbox(ambassador))).text
        assert "Atlas Irrigation" in (await process.see(inbox(ambassador) + "?view=ongoing")).text


async def test_putting_aside_says_why_and_leaves_it_to_the_others(process: Process) -> None:
    await act(process, DISMISS)
    [given] = await feedback(process)
    assert (given.act, given.reason) == (Act.NOT_RELEVANT, NotRelevantReason.ALREADY_IN_TOUCH)
    assert given.revision == 1
    mine = (await process.see(inbox() + ITEM)).text
    assert "Votre raison : Ils se connaissent déjà." in mine
    assert "Pendant six mois, les deux ne seront plus rapprochés." in mine
    assert "<form" not in mine
    assert "Atlas Irrigation" in (await process.see(inbox() + "?view=done")).text
    assert "Atlas Irrigation" in (await process.see(inbox("souss/badr"))).text


async def test_where_another_cluster_asks_a_reason_weighs_on_that_suggestion_alone(world: World) -> None:
    process = await world.start()
    request = made().request
    abroad = request.model_copy(update={"party": request.party.model_copy(update={"cluster": "tensift"})})
    await process.take(person(), made(request=abroad))
    await process.run()
    await act(process, DISMISS)
    mine = (await process.see(inbox() + ITEM)).text
    assert "Les deux ne reviendront pour cette demande que si l’un des textes change." in mine


@pytest.mark.parametrize(
    ("language", "said", "again"),
    [
        ("fr", "le 3 novembre 2026 que Laboratoire Capteurs et Énergie n’est pas disponible : jusqu’au 3 décembre 2026",
         "en dernier le 3 novembre 2026, d’autres demandes de Atlas Irrigation"),
        ("ar", "قال زميل في 3 نونبر 2026 إن Laboratoire Capteurs et Énergie غير متاح",
         "آخرهم في 3 نونبر 2026، عن طلبات أخرى"),
        ("en", "on November 3, 2026 that Laboratoire Capteurs et Énergie is not available: until December 3, 2026",
         "last on November 3, 2026, of other requests of Atlas Irrigation"),
    ],
)  # fmt: skip
async def test_what_colleagues_said_is_part_of_the_reason(world: World, language: str, said: str, again: str) -> None:
    spoken = {"said_at": datetime(2026, 11, 3, 12, tzinfo=UTC), "until": datetime(2026, 12, 3, 12, tzinfo=UTC)}
    adjustments = [
        {"reason": "not_available", "scope": "cluster", "factor": 0.8, **spoken},
        {"reason": "wrong_topic", "scope": "asker", "factor": 0.8, "count": 2, **spoken},
    ]
    process = await world.start()
    await process.take(person(language=language), made(adjustments=adjustments))
    await process.run()
    [(_, mail)] = world.mail.mails
    page = (await process.see(inbox() + ITEM)).text
    written = [mail.get_body((kind,)).get_content() for kind in ("plain", "html")]
    for text in (page, *written):
        assert said in text
        assert again in text


async def test_a_double_tap_counts_once(process: Process) -> None:
    form = hidden_field((await process.see(inbox() + ITEM)).text)
    answers = await asyncio.gather(*(act(process, TAKE, form=form) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {303}
    assert len(await feedback(process)) == 1


async def test_two_who_take_at_once_do_not_both_have_it(process: Process) -> None:
    await asyncio.gather(act(process, TAKE), act(process, TAKE, ambassador="souss/badr"))
    assert len(await feedback(process)) == 1


async def test_two_acts_at_once_both_count(process: Process) -> None:
    await asyncio.gather(act(process, DISMISS), act(process, DISMISS, ambassador="souss/badr"))
    given = await feedback(process)
    assert {(one.rev, one.act) for one in given} == {(1, Act.NOT_RELEVANT), (2, Act.NOT_RELEVANT)}
    assert {one.ambassador_id for one in given} == {"amina", "badr"}


async def test_acts_on_one_suggestion_are_counted(process: Process) -> None:
    await act(process, TAKE)
    await act(process, DISMISS)
    await act(process, TAKE, ambassador="souss/badr")
    given = await feedback(process)
    assert [(one.rev, one.ambassador_id, one.act) for one in given] == [
        (1, "amina", Act.TAKEN),
        (2, "amina", Act.NOT_RELEVANT),
        (3, "badr", Act.TAKEN),
    ]
    assert len({one.feedback_id for one in given}) == 3


async def test_an_act_that_was_not_published_is_published_by_the_next_process(process: Process) -> None:
    await act(process, TAKE)
    assert process.world.log.of(FeedbackGiven) == []
    assert len(await feedback(await process.world.start())) == 1


async def test_reading_changes_nothing(process: Process) -> None:
    before = await process.world.words()
    for path in ("", ITEM, "?view=done&page=3", ITEM + "?act=taken&missing=reason"):
        assert (await process.see(inbox() + path)).status_code == 200
    assert await process.world.words() == before


async def test_a_missing_reason_is_asked_for(process: Process) -> None:
    answer = await act(process, {"act": "not_relevant"})
    assert answer.status_code == 303
    page = (await process.see(answer.headers["location"])).text
    assert "<details open>" in page
    assert "Choisissez une raison" in page
    assert await feedback(process) == []


async def test_a_new_revision_asks_again_but_not_who_has_it_in_hand(process: Process) -> None:
    await act(process, DISMISS)
    await act(process, TAKE, ambassador="souss/badr")
    await process.take(changed(made(), rev=2, revision=2))
    assert "Atlas Irrigation" in (await process.see(inbox() + "?view=ongoing")).text
    assert "Vous vous en occupez" in (await process.see(inbox("souss/badr") + ITEM)).text
    assert "s’en occupe depuis" in (await process.see(inbox() + ITEM)).text


async def test_a_form_of_older_texts_does_nothing(process: Process) -> None:
    form = hidden_field((await process.see(inbox() + ITEM)).text)
    await process.take(changed(made(), rev=2, revision=2))
    await act(process, DISMISS, form=form)
    assert await feedback(process) == []


async def test_what_lapsed_takes_no_act(process: Process) -> None:
    form = hidden_field((await process.see(inbox() + ITEM)).text)
    await process.take(lapsed())
    await act(process, TAKE, form=form)
    assert await feedback(process) == []


async def test_a_deadline_at_the_end_of_time_is_shown(process: Process) -> None:
    """What people write for "no deadline": where it is later than in UTC, it is past the last day that there is."""
    request = made().request.model_copy(update={"deadline": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)})
    await process.take(changed(made(), rev=2, request=request))
    for page in (inbox(), inbox() + ITEM):
        assert "31 décembre 9999" in (await process.see(page)).text


async def test_an_erased_suggestion_takes_its_acts_along(process: Process) -> None:
    await act(process, TAKE)
    await feedback(process)
    await process.take(erased(SuggestionKey(suggestion_id=sid("soil")), 2))
    await process.take(changed(made(), rev=3))
    await act(process, TAKE)
    assert [one.rev for one in await feedback(process)] == [1, 2]


async def test_an_erased_ambassador_lets_go_of_what_they_had(process: Process) -> None:
    await act(process, TAKE)
    await feedback(process)
    await process.take(erased(AmbassadorKey(cluster="souss", ambassador_id="amina"), 2))
    assert 'value="taken"' in (await process.see(inbox("souss/badr") + ITEM)).text


# Who may


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
    ],
)
async def test_a_form_from_elsewhere_does_nothing(process: Process, headers: dict[str, str]) -> None:
    form = hidden_field((await process.see(inbox() + ITEM)).text)
    answer = await act(process, TAKE, form=form, **headers)
    assert answer.status_code == 403
    assert "Rien n’a été fait" in answer.text
    assert await feedback(process) == []


@pytest.mark.parametrize(
    "headers",
    [{}, {"sec-fetch-site": "same-origin", "origin": "null"}, {"origin": "null"}, {"origin": BASE}],
)
async def test_a_form_of_our_own_page_is_taken(process: Process, headers: dict[str, str]) -> None:
    assert (await act(process, TAKE, **headers)).status_code == 303
    assert len(await feedback(process)) == 1


@pytest.mark.parametrize("whose", ["nobodys", "another reader's", "another suggestion's"])
async def test_a_form_is_good_for_one_reader_and_one_suggestion(process: Process, whose: str) -> None:
    await process.take(made("other"))
    form = {
        "nobodys": "made-up",
        "another reader's": hidden_field((await process.see(inbox("souss/badr") + ITEM)).text),
        "another suggestion's": hidden_field((await process.see(inbox() + f"/s/{sid('other')}")).text),
    }[whose]
    assert (await act(process, TAKE, form=form)).status_code == 403
    assert await feedback(process) == []


async def test_a_wrong_address_is_told_what_to_do(process: Process) -> None:
    for path in ("/inbox/wrong", "/inbox/wrong" + ITEM, inbox()[: len(inbox()) - 2].removeprefix(BASE)):
        async with process.browser(**{"accept-language": "ar"}) as client:
            answer = await client.get(path)
        assert answer.status_code == 403
        assert 'lang="ar" dir="rtl"' in answer.text
        assert "هذا العنوان لا يفتح أي صندوق" in answer.text


async def test_what_one_is_not_told_one_does_not_see(process: Process) -> None:
    await process.take(person("far", city="dakhla"))
    answer = await process.see(inbox("souss/far") + ITEM)
    assert answer.status_code == 404
    assert "Atlas" not in answer.text
    assert (await process.see(inbox() + "/s/not-an-id")).status_code == 404


async def test_pages_are_private(process: Process) -> None:
    for path in (inbox(), inbox() + ITEM, "/inbox/wrong"):
        headers = (await process.see(path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


async def test_no_text_of_a_member_becomes_markup(world: World) -> None:
    evil = "<img src=x onerror=alert(1)>"
    suggestion = made()
    party = suggestion.request.party.model_copy(update={"name": evil, "locality": evil})
    terms = tuple(term.model_copy(update={"request_words": (evil,)}) for term in suggestion.evidence.terms)
    passages = tuple(p.model_copy(update={"text": evil + p.text}) for p in suggestion.evidence.request_passages)
    update: dict[str, Any] = {
        "request": suggestion.request.model_copy(update={"title": evil, "text": evil, "party": party}),
        "evidence": suggestion.evidence.model_copy(update={"terms": terms, "request_passages": passages}),
    }
    process = await world.start()
    await process.take(person(name=evil), suggestion.model_copy(update=update))
    for path in (inbox(), inbox() + ITEM):
        page = (await process.see(path)).text
        assert "<img" not in page
        assert "&lt;img" in page


async def test_pages_of_a_long_inbox(world: World) -> None:
    process = await world.start()
    count = 2 * PAGE + 1
    names = [f"Coopérative {i:02d}" for i in range(count)]
    request = made().request
    events = [
        made(
            name,
            made_at=NOW.replace(minute=i),
            request=request.model_copy(update={"party": request.party.model_copy(update={"name": name})}),
        )
        for i, name in enumerate(names)
    ]
    await process.take(person(email=None), *events)
    seen: list[str] = []
    for page in (1, 2, 3):
        text = (await process.see(inbox() + f"?page={page}")).text
        seen += re.findall(r"<bdi>(Coopérative \d+)</bdi>", text)
        assert f"Page {page} sur 3" in text
        assert f"{count} rapprochements vous attendent" in text
    assert seen == names[::-1]
    assert "Page 3 sur 3" in (await process.see(inbox() + "?page=99")).text


async def test_an_unreachable_database_is_told_in_words(world: World, process: Process) -> None:
    form = hidden_field((await process.see(inbox() + ITEM)).text)

    async def away(*_: object) -> None:
        from pymongo.errors import ServerSelectionTimeoutError

        raise ServerSelectionTimeoutError("mongodb://secret:27017")

    process.store.suggestions.get = away  # type: ignore[method-assign, assignment]
    answer = await act(process, TAKE, form=form)
    assert answer.status_code == 503
    assert "Cela n’a pas marché" in answer.text
    assert "secret" not in answer.text


@pytest.mark.parametrize("query", ["?page=abc", "?page=-1", "?page=99999999999", "?view=nowhere", "?page=&view="])
async def test_an_address_mangled_on_its_way_still_opens_the_inbox(process: Process, query: str) -> None:
    answer = await process.see(inbox() + query)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"]


async def test_what_somebody_had_in_hand_when_they_were_erased_is_told_to_the_desk(world: World) -> None:
    process = await world.start()
    desk = person("desk", city=None)
    await process.take(person(), desk, made())
    await process.run()
    assert (await act(process, TAKE)).status_code == 303
    await process.take(erased(person().key, 9))
    await process.run()
    assert str(sid("soil")) in (await process.see(inbox("souss/desk"))).text
