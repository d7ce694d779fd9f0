"""A client of Maillage for Python: publish a profile, post needs, deal with keys; sure of what was taken.

What it sends again while the service is away is never carried out twice.
"""

from .answers import (
    AwayError,
    FieldError,
    IssuedKey,
    MaillageError,
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
    "Note",
    "Published",
    "RefusedError",
    "Taken",
]
