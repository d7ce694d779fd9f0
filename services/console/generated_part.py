"""Parts of pages that are written from the code, between two marks; a check fails when one is out of date."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True, slots=True)
class GeneratedPart:
    """The part of `docs/<page>` between `<!-- <name>: generated -->` and `<!-- /<name> -->`."""

    page: str
    name: str
    write: Callable[[], str]

    def main(self, module: str) -> None:
        """Write the part, or with `--check` end with status 1 when the page differs."""
        parser = argparse.ArgumentParser(description=f"Write the {self.name} into docs/{self.page}.")
        parser.add_argument("--check", action="store_true", help="change nothing; status 1 when it is out of date")
        path = DOCS / self.page
        page = path.read_text(encoding="utf-8")
        begin, end = f"<!-- {self.name}: generated -->\n", f"<!-- /{self.name} -->\n"
        head, rest = page.split(begin)
        _, tail = rest.split(end)
        fresh = head + begin + self.write() + end + tail
        if parser.parse_args().check:
            if fresh != page:
                sys.exit(f"{self.page} is out of date: run python -m {module}")
        else:
            path.write_text(fresh, encoding="utf-8")
