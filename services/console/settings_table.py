"""The settings of every service as one table, written from the code into `docs/operating.md`.

python -m services.console.settings_table [--check]
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from services.ingest.settings import IngestSettings
from services.matcher.settings import MatcherSettings
from services.notifier.settings import NotifierSettings
from services.runtime.settings import PREFIX, RuntimeSettings

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"
BEGIN, END = "<!-- settings: generated -->\n", "<!-- /settings -->\n"


def table() -> str:
    """Return the table in Markdown."""
    rows = ["| variable | of | meaning | default |", "|---|---|---|---|"]
    rows.extend(_rows("all", RuntimeSettings, set()))
    shared = set(RuntimeSettings.model_fields)
    for name, settings in (("ingest", IngestSettings), ("matcher", MatcherSettings), ("notifier", NotifierSettings)):
        rows.extend(_rows(name, settings, shared))
    return "\n".join(rows) + "\n"


def _rows(service: str, settings: type[RuntimeSettings], known: set[str]) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        if name not in known:
            yield f"| `{PREFIX}{name.upper()}` | {service} | {field.description} | {_default(field)} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    return "" if value in (None, "") else f"`{value}`"


def main() -> None:
    """Write the table, or with `--check` end with status 1 when the page differs."""
    parser = argparse.ArgumentParser(description="Write the table of settings into docs/operating.md.")
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 when the page is out of date")
    check = parser.parse_args().check
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN)
    _, tail = rest.split(END)
    fresh = head + BEGIN + table() + END + tail
    if check and fresh != page:
        sys.exit(f"{PAGE.name} is out of date: run python -m services.console.settings_table")
    if not check:
        PAGE.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
