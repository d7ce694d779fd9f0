"""Codes from standard lists. Their shape is checked here; whether a code exists is checked where data enters."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from schemas.base import Contract, Phrase

COUNTRY_PATTERN: Final = r"^[A-Z]{2}$"

Country = Annotated[str, StringConstraints(pattern=COUNTRY_PATTERN)]
"""ISO 3166-1 alpha-2, upper case: `MA`."""

LANGUAGE_PATTERN: Final = r"^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$"

Language = Annotated[str, StringConstraints(pattern=LANGUAGE_PATTERN, max_length=35)]
"""BCP 47 tag: `fr`, `ar`, `en`, `ar-MA`. 35 characters are what its section 4.4.1 asks every system to take."""

Trl = Annotated[int, Field(ge=1, le=9)]
"""Technology readiness level, 1 (principle observed) to 9 (proven in operation)."""


CODE_PATTERN: Final = r"^[A-Z0-9][A-Z0-9.-]{0,15}$"


class Scheme(StrEnum):
    """A public classification of activities or purchases."""

    NACE = "nace-2.1"
    CPV = "cpv-2008"


class Code(Contract):
    """One entry of a public classification, with the label as its list words it."""

    scheme: Scheme
    code: Annotated[
        str,
        StringConstraints(pattern=CODE_PATTERN),
        Field(description="As its list prints it: `62.10` of NACE, `72000000-5` of CPV"),
    ]
    label: Phrase = ""


class Stage(StrEnum):
    """Where something stands on the path of innovation."""

    IDEA = "idea"
    PROOF_OF_CONCEPT = "proof_of_concept"
    PROTOTYPE = "prototype"
    MARKET = "market"
    INTERNATIONAL = "international"


class IntellectualProperty(StrEnum):
    """State of the rights in what is offered or asked for (the states of a partner-search profile)."""

    NONE = "none"
    SECRET = "secret_know_how"  # noqa: S105 - a state of rights, not a credential
    COPYRIGHT = "copyright"
    PATENT_APPLIED = "patent_applied"
    PATENT_GRANTED = "patent_granted"
    LICENSED = "licensed"
