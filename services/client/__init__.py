"""A client of Maillage for Python: publish a profile, post needs, deal with keys; sure of what was taken.

What it sends again by itself while the service is away is never carried out twice.
"""

from .answers import (
    AwayError,
    FieldError,
    IssuedKey,
    MaillageError,
    MisuseError,
    Note,
    Published,
    RefusedError,
    Taken,
)
from .asynchronous import AsyncMaillage
from .synchronous import Maillage

__all__ = [
    "AsyncMaillage",
    "AwayError",
    "FieldError",
    "IssuedKey",
    "Maillage",
    "MaillageError",
    "MisuseError",
    "Note",
    "Published",
    "RefusedError",
    "Taken",
]
