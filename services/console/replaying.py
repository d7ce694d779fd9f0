"""Settling dead letters: put the record back where it was, or drop it."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from schemas.topics import TOPICS
from services.console.letter_log import Later, LetterLog
from services.runtime.errors import PermanentError
from services.runtime.letters import DROPPED, REPLAYED, Letter

# Where compaction takes no record away because of another.
_KEEPING_ALL = frozenset(topic.name for topic in TOPICS if not topic.compacted)


@dataclass(frozen=True, slots=True)
class Settled:
    """A letter is done with.

    Attributes:
        put_back: where its record is now; none: it was dropped.
        earlier: it had been put back before, by a replay that ended before it could mark the letter.
    """

    letter: Letter
    put_back: str | None = None
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A letter stays as it is; `why` says what to do."""

    letter: Letter
    why: str


async def replay(
    letters: Iterable[Letter],
    *,
    log: LetterLog,
    dead: Iterable[Letter],
    again: bool = False,
    over_newer: bool = False,
) -> AsyncIterator[Settled | Refused]:
    """Put each record back onto its topic, then mark its letter; yield what became of each, in the order of the log.

    A replay that ends between the two leaves an open letter; the next one finds the record that was put back, by its
    header, and only marks the letter. Two replays at the same moment may still put one record back twice: consumers
    know an event by its id and `rev`, and handle a second copy without effect.

    Args:
        dead: all known letters of these topics; their records are not taken for newer states.
        again: also what is settled or was put back.
        over_newer: also what a newer record of the same key has overtaken.

    Raises:
        BrokerUnavailableError, KafkaError, OSError, TimeoutError: the broker is away; run it again.
    """
    ordered = sorted(letters, key=lambda letter: letter.coordinates)
    later = await log.later(ordered, frozenset(letter.coordinates for letter in dead))
    for letter in ordered:
        behind = later.get(letter.id, Later())
        if why := _obstacle(letter, behind, again=again, over_newer=over_newer):
            yield Refused(letter, why)
        elif behind.put_back is not None and not again:
            await log.settle(letter, REPLAYED)
            yield Settled(letter, put_back=behind.put_back, earlier=True)
        else:
            yield await _put_back(letter, log)


async def _put_back(letter: Letter, log: LetterLog) -> Settled | Refused:
    try:
        place = await log.put_back(letter, await log.body(letter))
    except PermanentError as error:
        return Refused(letter, str(error))
    await log.settle(letter, REPLAYED)
    return Settled(letter, put_back=place)


def _obstacle(letter: Letter, behind: Later, *, again: bool, over_newer: bool) -> str | None:
    """Return why a letter cannot be replayed, and what to do instead; none if it can."""
    if letter.cut:
        parts = " and ".join(letter.cut)
        return f"its {parts} was too long to be kept whole: have its sender send it anew, then drop it"
    if letter.settled is not None and not again:
        return f"it is settled ({letter.settled}): --again replays it all the same"
    if behind.newer is not None and behind.put_back is None and letter.topic not in _KEEPING_ALL and not over_newer:
        # Compaction keeps the last record of a key. Consumers ignore an older `rev`; one that reads the log anew
        # would find nothing else.
        return (
            f"a newer record of its key is at {behind.newer}, and this one would take its place on the log: drop it,"
            " or replay it by --over-newer if that one is worse"
        )
    return None


async def drop(letters: Sequence[Letter], *, log: LetterLog) -> AsyncIterator[Settled | Refused]:
    """Mark each letter as settled without handling its record.

    Raises:
        KafkaError, OSError, TimeoutError: the broker is away; run it again.
    """
    for letter in letters:
        if letter.settled is not None:
            yield Refused(letter, f"it is settled ({letter.settled}): there is nothing to do")
            continue
        await log.settle(letter, DROPPED)
        yield Settled(letter)
