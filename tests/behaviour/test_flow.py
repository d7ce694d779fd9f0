"""What the three users may rely on, the same on every broker."""

import re
from typing import Any

from tests.behaviour.conftest import Cluster

SENSORS: dict[str, Any] = {
    "asset_id": "capteurs",
    "title": "Capteurs d’humidité du sol",
    "text": "Conception d’un capteur autonome d’humidité du sol et d’une passerelle LoRa pour l’irrigation.",
    "language": "fr",
}
FILLERS: list[dict[str, Any]] = [
    {"asset_id": f"f{number}", "title": title, "text": text}
    for number, (title, text) in enumerate(
        [
            ("Teinture naturelle", "Bains de teinture végétale pour la laine et le coton."),
            ("Paiement mobile", "Portefeuille électronique pour les commerces de proximité."),
            ("Imagerie médicale", "Lecture automatique de radiographies du thorax."),
            ("Robot sous-marin", "Inspection de coques et de filets par robot."),
        ]
    )
]

NEED = "Nous cherchons un partenaire pour un capteur d’humidité du sol en LoRa, afin de piloter l’irrigation d’agrumes."
ARABIC_NEED = "نبحث عن مختبر يكشف غش زيت أركان بالتحليل الطيفي قبل التصدير نحو أوروبا."
ARABIC_ASSET: dict[str, Any] = {
    "asset_id": "zayt",
    "title": "كشف غش الزيوت بالتحليل الطيفي",
    "text": "تحليل طيفي لكشف غش الزيوت ومنها زيت أركان، وشهادات مطلوبة عند التصدير.",
    "language": "ar",
}


async def people(cluster: Cluster, *, lab_city: str | None = "rabat", company_city: str | None = "agadir") -> None:
    """Innovation cities with their ambassadors, the desk, a company, a laboratory and others."""
    for city in sorted({"rabat", "agadir", lab_city or "rabat", company_city or "agadir"}):
        await cluster.member(city, "innovation_city", city=city)
        await cluster.ambassador(f"amb-{city}", city=city, language="ar" if city == "agadir" else "fr")
    await cluster.ambassador("desk", city=None, language="en")
    await cluster.member("others", "university", assets=FILLERS)
    await cluster.member("company", "company", city=company_city, languages=["fr"])
    await cluster.member("lab", "laboratory", city=lab_city, assets=[SENSORS, ARABIC_ASSET], languages=["fr", "ar"])


async def test_a_need_reaches_the_ambassadors_of_both_cities_with_the_reason(cluster: Cluster) -> None:
    await people(cluster)
    await cluster.need("n1", "company", "Capteur d’humidité du sol", NEED)

    mails = await cluster.told(2)
    by_person = {mail.recipients[0].split("@")[0]: mail for mail in mails}
    assert set(by_person) == {"amb-rabat", "amb-agadir"}
    french = by_person["amb-rabat"].text
    assert "Company" in french
    assert "Lab" in french
    assert "humidité" in french
    shares = [int(share) for share in re.findall(r"(\d+)\s*%", french)]
    assert len(shares) >= 2
    assert sum(shares) <= 100
    assert cluster.inbox_address("amb-rabat") in french
    assert "Capteur d’humidité du sol" in await cluster.inbox("amb-rabat")
    assert "Capteur d’humidité du sol" in await cluster.inbox("amb-agadir")


async def test_a_preview_shows_what_posting_then_brings(cluster: Cluster) -> None:
    await people(cluster)
    second = {"asset_id": "s", "title": "Passerelle LoRa", "text": "Un capteur d’humidité du sol relié par LoRa."}
    await cluster.member("second", "startup", assets=[second])
    await cluster.flow.quiet()
    need = {"member_id": "company", "title": "Capteur d’humidité du sol", "text": NEED}
    api, path = cluster.flow.api, f"/v1/clusters/{cluster.name}/needs"
    answer = await api.post(f"{path}/preview", json=need)
    assert answer.status_code == 200, answer.text
    shown = [(near["member"]["member_id"], near["score"]) for near in answer.json()["nearest"] if near["suggested"]]
    assert (await api.post(path, json=need)).status_code == 202
    await cluster.flow.quiet()
    found = cluster.flow.services[1].store.database["suggestions"].find({"asker": f"{cluster.name}/company"})
    made = [row["made"] async for row in found if row["made"]["request"]["source"] == "need"]
    made.sort(key=lambda event: -event["score"])
    assert [(event["offer"]["party"]["member_id"], event["score"]) for event in made][:3] == shown
    assert [member for member, _ in shown] == ["lab", "second"]


async def test_what_concerns_no_city_is_told_to_the_desk(cluster: Cluster) -> None:
    await people(cluster, lab_city=None, company_city=None)
    await cluster.need("n1", "company", "Capteur d’humidité du sol", NEED)

    (mail,) = await cluster.told(1)
    assert mail.recipients[0].startswith("desk@")


async def test_a_need_in_arabic_is_read_from_right_to_left(cluster: Cluster) -> None:
    await people(cluster)
    await cluster.need("n1", "company", "كشف غش زيت أركان", ARABIC_NEED, language="ar")

    mails = await cluster.told(2)
    arabic = next(mail.text for mail in mails if mail.recipients[0].startswith("amb-agadir@"))
    assert "أركان" in arabic
    page = await cluster.inbox("amb-agadir")
    assert 'dir="rtl"' in page
    assert "كشف غش زيت أركان" in page


async def test_a_member_that_arrives_after_the_need_is_found(cluster: Cluster) -> None:
    await people(cluster)
    await cluster.need("n1", "company", "Robot de désherbage des vignes", "Un robot autonome qui désherbe la vigne.")
    await cluster.told(0)

    weeding = {"asset_id": "r", "title": "Robot de désherbage", "text": "Robot autonome éprouvé en vigne et verger."}
    body = {"name": "Atelier", "kind": "startup", "admission": "admitted", "city": "rabat", "assets": [weeding]}
    await cluster.put("members", "atelier", body)
    mails = await cluster.told(2)
    assert all("Atelier" in mail.text for mail in mails)


async def test_a_correction_and_a_repost_tell_nobody_again_and_a_new_matter_does(cluster: Cluster) -> None:
    await people(cluster)
    await cluster.need("n1", "company", "Capteur d’humidité du sol", NEED)
    await cluster.told(2)

    await cluster.need("n1", "company", "Capteur d’humidité du sol", NEED.replace("partenaire", "partenair"))
    await cluster.told(2)
    await cluster.flow.api.post(f"/v1/clusters/{cluster.name}/needs/n1/withdrawal")
    await cluster.need("n2", "company", "Capteur d’humidité du sol", NEED)
    await cluster.told(2)

    matter = "Une passerelle LoRa autonome, et la conception de capteurs pour suivre la salinité de puits au désert."
    await cluster.need("n2", "company", "Passerelle LoRa pour puits", matter)
    mails = await cluster.told(4)
    assert all("Passerelle LoRa pour puits" in mail.text for mail in mails[2:])


async def test_a_withdrawn_need_is_not_suggested_to_newcomers_and_the_inbox_says_so(cluster: Cluster) -> None:
    await people(cluster)
    await cluster.need("n1", "company", "Capteur d’humidité du sol", NEED)
    await cluster.told(2)
    before = await cluster.inbox("amb-rabat")

    answer = await cluster.flow.api.post(f"/v1/clusters/{cluster.name}/needs/n1/withdrawal")
    assert answer.status_code == 202
    await cluster.member("lab-two", "laboratory", city="rabat", assets=[SENSORS])
    await cluster.told(2)
    after = await cluster.inbox("amb-rabat")
    assert "Lab Two" not in after
    assert after != before


async def test_erasure_leaves_nothing_in_any_store(cluster: Cluster) -> None:
    await people(cluster)
    await cluster.need("n1", "company", "Capteur zanzibarique d’humidité du sol", NEED)
    await cluster.told(2)

    answer = await cluster.flow.api.delete(f"/v1/clusters/{cluster.name}/members/company")
    assert answer.status_code == 202
    await cluster.flow.quiet()
    assert "zanzibarique" not in await cluster.inbox("amb-rabat")
    for service in cluster.flow.services:
        database = service.store.database
        for name in await database.list_collection_names():
            async for document in database[name].find():
                assert "zanzibarique" not in str(document), (service.name, name)


async def test_a_census_alerts_nobody_and_a_later_need_does(cluster: Cluster) -> None:
    await people(cluster)
    body = {"member_id": "company", "title": "Capteur d’humidité du sol", "text": NEED}
    await cluster.put("needs", "n1", body, alerts="false")
    await cluster.told(0)
    assert "Capteur d’humidité du sol" in await cluster.inbox("amb-rabat")

    await cluster.need("n2", "company", "كشف غش زيت أركان", ARABIC_NEED)
    await cluster.told(2)


async def test_silence_where_the_evidence_is_thin(cluster: Cluster) -> None:
    await people(cluster)
    # One shared word, and a weighty one: the score passes the bar, one term alone is no evidence.
    await cluster.need("n1", "company", "Passerelle", "Une passerelle.")
    await cluster.told(0)
    assert "Passerelle" not in await cluster.inbox("amb-rabat")

    await cluster.need("n2", "company", "Passerelle LoRa", "Une passerelle LoRa pour l’irrigation.")
    mails = await cluster.told(2)
    assert all("Passerelle LoRa" in mail.text for mail in mails)


async def test_a_convention_opens_a_cluster_and_without_one_it_stays_closed(cluster: Cluster) -> None:
    neighbour = Cluster(f"{cluster.name}x", cluster.flow)
    await people(cluster, lab_city=None)
    await people(neighbour, lab_city="fes")
    await cluster.put("members", "lab", {"name": "Lab", "kind": "laboratory", "admission": "left"}, alerts="false")
    await cluster.need("n1", "company", "Capteur d’humidité du sol", NEED)
    await cluster.told(0)
    await neighbour.told(0)

    await cluster.member("friend", "partner_cluster", represents=neighbour.name)
    await neighbour.member("friend", "partner_cluster", represents=cluster.name)
    await cluster.need("n2", "company", "كشف غش زيت أركان", ARABIC_NEED)
    (own,) = await cluster.told(1)
    theirs = {mail.recipients[0].split("@")[0] for mail in await neighbour.told(2)}
    assert own.recipients[0].startswith("amb-agadir@")
    assert theirs == {"amb-fes", "amb-agadir"}
