"""What becomes of the words that members write."""

from typing import Any

import pytest

from schemas.members import MemberProfile
from services.ingest import wording
from services.ingest.entities import NeedBody, alike
from services.ingest.wording import Worded


def need(text: str, title: str = "Capteurs pour une serre") -> Worded:
    return wording.need(NeedBody(member_id="firm", title=title, text=text))


@pytest.mark.parametrize(
    "text",
    [
        "pH < 7 et > 5, si a<b, alors x>y",
        "du 01/02/2026 au 05/06/2027, 10 000 000 pièces, DOI 10.1000/182",
        "ISO 9001:2015, EAN 5901234123457, FR7630006000011234567890189, n° 05-1234-567890123, réf. AB0612345678",
        "R&D avec AT&T ; voir https://exemple.org/a?b=1&c=2&copy=4",
        "0.5 0.8 0.9 1.2 3.4, de 2019 à 2023, +12,5 %, lots 05-06-07-08-09, 0.05-0.10-0.25-0.50",
        "le 08/12/2026 14:30, le 06-03-2027 10:00, 05/2026 2027, ٠٥/١١/٢٠٢٦ ٠٩:٠٠",
        "SH 0805.50.10.00, 0712 90 90 00, ISBN 0521880688, ICE 002123456000078 ou 003412345000012",
        "+20 000 000 DH, +12 500 000 DH, +20.000/-20.000, à +34.0209 -6.8416",
        "12V@1.5A, 100W@3.5GHz, 40dB@1.5Mbps, numpy@1.26.4, capteur @ 25 °C",
        "\u202bنص من اليمين\u202c وبقية الجملة",
        "Guide <style maison>, x <b et c> y, les champs <label> et <code>, a  &truc; b, <!-- sans fin",
    ],
)
def test_words_that_are_well_stay_as_they_are(text: str) -> None:
    worded = need(text)
    assert worded.value["text"] == text
    assert worded.errors == ()
    assert worded.notes == ()


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("Écrivez à amal.z+x@exemple.org.", "Écrivez à →amal.z+x@exemple.org←."),
        ("amal＠1337.ma", "→amal＠1337.ma←"),
        ("Appelez le 05 28 12 34 56 (24 heures)", "Appelez le →05 28 12 34 56← (24 heures)"),
        ("tél. (0528) 12-34-56", "tél. →(0528) 12-34-56←"),
        ("Tél.0612345678", "Tél.→0612345678←"),
        ("0528-123456", "→0528-123456←"),
        ("0661 234 567", "→0661 234 567←"),
        ("06‑12‑34‑56‑78", "→06‑12‑34‑56‑78←"),
        ("06\u200b12345678", "→06\u200b12345678←"),
        ("phone +212 528-123456 please", "phone →+212 528-123456← please"),
        ("+212 - 528 - 12 34 56", "→+212 - 528 - 12 34 56←"),
        ("+33 (0)1 23 45 67 89", "→+33 (0)1 23 45 67 89←"),
        ("00212 6 12 34 56 78", "→00212 6 12 34 56 78←"),
        ("اتصل بنا على ٠٥٢٨١٢٣٤٥٦", "اتصل بنا على →٠٥٢٨١٢٣٤٥٦←"),
        ("sur wa.me/212612345678", "sur →wa.me/212612345678←"),
        ("x" * 40 + " a@b.org " + "y" * 40, "…" + "x" * 23 + " →a@b.org← " + "y" * 23 + "…"),
        ("<p>Écrivez à <b>amal</b>@exemple.org</p>", "Écrivez à →amal@exemple.org←"),
    ],
)
def test_how_to_reach_somebody_is_refused_and_marked(text: str, marked: str) -> None:
    (error,) = need(text).errors
    assert (error.field, error.value) == ("text", marked)
    assert "contact" in error.remedy


def test_each_number_of_a_signature_is_found() -> None:
    errors = need("06 12 34 56 78\n05 28 12 34 56").errors
    assert [error.value[error.value.index("→") :][:16] for error in errors] == ["→06 12 34 56 78←", "→05 28 12 34 56←"]


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("prix \u202e001\u202c DH", "prix →U+202E←001U+202C DH"),
        ("laissé ouvert \u2067ici", "laissé ouvert →U+2067←ici"),
    ],
)
def test_what_turns_letters_around_is_refused_and_made_visible(text: str, marked: str) -> None:
    assert [error.value for error in need(text).errors] == [marked]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>Un</p><p>deux <b>trois</b></p>", "Un\n\ndeux trois"),
        ("H<sub>2</sub>O &amp; R&amp;D<br/>fin", "H2O & R&D\nfin"),
        ("avant<script>alert('x')</script><!-- secret --> après", "avant après"),
        ("&amp;lt;b&amp;gt;gras&amp;lt;/b&amp;gt;", "gras"),
        ("<label for=a>Nom</label> <svg onload=x> <a title='a>b'>lien</a>", "Nom lien"),
        ("e<b></b>\u0301 ?a=1&copy=4 &#233;", "é ?a=1&copy=4 é"),
        ("<li>un<li>deux, si a<b", "un\ndeux, si a<b"),
    ],
)
def test_html_is_taken_out_and_that_is_said(text: str, plain: str) -> None:
    worded = need(text)
    assert worded.value["text"] == plain
    assert [note.field for note in worded.notes] == ["text"]
    assert worded.errors == ()
    assert need(plain).value == worded.value  # what is shown may be sent again


@pytest.mark.parametrize("text", ["<" * 9 + "b>" * 9, "&" + "amp;" * 9 + "lt;b>"])
def test_markup_within_markup_is_refused_rather_than_dug_through(text: str) -> None:
    assert [error.field for error in need(text).errors] == ["text"]


def test_letters_are_composed() -> None:
    assert need("cle\u0301 et \u0627\u0653").value["text"] == "clé et \u0622"


@pytest.mark.parametrize(
    ("title", "text", "field"),
    [("Besoin", "", "text"), ("1234567890", "...", "text"), ("<p></p>", "Un capteur d'humidité", "title")],
)
def test_there_must_be_something_to_match(title: str, text: str, field: str) -> None:
    (error,) = need(text, title).errors
    assert error.field == field
    assert error.remedy


def test_a_member_s_words_are_looked_at_in_all_their_places() -> None:
    asset: dict[str, Any] = {"asset_id": "a", "title": "Presse <b>à froid</b>", "text": "a@b.org"}
    profile = MemberProfile.model_validate(
        {
            "name": "Cafe\u0301",
            "kind": "company",
            "summary": "06 12 34 56 78",
            "locality": "a@b.org",
            "interests": ["Filets", "tel 0612345678"],
            "activities": [{"scheme": "nace-2.1", "code": "72.10", "label": "\u202eR"}],
            "assets": [asset, asset | {"text": ""}],
        }
    )
    worded = wording.member(profile)
    assert worded.value["name"] == "Café"
    assert [asset["title"] for asset in worded.value["assets"]] == ["Presse à froid"] * 2
    assert [error.field for error in worded.errors] == [
        "summary",
        "locality",
        "interests.1",
        "activities.0.label",
        "assets.0.text",
    ]
    assert [note.field for note in worded.notes] == ["assets.0.title", "assets.1.title"]
    assert profile.assets[0].title == "Presse <b>à froid</b>"  # what was sent is left as it is


def test_needs_say_the_same_whatever_their_spacing_case_and_punctuation() -> None:
    one = alike({"title": "Capteurs d’humidité", "text": "Pour une SERRE !"})
    assert one == alike({"title": "CAPTEURS   d'humidité —", "text": "pour une serre"})
    assert one != alike({"title": "Capteurs d’humidité", "text": "Pour deux serres"})
