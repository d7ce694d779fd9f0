"""What the system would make of a need before it is posted. No topic: the matcher is asked, and nothing is stored."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from schemas.base import Contract, Slug, UtcDatetime
from schemas.members import MemberKind, MemberRef

PREVIEW_PATH: Final = "/preview"
"""Where the matcher answers: a `NeedPublished` as it would be published, and a `NeedPreview` comes back."""


class PreviewedWord(Contract):
    """A word of the need, as its writer wrote it where it first comes."""

    word: str
    weight: Annotated[float, Field(ge=0, le=1, description="What it weighs beside the heaviest, in quarters")] = 0.0


class PreviewedCity(Contract):
    """An innovation city. `city` is left out where the asker may not see which it is."""

    cluster: Slug
    city: Slug | None = None
    name: str = ""


class KindReached(Contract):
    """Members of one kind that the need may face."""

    kind: MemberKind
    members: int


class CityReached(Contract):
    """Members at one innovation city that the need may face; none: at no city."""

    city: PreviewedCity | None
    members: int


class Reached(Contract):
    """The members that the need may face, whatever their texts say."""

    members: int
    by_kind: tuple[KindReached, ...] = ()
    by_city: tuple[CityReached, ...] = ()


class Nearest(Contract):
    """A member near to the need. `member` and `name` are left out where the asker may not see them."""

    kind: MemberKind
    city: PreviewedCity | None = None
    member: MemberRef | None = None
    name: str | None = None
    score: float
    suggested: Annotated[bool, Field(description="Whether it would be suggested: near enough, with enough to show")]
    words: Annotated[tuple[str, ...], Field(description="The shared words, as the asker wrote them")] = ()


class AdviceCode(StrEnum):
    """What would help, or stands in the way."""

    FEW_WORDS = "few_words"
    NOTHING_SHARED = "nothing_shared"
    BELOW_BAR = "below_bar"
    LANGUAGE_UNCLEAR = "language_unclear"
    LANGUAGE_NOT_READ = "language_not_read"
    DEADLINE_PAST = "deadline_past"
    DEADLINE_NEAR = "deadline_near"
    KINDS_ABSENT = "kinds_absent"
    NOBODY_REACHED = "nobody_reached"
    NOT_ADMITTED = "not_admitted"
    WITHDRAWN = "withdrawn"
    OFFER = "offer"


class Advice(Contract):
    """One piece of advice, with what it speaks of.

    Attributes:
        found: how many there are: informative words with `few_words`, days left with `deadline_near`.
        wanted: how many would help.
        kinds: those that nobody has, with `kinds_absent`.
        language: the one that was declared, with `language_not_read`.
    """

    code: AdviceCode
    found: int | None = None
    wanted: int | None = None
    kinds: tuple[MemberKind, ...] = ()
    language: str | None = None


class NeedPreview(Contract):
    """What the system understands of a need, and what would come of it now."""

    language: Annotated[str, Field(description="In which its words are read: fr, ar or en")]
    words: Annotated[tuple[PreviewedWord, ...], Field(description="Informative ones, the heaviest first")] = ()
    unshared: Annotated[tuple[str, ...], Field(description="Telling words that no offer of another member has")] = ()
    reached: Reached
    nearest: Annotated[tuple[Nearest, ...], Field(description="Those that would be suggested first, at most 3")] = ()
    suggested: Annotated[int, Field(description="Members that it would be suggested to face")]
    bar: Annotated[float, Field(description="Least score of a suggestion")]
    advice: tuple[Advice, ...] = ()
    seen_at: UtcDatetime
