"""The parts that events are made of: what they take, and how they tidy it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyHttpUrl, TypeAdapter, ValidationError

from schemas.ambassadors import EmailAddress, Webhook
from schemas.base import Key, Line, Phrase, Slug, Text, UtcDatetime
from schemas.codes import Code, Country, Language
from schemas.contacts import PhoneNumber
from schemas.ids import derived_id
from schemas.members import MemberKey, MemberPublished
from schemas.suggestions import OfferDocument, SharedTerm
from schemas.topics import TOPICS
from tests.contract.documents import slugs


def taken(kind: Any, value: Any) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("  Argania  ", "Argania"),
        ("Offre\r\nBcc: someone", "Offre Bcc: someone"),
        ("a\x00\x1b[31mb", "a [31mb"),
        ("مدينة\u2028الابتكار", "مدينة الابتكار"),
        ("« Énergie\u00a0» 🔬 \u200fعربي", "« Énergie\u00a0» 🔬 \u200fعربي"),
    ],
)
def test_a_line_is_one_line(sent: str, kept: str) -> None:
    assert TypeAdapter(Line).validate_python(sent) == kept
    assert TypeAdapter(Phrase).validate_python(sent) == kept


@pytest.mark.parametrize("blank", ["", " ", "\n", "\x00", "\u2028 \x85"])
def test_a_line_says_something(blank: str) -> None:
    assert not taken(Line, blank)
    assert TypeAdapter(Phrase).validate_python(blank) == ""


def test_a_text_keeps_its_lines_and_loses_controls() -> None:
    assert TypeAdapter(Text).validate_python(" Un\n\tdeux\r\n\x0ctrois\x00\uffff ") == "Un\n\tdeux\r\n trois"


@given(st.text())
def test_tidying_twice_changes_nothing(words: str) -> None:
    for kind in (Phrase, Text):
        once = TypeAdapter(kind).validate_python(words)
        assert TypeAdapter(kind).validate_python(once) == once


def test_lengths_count_characters_not_bytes() -> None:
    assert taken(Line, "ن" * 300)
    assert taken(Line, "🔬" * 300)
    assert not taken(Line, "n" * 301)
    assert taken(Text, "ن" * 20_000)
    assert not taken(Text, "n" * 20_001)


@pytest.mark.parametrize("tag", ["fr", "ar-MA", "ber", "zh-Hant-TW", "ar-MA-u-nu-latn", "fr-x-darija"])
def test_a_language_is_a_bcp_47_tag(tag: str) -> None:
    assert taken(Language, tag)


@pytest.mark.parametrize("tag", ["", "f", "FR", "french", "fr_FR", "fr-", "fr--MA", "fr-MA\n", "fr" + "-latn" * 7])
def test_what_is_no_bcp_47_tag_is_refused(tag: str) -> None:
    assert not taken(Language, tag)


@pytest.mark.parametrize("code", ["", "M", "ma", "MAR", "MA\n", "م ا"])
def test_a_country_has_two_capitals(code: str) -> None:
    assert taken(Country, "MA")
    assert not taken(Country, code)


@pytest.mark.parametrize("slug", ["a/b", "", "-a", ".a", "_a", "a b", "é", "a\n", "a\x00", "a" * 81, "../a", "a%2Fb"])
def test_a_slug_can_stand_in_a_key_and_in_an_address(slug: str) -> None:
    assert not taken(Slug, slug)


@pytest.mark.parametrize(
    ("moment", "utc"),
    [
        ("2026-01-31T09:00:00+01:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31 08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        (datetime(2026, 1, 31, 8, tzinfo=UTC), datetime(2026, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_a_moment_is_in_utc(moment: object, utc: datetime) -> None:
    assert TypeAdapter(UtcDatetime).validate_python(moment) == utc


@pytest.mark.parametrize(
    "moment",
    [
        *[0, 1769846400, 1.5, "1769846400", "2026-01-31", "08:00:00Z", "2026-01-31T08:00:00", True, None],
        *["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", datetime(2026, 1, 31)],
    ],
)
def test_a_moment_is_spelt_out(moment: object) -> None:
    assert not taken(UtcDatetime, moment)


@pytest.mark.parametrize("address", ["a@b.example", "o'neil+x@b.example", "أمل@مدينة.example", "root@localhost"])
def test_an_address_is_local_part_and_domain(address: str) -> None:
    assert taken(EmailAddress, address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "@b",
        "a@",
        "a@b@c",
        "a b@c",
        "a@b\nBcc: c@d",
        "A <a@b>",
        "a@b,c@d",
        "a@b;",
        "g:a@b",
        '"a"@b',
        "a\x00@b",
        "a(x)@b",
    ],
)
def test_an_address_is_one_and_bare(address: str) -> None:
    assert not taken(EmailAddress, address)


@pytest.mark.parametrize("number", ["+212 528 12 34 56", "0528.12.34.56", "(0528) 12-34-56", "123456", "1" * 30])
def test_a_number_is_taken_as_people_write_it(number: str) -> None:
    assert taken(PhoneNumber, number)


@pytest.mark.parametrize(
    "number",
    [
        "",
        "+",
        "12345",
        "1" * 31,
        "      ",
        "......",
        "+212 528 12 34 5x",
        "tel:0528123456",
        "0528 12 34 56\n",
        "٠٥٢٨١٢٣٤",
    ],
)
def test_what_nobody_can_dial_is_no_number(number: str) -> None:
    assert not taken(PhoneNumber, number)


@pytest.mark.parametrize("secret", ["whsec_" + "A" * 31, "whsec_" + "A" * 33, "whsec_" + "=" * 32, "A" * 38, "whsec_"])
def test_a_secret_can_sign(secret: str) -> None:
    assert not taken(Webhook, {"url": "https://a.example", "secret": secret})


def test_a_secret_is_not_shown() -> None:
    secret = "whsec_" + "S" * 32
    assert secret not in repr(Webhook(url=AnyHttpUrl("https://a.example"), secret=secret))


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_score_can_be_written(number: float) -> None:
    """JSON has no infinity: it would be written as `null`, and the suggestion never be read again."""
    assert not taken(SharedTerm, {"request_words": ["eau"], "offer_words": ["eau"], "share": number})
    assert not taken(OfferDocument, {"document_id": "a", "title": "t", "cosine": number})


def test_an_event_cannot_change() -> None:
    member = MemberPublished.model_validate(
        {
            "rev": 1,
            "cluster": "c",
            "member_id": "m",
            "name": "n",
            "kind": "startup",
            "published_at": "2026-01-31T08:00:00Z",
        }
    )
    with pytest.raises(ValidationError, match="frozen"):
        member.name = "other"  # type: ignore[misc]  # that is the point
    with pytest.raises(ValidationError, match="frozen"):
        member.visibility.clusters = ("other",)  # type: ignore[misc]
    hash(member)
    assert isinstance(member.assets, tuple)


@given(slugs, slugs)
def test_a_key_is_read_as_it_was_written(cluster: str, member_id: str) -> None:
    key = MemberKey(cluster=cluster, member_id=member_id)
    assert MemberKey.decode(key.encode()) == key
    assert str(key) == f"{cluster}/{member_id}"


@given(st.binary(max_size=60))
def test_a_key_has_one_spelling(raw: bytes) -> None:
    kinds: set[type[Key]] = {topic.key for topic in TOPICS}
    for kind in kinds:
        try:
            key = kind.decode(raw)
        except ValueError:
            continue
        assert key.encode() == raw


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_different_parts_have_different_ids(one: list[str], other: list[str]) -> None:
    assert (derived_id(*one) == derived_id(*other)) == (one == other)


def test_a_derived_id_is_the_same_for_ever() -> None:
    assert str(derived_id("event", "members.v1", "souss/argania", "3")) == "020ac1b5-f984-520e-8987-c4195b98bab2"


def test_codes_are_printed_as_in_their_lists() -> None:
    assert taken(Code, {"scheme": "nace-2.1", "code": "62.10"})
    assert taken(Code, {"scheme": "cpv-2008", "code": "72000000-5", "label": "Services TI"})
    assert not taken(Code, {"scheme": "isic", "code": "62"})
    assert not taken(Code, {"scheme": "nace-2.1", "code": "62/10"})
