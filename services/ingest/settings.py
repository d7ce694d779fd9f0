"""What ingest needs to know beyond what every service does."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, AnyHttpUrl, Field, SecretStr, StringConstraints, model_validator

from schemas.ambassadors import EmailAddress
from services.runtime.settings import PagesSettings, PreviewSettings

# About 96 bits when drawn from letters and digits: out of reach of guessing, without a slow hash.
MIN_KEY_CHARACTERS: Final = 16


_HASHED: Final = re.compile(r"sha256:[0-9a-f]{64}")


def _usable(key: SecretStr | None) -> SecretStr | None:
    plain = key.get_secret_value() if key is not None else None
    if plain is None or _HASHED.fullmatch(plain):
        return key
    if plain.startswith("sha256:") or len(plain) < MIN_KEY_CHARACTERS:
        raise ValueError(f"expected at least {MIN_KEY_CHARACTERS} characters, or sha256: and 64 digits 0-9a-f")
    return key


class IngestSettings(PreviewSettings, PagesSettings):
    """Settings of ingest."""

    operator_key: Annotated[
        SecretStr | None,
        AfterValidator(_usable),
        Field(description="The operator's key, or `sha256:` and its SHA-256 in hex; none: nobody is the operator"),
    ] = None
    matcher_url: Annotated[
        str,
        StringConstraints(pattern=r"^https?://[^\s/?#@]+/?$"),
        Field(description="Address of the matchers' own HTTP port, which answer previews; any of them may"),
    ] = "http://127.0.0.1:8002"
    previews_per_minute: Annotated[
        int, Field(ge=1, le=1_000, description="Previews that one member may ask for in a minute")
    ] = 20
    submissions: Annotated[
        bool, Field(description="Take what organisations' own producers send to `submissions.v1`")
    ] = True
    portal_url: Annotated[
        AnyHttpUrl | None,
        Field(
            description="Address under which organisations reach the portal, below /portal; none: there is no portal"
        ),
    ] = None
    portal_secret: Annotated[
        SecretStr | None,
        Field(min_length=32, description="Signs links and forms of the portal; another one ends links under way"),
    ] = None
    mail_from: Annotated[EmailAddress | None, Field(description="Sender's address of links to the portal")] = None

    @model_validator(mode="after")
    def _portal_is_whole(self) -> "IngestSettings":
        if self.portal_url is not None:
            if self.portal_url.path not in (None, "", "/"):
                raise ValueError("portal_url has a path; the portal is below /portal of an address of its own")
            if self.portal_secret is None or self.mail_from is None:
                raise ValueError("a portal_url needs a portal_secret and mail_from: links are signed and mailed")
        return self
