"""Which shared terms are worth telling."""

from __future__ import annotations

import math
from collections.abc import Sequence

from services.matcher.index.text.fields import Span

LEAST_INFORMATION = 1 / 3
"""Part of the information of a term found in one offer only that a term must still carry to tell offers apart.

On public sets in three languages most pairs judged relevant share two such terms and hardly any random pair does;
asking for a half instead would silence many of the relevant.
"""

ALWAYS_FEW = 5
"""So few offers can all be looked at: whatever they share is worth telling, and a cluster's first days are not mute."""

SHORTEST_WORD = 3
"""Letters of a word that stands for itself; two letters do only as an acronym or with a digit (IA, 5G)."""


def informative(written: str, offers_with_term: int, offers: int) -> bool:
    """Tell whether a shared term helps an ambassador to see why a pairing is made.

    `written` is the word as the request has it, `offers_with_term` of the `offers` hold its term. It must be telling
    and rare.
    """
    return telling(written) and rare(offers_with_term, offers)


def telling(written: str) -> bool:
    """Tell whether a word says something by itself.

    It must be one of three letters, or of two in capitals, or a code of letters and digits; a bare number is no
    evidence.
    """
    letters = sum(map(str.isalpha, written))
    digits = any(map(str.isdigit, written))
    acronym = letters == SHORTEST_WORD - 1 and written.isupper()
    return letters >= SHORTEST_WORD or acronym or (letters > 0 and digits)


def tell(places: Sequence[Sequence[Span]], title: str, text: str) -> tuple[bool, ...]:
    """Return which words of a request are telling, as they are written where each first comes."""
    first = [spans[0] for spans in places]
    return tuple(telling((title if span.field == "title" else text)[span.start : span.end]) for span in first)


def rare(offers_with_term: int, offers: int) -> bool:
    """Tell whether a term tells offers apart.

    To learn that an offer holds it must carry at least a third of the information (-log2 of the probability, in bits)
    of a term found in one offer only. So up to 8 offers of 20, 26 of 100, 125 of 1,000, 2,713 of 100,000: a fixed
    percentage would silence small clusters or let every common word through in large ones.
    """
    if offers_with_term <= ALWAYS_FEW:
        return True
    return math.log((1 + offers) / (1 + offers_with_term)) >= LEAST_INFORMATION * math.log((1 + offers) / 2)
