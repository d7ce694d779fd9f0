"""What the notifier needs to know, from the environment."""

from typing import Annotated

from pydantic import AfterValidator, AnyHttpUrl, Field, SecretStr, StringConstraints, model_validator

from schemas.ambassadors import EmailAddress, Hours
from services.notifier.domain.chat import PUBLIC, services_in
from services.notifier.domain.pace import House
from services.runtime.settings import PagesSettings


def _chat_services(names: str) -> str:
    services_in(names)
    return names


class NotifierSettings(PagesSettings):
    """Settings of the notifier. Each field is read from `MAILLAGE_<FIELD>`."""

    secret: Annotated[
        SecretStr,
        Field(min_length=32, description="Signs the private inbox addresses; another one makes all of them invalid"),
    ]
    public_url: Annotated[AnyHttpUrl, Field(description="Address under which ambassadors reach this service")]
    mail_from: Annotated[EmailAddress, Field(description="Sender's address of every message")]
    bounces: Annotated[
        str,
        StringConstraints(
            pattern=r"^([^\s:,]+:(6553[0-5]|655[0-2]\d|65[0-4]\d{2}|6[0-4]\d{3}|[1-5]\d{4}|[1-9]\d{0,3}))?$"
        ),
        Field(
            description="Where to listen for e-mails that come back, host:port; empty: nowhere. The mail server passes "
            "on to it what is for bounces+... at the domain of the sender"
        ),
    ] = ""
    allow_private_webhooks: Annotated[
        bool,
        Field(
            description="Send webhooks to addresses of private networks, and without TLS there; ask chat services there"
        ),
    ] = False
    chat_services: Annotated[
        str,
        AfterValidator(_chat_services),
        Field(description="Chat services that ambassadors may be told by, as Apprise names them; empty: none"),
    ] = ",".join(sorted(PUBLIC))
    quiet_hours: Annotated[
        str,
        StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$"),
        Field(description="When no e-mail is sent to ambassadors who say nothing else, HH:MM-HH:MM; equal: never"),
    ] = "21:00-07:00"
    letters_per_day: Annotated[
        int, Field(ge=1, le=1000, description="Pairings in a day's e-mails to ambassadors who say nothing else")
    ] = 10

    undo_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=600,
            description="For how long ambassadors may undo what they did; only then does anything follow from it",
        ),
    ] = 30

    @model_validator(mode="after")
    def _address_is_a_root(self) -> "NotifierSettings":
        if self.public_url.path not in (None, "", "/"):
            raise ValueError(
                "public_url has a path; the pages need an address of their own, as https://inbox.example.org"
            )
        return self

    @property
    def house(self) -> House:
        """What holds for ambassadors who say nothing else of when and how often to be told."""
        start, _, end = self.quiet_hours.partition("-")
        return House(self.timezone, Hours(start=start, end=end), self.letters_per_day)

    @property
    def base(self) -> str:
        """`public_url` without a slash at its end."""
        return str(self.public_url).rstrip("/")
