"""Strategies for event bodies as a producer may write them: JSON documents, with or without what has a default."""

from base64 import b64encode
from collections.abc import Mapping
from datetime import date
from typing import Any

from hypothesis import strategies as st

from schemas.ambassadors import AmbassadorPublished, Rhythm, Weekday
from schemas.base import MAX_COUNT, Event
from schemas.codes import IntellectualProperty, Scheme, Stage
from schemas.contacts import ContactPublished
from schemas.feedback import Act, FeedbackGiven, NotRelevantReason, Result, Side
from schemas.members import Admission, AssetKind, MemberKind, MemberPublished, Reach
from schemas.needs import Direction, NeedPublished, NeedStatus
from schemas.notifications import Channel, NotificationDelivered, NotificationFailed
from schemas.submissions import SubmissionAnswered
from schemas.suggestions import AdjustmentScope, LapseReason, RequestSource, SuggestionLapsed, SuggestionMade

Document = dict[str, Any]
Strategy = st.SearchStrategy[Any]

slugs = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", fullmatch=True)
counts = st.integers(1, MAX_COUNT)
uuids = st.uuids().map(str)
moments = st.builds(
    "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}{}".format,
    st.integers(2, 9998),
    st.integers(1, 12),
    st.integers(1, 28),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 59),
    st.sampled_from(["", ".5", ".000001"]),
    st.sampled_from(["Z", "+01:00", "-09:30"]),
)
texts = st.text(max_size=40) | st.sampled_from(
    ["Énergie d'avenir", "مدينة الابتكار", "line\nbreak", "a\x00b\x85c", "🔬"]
)
lines = texts.map(lambda text: f"x{text}")
languages = st.sampled_from(["fr", "ar", "en", "ar-MA", "zh-Hant-TW", "sr-Latn-RS-x-a", "de-u-co-phonebk"])
countries = st.from_regex(r"[A-Z]{2}", fullmatch=True)
trls = st.integers(1, 9)
times = st.times().map(lambda time: time.strftime("%H:%M"))
positive = st.floats(min_value=1e-9, max_value=1e9)


def one_of(values: type[Any]) -> Strategy:
    return st.sampled_from([value.value for value in values])


def some(values: Strategy) -> Strategy:
    return st.lists(values, max_size=2)


def document(required: Mapping[str, Strategy], optional: Mapping[str, Strategy]) -> st.SearchStrategy[Document]:
    return st.fixed_dictionaries(dict(required), optional=dict(optional))


codes = document({"scheme": one_of(Scheme), "code": st.sampled_from(["62.10", "72000000-5", "J"])}, {"label": texts})
refs = document({"cluster": slugs, "member_id": slugs}, {})
visibilities = document({}, {"reach": one_of(Reach), "clusters": some(slugs)})
maturity = {
    "language": st.none() | languages,
    "trl": st.none() | trls,
    "stage": st.none() | one_of(Stage),
    "intellectual_property": st.none() | one_of(IntellectualProperty),
}
assets = document(
    {"asset_id": slugs, "title": lines},
    {"kind": one_of(AssetKind), "text": texts, "activities": some(codes)} | maturity,
)
members = document(
    {
        "rev": counts,
        "cluster": slugs,
        "member_id": slugs,
        "name": lines,
        "kind": one_of(MemberKind),
        "published_at": moments,
    },
    {
        "admission": one_of(Admission),
        "label": texts,
        "summary": texts,
        "languages": some(languages),
        "country": countries,
        "locality": texts,
        "city": st.none() | slugs,
        "activities": some(codes),
        "interests": some(lines),
        "kinds_sought": some(one_of(MemberKind)),
        "visibility": visibilities,
        "represents": st.none() | slugs,
        "assets": some(assets),
        "alerts": st.booleans(),
    },
)
needs = document(
    {"rev": counts, "cluster": slugs, "need_id": slugs, "member_id": slugs, "title": lines, "published_at": moments},
    {
        "direction": one_of(Direction),
        "status": one_of(NeedStatus),
        "text": texts,
        "activities": some(codes),
        "kinds_sought": some(one_of(MemberKind)),
        "countries": some(countries),
        "languages": some(languages),
        "excluded": some(refs),
        "visibility": visibilities,
        "deadline": st.none() | moments,
        "alerts": st.booleans(),
    }
    | maturity,
)
webhooks = document(
    {
        "url": st.sampled_from(["https://hooks.example/ma", "http://localhost:8080", "https://bücher.example/?a=é"]),
        "secret": st.binary(min_size=24, max_size=64).map(lambda raw: f"whsec_{b64encode(raw).decode()}"),
    },
    {},
)
_reach: dict[str, Strategy] = {
    "language": st.sampled_from(["fr", "ar", "en"]),
    "email": st.none() | st.sampled_from(["cite@agdal.example", "o'neil+maillage@münchen.example"]),
    "webhook": st.none() | webhooks,
}
_hours = document({"start": times, "end": times}, {})
_days = st.dates(date(2000, 1, 1), date(2199, 12, 31))
_spans = st.tuples(_days, _days).map(sorted).map(lambda d: {"first_day": f"{d[0]}", "last_day": f"{d[1]}"})
_seasons = st.tuples(_spans, document({}, {"at": st.none() | times, "quiet": st.none() | _hours}))
_absences = st.tuples(_spans, document({}, {"deputy": st.none() | slugs}))
_reach["alerting"] = document(
    {},
    {
        "rhythm": one_of(Rhythm),
        "at": times,
        "days": st.lists(one_of(Weekday), min_size=1, max_size=7),
        "quiet": st.none() | _hours,
        "time_zone": st.none() | st.sampled_from(["Africa/Casablanca", "Etc/GMT+1", "America/Argentina/Ushuaia"]),
        "most_per_day": st.none() | st.integers(1, 100),
        "seasons": some(_seasons.map(lambda parts: parts[0] | parts[1])),
    },
)
_reach["absences"] = some(_absences.map(lambda parts: parts[0] | parts[1]))
_reach["concerns"] = document({}, {"kinds": st.lists(one_of(MemberKind), max_size=3), "themes": some(codes)})
_ambassador = {"rev": counts, "cluster": slugs, "ambassador_id": slugs, "name": lines, "published_at": moments}
ambassadors = document(_ambassador | {"city": slugs}, {"role": st.just("ambassador")} | _reach) | document(
    _ambassador | {"role": st.just("desk")}, {"city": st.none()} | _reach
)
contacts = document(
    {
        "rev": counts,
        "cluster": slugs,
        "member_id": slugs,
        "name": lines,
        "email": st.sampled_from(["contact@agdal.example", "o'neil+maillage@münchen.example"]),
        "published_at": moments,
    },
    {
        "phone": st.none() | st.sampled_from(["+212 528 12 34 56", "0528.12.34.56", "(0528) 12-34-56", "080000"]),
        "language": st.sampled_from(["fr", "ar", "en"]),
    },
)
parties = document(
    {"cluster": slugs, "member_id": slugs, "name": lines, "kind": one_of(MemberKind), "country": countries},
    {"locality": texts, "languages": some(languages), "city": st.none() | slugs, "city_name": texts}
    | {"activities": some(codes)},
)
requests = document(
    {"party": parties, "source": one_of(RequestSource), "request_id": slugs, "title": lines},
    {"text": texts, "deadline": st.none() | moments, "activities": some(codes)} | maturity,
)
offer_documents = document(
    {"document_id": slugs, "title": lines, "cosine": st.floats(0, 1)},
    {"text": texts, "language": st.none() | languages, "activities": some(codes)},
)
offers = document({"party": parties, "documents": st.lists(offer_documents, min_size=1, max_size=2)}, {})
marks = document({"start": st.integers(0, 300), "end": st.integers(1, 300)}, {})
passages = document({"document_id": slugs, "text": texts}, {"marks": some(marks)})
terms = document(
    {"request_words": some(texts), "offer_words": some(texts), "share": positive}, {"informative": st.booleans()}
)
evidence = document(
    {"terms": st.lists(terms, min_size=2, max_size=3)},
    {"request_passages": some(passages), "offer_passages": some(passages)},
)
adjustments = document(
    {
        "reason": one_of(NotRelevantReason),
        "scope": one_of(AdjustmentScope),
        "factor": st.floats(0, 1, exclude_min=True),
        "said_at": moments,
        "until": moments,
    },
    {"count": counts},
)
suggestions = document(
    {
        "rev": counts,
        "suggestion_id": uuids,
        "made_at": moments,
        "request": requests,
        "offer": offers,
        "score": positive,
        "evidence": evidence,
        "engine": texts,
        "corpus_size": counts,
    },
    {
        "revision": counts,
        "alerts": st.booleans(),
        "posted_at": st.none() | moments,
        "adjustments": some(adjustments),
    },
)
lapses = document(
    {"rev": counts, "suggestion_id": uuids, "lapsed_at": moments, "reason": one_of(LapseReason)},
    {},
)
feedback = document(
    {
        "rev": counts,
        "feedback_id": uuids,
        "suggestion_id": uuids,
        "cluster": slugs,
        "ambassador_id": slugs,
        "act": one_of(Act),
        "requesting": refs,
        "offering": refs,
        "given_at": moments,
    },
    {
        "revision": st.none() | counts,
        "reason": st.none() | one_of(NotRelevantReason),
        "side": st.none() | one_of(Side),
        "silent": st.booleans(),
        "result": st.none() | one_of(Result),
    },
)
_notification = {
    "rev": counts,
    "notification_id": uuids,
    "suggestion_id": uuids,
    "revision": counts,
    "cluster": slugs,
    "ambassador_id": slugs,
    "channel": one_of(Channel),
    "attempts": counts,
}
_told = {"side": st.none() | one_of(Side)}
statuses = st.integers(400, 599)
submission_ids = st.from_regex(r"[!-\-/-~]{1,255}", fullmatch=True)
refusals = document(
    {"title": texts, "status": statuses, "detail": texts},
    {
        "type": st.just("about:blank"),
        "errors": some(document({"field": texts, "detail": texts, "remedy": texts}, {"value": st.just("")})),
    },
)
answers = document(
    {
        "rev": counts,
        "cluster": slugs,
        "member_id": slugs,
        "submission_id": submission_ids,
        "answered_at": moments,
        "status": st.integers(200, 599),
    },
    {
        "kind": st.none() | slugs,
        "entity_id": st.none() | slugs,
        "entity_rev": st.none() | counts,
        "notes": some(document({"field": texts, "detail": texts, "remedy": texts}, {})),
        "problem": st.none() | refusals,
    },
)

BODIES: dict[type[Event], st.SearchStrategy[Document]] = {
    MemberPublished: members,
    NeedPublished: needs,
    AmbassadorPublished: ambassadors,
    ContactPublished: contacts,
    SuggestionMade: suggestions,
    SuggestionLapsed: lapses,
    FeedbackGiven: feedback,
    NotificationDelivered: document(_notification | {"delivered_at": moments}, _told),
    NotificationFailed: document(_notification | {"failed_at": moments, "reason": texts}, _told),
    SubmissionAnswered: answers,
}
