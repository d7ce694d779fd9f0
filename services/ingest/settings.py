"""What ingest needs to know beyond what every service does."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from services.runtime.settings import PreviewSettings

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


class IngestSettings(PreviewSettings):
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
