"""`ambassadors.v1`: who relays between a cluster and an innovation city, and how to reach them.

Compacted; a record without a body erases the ambassador. Contact details of people travel here and on `contacts.v1`
alone.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AnyHttpUrl, ConfigDict, Field, StringConstraints, model_validator

from schemas.base import Contract, Event, Key, Line, Slug, UtcDatetime
from schemas.codes import Code
from schemas.members import MemberKind

# Whatever RFC 5322 gives a meaning of its own in an address header, and whatever would break that header.
_SPECIAL: Final = r'@\s\x00-\x1f\x7f-\x9f()<>\[\]:;,"\\'
EMAIL_PATTERN: Final = rf"^[^{_SPECIAL}]{{1,64}}@[^{_SPECIAL}]{{1,253}}$"

EmailAddress = Annotated[str, StringConstraints(pattern=EMAIL_PATTERN)]
"""One address, `local@domain`, without display name."""


# Base64 of 24 to 65 bytes, padded: what does not decode could be stored, but never sign.
SECRET_PATTERN: Final = r"^whsec_([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?$"  # noqa: S105 - a shape


class AmbassadorRole(StrEnum):
    """An ambassador answers for one innovation city; the desk for whatever concerns no city."""

    AMBASSADOR = "ambassador"
    DESK = "desk"


class Webhook(Contract):
    """Where and with which secret to sign messages, by Standard Webhooks."""

    url: Annotated[AnyHttpUrl, Field(json_schema_extra={"pattern": r"^https?://[^/?#\s]+"})]
    secret: Annotated[str, StringConstraints(pattern=SECRET_PATTERN), Field(repr=False)]
    previous_secret: Annotated[
        Annotated[str, StringConstraints(pattern=SECRET_PATTERN)] | None,
        Field(repr=False, description="The secret before, while receivers change over: messages are signed with both"),
    ] = None


ChatAddress = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{1,19}://[^\s\x00-\x1f\x7f]{1,480}$")]
"""A service and whom it is to tell, as Apprise writes it: `tgram://BOT_TOKEN/CHAT_ID`. It holds secrets."""


class Rhythm(StrEnum):
    """How often letters are written. What came meanwhile is in one letter."""

    AT_ONCE = "at_once"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"


class Weekday(StrEnum):
    """A day of the week, as iCalendar writes it (RFC 5545, 3.3.10)."""

    MONDAY = "MO"
    TUESDAY = "TU"
    WEDNESDAY = "WE"
    THURSDAY = "TH"
    FRIDAY = "FR"
    SATURDAY = "SA"
    SUNDAY = "SU"


LocalTime = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
"""A time of day on the clock of whoever is told, `HH:MM`."""


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # not there; a folder of the database; no name at all
        raise ValueError("expected an IANA time zone, as Africa/Casablanca") from None
    return name


TimeZone = Annotated[
    str, StringConstraints(pattern=r"^(UTC|[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){1,2})$"), AfterValidator(_known_zone)
]
"""The name of a time zone in the IANA database."""


Day = Annotated[
    date,
    Field(ge=date(2000, 1, 1), le=date(2199, 12, 31), json_schema_extra={"pattern": "^2[01][0-9][0-9]-"}),
]
"""A day on the calendar of whoever is told, of the years 2000 to 2199."""


class Hours(Contract):
    """A part of each day, from `start` to just before `end`; past midnight if `end` is the earlier; none if equal."""

    start: LocalTime
    end: LocalTime


Days = TypeVar("Days", "Season", "Absence")


class Season(Contract):
    """Other hours for a time, both days included: those of Ramadan, say."""

    first_day: Day
    last_day: Day
    at: Annotated[LocalTime | None, Field(description="When daily and weekly letters go out meanwhile")] = None
    quiet: Annotated[Hours | None, Field(description="When nothing is sent meanwhile")] = None

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> "Season":
        return _in_order(self)


class Absence(Contract):
    """Days, both included, on which somebody else is told instead."""

    first_day: Day
    last_day: Day
    deputy: Annotated[
        Slug | None,
        Field(description="`ambassador_id` in the same cluster; where nobody is there, the desk is told"),
    ] = None

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> "Absence":
        return _in_order(self)


def _in_order(days: Days) -> Days:
    if days.last_day < days.first_day:
        raise ValueError("`last_day` is before `first_day`")
    return days


class Alerting(Contract):
    """When letters may come, and how many. What is not said is as the operator of the notifier has set it."""

    rhythm: Rhythm = Rhythm.AT_ONCE
    at: Annotated[LocalTime, Field(description="When daily and weekly letters go out")] = "08:00"
    days: Annotated[
        tuple[Weekday, ...],
        Field(min_length=1, max_length=7, description="On which letters may come; weekly ones on the first of them"),
    ] = tuple(Weekday)
    quiet: Annotated[Hours | None, Field(description="When nothing is sent, not even what is urgent")] = None
    time_zone: TimeZone | None = None
    most_per_day: Annotated[
        int | None, Field(ge=1, le=100, description="Pairings in a day's letters; the best come first, the rest wait")
    ] = None
    seasons: Annotated[tuple[Season, ...], Field(max_length=12)] = ()
    plain: Annotated[bool, Field(description="Letters of text alone, without an HTML part: for thin lines")] = False


class Concerns(Contract):
    """Which pairings an ambassador looks after, where a city has several. Who says nothing looks after what is left."""

    kinds: Annotated[
        tuple[MemberKind, ...],
        Field(max_length=len(MemberKind), description="One of the two members must be of these; empty: of any"),
    ] = ()
    themes: Annotated[
        tuple[Code, ...],
        Field(
            max_length=100,
            description="The pairing must carry one of these or what its list has below it, as `01.13` is below `01` "
            "of NACE; empty: any",
        ),
    ] = ()

    def __bool__(self) -> bool:
        return bool(self.kinds or self.themes)


class AmbassadorProfile(Contract):
    """Who the ambassador is, for which city, and how and when to be told."""

    # `_city_goes_with_role`, in the words of JSON Schema.
    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"role": {"const": "desk"}}, "required": ["role"]},
            "then": {"properties": {"city": {"type": "null"}}},
            "else": {"properties": {"city": {"type": "string"}}, "required": ["city"]},
        }
    )

    name: Line
    role: AmbassadorRole = AmbassadorRole.AMBASSADOR
    city: Annotated[Slug | None, Field(description="`member_id` of the innovation city; none for the desk")] = None
    language: Literal["fr", "ar", "en"] = "fr"
    email: EmailAddress | None = None
    webhook: Webhook | None = None
    chat: Annotated[
        tuple[ChatAddress, ...],
        Field(
            max_length=3,
            repr=False,
            description="Chat and telephone services, as Apprise addresses with their secrets: told what e-mails tell, "
            "when they do",
        ),
    ] = ()
    deputy: Annotated[
        Slug | None,
        Field(description="`ambassador_id` in the same cluster: told of what this one passes on or leaves lying"),
    ] = None
    concerns: Annotated[Concerns, Field(description="What to be told of at the city; not of the desk")] = Concerns()
    alerting: Alerting = Alerting()
    absences: Annotated[tuple[Absence, ...], Field(max_length=24)] = ()

    @model_validator(mode="after")
    def _city_goes_with_role(self) -> "AmbassadorProfile":
        if (self.role is AmbassadorRole.AMBASSADOR) != (self.city is not None):
            raise ValueError("an ambassador has a `city`, the desk has none")
        return self


class AmbassadorKey(Key):
    """`cluster/ambassador_id`."""

    cluster: Slug
    ambassador_id: Slug


class AmbassadorPublished(Event, AmbassadorProfile):
    """An ambassador, whole, as of `rev`."""

    event_type: ClassVar[str] = "maillage.ambassador.published.v1"

    cluster: Slug
    ambassador_id: Slug
    published_at: UtcDatetime

    @property
    def key(self) -> AmbassadorKey:
        """The record key of this event."""
        return AmbassadorKey(cluster=self.cluster, ambassador_id=self.ambassador_id)
