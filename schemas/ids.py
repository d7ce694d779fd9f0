"""Identifiers derived from what they identify, so that doing the same thing twice gives the same id."""

from uuid import UUID, uuid5

from schemas.base import Key

NAMESPACE = UUID("5f0c2a2e-6c0b-5b5e-9f0e-4d61696c6c61")
"""Root of every derived id; never changes, or yesterday's suggestions would be told again."""


def derived_id(*parts: str) -> UUID:
    """Return the UUID (version 5) of `parts`, in this order. Parts are length-prefixed, so no two lists collide."""
    return uuid5(NAMESPACE, "".join(f"{len(part)}:{part}" for part in parts))


def event_id(topic: str, key: Key, rev: int) -> UUID:
    """Id of the event that brought `key` to `rev`: a repeated publication carries the same id."""
    return derived_id("event", topic, str(key), str(rev))
