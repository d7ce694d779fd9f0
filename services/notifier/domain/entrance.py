"""How ambassadors are let in: where a mailed link may lead, and what its letter is called."""

import re
from enum import StrEnum
from typing import Final

ME: Final = "me"
"""What stands in an inbox's path where its token would: whoever is signed in."""

HOME: Final = f"/inbox/{ME}"

_PATH_CHARACTERS: Final = 300

# Of our own pages' paths alone: no host, no backslash, nothing encoded, no step upwards.
_OUR_PATH: Final = re.compile(rf"{HOME}(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*(\?[A-Za-z0-9_.=&+%-]*)?")


class Errand(StrEnum):
    """What a letter of the service itself is for, that tells of no suggestion."""

    SIGN_IN = "sign_in"


def our_path(asked: str) -> str | None:
    """Return where to go after signing in, if it is a page of an inbox; none for whatever else somebody put there."""
    return asked if len(asked) <= _PATH_CHARACTERS and _OUR_PATH.fullmatch(asked) else None
