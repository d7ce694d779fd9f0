"""Writes the client that waits from the one that is awaited: `python -m services.client.generate`."""

import re
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
SOURCE: Final = HERE / "asynchronous.py"
TARGET: Final = HERE / "synchronous.py"

_WORDS: Final = {
    "A client whose methods are awaited.": "A client whose methods return when it is done. Written by `generate`.",
    "AsyncBaseTransport": "BaseTransport",
    "AsyncClient": "Client",
    "AsyncIterator": "Iterator",
    "AsyncMaillage": "Maillage",
    "AsyncRetrying": "Retrying",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "async ": "",
    "await ": "",
}


def synchronous(source: str) -> str:
    """Return the client that waits, given the one that is awaited."""
    return re.sub("|".join(map(re.escape, _WORDS)), lambda found: _WORDS[found[0]], source)


if __name__ == "__main__":
    TARGET.write_text(synchronous(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
