"""What one matcher knows: all members and what they offer, and the requests of those whose share of the work it has."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from time import monotonic
from typing import Final, TypeVar

from services.matcher import metrics
from services.matcher.domain.arrivals import bring, catch_up, differing, hold, remembers_erased
from services.matcher.domain.directory import Directory
from services.matcher.domain.holding import NONE, Holding
from services.matcher.domain.pairing import Bar, Pairing
from services.matcher.domain.takeover import take_over
from services.matcher.index import Analyser, OfferIndex
from services.matcher.keeping import Keeper
from services.matcher.sharing import Claim
from services.matcher.store import MatcherStore, StateGoneError
from services.runtime import logs
from services.runtime.clock import Clock
from services.runtime.threads import in_thread

READ_AHEAD: Final = 200
"""Members read at a time while nobody waits for them: their events are some megabytes, read in some 20 ms."""

T = TypeVar("T")


class View:
    """A view of the log. One writer at a time may use it; what it does not know any more it reads anew."""

    def __init__(
        self,
        *,
        store: MatcherStore,
        keeper: Keeper,
        clock: Clock,
        log_id: Callable[[], str],
        bar: Bar,
        on_progress: Callable[[], None],
    ) -> None:
        """`log_id` tells the identity of the log, once that is known."""
        self.keeper = keeper
        self.directory = Directory()
        self.pairing = Pairing(index=OfferIndex(Analyser()), bar=bar, ranked=on_progress)
        self.holding = NONE
        """The shares whose requests are paired and told of."""
        self.claims: dict[int, Claim] = {}
        self.current = False
        """Whether it may be used as it is."""
        self._store = store
        self._clock = clock
        self._log_id = log_id
        self._bar = bar
        self._on_progress = on_progress
        self._whole = False  # whether memory is what the log said at some moment
        self._seen: dict[int, int] = {}  # version of each share when its rows were last read or written
        self._begin: Mapping[int, Claim] | None = None  # where reading is to begin; none once it has
        self._unread: Iterator[str] = iter(())
        self._log = logs.get()

    async def read_anew(self) -> None:
        """Bring the view to what is stored; with what is in memory, or in the snapshot, as far as that still holds."""
        began = monotonic()
        self.current = False
        self.lose()
        shares = await self._store.shares.all()  # before the rows: whoever writes meanwhile counts on
        directory = Directory(clock=_earliest(shares.values()))
        with _no_collection():
            (pairing, opened), (_, read) = await asyncio.gather(
                _timed(self._kept()), _timed(self._store.restore(directory))
            )
            self._whole = False
            now = self._clock()
            if remembers_erased(directory, pairing):
                await self.keeper.discard()  # erased while no process of ours was there to see it
            others = await self._read(directory, differing(directory, pairing, now))
            await in_thread(catch_up, others, directory, pairing, now)
        self.directory, self.pairing, self._whole = directory, pairing, True
        self._seen = {share: claim.version for share, claim in shares.items()}
        self._begin = shares
        self._unread = iter(sorted(directory.owners()))
        self.keeper.change(others)
        self.current = True
        self.measure()
        self._log.info(
            "restored",
            members=len(directory.members),
            needs=len(directory.needs),
            offers=len(pairing),
            requests=len(pairing.asks),
            differed=len(others),
            store_seconds=round(read, 3),
            index_seconds=round(opened, 3),
            seconds=round(monotonic() - began, 2),
        )

    def spoil(self) -> None:
        """Note that memory may be half changed: it is of no use any more."""
        self.current = self._whole = False

    def lose(self) -> None:
        """Answer for nobody's requests any more, until shares are given anew."""
        self._seen |= {share: claim.version for share, claim in self.claims.items()}
        self.claims, self.holding = {}, NONE

    async def take_shares(self, held: Collection[int], of: int) -> None:
        """Answer for the requests of these shares, of so many, and for nobody else's."""
        began = monotonic()
        stored = await self._store.shares.all()
        kept = {
            share: claim
            for share, claim in self.claims.items()
            if share in held and claim.of == of and share in stored and stored[share].epoch == claim.epoch
        }
        gained = [share for share in sorted(held) if share not in kept]
        self.lose()
        taken = {share: await self._store.shares.take(share, of=of, log=self._log_id()) for share in gained}
        if 0 in taken:
            await self._store.shares.forget_others(of)
        # The row of a share counts on once it is taken, and with each batch that is stored: one more is the taking. In
        # another division its number stands for other members.
        divided = len(stored) not in (0, of) or any(claim.of != of for claim in stored.values())
        unseen = [share for share, claim in taken.items() if divided or claim.version - 1 != self._seen.get(share, 0)]
        await self._learn(Holding(frozenset(unseen), of))
        holding = Holding(frozenset(held), of)
        await self._hold(holding)
        if taken:
            self.directory.turn_back(_earliest(taken.values()))
        self.claims, self.holding = {**kept, **taken}, holding
        self.measure()
        self._log.info(
            "answering",
            shares=sorted(held),
            of=of,
            gained=gained,
            requests=len(self.pairing.asks),
            seconds=round(monotonic() - began, 2),
        )

    async def learn_of(self, owner: str) -> None:
        """Take what a neighbour has stored of a member."""
        stored, owners = await self._stored_of(owner, self.directory)
        await in_thread(self._take_over, stored, owners.__contains__)

    async def read_ahead(self) -> None:
        """Read a few more members of those that the start did not need, so that nothing has to wait for them."""
        await self._store.read_ahead(self.directory, list(islice(self._unread, READ_AHEAD)))

    def places(self, partitions: Collection[str]) -> dict[str, int]:
        """Return how far, at the most, reading may be; what is not named may stay where it is."""
        claims = list(self.claims.values())
        if self._begin is not None:
            claims += _complete(self._begin, log=self._log_id())
            self._begin = None
        return {name: min(claim.places.get(name, 0) for claim in claims) for name in partitions} if claims else {}

    def measure(self) -> None:
        """Tell the metrics how much there is."""
        metrics.INDEX_DOCUMENTS.set(len(self.pairing))
        metrics.INDEX_BYTES.set(self.pairing.size_bytes)
        metrics.REQUESTS.set(len(self.pairing.asks))
        metrics.SHARES.set(len(self.claims))

    async def _stored_of(self, owner: str, directory: Directory) -> tuple[Directory, set[str]]:
        """Return what is stored of a member, and of those whose are by now the needs that were known as its own."""
        owners, known = {owner}, directory.need_keys_of(owner)
        while True:
            stored = Directory()
            await self._store.restore(stored, owners=owners, known_needs=known)
            if stored.owners() <= owners:
                return stored, owners
            owners |= stored.owners()

    async def _read(self, directory: Directory, owners: Collection[str]) -> list[str]:
        """Read all that these members say; return them, and those of whom a neighbour has said something else since.

        Neighbours go on writing while a replica starts: it takes what they write as it finds it, and never begins
        anew for it.
        """
        wanted = set(owners)
        while True:
            await self._store.read_ahead(directory, sorted(wanted))
            try:
                await in_thread(directory.read, wanted)
            except StateGoneError as gone:
                stored, theirs = await self._stored_of(gone.owner, directory)
                wanted |= await in_thread(take_over, directory, stored, theirs.__contains__)
            else:
                return sorted(wanted)

    async def _learn(self, holding: Holding) -> None:
        if holding.shares:
            stored = Directory()
            await self._store.restore(stored, slots=holding.slots)
            await in_thread(self._take_over, stored, holding.__contains__)

    def _take_over(self, stored: Directory, is_theirs: Callable[[str], bool]) -> None:
        changed = take_over(self.directory, stored, is_theirs)
        self.directory.refresh_conventions()
        bring(sorted(changed), self.directory, self.pairing, self._clock())
        self.keeper.change(changed)

    async def _hold(self, holding: Holding) -> None:
        asked = self.pairing.holding
        gained = [owner for owner in sorted(self.directory.owners()) if owner in holding and owner not in asked]
        self.keeper.change(gained)
        owners = iter(gained)
        while some := list(islice(owners, READ_AHEAD)):
            await self._store.read_ahead(self.directory, some)
            self._on_progress()
        await in_thread(hold, holding, self.directory, self.pairing, self._clock())

    async def _kept(self) -> Pairing:
        """Return what is in memory, on the disk, or nothing: to be brought to what is stored."""
        if self._whole:
            return self.pairing
        kept = await self.keeper.open(self._bar, self._on_progress)
        return kept or Pairing(index=OfferIndex(Analyser()), bar=self._bar, ranked=self._on_progress)


def _complete(shares: Mapping[int, Claim], *, log: str) -> list[Claim]:
    """Return the claims of all shares; if one was never taken in this log, nothing is known to be done."""
    of = max((claim.of for claim in shares.values()), default=0)
    present = [claim for claim in shares.values() if (claim.of, claim.log) == (of, log)]
    return present if len(present) == of > 0 else [Claim(share=0, of=1, epoch=0, version=0, log="")]


def _earliest(claims: Collection[Claim]) -> datetime | None:
    clocks = [claim.clock for claim in claims]
    return None if None in clocks else min(clocks, default=None)  # type: ignore[type-var]  # none of them is None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no garbage meanwhile: hundreds of thousands of objects are made, and all of them stay."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


async def _timed(work: Awaitable[T]) -> tuple[T, float]:
    """Return what comes of `work`, and the seconds that it took."""
    began = monotonic()
    return await work, monotonic() - began
