"""What members ask and what they bring, as the matcher compares it: one shape whatever it comes from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.codes import Code, IntellectualProperty, Stage
from schemas.members import Admission, MemberKind, MemberPublished, Visibility
from schemas.needs import Direction, NeedPublished, NeedStatus
from schemas.suggestions import RequestSource

STANDING_ASSETS: Final = 12
"""Assets whose titles make a standing request: beyond a dozen subjects it would ask for everything."""

TITLE_CHARACTERS: Final = 300
"""What a title may hold in the contract."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as it stands: a posted need, or what a member is interested in or does at all times.

    Attributes:
        key: names the request: `need:cluster/need_id` or `member:cluster/member_id`.
        lineage: what suggestions for it are identified by; a reposted need has that of the first.
        owner: key of the asking member.
        excluded: keys of members never to be suggested for it.
    """

    key: str
    lineage: str
    owner: str
    cluster: str
    visibility: Visibility
    source: RequestSource
    request_id: str
    title: str
    text: str = ""
    language: str | None = None
    deadline: datetime | None = None
    trl: int | None = None
    stage: Stage | None = None
    intellectual_property: IntellectualProperty | None = None
    kinds_sought: tuple[MemberKind, ...] = ()
    countries: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    excluded: frozenset[str] = frozenset()
    activities: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """One thing that a member brings: an asset, a need with direction `offer`, or its profile when it has no asset.

    `told_as` is what a suggestion calls it: the asset's, need's or member's own id.
    """

    told_as: str
    title: str
    text: str
    language: str | None
    activities: tuple[Code, ...] = ()


def need_key(need: NeedPublished) -> str:
    """Key of the request or offer document that a need is."""
    return f"need:{need.key}"


def stands(need: NeedPublished, now: datetime) -> bool:
    """Whether a need is open and not past its deadline."""
    return need.status is NeedStatus.OPEN and not (need.deadline is not None and need.deadline <= now)


def posted_request(need: NeedPublished, lineage: str) -> Ask:
    """Return the request that a need with direction `request` is."""
    return Ask(
        key=need_key(need),
        lineage=lineage,
        owner=str(need.owner),
        cluster=need.cluster,
        source=RequestSource.NEED,
        request_id=need.need_id,
        title=need.title,
        text=need.text,
        language=need.language,
        deadline=need.deadline,
        trl=need.trl,
        stage=need.stage,
        intellectual_property=need.intellectual_property,
        kinds_sought=need.kinds_sought,
        countries=need.countries,
        languages=need.languages,
        excluded=frozenset(f"{ref.cluster}/{ref.member_id}" for ref in need.excluded),
        visibility=need.visibility,
        activities=need.activities,
    )


def standing_request(member: MemberPublished) -> Ask | None:
    """Return what a member asks while no request of its own is open: its interests, or else what its assets are about.

    None when it states neither. A standing request is seen by whoever may see the member.
    """
    source = RequestSource.INTERESTS if member.interests else RequestSource.ASSETS
    subjects = member.interests or tuple(asset.title for asset in member.assets[:STANDING_ASSETS])
    if not subjects:
        return None
    title, text = _title_and_rest(subjects)
    key = f"member:{member.key}"  # never the key of a need: ids have no colon
    return Ask(
        key=key,
        lineage=key,
        owner=str(member.key),
        cluster=member.cluster,
        source=source,
        request_id=member.member_id,
        title=title,
        text=text,
        kinds_sought=member.kinds_sought,
        visibility=member.visibility,
    )


def _title_and_rest(subjects: tuple[str, ...]) -> tuple[str, str]:
    """Join as many subjects as fit into a title; the others follow in the text, so that none counts twice."""
    title, count = subjects[0], 1
    while count < len(subjects) and len(title) + len(subjects[count]) + 2 <= TITLE_CHARACTERS:
        title = f"{title}; {subjects[count]}"
        count += 1
    return title, "\n".join(subjects[count:])


def offer_documents(member: MemberPublished, needs: Iterable[NeedPublished], now: datetime) -> dict[str, Document]:
    """Return what a member brings, by document key: nothing unless it is admitted.

    Args:
        needs: all of the member's needs; those that stand with direction `offer` count.
    """
    if member.admission is not Admission.ADMITTED:
        return {}
    documents = {
        f"{member.key}/{asset.asset_id}": Document(
            asset.asset_id, asset.title, asset.text, asset.language, asset.activities
        )
        for asset in member.assets
    }
    if not documents:
        documents[f"profile:{member.key}"] = Document(member.member_id, member.name, member.summary, None)
    for need in needs:
        if need.direction is Direction.OFFER and stands(need, now):
            documents[need_key(need)] = Document(need.need_id, need.title, need.text, need.language, need.activities)
    return documents


def open_requests(
    member: MemberPublished, needs: Iterable[tuple[NeedPublished, str]], now: datetime
) -> Mapping[str, Ask]:
    """Return what a member asks now, by request key: its open requests or else its standing one; none unless admitted.

    Args:
        needs: all of the member's needs, each with its lineage.
    """
    if member.admission is not Admission.ADMITTED:
        return {}
    posted = [
        posted_request(need, lineage)
        for need, lineage in needs
        if need.direction is Direction.REQUEST and stands(need, now)
    ]
    if posted:
        return {ask.key: ask for ask in posted}
    standing = standing_request(member)
    return {} if standing is None else {standing.key: standing}
