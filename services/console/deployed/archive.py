"""The file of a backup: a tar, compressed, written and read in one pass, so that it can go through a pipe.

    secrets/<name>                              as an operator would give them
    databases/<service>/<collection>/<n>.bson   documents in the order of their `_id`
    log/<topic>/<n>.jsonl                       records in the order of each partition
    manifest.json                               last: how many of each there must be, and a check sum

Standard tools read all of it (tar, bsondump). It holds personal data and keys: whoever has it has everything.
"""

import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import BinaryIO, Final, Literal

FORMAT: Final = "maillage-backup-1"

_MANIFEST: Final = "manifest.json"

_PART_BYTES: Final = 4_000_000
"""A tar tells the size of a file before its content: so much is held in memory, and one item more."""

_PATH: Final = re.compile(
    r"(?P<secret>secrets/[a-z_]+)|(?P<folder>(databases|log)/[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?)/\d{6}\.(bson|jsonl)"
)


class ArchiveError(Exception):
    """It is no backup, or not a whole one; the message says how that was seen."""


@dataclass(frozen=True, slots=True)
class Series:
    """What there is of one folder: the number of items, and a SHA-256 over all of them."""

    items: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    """Some items of one folder, one after the other."""

    folder: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        made_at: UTC, ISO 8601; what was confirmed before is in it.
        series: by folder.
    """

    made_at: str
    series: Mapping[str, Series]


class Measure:
    """Adds items up to a `Series`."""

    def __init__(self) -> None:
        self._items = 0
        self._digest = hashlib.sha256()

    def passing(self, items: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the items, counted."""
        for item in items:
            self._items += 1
            self._digest.update(item)
            yield item

    @property
    def series(self) -> Series:
        """What has passed so far."""
        return Series(self._items, self._digest.hexdigest())


class Writer:
    """Writes a backup; only `finish` makes it a whole one."""

    def __init__(self, target: BinaryIO) -> None:
        self._tar = tarfile.open(fileobj=target, mode="w|gz")  # noqa: SIM115 - `finish` closes it
        self._series: dict[str, Series] = {}

    def add_secret(self, name: str, value: str) -> None:
        """Add a secret."""
        self._add(f"secrets/{name}", value.encode())

    def add_series(self, folder: str, items: Iterable[bytes], kind: Literal["bson", "jsonl"]) -> Series:
        """Add the items of a folder."""
        measure, part, number = Measure(), bytearray(), 0
        for item in measure.passing(items):
            part += item
            if len(part) >= _PART_BYTES:
                self._add(f"{folder}/{number:06}.{kind}", bytes(part))
                part.clear()
                number += 1
        if part:
            self._add(f"{folder}/{number:06}.{kind}", bytes(part))
        self._series[folder] = measure.series
        return measure.series

    def finish(self, *, made_at: str) -> Manifest:
        """Write the manifest; return it."""
        series = {folder: asdict(one) for folder, one in self._series.items()}
        manifest = {"format": FORMAT, "made_at": made_at, "series": series}
        self._add(_MANIFEST, json.dumps(manifest, indent=1).encode())
        self._tar.close()
        return Manifest(made_at, dict(self._series))

    def _add(self, path: str, content: bytes) -> None:
        entry = tarfile.TarInfo(path)
        entry.size, entry.mode = len(content), 0o600
        self._tar.addfile(entry, io.BytesIO(content))


class Reader:
    """Reads a backup."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._digests: dict[str, hashlib._Hash] = {}
        self._manifest: Manifest | None = None

    def parts(self) -> Iterator[Part]:
        """Yield what is in it, apart from the secrets; return once all of it was there as it was written.

        Raises:
            ArchiveError: at the place of the damage, or at the end when something is missing.
        """
        try:
            with tarfile.open(fileobj=self._source, mode="r|gz") as tar:
                for entry in tar:
                    file = tar.extractfile(entry)
                    content = file.read() if file else b""
                    if entry.name == _MANIFEST:
                        self._manifest = _manifest(content)
                        continue
                    path = _PATH.fullmatch(entry.name)
                    if path is None:
                        raise ArchiveError(f"{entry.name} has no place in a backup")
                    if folder := path["folder"]:
                        self._digests.setdefault(folder, hashlib.sha256()).update(content)
                        yield Part(folder, content)
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise ArchiveError(f"it is damaged, or no backup ({error})") from None
        self._check()

    @property
    def manifest(self) -> Manifest:
        """The manifest, once all parts have been read.

        Raises:
            ArchiveError: there is none.
        """
        if self._manifest is None:
            raise ArchiveError("its end is missing")
        return self._manifest

    def _check(self) -> None:
        nothing = hashlib.sha256()
        for folder in self._digests.keys() | self.manifest.series.keys():
            wanted = self.manifest.series.get(folder)
            if wanted is None or wanted.sha256 != self._digests.get(folder, nothing).hexdigest():
                raise ArchiveError(f"{folder} is not as it was written")


def _manifest(content: bytes) -> Manifest:
    try:
        read = json.loads(content)
        if read["format"] != FORMAT:
            raise ArchiveError(f"it is of another version: {read['format']}")
        return Manifest(read["made_at"], {folder: Series(**one) for folder, one in read["series"].items()})
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"its manifest cannot be read ({error})") from None
